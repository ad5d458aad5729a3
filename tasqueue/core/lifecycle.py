"""Message + outcome + now → decision: what is stored, what is released, when it runs again.

Decide, then do. Everything here is pure: the clock, new IDs and chance are handed in. The ported
rules are those of Go's server.go; where Go has a defect (QUIRK in ``go/SPEC.md``) the rule is
mended and says so.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from tasqueue.core.errors import ScheduleError
from tasqueue.core.group import Membership
from tasqueue.core.job import Job, JobMessage, JobOpts, JobStatus, Meta
from tasqueue.core.timing import parse_schedule

if TYPE_CHECKING:
    from collections.abc import Callable

TURN: Final = "t"
"""Key in ``Job.ext``: the token that sent this message back, so that its bytes are unique."""
GROUP: Final = "g"
"""Key in ``Job.ext``: the group whose callback this job is."""
MEMBER: Final = "m"
"""Key in ``Job.ext``: the `Membership` of this job. A Go worker drops it: no more than a hint."""
_PLACES: Final = 1 << 32
ERROR: Final = "e"
"""Key in ``Job.ext`` of a record: the last error's class and its traceback, a list of two texts."""


# -- outcomes: how one attempt went --------------------------------------------------------------


class Succeeded(NamedTuple):
    """The handler returned."""

    result: bytes | None = None
    """What it saved, if anything."""
    earlier: bytes | None = None
    """What an earlier attempt saved; the children get it where this one saved nothing."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The handler raised, or ran out of time."""

    error: str
    result: bytes | None = None
    delay_ns: int = 0
    """How long to wait before the next attempt, if there is one."""
    final: bool = False
    """No further attempt, whatever is left."""
    origin: tuple[str, str] | None = None
    """The error's class and its traceback, for the record alone; None keeps Go's bytes."""


@dataclass(frozen=True, slots=True)
class Postponed:
    """To be run again later without using up an attempt (Snooze, or an unknown task)."""

    delay_ns: int


Outcome = Succeeded | Failed | Postponed


# -- decisions: what follows ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Entry:
    """A message on its way into its queue; due now if ``due_ns`` is None."""

    message: JobMessage
    due_ns: int | None = None


class Finish(NamedTuple):
    """The job has ended."""

    record: JobMessage
    """To be stored; its status is successful or failed."""
    result: bytes | None
    released: tuple[Entry, ...] = ()
    """The jobs that follow, to be pushed in the same step."""


@dataclass(frozen=True, slots=True)
class Again:
    """The job runs once more."""

    record: JobMessage
    entry: Entry
    result: bytes | None = None
    """What this attempt saved: it travels with its outcome, also on a retry."""


Decision = Finish | Again


class Circumstances(NamedTuple):
    """What a decision needs from outside."""

    now_ns: int
    token: str
    """The token under which the message was claimed."""
    new_id: Callable[[], str]


def entry(
    job: Job,
    *,
    now_ns: int,
    new_id: Callable[[], str],
    prev_result: bytes | None = None,
) -> Entry:
    """Turn a job into the message that enters its queue (Go: server.go, Enqueue).

    A job with a schedule gets its first ETA, and a copy of itself with the next one as its last
    ``on_success``; the given job is not changed.

    Raises:
        ScheduleError: the schedule is not in robfig's dialect.
    """
    opts = job.opts
    if opts.schedule:
        job = _scheduled(job, now_ns)
        opts = job.opts
    meta = Meta(
        opts.id or new_id(),
        queue=opts.queue,
        schedule=opts.schedule,
        max_retry=opts.max_retries,
        prev_job_result=prev_result,
    )
    return Entry(JobMessage(meta, job), opts.eta_ns)


def member(job: Job, membership: Membership) -> None:
    """Write down which group a job belongs to."""
    job.ext = job.ext | {MEMBER: [part for part in membership if part is not None]}


def membership(job: Job) -> Membership | None:
    """Which group a job belongs to, as far as its message says so."""
    if not job.ext:
        return None
    match job.ext.get(MEMBER):
        case [str(group_id)]:
            return Membership(group_id)
        case [str(group_id), int(place)] if 0 <= place < _PLACES:
            return Membership(group_id, place)
        case _:
            return None


def closes(job: Job) -> str:
    """The group whose callback this job is, or ""."""
    group_id = job.ext.get(GROUP)
    return group_id if isinstance(group_id, str) else ""


def _scheduled(job: Job, now_ns: int) -> Job:
    """Give a scheduled job its ETA, and its next firing as the last child (QUIRK: bare copy)."""
    schedule = parse_schedule(job.opts.schedule)
    first = job.opts.eta_ns if job.opts.eta_ns is not None else schedule.next(now_ns)
    following = schedule.next(first) if first is not None else None
    job = dataclasses.replace(job, opts=_at(job, first))
    if following is None:
        return job
    copy = Job(job.task, job.payload, _at(job, following))
    return dataclasses.replace(job, on_success=[*job.on_success, copy])


def _at(job: Job, eta_ns: int | None) -> JobOpts:
    opts = job.opts
    return JobOpts(
        id=opts.id,
        queue=opts.queue,
        max_retries=opts.max_retries,
        schedule=opts.schedule,
        eta_ns=eta_ns,
        timeout_ns=opts.timeout_ns,
    )


def recorded(message: JobMessage, status: JobStatus, now_ns: int) -> JobMessage:
    """The record of a job in a status, as written at ``now_ns``."""
    was = message.meta
    meta = Meta(  # dataclasses.replace takes eight times as long, twice a job
        was.id, status, was.queue, was.schedule, was.max_retry, was.retried, was.prev_err,
        now_ns, was.prev_job_result, was.on_success_ids,
    )  # fmt: skip
    return JobMessage(meta, message.job, message.wire)


def _explained(record: JobMessage, outcome: Outcome) -> JobMessage:
    """The record of a failure, with what Python knows of it."""
    if not isinstance(outcome, Failed) or outcome.origin is None:
        return record
    ext = record.job.ext | {ERROR: list(outcome.origin)}
    return JobMessage(record.meta, dataclasses.replace(record.job, ext=ext))


def never(message: JobMessage, group_id: str) -> JobMessage:
    """The record of a group's callback that will not come, since a member has failed."""
    reason = f"a member of group {group_id} failed"
    meta = dataclasses.replace(message.meta, status=JobStatus.FAILED, prev_err=reason)
    return JobMessage(meta, message.job)


def decide(message: JobMessage, outcome: Outcome, around: Circumstances) -> Decision:
    """What follows from how an attempt went (Go: server.go, execJob and retryJob).

    Mended: a parent that saved nothing still releases its children; ``retried`` beyond
    ``max_retry`` is over, not four thousand million more; a schedule goes on after a firing that
    failed.
    """
    match outcome:
        case Succeeded():
            return _succeed(message, outcome, around)
        case Failed() if outcome.final or message.meta.retried >= message.meta.max_retry:
            return _fail(message, outcome, around)
        case _:
            return _again(message, outcome, around)


def _succeed(message: JobMessage, outcome: Succeeded, around: Circumstances) -> Finish:
    handed_on = outcome.result if outcome.result is not None else outcome.earlier
    released, errors = _release(message.job.on_success, around, handed_on)
    if errors:
        failed = Failed(f"a job that follows cannot be enqueued: {errors}", outcome.result)
        return _fail(message, failed, around)
    record = recorded(message, JobStatus.SUCCESSFUL, around.now_ns)
    record.meta.on_success_ids = [child.message.meta.id for child in released]
    return Finish(record, outcome.result, released)


def _fail(message: JobMessage, outcome: Failed, around: Circumstances) -> Finish:
    followers = [*message.job.on_error, *_next_firing(message.job)]
    released, errors = _release(followers, around, None)
    record = recorded(message, JobStatus.FAILED, around.now_ns)
    record.meta.prev_err = f"{outcome.error} ({errors})" if errors else outcome.error
    return Finish(_explained(record, outcome), outcome.result, released)


def _release(
    jobs: list[Job], around: Circumstances, prev_result: bytes | None
) -> tuple[tuple[Entry, ...], str]:
    """Entries of the jobs that follow, and what is wrong with those that can have none.

    A schedule that Go refuses can only have come from another producer: ours refuses it first.
    """
    if not jobs:
        return (), ""
    entries: list[Entry] = []
    errors: list[str] = []
    for job in jobs:
        try:
            entries.append(
                entry(job, now_ns=around.now_ns, new_id=around.new_id, prev_result=prev_result)
            )
        except ScheduleError as error:
            errors.append(str(error))
    return tuple(entries), "; ".join(errors)


def _next_firing(job: Job) -> list[Job]:
    """The copy that `_scheduled` appended: it is released by a failure too."""
    if not job.opts.schedule:
        return []
    last = job.on_success[-1:]
    return [c for c in last if c.opts.schedule == job.opts.schedule and c.task == job.task]


def _again(message: JobMessage, outcome: Failed | Postponed, around: Circumstances) -> Again:
    """One more turn: the message says which claim sent it back, so its bytes are its own."""
    meta, status, result = message.meta, JobStatus.QUEUED, None
    if isinstance(outcome, Failed):
        meta = dataclasses.replace(meta, retried=meta.retried + 1, prev_err=outcome.error)
        status, result = JobStatus.RETRYING, outcome.result
    job = dataclasses.replace(message.job, ext=message.job.ext | {TURN: around.token})
    meta = dataclasses.replace(meta, status=JobStatus.QUEUED, processed_at_ns=None)
    successor = JobMessage(meta, job)
    due_ns = around.now_ns + outcome.delay_ns if outcome.delay_ns > 0 else None
    record = _explained(recorded(successor, status, around.now_ns), outcome)
    return Again(record, Entry(successor, due_ns), result)
