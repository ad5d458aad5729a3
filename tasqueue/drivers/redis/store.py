"""A Redis or Valkey server as a `Store`: one set of steps, driven awaited or blocking."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, TypeVar

from tasqueue.core.doubt import Doubts
from tasqueue.core.durability import ACK
from tasqueue.core.errors import BackendError, BackendRejected
from tasqueue.core.job import FINAL_STATUSES
from tasqueue.core.ports import JOB_KEY, Pause, Read, Submit, Sweep, WorkerInfo
from tasqueue.core.wire import decode_job
from tasqueue.drivers.redis.address import TIMEOUT
from tasqueue.drivers.redis.aio import AsyncDriver
from tasqueue.drivers.redis.blocking import BlockingDriver
from tasqueue.drivers.redis.check import examine
from tasqueue.drivers.redis.command import Steps, ask, command
from tasqueue.drivers.redis.ear import EARS
from tasqueue.drivers.redis.gathering import Gathering
from tasqueue.drivers.redis.group import Sweeper
from tasqueue.drivers.redis.keys import RESULT
from tasqueue.drivers.redis.lease import RedisLease
from tasqueue.drivers.redis.outage import Outage
from tasqueue.drivers.redis.reaper import RedisReaper
from tasqueue.drivers.redis.request import KeepOpts, steps_of
from tasqueue.drivers.redis.word import Outcome

if TYPE_CHECKING:
    from tasqueue.core.ports import Request
    from tasqueue.drivers.redis.address import Address

T = TypeVar("T")

_LOGGER: Final = logging.getLogger("tasqueue")

_READING: Final = 2 * TIMEOUT
"""Seconds for what is not sent again."""


class RedisStore:
    """Answers clients from asyncio and from threads, and gives workers their leases.

    Nothing is sent before it is asked for. Safe from many threads, many event loops and after a
    fork: each has connections of its own.
    """

    fan_in: bool = True
    gathers: bool = True
    """Whether sends of many coroutines for one queue may share a call: one step on one server."""

    def __init__(self, address: Address, keep: KeepOpts | None = None) -> None:
        self.address = address
        self.keep: KeepOpts = keep or KeepOpts()
        """How long `Write` keeps what it writes, and the lists their jobs."""
        self._sweeper: Sweeper = self._sweeps()
        self._may_listen = True
        self._async, self._blocking = self._drivers(patient=False)
        self._gathering = Gathering(self._submit)
        self._doubts = Doubts()
        self._async_worker, self._blocking_worker = self._drivers(patient=True)

    def __repr__(self) -> str:
        return f"RedisStore({self.address.shown!r})"

    async def perform(self, request: Request) -> Any:
        """Do what the request says.

        Raises:
            BackendUnavailable: the server is out of reach; the request may have been done.
            BackendRejected: the server refused it.
        """
        if isinstance(request, Pause):
            return await self._pause(request)
        if isinstance(request, Sweep) and self.fan_in:
            return await self._async.run(self._sweeper.look())
        if isinstance(request, Submit):
            if self.gathers and len(request.pushes) == 1 and not request.seals:
                (push,) = request.pushes
                if push.durability == ACK:
                    return await self._gathering.push(push)
            return await self._submit(request)
        return await self._async.run(self._steps(request), patience=_READING)

    def perform_blocking(self, request: Request) -> Any:
        """As `perform`, for code without an event loop; gives up within 3 s."""
        if isinstance(request, Pause):
            return self._pause_blocking(request)
        if isinstance(request, Sweep) and self.fan_in:
            return self._blocking.run(self._sweeper.look())
        if isinstance(request, Submit):
            return self._submit_blocking(request)
        return self._blocking.run(self._steps(request))

    async def _submit(self, request: Submit) -> list[bool]:
        """Send messages. When the answer is late they are sent again: both tries end within 3 s."""
        request = self._doubts.recalled(request)
        try:
            pushed: list[bool] = await self._async.run(self._steps(request))
        except BackendError as error:
            self._doubts.failed(request, error)
            raise
        self._doubts.answered(request)
        return pushed

    def _submit_blocking(self, request: Submit) -> list[bool]:
        request = self._doubts.recalled(request)
        try:
            pushed: list[bool] = self._blocking.run(self._steps(request))
        except BackendError as error:
            self._doubts.failed(request, error)
            raise
        self._doubts.answered(request)
        return pushed

    async def run(self, steps: Steps[T]) -> T:
        """Send commands that are no request of the engine's."""
        return await self._async.run(steps)

    async def identity(self) -> str:
        """The server's run ID and the database: two stores with the same ones are the same."""
        asked = ask(command("INFO", "server", read=_run_id))
        (info,) = await self._async.run(asked, patience=_READING)
        return f"redis {info}/{self.address.db}"

    def shares_place(self, other: object) -> bool:
        """Whether both have an address of the same database, whichever server has it now."""
        return isinstance(other, RedisStore) and self.address.meets(other.address)

    async def advice(self) -> list[str]:
        """What of the server's settings endangers jobs; nothing that this user may not see."""
        lines = await self._async.run(examine(self.address.shown), patience=_READING)
        return [*self.address.dangers(), *lines]

    def lease(self, worker: WorkerInfo) -> RedisLease:
        """A worker's place in this store; nothing is sent before its first beat."""
        return RedisLease(
            worker,
            self._async_worker,
            blocking=self._blocking_worker,
            keep=self.keep,
            db=self.address.db,
        )

    def reaper(self) -> RedisReaper:
        """What a supervisor does here for its children; from any thread, with its connection."""
        return RedisReaper(self._blocking_worker)

    def _steps(self, request: Request) -> Steps[Any]:
        return steps_of(request, self.keep)

    def _channels(self, job_id: str) -> Sequence[str]:
        """Where a waiter listens for the end of a job; that of the job comes last."""
        return (EARS, RESULT + JOB_KEY + job_id)

    def _look(self, job_id: str) -> Steps[Outcome | None]:
        """What came of a job, if it has ended."""
        record, result = yield from self._steps(Read((JOB_KEY + job_id, job_id)))
        ended = record is not None and decode_job(record).status in FINAL_STATUSES
        return Outcome(record, result) if ended else None

    async def _pause(self, request: Pause) -> Outcome | None:
        job_id, over_at = request.job_id, time.monotonic() + request.seconds
        channels = self._channels(job_id)
        try:
            if self._may_listen:
                async with self._async.ear(channels[-1]).hearing(channels) as heard:
                    if outcome := await self._async.run(self._look(job_id)):
                        return outcome
                    with suppress(TimeoutError):
                        async with asyncio.timeout(over_at - time.monotonic()):
                            await heard.wait()
                if heard.error is None:
                    return heard.outcome
                self._cannot_listen(heard.error)
        except BackendError as error:
            self._cannot_listen(error)
        await asyncio.sleep(over_at - time.monotonic())
        return None

    def _pause_blocking(self, request: Pause) -> Outcome | None:
        job_id, over_at = request.job_id, time.monotonic() + request.seconds
        channels = self._channels(job_id)
        try:
            if self._may_listen:
                return self._blocking.ear(channels[-1]).wait(
                    channels, lambda: self._blocking.run(self._look(job_id)), request.seconds
                )
        except BackendError as error:
            self._cannot_listen(error)
        time.sleep(max(0.0, over_at - time.monotonic()))
        return None

    def _cannot_listen(self, error: BackendError) -> None:
        """A waiter that hears nothing finds out by its next look."""
        _LOGGER.debug("a waiter cannot listen for the end of its job: %s", error)
        self._may_listen = not isinstance(error, BackendRejected)

    def _sweeps(self) -> Sweeper:
        return Sweeper()

    def _drivers(self, *, patient: bool) -> tuple[AsyncDriver, BlockingDriver]:
        """The two drivers of clients, or those of workers, who never give up."""
        outage = Outage(self.address.shown) if patient else None
        return AsyncDriver(self.address, outage), BlockingDriver(self.address, outage)

    async def aclose(self) -> None:
        """Close the connections of this event loop; the next request makes new ones."""
        await self._async.close()
        await self._async_worker.close()

    def close(self) -> None:
        """Close the connections of this thread; the next request makes new ones."""
        self._blocking.close()
        self._blocking_worker.close()


def _run_id(reply: bytes) -> str:
    for line in reply.splitlines():
        name, _, value = line.partition(b":")
        if name == b"run_id":
            return value.decode("ascii", "replace")
    return ""
