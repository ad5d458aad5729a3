"""Jobs to send, and what must become of each: the mixture that the faults fall upon."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

from tasqueue import Group, GroupOpts, Job, JobOpts
from tasqueue.core.errors import BackendUnavailable
from tasqueue.core.group import Membership
from tasqueue.core.lifecycle import GROUP, member
from tasqueue.core.ports import OpenGroup, Request, Submit
from tasqueue.drivers.redis import Address, KeepOpts, RedisStore, store_at
from tasqueue.engine import plan
from tasqueue.engine.prepare import prepare

QUEUE: Final = "faults"


class Fate(Enum):
    """Where a job must end."""

    COMPLETED = "completed"
    FAILED = "failed"
    DEAD = "dead"
    PARKED = "parked"


@dataclass(frozen=True)
class Fan:
    """A group with a callback."""

    group_id: str
    rows: list[list[Job]]
    """The jobs of each member: one, or a chain."""
    callback: Job

    def gathered(self) -> list[int]:
        """What a callback "gather" saves: the places that the last jobs of its members carry."""
        return [json.loads(row[-1].payload or b"")["at"] for row in self.rows]

    def send(self, store: RedisStore) -> None:
        """Open the group, and push its members, which seals it."""
        self.callback.ext = self.callback.ext | {GROUP: self.group_id}
        for place, row in enumerate(self.rows):
            for job in row:
                member(job, Membership(self.group_id, None if len(row) == 1 else place))
        paths = [[job.opts.id for job in row] for row in self.rows]
        opening = OpenGroup(self.group_id, paths, prepare(self.callback), None)
        insist(store, opening, opening)
        pushes = [prepare(row[0]) for row in self.rows]
        seals = [self.group_id]
        insist(store, Submit(pushes, seals=seals), Submit(pushes, again=True, seals=seals))


def insist(store: RedisStore, request: Request, again: Request) -> None:
    """Ask until the server answers, as a producer does that loses nothing."""
    while True:
        try:
            store.perform_blocking(request)
        except BackendUnavailable:
            request = again
            time.sleep(0.1)
        else:
            return


@dataclass
class Load:
    """Jobs with IDs of their own, and their fates, those of their children included."""

    queue: str = QUEUE
    name: str = ""
    """What all IDs begin with."""
    ms: float = 0
    """Milliseconds that each run takes."""
    jobs: list[Job] = field(default_factory=list)
    groups: list[Group] = field(default_factory=list)
    fans: list["Fan"] = field(default_factory=list)
    fates: dict[str, Fate] = field(default_factory=dict)
    extra_runs: int = 0
    """Runs beyond one a job that the load itself asks for (retries)."""

    def plain(self, count: int, name: str = "plain", **payload: Any) -> "Load":
        for job_id in self._ids(name, count):
            self.jobs.append(self._job(job_id, "work", **payload))
        return self

    def retrying(self, count: int, *, times: int = 2) -> "Load":
        for job_id in self._ids("retry", count):
            self.jobs.append(self._job(job_id, "flaky", n=times, retries=times))
            self.extra_runs += times
        return self

    def failing(self, count: int) -> "Load":
        """Jobs that fail twice, and then release a child."""
        for job_id in self._ids("fail", count):
            job = self._job(job_id, "bad", fate=Fate.FAILED, retries=1)
            job.on_error = [self._job(f"{job_id}.err", "work")]
            self.jobs.append(job)
            self.extra_runs += 1
        return self

    def chains(self, count: int, *, links: int = 3) -> "Load":
        for job_id in self._ids("chain", count):
            job = self._job(job_id, "work")
            self.jobs.append(job)
            for link in range(1, links):
                job.on_success = [self._job(f"{job_id}.{link}", "work")]
                job = job.on_success[0]
        return self

    def groups_of(self, members: int, count: int) -> "Load":
        for group_id in self._ids("group", count, fate=None):
            jobs = [self._job(f"{group_id}.m{at}", "work") for at in range(members)]
            self.groups.append(Group.create(jobs, GroupOpts(id=group_id)))
        return self

    def fanning(self, members: int, count: int, *, callback: str = "work") -> "Load":
        """Groups with a callback; the first member is a chain of two, whose last job counts.

        A callback "gather" saves what its members saved: the members' places, see `gathered`.
        """
        for group_id in self._ids("fan", count, fate=None):
            rows = [[self._job(f"{group_id}.m{at}", "work", at=at)] for at in range(members)]
            rows[0].append(self._job(f"{group_id}.m0.1", "work", at=members))
            rows[0][0].on_success = [rows[0][1]]
            self.fans.append(Fan(group_id, rows, self._job(f"{group_id}.end", callback)))
        return self

    def later(self, count: int, *, seconds: float = 1.0) -> "Load":
        """Jobs with an ETA: they pass through the scheduled set."""
        eta_ns = time.time_ns() + int(seconds * 1e9)
        for job_id in self._ids("later", count):
            self.jobs.append(self._job(job_id, "work", eta_ns=eta_ns))
        return self

    def alone(self, job_id: str, task: str, *, fate: Fate, **payload: Any) -> "Load":
        self.jobs.append(self._job(job_id, task, fate=fate, **payload))
        return self

    def add(self, other: "Load") -> None:
        """What was sent by itself is part of this load's account."""
        self.fans += other.fans
        self.fates |= other.fates
        self.extra_runs += other.extra_runs

    def send_rest(self, url: str) -> "Load":
        """Enqueue the single jobs that were added since the first one was sent."""
        rest = Load(queue=self.queue, jobs=self.jobs[1:])
        rest.send(url)
        return self

    def send(self, url: str) -> "Load":
        """Enqueue all of it, in portions."""
        store = store_at(Address.from_url(url), KeepOpts(expiry_ms=3_600_000))
        try:
            for start in range(0, len(self.jobs), 500):
                pushes = [prepare(job) for job in self.jobs[start : start + 500]]
                insist(store, Submit(pushes), Submit(pushes, again=True))
            for group in self.groups:
                plan.run_blocking(plan.enqueue_group(group), store)
            for fan in self.fans:
                fan.send(store)
        finally:
            store.close()
        return self

    def _ids(self, name: str, count: int, fate: Fate | None = Fate.COMPLETED) -> Sequence[str]:
        start = sum(job_id.startswith(f"{self.name}{name}-") for job_id in self.fates)
        return [f"{self.name}{name}-{start + at}" for at in range(count)]

    def _job(
        self,
        job_id: str,
        task: str,
        *,
        fate: Fate = Fate.COMPLETED,
        retries: int = 0,
        eta_ns: int | None = None,
        timeout: float = 0,
        **payload: Any,
    ) -> Job:
        self.fates[job_id] = fate
        body = json.dumps({"ms": self.ms, **payload}).encode()
        opts = JobOpts(
            id=job_id,
            queue=self.queue,
            max_retries=retries,
            eta_ns=eta_ns,
            timeout_ns=int(timeout * 1e9),
        )
        return Job.create(task, body, opts)


def mixture(share: int, *, ms: float = 0) -> Load:
    """A little of everything; about fourteen jobs for each of ``share``."""
    load = Load(ms=ms).plain(3 * share).retrying(share).failing(share).chains(share)
    groups = max(1, share // 2)
    return load.groups_of(3, groups).fanning(3, groups).later(share)
