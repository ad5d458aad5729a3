"""The end of held jobs in a cluster: many slots, one safe order, each step safe to repeat.

Ownership; then what a job releases, once a message of its own; its group; record, result and list;
then that its bytes are decided; the acknowledgement last. A crash in between runs the handler
again and changes nothing else. What one server does in a step has gaps here: a worker that is
taken for dead between the first step and the last has written its record, and may, if it stood
still for a quarter of an hour after another worker ended the job, release its children again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from tasqueue.core.digest import sha1
from tasqueue.core.errors import BackendError, DecodeError, WrongType
from tasqueue.core.job import FINAL_STATUSES
from tasqueue.core.ports import JOB_KEY, Answer, Mark, Push, Settlement
from tasqueue.core.wire import decode_job
from tasqueue.drivers.redis.cluster.group import close, tell
from tasqueue.drivers.redis.cluster.request import parcel, put_calls, records
from tasqueue.drivers.redis.command import Arg, Command, Steps, ask, call, command, portions
from tasqueue.drivers.redis.keys import RESULT, QueueKeys
from tasqueue.drivers.redis.request import LONGEST_CALL, put
from tasqueue.drivers.redis.settlement import saved

_DAY: Final = 86_400


class _Job:
    """A settlement on its way."""

    def __init__(self, one: Settlement, raw: bytes | None) -> None:
        self.one = one
        self.answer: Answer | None = None
        self.pushes: Sequence[Push] = one.pushes
        if one.again is not None:
            self.pushes = (one.again._replace(record=one.record),)
        name = sha1(raw or b"")
        # The next run may come to another end: what one end released is not the other's.
        end = f"{name}:{one.listing or 'again'}"
        self.parcels = [parcel(push, f"{end}:{i}") for i, push in enumerate(self.pushes)]
        # A callback may have been sent twice, after an outage between two steps of its group.
        self.once = one.once or (name if one.closes and raw is not None else "")

    def spoilt(self, reply: Any) -> None:
        """Note a key of the wrong type; any other error is raised."""
        if isinstance(reply, WrongType):
            self.answer = Answer.BAD_KEY
        elif isinstance(reply, BackendError):
            raise reply


def settle(
    keys: QueueKeys, worker_id: str, settlements: Sequence[Settlement], *, now_ns: int
) -> Steps[list[Answer]]:
    """Carry settlements out; one answer each.

    Raises:
        BackendUnavailable: some may have been carried out, or a part; all may be sent again.
    """
    if not settlements:
        return []
    jobs = yield from _owned(keys, worker_id, settlements)
    yield from _release(jobs)
    yield from _tell(jobs)
    yield from _write(jobs, now_ns)
    yield from _acknowledge(keys, worker_id, jobs, now_ns=now_ns)
    for job in jobs:
        # Only now: a callback that runs again needs its group's results. If not here, the sweep.
        if job.one.closes and job.one.again is None and job.answer is Answer.APPLIED:
            yield from close(job.one.closes)
    return [Answer.BAD_KEY if job.answer is None else job.answer for job in jobs]


def mark(keys: QueueKeys, worker_id: str, marks: Sequence[Mark]) -> Steps[None]:
    """Write ``processing`` records of jobs that are held just now.

    One that has ended runs again after a crash before its acknowledgement: its end stands.
    """
    held = keys.held(worker_id)
    for part in portions(marks, lambda one: len(one.record)):
        copies = [f"tq:once:{one.once}" for one in part if one.once]
        found, *rest = yield [
            command("HMGET", held, *[one.token for one in part]),
            *[command("GET", RESULT + JOB_KEY + one.job_id) for one in part],
            *[command("EXISTS", name) for name in copies],
        ]
        if isinstance(found, BackendError):
            raise found
        ended = [_has_ended(record) for record in rest[: len(part)]]
        known = {name for name, n in zip(copies, rest[len(part) :], strict=True) if n == 1}
        mine = [
            one
            for one, raw, over in zip(part, found, ended, strict=True)
            if raw is not None and not over and f"tq:once:{one.once}" not in known
        ]
        yield from ask(*[put(JOB_KEY + one.job_id, one.record, 0) for one in mine])


def _has_ended(record: Any) -> bool:
    """Whether a reply is the record of a job's end; an error, or what is no record, is not."""
    try:
        return isinstance(record, bytes) and decode_job(record).status in FINAL_STATUSES
    except DecodeError:
        return False


def _owned(keys: QueueKeys, worker_id: str, settlements: Sequence[Settlement]) -> Steps[list[_Job]]:
    """Look which jobs are held; those whose bytes were decided before are acknowledged only."""
    raws, alive = yield from ask(
        command("HMGET", keys.held(worker_id), *[one.token for one in settlements]),
        command("HEXISTS", keys.beats, worker_id),
    )
    jobs = [_Job(one, raw) for one, raw in zip(settlements, raws, strict=True)]
    copies = [job.once for job in jobs if job.once]
    decided = yield from ask(*[command("EXISTS", f"tq:once:{name}") for name in copies])
    known = {name for name, there in zip(copies, decided, strict=True) if there}
    for job, raw in zip(jobs, raws, strict=True):
        if raw is None:
            job.answer = Answer.DECIDED if alive else Answer.FENCED
        elif job.once in known:
            job.answer = Answer.DECIDED
            yield from ask(command("HDEL", keys.held(worker_id), job.one.token))
        elif job.once:
            known.add(job.once)  # a copy may lie in the same batch
    return jobs


def _open(jobs: Sequence[_Job]) -> list[_Job]:
    return [job for job in jobs if job.answer is None]


def _release(jobs: Sequence[_Job]) -> Steps[None]:
    """Records of what is released, then the messages, once each.

    The record of a next attempt comes first too: written later it could replace its end's. So
    could that of a message which had arrived before, when this end was cut off.
    """
    owner: dict[int, _Job] = {id(one): job for job in _open(jobs) for one in job.parcels}
    parcels = [one for job in _open(jobs) for one in job.parcels]
    pushes = [push for job in _open(jobs) for push in job.pushes]
    there = yield from ask(*[command("EXISTS", one.key) for one in parcels])
    for sets in records(p for p, before in zip(pushes, there, strict=True) if not before):
        yield from ask(*sets)
    calls = put_calls(parcels, new=False)
    replies = (yield [sent for _, sent in calls]) if calls else []
    for (part, _), reply in zip(calls, replies, strict=True):
        for one in part:
            owner[id(one)].spoilt(reply)


def _tell(jobs: Sequence[_Job]) -> Steps[None]:
    """Tell groups of their members' ends; a key of the wrong type spoils that job alone."""
    for job in _open(jobs):
        one = job.one
        if one.member is None:
            continue
        failed = one.listing == "failed"
        has, result = saved(one)
        left: bytes | None = result if has == "1" and not failed else None
        if not failed and not has:
            (left,) = yield from ask(command("GET", RESULT + one.job_id))
        try:
            yield from tell(one.member, one.job_id, failed=failed, saved=left)
        except WrongType as error:
            job.spoilt(error)


def _write(jobs: Sequence[_Job], now_ns: int) -> Steps[None]:
    """Result, record and list; then that the bytes are decided."""
    owners: list[_Job] = []
    commands: list[Command] = []
    for job in _open(jobs):
        mine = list(_written(job.one, now_ns))
        owners += [job] * len(mine)
        commands += mine
    replies = (yield commands) if commands else []
    for job, reply in zip(owners, replies, strict=True):
        job.spoilt(reply)
    names = [job.once for job in _open(jobs) if job.once]
    yield from ask(*[command("SET", f"tq:once:{name}", 1, "EX", _DAY) for name in names])


def _written(one: Settlement, now_ns: int) -> Iterator[Command]:
    has, result = saved(one)
    if has == "1":
        yield put(one.job_id, result, one.ttl_ms)
    elif not has and one.ttl_ms and one.again is None:
        yield command("PEXPIRE", RESULT + one.job_id, one.ttl_ms)
    if one.again is None:
        yield put(JOB_KEY + one.job_id, one.record, one.ttl_ms and max(one.ttl_ms, LONGEST_CALL))
    if one.listing:
        yield command("ZADD", RESULT + one.listing, now_ns, one.job_id)


def _acknowledge(
    keys: QueueKeys, worker_id: str, jobs: Sequence[_Job], *, now_ns: int
) -> Steps[None]:
    """Let go of the jobs. The tokens of what they released stay: a zombie may come back."""
    done = _open(jobs)
    if not done:
        return
    args: list[Arg] = [now_ns]
    for job in done:
        args += (job.one.token, job.one.dead)
    names = (keys.held(worker_id), keys.dead, keys.reasons, keys.charges)
    # With it goes the word to those who wait; that it may not be spoken here stops nothing.
    words = [_word(job.one) for job in done if job.one.again is None]
    reply, *_ = yield (call("ack", names, args), *words)
    for i, job in enumerate(done):
        job.spoilt(reply)
        if job.answer is None:
            job.answer = Answer.APPLIED if reply[i] == 1 else Answer.FENCED


def _word(one: Settlement) -> Command:
    return command("SPUBLISH", RESULT + JOB_KEY + one.job_id, "")
