"""What you hold of work that was sent: where it stands, and what came of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar

from tasqueue.core.chain import Walk
from tasqueue.core.errors import ArgumentError, JobError
from tasqueue.core.group import GroupMessage
from tasqueue.core.job import FINAL_STATUSES, JobStatus
from tasqueue.core.ports import CHAIN_KEY, Read
from tasqueue.core.wire import decode_chain
from tasqueue.engine.plan import Plan, get_group, get_job, unknown
from tasqueue.sdk.client import Client
from tasqueue.sdk.definition import ReadResult, read_result
from tasqueue.sdk.waiting import (
    Wait,
    finished,
    job_ended,
    look_up,
    no_result,
    saved,
    standing,
    told,
)

R_co = TypeVar("R_co", covariant=True)


class Handle(ABC):
    """What the handles of jobs, groups and chains have in common."""

    __slots__ = ()
    client: Client

    def status(self) -> JobStatus:
        """Where it stands; a group and a chain are ``processing`` until they failed or succeeded.

        Raises:
            JobNotFound: there is nothing of that ID.
        """
        return self.client.ask(self._status(), "astatus")

    async def astatus(self) -> JobStatus:
        """As `status`, awaited."""
        return await self.client.aask(self._status())

    @abstractmethod
    def _outcome(self, timeout: float | None) -> Plan[Any]: ...

    @abstractmethod
    def _status(self) -> Plan[JobStatus]: ...

    if not TYPE_CHECKING:

        def __await__(self) -> Generator[None, None, NoReturn]:
            msg = (
                f"a {type(self).__name__} is not awaitable: send with `await ….adelay(…)`, "
                "and get what came of it with `await handle.aget()`"
            )
            raise TypeError(msg)


class OneResult(Handle, Generic[R_co]):
    """What the handles of jobs and chains have in common: one result."""

    __slots__ = ()

    def get(self, timeout: float | None = None) -> R_co:
        """Wait for the end, and return what the job, or the chain's last job, returned.

        ``timeout`` is in seconds; None is no limit.

        Raises:
            JobFailed: a job used up its attempts.
            JobTimeout: a job's last attempt ran longer than its own limit.
            ResultTimeout: the time is over; the job goes on.
            ResultNotFound: it succeeded, and nothing is kept of what it returned.
            JobNotFound: there is nothing of that ID.
            ConfigurationError: an event loop runs in this thread: await `aget`.
        """
        result: R_co = self.client.ask(self._outcome(timeout), "aget")
        return result

    async def aget(self, timeout: float | None = None) -> R_co:  # noqa: ASYNC109 -- as `get`
        """As `get`, awaited."""
        result: R_co = await self.client.aask(self._outcome(timeout))
        return result


@dataclass(frozen=True, slots=True)
class JobHandle(OneResult[R_co]):
    """One job. It can be made again from its ID: ``task.job(id)``."""

    id: str
    """The job's ID, the same in Go."""
    client: Client = field(repr=False, compare=False)
    read: ReadResult = field(default=read_result, repr=False, compare=False)
    before: Sequence[str] = field(default=(), repr=False, compare=False)
    """The jobs that must succeed before this one is released, where that is known."""

    def _outcome(self, timeout: float | None) -> Plan[Any]:
        wait = Wait(timeout, self.client.hint, self.client.has_fan_in)
        ended = yield from job_ended(self.id, wait, self.before)
        return _read(self.id, ended.result, self.read)

    def _status(self) -> Plan[JobStatus]:
        own, *others = yield from look_up([self.id, *self.before])
        if own is not None:
            return (yield from standing(own))
        if not self.before:
            raise unknown("job", self.id)
        failed = (told(one) for one in others if one and one.status == JobStatus.FAILED)
        return next(failed, JobStatus.QUEUED)


@dataclass(frozen=True, slots=True)
class GroupHandle(Handle, Generic[R_co]):
    """Jobs that run side by side. It can be made again from its ID: ``app.group_job(id)``."""

    id: str
    """The group's ID, the same in Go."""
    client: Client = field(repr=False, compare=False)
    reads: Sequence[ReadResult] = field(default=(), repr=False, compare=False)
    """What reads each member's result; the last one reads all that follow."""
    each: Sequence[Sequence[str]] = field(default=(), repr=False, compare=False)
    """Where failed members give their errors: for each member its jobs, in order."""

    def get(self, timeout: float | None = None) -> list[R_co]:
        """Wait for all members; what they returned, in order.

        ``timeout`` is in seconds; None is no limit. With ``on_failure="continue"`` the errors of
        failed members are among it.

        Raises:
            JobFailed: a member failed; the others go on.
            JobTimeout: a member's last attempt ran longer than its own limit.
            ResultTimeout: the time is over; the jobs go on.
            ResultNotFound: all succeeded, and of one nothing is kept.
            JobNotFound: there is no such group.
            ConfigurationError: an event loop runs in this thread: await `aget`.
        """
        return self.client.ask(self._outcome(timeout), "aget")

    async def aget(self, timeout: float | None = None) -> list[R_co]:  # noqa: ASYNC109 -- as `get`
        """As `get`, awaited."""
        return await self.client.aask(self._outcome(timeout))

    def _outcome(self, timeout: float | None) -> Plan[list[Any]]:
        wait = Wait(timeout, self.client.hint, self.client.has_fan_in)
        if self.each:
            return (yield from self._each(wait))
        while True:
            message = yield from get_group(self.id)
            if message.meta.status in FINAL_STATUSES:
                break
            # The last to be sent is about the last to end: its end is worth a look at all.
            job_id = _unended(message)[-1]
            (last,) = yield from look_up([job_id])
            yield from wait.pause(last, job_id)
        yield from self._refuse_failed(message)
        members = _members(message)
        results = yield from saved(members)
        reads = [*self.reads[: len(members)]] or [read_result]
        reads += reads[-1:] * (len(members) - len(reads))
        pairs = zip(members, results, reads, strict=False)
        return [_read(job_id, body, read) for job_id, body, read in pairs]

    def _each(self, wait: Wait) -> Plan[list[Any]]:
        found: list[Any] = []
        for path, read in zip(self.each, self.reads, strict=True):
            try:
                ended = yield from job_ended(path[-1], wait, path[:-1])
                found.append(_read(path[-1], ended.result, read))
            except JobError as error:
                found.append(error)
        return found

    def _refuse_failed(self, message: GroupMessage) -> Plan[None]:
        states = message.meta.job_status
        failed = [job_id for job_id, status in states.items() if status == JobStatus.FAILED]
        for record in (yield from look_up(failed[:1])):
            if record is None:
                raise unknown("job", failed[0])
            finished(record)

    def _status(self) -> Plan[JobStatus]:
        message = yield from get_group(self.id)
        return JobStatus(message.meta.status)


@dataclass(frozen=True, slots=True)
class ChainHandle(OneResult[R_co]):
    """Jobs that run one by one. It can be made again from its ID: ``app.chain_job(id)``."""

    id: str
    """The chain's ID, the same in Go."""
    client: Client = field(repr=False, compare=False)
    read: ReadResult = field(default=read_result, repr=False, compare=False)

    def _outcome(self, timeout: float | None) -> Plan[Any]:
        wait = Wait(timeout, self.client.hint, self.client.has_fan_in)
        walk = yield from self._walk()
        job_id = walk.meta.job_id
        while True:
            ended = yield from job_ended(job_id, wait)
            job_id = walk.step(ended.message)
            if not job_id:
                return _read(ended.message.id, ended.result, self.read)

    def _status(self) -> Plan[JobStatus]:
        walk = yield from self._walk()
        job_id = walk.meta.job_id
        while job_id:
            job_id = walk.step((yield from get_job(job_id)))
        return JobStatus(walk.meta.status)

    def _walk(self) -> Plan[Walk]:
        (body,) = yield Read((CHAIN_KEY + self.id,))
        if body is None:
            raise unknown("chain", self.id)
        return Walk.along(decode_chain(body).meta)


def _read(job_id: str, body: bytes | None, read: ReadResult) -> Any:
    if body is None:
        raise no_result(job_id)
    return read(body)


def _unended(message: GroupMessage) -> list[str]:
    states = message.meta.job_status.items()
    return [job_id for job_id, status in states if status not in FINAL_STATUSES]


def _members(message: GroupMessage) -> list[str]:
    """The jobs whose results are the group's, in order.

    The SDK gives each job an ID of its own and writes those jobs down; Go's groups have no IDs
    there, and each of their jobs is a member.
    """
    jobs = message.group.jobs if message.group else []
    if not jobs or not all(job.opts.id for job in jobs):
        return list(message.meta.job_status)
    return [job.opts.id for job in jobs]


def checked(kind: str, name: object) -> str:
    """An ID that somebody kept.

    Raises:
        ArgumentError: it is no text.
    """
    if isinstance(name, str):
        return name
    msg = f"{name!r} is no ID: a {kind}'s handle is made of its `.id`, a text"
    raise ArgumentError(msg)
