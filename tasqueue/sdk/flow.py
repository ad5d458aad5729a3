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
from tasqueue.sdk.definition import Call, Spec

T = TypeVar("T")
Plan = Generator[Request, Any, T]


@dataclass(frozen=True, slots=True)
class Fan:
    """Members that run side by side, each in steps of its own."""

    members: tuple[Steps, ...]
    goes_on: bool = False
    """Whether a failed member gives its error instead of failing the group."""


Step = Call | Fan
Steps = tuple[Step, ...]


class Sent(NamedTuple):
    """What a flow became."""

    id: str
    """The ID of what it ends with: a job, a group or a chain."""
    paths: Sequence[Sequence[str]] = ()
    """For each result its jobs: the last one saves it, the others must succeed before."""


def linked(steps: Steps) -> Steps:
    """The same steps, such that none that is complete takes the result before it."""
    return tuple(_linked(step) for step in steps[:1]) + steps[1:]


def _linked(step: Step) -> Step:
    if isinstance(step, Call):
        return step.linked()
    return Fan(tuple(linked(steps) for steps in step.members), step.goes_on)


def ready(steps: Steps) -> Steps:
    """The same steps, if they can run with nothing before them.

    Raises:
        ArgumentError: one of the first jobs waits for a result.
    """
    for call in _first(steps):
        call.ready()
    return steps


def _first(steps: Steps) -> Iterator[Call]:
    for step in steps[:1]:
        if isinstance(step, Call):
            yield step
        else:
            for member in step.members:
                yield from _first(member)


def last(steps: Steps) -> Iterator[Spec]:
    """The tasks whose results are those of the steps, in order."""
    step = steps[-1]
    if isinstance(step, Call):
        yield step.spec
    else:
        for member in step.members:
            yield from last(member)


def shown(steps: Steps) -> str:
    """Steps for a reader: the tasks' names, and no arguments, which may be nobody's business."""
    texts = (
        step.spec.name if isinstance(step, Call) else f"[{', '.join(map(shown, step.members))}]"
        for step in steps
    )
    return " | ".join(texts)


def fans_in(steps: Steps) -> bool:
    """Whether a task is to run when a group has ended, here or inside a member."""
    fans = [step for step in steps if isinstance(step, Fan)]
    return any(isinstance(step, Fan) for step in steps[:-1]) or any(
        fans_in(member) for fan in fans for member in fan.members
    )


def send_job(call: Call) -> Plan[Sent]:
    """Send one call as a job."""
    return Sent((yield from enqueue(call.ready().job())))


def send_chain(calls: Sequence[Call]) -> Plan[Sent]:
    """Send calls as a chain that Go can read."""
    calls[0].ready()
    chain = Chain.create([call.job() for call in calls])
    return Sent((yield from enqueue_chain(chain)))


def send_flow(steps: Steps) -> Plan[Sent]:
    """Send steps that hold a group; each job gets an ID of its own.

    Raises:
        Unsupported: two groups follow each other, or the store has no fan-in.
    """
    flow = _Flow()
    part = flow.build(ready(steps))
    # From the end to the start: an empty group calls what follows it as soon as it is opened.
    yield from flow.opened
    sent = Sent(part.job_ids[-1] if part.job_ids else "", part.paths)
    if isinstance(steps[-1], Fan):
        sent = sent._replace(id=new_id())
        yield Write(GROUP_KEY + sent.id, encode_group(_written(sent.id, part)))
    if part.heads:
        yield from submit([prepare(job) for job in part.heads])
    return sent


@dataclass(slots=True)
class _Part:
    """Some steps as jobs."""

    heads: list[Job] = field(default_factory=list)
    """The jobs that start it."""
    ends: list[Job] = field(default_factory=list)
    """For each result the job that saves it."""
    paths: list[list[str]] = field(default_factory=list)
    """For each result the jobs that lead to it, the one that saves it last."""
    job_ids: list[str] = field(default_factory=list)
    """All jobs, in the order in which they may start."""

    def add(self, other: _Part) -> None:
        """Put another part beside this one."""
        self.heads += other.heads
        self.ends += other.ends
        self.paths += other.paths
        self.job_ids += other.job_ids

    def after(self, heads: list[Job], job_ids: list[str]) -> _Part:
        """This part behind jobs that all lead to it."""
        paths = [[*job_ids, *path] for path in self.paths]
        return _Part(heads, self.ends, paths, [*job_ids, *self.job_ids])


class _Flow:
    """A flow on its way, built from its end to its start."""

    def __init__(self) -> None:
        self.opened: list[OpenGroup] = []

    def build(self, steps: Steps) -> _Part:
        """Make jobs of steps."""
        part: _Part | None = None
        following: Step | None = None
        for step in reversed(steps):
            if isinstance(step, Call):
                part = _before(step, part)
            elif isinstance(following, Fan):
                msg = "two groups that follow each other need a task between them: add one"
                raise Unsupported(msg)
            else:
                part = self._fan(step, part)
            following = step
        return part or _Part()

    def _fan(self, fan: Fan, following: _Part | None) -> _Part:
        """Make jobs of a group, and have them call the job that follows, if there is one."""
        place = len(self.opened)
        part = _Part()
        for steps in fan.members:
            part.add(self.build(steps))
        if following is None:
            return part
        (callback,) = following.heads
        group_id = new_id()
        callback.ext = callback.ext | {GROUP: group_id}
        self.opened.insert(place, OpenGroup(group_id, part.paths, prepare(callback), None))
        return following.after(part.heads, part.job_ids)


def _before(call: Call, following: _Part | None) -> _Part:
    """Make a job of a call, and have it release what follows."""
    job = call.job(new_id())
    job_id = job.opts.id
    if following is None:
        return _Part([job], [job], [[job_id]], [job_id])
    job.on_success = following.heads
    return following.after([job], [job_id])


def _written(group_id: str, part: _Part) -> GroupMessage:
    """A group's record. All its jobs count as members, for each can fail it.

    The jobs that it lists are those whose results are the group's.
    """
    meta = GroupMeta(group_id, job_status=dict.fromkeys(part.job_ids, JobStatus.QUEUED))
    group = Group(part.ends, GroupOpts(id=group_id))
    return GroupMessage(meta, group if len(part.ends) <= MAX_GROUP_WRITTEN else None)
