"""How work that was put together is sent: as the engine's jobs, groups and chains."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from tasqueue.core.chain import Chain
from tasqueue.core.errors import ConfigurationError, LimitExceeded, Unsupported
from tasqueue.core.group import ARROW, Group, GroupMessage, GroupMeta, GroupOpts, Membership
from tasqueue.core.job import Job, JobStatus
from tasqueue.core.lifecycle import GROUP, member, membership
from tasqueue.core.limits import MAX_GROUP_WRITTEN
from tasqueue.core.ports import GROUP_KEY, OpenGroup, Write
from tasqueue.core.wire import encode_group
from tasqueue.engine.plan import Plan, enqueue, enqueue_chain, open_group, submit
from tasqueue.engine.prepare import new_id, prepare
from tasqueue.sdk.definition import Call, Spec


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
    """For each result the job that saves it, behind the jobs that must succeed before."""


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


def no_use_of_errors() -> Unsupported:
    """Something follows a group whose failed members give their errors."""
    return Unsupported(
        "on_failure='continue' puts errors among a group's results, and only its handle's get() "
        "can return them: leave it out of a group that something follows, or give it to the "
        "outermost group"
    )


def send_job(call: Call) -> Plan[Sent]:
    """Send one call as a job.

    Raises:
        ArgumentError: it waits for the result of a job before it.
    """
    return Sent((yield from enqueue(call.ready().job())))


def send_chain(calls: Sequence[Call]) -> Plan[Sent]:
    """Send calls as a chain that Go can read.

    Raises:
        ArgumentError: the first one waits for the result of a job before it.
        LimitExceeded: there are more links than a chain may have.
    """
    calls[0].ready()
    chain = Chain.create([call.job() for call in calls])
    return Sent((yield from enqueue_chain(chain)))


def send_flow(steps: Steps) -> Plan[Sent]:
    """Send steps that hold a group; each job gets an ID of its own.

    Raises:
        ArgumentError: one of the first jobs waits for a result.
        ConfigurationError: an ID cannot be that of a group's job.
        Unsupported: two groups follow each other.
        LimitExceeded: a group is too large for what its members are.
    """
    flow = _Flow()
    part = flow.build(ready(steps))
    groups = flow.groups()
    for group in groups:
        yield from open_group(group)
    sent = Sent(part.jobs[-1].opts.id if part.jobs else "", part.paths)
    if isinstance(steps[-1], Fan):
        sent = sent._replace(id=new_id())
        yield Write(GROUP_KEY + sent.id, encode_group(_written(sent.id, part)))
    seals = [group.group_id for group in groups if group.members]
    if part.heads or seals:
        yield from submit([prepare(job) for job in part.heads], seals)
    return sent


@dataclass(eq=False, slots=True)
class _Opening:
    """A group with a callback, while the jobs before it are still being found."""

    group_id: str
    rows: list[list[Job]]
    """For each member its jobs."""
    callback: Job
    before: list[Job] = field(default_factory=list)
    """Jobs that lead to every member: if one fails, none of them comes."""

    def mark(self) -> None:
        """Write into the jobs where they belong."""
        self.callback.ext = self.callback.ext | {GROUP: self.group_id}
        for place, row in enumerate(self.rows):
            single = len(self.before) + len(row) == 1
            for job in row:
                member(job, Membership(self.group_id, None if single else place))

    def request(self) -> OpenGroup:
        """Ask for the callback."""
        before = _ids(self.before)
        members = [[*before, *_ids(row)] for row in self.rows]
        outer = membership(self.callback)
        return OpenGroup(self.group_id, members, prepare(self.callback), None, outer=outer)


@dataclass(slots=True)
class _Part:
    """Some steps as jobs."""

    heads: list[Job] = field(default_factory=list)
    """The jobs that start it."""
    rows: list[list[Job]] = field(default_factory=list)
    """For each result the job that saves it, behind those that must succeed before.

    What lies before a callback is left out: a callback that cannot come counts as failed.
    """
    paths: list[list[str]] = field(default_factory=list)
    """For each result the jobs that lead to it, all of them, the one that saves it last."""
    jobs: list[Job] = field(default_factory=list)
    """All jobs, in the order in which they may start."""
    ahead: list[_Opening] = field(default_factory=list)
    """The groups whose members nothing but jobs of this part's start lead to."""

    def add(self, other: _Part) -> None:
        """Put another part beside this one."""
        self.heads += other.heads
        self.rows += other.rows
        self.paths += other.paths
        self.jobs += other.jobs
        self.ahead += other.ahead


class _Flow:
    """A flow on its way, built from its end to its start."""

    def __init__(self) -> None:
        self._opened: list[_Opening] = []

    def groups(self) -> list[OpenGroup]:
        """The groups to be opened, in that order.

        From the end to the start: an empty group calls what follows it as soon as it is opened.
        """
        for opening in self._opened:
            opening.mark()
        return [opening.request() for opening in self._opened]

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
        place = len(self._opened)
        part = _Part()
        for steps in fan.members:
            part.add(self.build(steps))
        if following is None:
            return part
        (callback,) = following.heads
        opening = _Opening(new_id(), part.rows, callback)
        self._opened.insert(place, opening)
        ahead, jobs = [opening, *part.ahead], [*part.jobs, *following.jobs]
        paths = _behind(part.jobs, following.paths)
        return _Part(part.heads, following.rows, paths, jobs, ahead)


def _before(call: Call, following: _Part | None) -> _Part:
    """Make a job of a call, and have it release what follows."""
    job = call.job(new_id())
    if ARROW in job.opts.id:
        msg = f"job ID {job.opts.id!r} has a {ARROW!r}, which no job of a group may have"
        raise ConfigurationError(msg)
    if following is None:
        return _Part([job], [[job]], [[job.opts.id]], [job])
    job.on_success = following.heads
    for opening in following.ahead:
        opening.before.insert(0, job)
    rows = [[job, *row] for row in following.rows]
    paths = _behind([job], following.paths)
    return _Part([job], rows, paths, [job, *following.jobs], following.ahead)


def _behind(jobs: Sequence[Job], paths: list[list[str]]) -> list[list[str]]:
    before = _ids(jobs)
    return [[*before, *path] for path in paths]


def _ids(jobs: Sequence[Job]) -> list[str]:
    return [job.opts.id for job in jobs]


def _written(group_id: str, part: _Part) -> GroupMessage:
    """A group's record. All its jobs count as members, for each can fail it.

    The jobs that it lists are those whose results are the group's; a large group lists none.
    """
    ends = [row[-1] for row in part.rows]
    meta = GroupMeta(group_id, job_status=dict.fromkeys(_ids(part.jobs), JobStatus.QUEUED))
    if len(ends) <= MAX_GROUP_WRITTEN:
        return GroupMessage(meta, Group(ends, GroupOpts(id=group_id)))
    if len(part.jobs) != len(ends):
        msg = (
            f"a group of more than {MAX_GROUP_WRITTEN:,} members holds single jobs, with nothing "
            "before them: let a task follow it, or split it"
        )
        raise LimitExceeded(msg)
    return GroupMessage(meta, None)
