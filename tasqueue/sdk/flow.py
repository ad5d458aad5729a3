"""How work that was put together is sent: as the engine's jobs, groups and chains."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

from tasqueue.core.chain import Chain
from tasqueue.core.errors import Unsupported
from tasqueue.core.group import Group, GroupMessage, GroupMeta, GroupOpts
from tasqueue.core.job import Job, JobStatus
from tasqueue.core.lifecycle import GROUP
from tasqueue.core.limits import MAX_GROUP_WRITTEN
from tasqueue.core.ports import GROUP_KEY, OpenGroup, Request, Write
from tasqueue.core.wire import encode_group
from tasqueue.engine.plan import enqueue, enqueue_chain, new_id, prepare, submit
from tasqueue.sdk.definition import Call

T = TypeVar("T")
Plan = Generator[Request, Any, T]


@dataclass(frozen=True, slots=True)
class Fan:
    """Members that run side by side, each a row of calls."""

    members: tuple[tuple[Call, ...], ...]


Step = Call | Fan
Steps = tuple[Step, ...]


class Sent(NamedTuple):
    """What a flow became."""

    id: str
    """The ID of what it ends with: a job, a group or a chain."""
    before: tuple[str, ...] = ()
    """The jobs that must succeed before a last single job is released."""


def linked(steps: Steps) -> Steps:
    """The same steps, such that none that is complete takes the result before it."""
    return (
        tuple(
            step.linked()
            if isinstance(step, Call)
            else Fan(tuple((row[0].linked(), *row[1:]) for row in step.members))
            for step in steps[:1]
        )
        + steps[1:]
    )


def send_job(call: Call) -> Plan[Sent]:
    """Send one call as a job."""
    return Sent((yield from enqueue(call.ready().job())))


def send_chain(calls: Sequence[Call]) -> Plan[Sent]:
    """Send calls as a chain that Go can read; a chain of one is that job."""
    calls[0].ready()
    chain = Chain.create([call.job() for call in calls])
    return Sent((yield from enqueue_chain(chain)))


def send_flow(steps: Steps) -> Plan[Sent]:
    """Send steps that hold a group.

    Raises:
        Unsupported: two groups follow each other, or the store has no fan-in.
    """
    for call in _heads(steps[0]):
        call.ready()
    flow = _Flow()
    roots: list[Job] = []
    for step in reversed(steps):
        roots = flow.add(step, roots)
    yield from reversed(flow.opened)
    if flow.group:
        yield Write(GROUP_KEY + flow.last, encode_group(flow.written()))
    if roots:
        yield from submit([prepare(job) for job in roots])
    return Sent(flow.last, tuple(flow.before))


@dataclass
class _Flow:
    """A flow on its way, built from its end to its start; each job gets an ID of its own."""

    last: str = ""
    group: Group | None = None
    """The group that the flow ends with, if it ends with one."""
    opened: list[OpenGroup] = field(default_factory=list)
    before: list[str] = field(default_factory=list)

    def add(self, step: Step, following: list[Job]) -> list[Job]:
        """Put a step before those that follow it; returns its own first jobs."""
        first_of_all = not self.last
        if isinstance(step, Call):
            job = _row((step,), following)[0]
            self._note([job.opts.id], first_of_all)
            return [job]
        rows = [_row(row, []) for row in step.members]
        paths = [[job.opts.id for job in row] for row in rows]
        heads = [row[0] for row in rows]
        group_id = new_id()
        if first_of_all:
            self.last, self.group = group_id, Group(heads, GroupOpts(id=group_id))
        else:
            self._open(group_id, paths, following)
        self._note([job_id for path in paths for job_id in path], first_of_all=False)
        return heads

    def written(self) -> GroupMessage:
        """The last group's record; the jobs before it count as members, for they can fail it."""
        group = self.group or Group()
        meta = GroupMeta(self.last, job_status=dict.fromkeys(self.before, JobStatus.QUEUED))
        small = len(group.jobs) <= MAX_GROUP_WRITTEN
        return GroupMessage(meta, group if small else None)

    def _open(self, group_id: str, paths: list[list[str]], following: list[Job]) -> None:
        if len(following) != 1:
            msg = "two groups that follow each other need a task between them"
            raise Unsupported(msg)
        callback = following[0]
        callback.ext = callback.ext | {GROUP: group_id}
        self.opened.append(OpenGroup(group_id, paths, prepare(callback), None))

    def _note(self, job_ids: list[str], first_of_all: bool) -> None:  # noqa: FBT001 -- private
        if first_of_all:
            self.last = job_ids[0]
        else:
            self.before[:0] = job_ids


def _row(calls: Sequence[Call], following: list[Job]) -> list[Job]:
    """Calls as jobs, each nested in the one before it; returns them in order."""
    jobs = [call.job(new_id()) for call in calls]
    for index, job in enumerate(jobs):
        job.on_success = jobs[index + 1 : index + 2]
    jobs[-1].on_success = following
    return jobs


def _heads(step: Step) -> Iterator[Call]:
    if isinstance(step, Call):
        yield step
    else:
        yield from (row[0] for row in step.members)
