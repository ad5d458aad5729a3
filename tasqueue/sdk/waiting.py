"""Plans that wait: until a job, a group or a chain has ended, and what its end means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from tasqueue.core import lifecycle
from tasqueue.core.errors import (
    ArgumentError,
    JobError,
    JobFailed,
    JobTimeout,
    ResultNotFound,
    ResultTimeout,
)
from tasqueue.core.job import FINAL_STATUSES, JobMessage, JobStatus
from tasqueue.core.lifecycle import ERROR
from tasqueue.core.ports import JOB_KEY, Parked, Pause, Read, Sweep, Workers
from tasqueue.core.wire import decode_job
from tasqueue.engine.clock import SYSTEM
from tasqueue.engine.context import LOGGER
from tasqueue.engine.plan import Plan, unknown

_FIRST_LOOK: Final = 0.002
"""Seconds; each look waits half as long again as the one before. They are for ends that a waiter
is not told of: by Go, or by a word that was lost."""
_LAST_LOOK: Final = 0.5
_SWEEP: Final = 0.2
_SWEEP_AT_REST: Final = 5.0
"""Seconds between sweeps that find nothing: the first ones, and the last."""
_PATIENCE: Final = 5.0
"""Seconds of waiting after which it looks for a worker."""
_PAGE: Final = 500
"""Names that one `Read` asks for."""
_TIMED_OUT: Final = "context deadline exceeded"
"""How the stored error of an attempt that ran too long begins, in Go as here."""


@dataclass
class Wait:
    """One waiter: how long it still waits, and how often it looks."""

    timeout: float | None
    """Seconds in all; None is for ever."""
    hint: str
    """The command that starts a worker, for the log."""
    sweeps: bool = False
    """Whether the store has open groups to be looked at."""
    sweep_at: float = _SWEEP
    """After so many seconds of waiting it looks at them again."""
    sweep_rest: float = _SWEEP
    """Seconds between sweeps; more while they find nothing."""
    since: float = field(default_factory=SYSTEM.monotonic)
    look: float = _FIRST_LOOK
    """Seconds until the next look."""
    look_again: float | None = _PATIENCE
    """After so many seconds of waiting it looks for a worker; None is never again."""

    def __post_init__(self) -> None:
        """Refuse a timeout that is no number."""
        _check_timeout(self.timeout)

    def pause(self, message: JobMessage | None, job_id: str) -> Plan[Sequence[bytes | None] | None]:
        """Let some time pass, or less if the store learns that the job has ended.

        Returns its record and its result if the store learned them too.

        Raises:
            ResultTimeout: there is no time left; it says where the job stands.
        """
        waited = SYSTEM.monotonic() - self.since
        if self.look_again is not None and waited >= self.look_again and message is not None:
            yield from self._look_for_worker(message, waited)
        left = self.look
        if self.timeout is not None:
            left = min(left, self.timeout - waited)
            if left <= 0:
                status = (yield from standing(message)) if message else JobStatus.QUEUED
                where = f" in queue {message.meta.queue!r}" if message else ""
                msg = f"job {job_id} has not ended after {self.timeout} s: it is {status}{where}"
                raise ResultTimeout(msg)
        self.look = min(self.look * 1.5, _LAST_LOOK)
        found: Sequence[bytes | None] | None = yield Pause(job_id, left)
        return found

    def sweep(self, message: JobMessage | None, before: Sequence[str]) -> Plan[None]:
        """Where a group is waited for, look for members of Go's workers, which tell nobody."""
        awaited = before or (message is not None and lifecycle.closes(message.job))
        waited = SYSTEM.monotonic() - self.since
        if self.sweeps and awaited and waited >= self.sweep_at:
            found = yield Sweep()
            self.sweep_rest = _SWEEP if found else min(self.sweep_rest * 1.5, _SWEEP_AT_REST)
            self.sweep_at = waited + self.sweep_rest

    def _look_for_worker(self, message: JobMessage, waited: float) -> Plan[None]:
        """Say once which command starts a worker, if the job lacks one."""
        self.look_again = waited + _PATIENCE
        due_ns = message.job.opts.eta_ns or 0
        if not self.hint or message.status != JobStatus.QUEUED or due_ns > SYSTEM.now_ns():
            return
        queue, task = message.meta.queue, message.job.task
        if (yield Parked(queue, task, message.id)):
            text = "job %s is parked: no worker of queue %r knows task %r; start one that does: %s"
            LOGGER.warning(text, message.id, queue, task, f"{self.hint} --queues {queue}")
        elif not (yield Workers(queue)):
            text = "job %s has waited %.0f s in queue %r, and no worker is there; start one: %s"
            LOGGER.warning(text, message.id, waited, queue, f"{self.hint} --queues {queue}")
        else:
            return
        self.look_again = None


def _check_timeout(timeout: object) -> None:
    if timeout is None or (isinstance(timeout, int | float) and not isinstance(timeout, bool)):
        return
    msg = f"timeout={timeout!r}: a number of seconds is needed, or None for no limit"
    raise ArgumentError(msg)


def finished(message: JobMessage) -> JobMessage:
    """The record of a job that has succeeded.

    Raises:
        JobFailed: it has failed.
        JobTimeout: its last attempt ran longer than its own limit.
    """
    if message.status == JobStatus.FAILED:
        raise failure(message)
    return message


def failure(message: JobMessage) -> JobError:
    """The exception that a failed job is to its caller."""
    reason, (kind, trace) = message.meta.prev_err, _origin(message)
    facts = {"job_id": message.id, "message": reason, "type": kind, "traceback": trace}
    if reason.startswith(_TIMED_OUT):
        return JobTimeout(f"job {message.id} ran out of its own time: {reason}", **facts)
    named = f"{kind}: {reason}" if kind and kind != reason else reason
    return JobFailed(f"job {message.id} failed: {named or 'it says no reason'}", **facts)


def _origin(message: JobMessage) -> tuple[str, str]:
    """The last error's class and traceback, where the record has them."""
    match message.job.ext.get(ERROR):
        case [str() as kind, str() as trace]:
            return kind, trace
        case _:
            return "", ""


def told(message: JobMessage) -> JobStatus:
    """A job's status, with what Python alone tells apart of Go's ``failed``."""
    if message.status == JobStatus.FAILED:
        for prefix in (JobStatus.CANCELLED, JobStatus.DEAD):
            if message.meta.prev_err.startswith(prefix):
                return prefix
    known = message.status in JobStatus.__members__.values()
    return JobStatus(message.status) if known else JobStatus.PROCESSING


def standing(message: JobMessage) -> Plan[JobStatus]:
    """A job's status; a queued job may be parked, and only the store knows."""
    status = told(message)
    if status != JobStatus.QUEUED:
        return status
    is_parked = yield Parked(message.meta.queue, message.job.task, message.id)
    return JobStatus.PARKED if is_parked else status


def look_up(job_ids: Sequence[str]) -> Plan[list[JobMessage | None]]:
    """The records of jobs, None where there is none (yet)."""
    found: list[JobMessage | None] = []
    for start in range(0, len(job_ids), _PAGE):
        records = yield Read([JOB_KEY + job_id for job_id in job_ids[start : start + _PAGE]])
        found.extend(None if record is None else decode_job(record) for record in records)
    return found


class Ended(NamedTuple):
    """A job that has succeeded."""

    message: JobMessage
    result: bytes | None
    """What it saved, if that is kept."""


def job_ended(job_id: str, wait: Wait, before: Sequence[str] = ()) -> Plan[Ended]:
    """Wait until a job has succeeded; those ``before`` it release it, and fail it if they fail.

    Raises:
        JobFailed: the job, or one before it, failed.
        JobTimeout: an attempt ran longer than the job's own limit.
        JobNotFound: there is no such job.
        ResultTimeout: the waiter's time is over.
    """
    names = (JOB_KEY + job_id, job_id)
    found = yield Read(names)
    while True:
        record, result = found
        message = None if record is None else decode_job(record)
        if message is not None and message.status in FINAL_STATUSES:
            yield from _no_failure_before(message, before)
            finished(message)
            if result is None:  # in some stores it may have been read before the record was
                (result,) = yield Read((job_id,))
            return Ended(message, result)
        if message is None:
            before = yield from _still_before(before)
            if not before:
                (message,) = yield from look_up([job_id])
                if message is None:
                    raise unknown("job", job_id)
        yield from wait.sweep(message, before)
        found = (yield from wait.pause(message, job_id)) or (yield Read(names))


def _still_before(job_ids: Sequence[str]) -> Plan[Sequence[str]]:
    """The jobs, while they may not all have succeeded; the last of them are looked at first.

    What comes before one that waits or runs needs no look: a callback fails with its group.
    """
    all_there = True
    for end in range(len(job_ids), 0, -_PAGE):
        found = yield from look_up(job_ids[max(end - _PAGE, 0) : end])
        known = [finished(message) for message in found if message is not None]
        if any(message.status != JobStatus.SUCCESSFUL for message in known):
            return job_ids
        all_there = all_there and len(known) == len(found)
    return () if all_there else job_ids


def _no_failure_before(message: JobMessage, job_ids: Sequence[str]) -> Plan[None]:
    """Where a job has failed, a failure before it says more."""
    if message.status == JobStatus.FAILED:
        for one in (yield from look_up(job_ids)):
            if one is not None:
                finished(one)


def saved(job_ids: Sequence[str]) -> Plan[list[bytes | None]]:
    """What jobs saved, in order."""
    found: list[bytes | None] = []
    for start in range(0, len(job_ids), _PAGE):
        found.extend((yield Read(job_ids[start : start + _PAGE])))
    return found


def no_result(job_id: str) -> ResultNotFound:
    """A job that has succeeded, and of which no result is kept."""
    return ResultNotFound(f"job {job_id} has ended and no result is kept: none saved, or expired")
