"""Jobs to send, and what must become of each: the mixture that the faults fall upon."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

from tasqueue import Group, GroupOpts, Job, JobOpts
from tasqueue.drivers.redis import Address, KeepOpts, RedisStore
from tasqueue.engine import plan

QUEUE: Final = "faults"


class Fate(Enum):
    """Where a job must end."""

    COMPLETED = "completed"
    FAILED = "failed"
    DEAD = "dead"
    PARKED = "parked"


@dataclass
class Load:
    """Jobs with IDs of their own, and their fates, those of their children included."""

    queue: str = QUEUE
    ms: float = 0
    """Milliseconds that each run takes."""
    jobs: list[Job] = field(default_factory=list)
    groups: list[Group] = field(default_factory=list)
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

    def later(self, count: int, *, seconds: float = 1.0) -> "Load":
        """Jobs with an ETA: they pass through the scheduled set."""
        eta_ns = time.time_ns() + int(seconds * 1e9)
        for job_id in self._ids("later", count):
            self.jobs.append(self._job(job_id, "work", eta_ns=eta_ns))
        return self

    def alone(self, job_id: str, task: str, *, fate: Fate, **payload: Any) -> "Load":
        self.jobs.append(self._job(job_id, task, fate=fate, **payload))
        return self

    def send(self, url: str) -> "Load":
        """Enqueue all of it, in portions."""
        store = RedisStore(Address.from_url(url), KeepOpts(expiry_ms=3_600_000))
        try:
            for start in range(0, len(self.jobs), 500):
                plan.run_blocking(plan.enqueue_many(self.jobs[start : start + 500]), store)
            for group in self.groups:
                plan.run_blocking(plan.enqueue_group(group), store)
        finally:
            store.close()
        return self

    def _ids(self, name: str, count: int, fate: Fate | None = Fate.COMPLETED) -> Sequence[str]:
        start = sum(job_id.startswith(f"{name}-") for job_id in self.fates)
        return [f"{name}-{start + at}" for at in range(count)]

    def _job(
        self,
        job_id: str,
        task: str,
        *,
        fate: Fate = Fate.COMPLETED,
        retries: int = 0,
        eta_ns: int | None = None,
        **payload: Any,
    ) -> Job:
        self.fates[job_id] = fate
        body = json.dumps({"ms": self.ms, **payload}).encode()
        opts = JobOpts(id=job_id, queue=self.queue, max_retries=retries, eta_ns=eta_ns)
        return Job.create(task, body, opts)


def mixture(share: int, *, ms: float = 0) -> Load:
    """A little of everything; about eleven jobs for each of ``share``."""
    load = Load(ms=ms).plain(3 * share).retrying(share).failing(share).chains(share)
    return load.groups_of(3, max(1, share // 2)).later(share)
