"""The end of a run: what was not begun goes back, what runs may end, what has ended is settled."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from tasqueue.core.errors import BackendError
from tasqueue.core.ports import Lease
from tasqueue.engine.clock import Clock
from tasqueue.engine.context import LOGGER
from tasqueue.engine.executor import Executor
from tasqueue.engine.keeper import Heart
from tasqueue.engine.worker import Worker

Tasks = list[asyncio.Task[None]]

_CLAIMS: Final = 1.0
"""Seconds for the last claims to come back."""
_CANCELS: Final = 1.0
"""Seconds for cancelled jobs to clean up."""
_LAST_FLUSH: Final = 2.0
"""Seconds for what is decided to be written, when the time for running jobs is over."""


class Leftover(NamedTuple):
    """What a server that has stopped could not put in order."""

    running: int = 0
    """Jobs that run on though they timed out or were given back, in threads or taking no notice of
    being cancelled: end the process with `os._exit`."""
    held: int = 0
    """Queues where it could not sign off: others get its jobs there when the lease has run out."""


class Deadline:
    """When running jobs get no more time. It is set at the stop, and may be moved after that."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._at = math.inf
        self._moved = asyncio.Event()

    def move(self, seconds: float) -> None:
        """Set it so many seconds from now; they may be infinite."""
        self._at = self._clock.monotonic() + seconds
        self._moved.set()

    async def wait_for(self, works: Iterable[Coroutine[Any, Any, None]]) -> bool:
        """Wait for works until then; whether they ended in time. The others are cancelled."""
        tasks = [asyncio.create_task(work) for work in works]
        moved = asyncio.create_task(self._moved.wait())
        waiting: set[asyncio.Task[Any]] = set(tasks)
        while waiting and (left := self._at - self._clock.monotonic()) > 0:
            self._moved.clear()
            if moved.done():
                moved = asyncio.create_task(self._moved.wait())
            limit = None if left == math.inf else left
            _, waiting = await asyncio.wait(
                [moved, *waiting], timeout=limit, return_when=asyncio.FIRST_COMPLETED
            )
            waiting.discard(moved)
        await cancelled([moved, *tasks])
        return not waiting


@dataclass(frozen=True, slots=True, kw_only=True)
class Drain:
    """What is to be ended, and by when."""

    lease: Lease
    heart: Heart
    executor: Executor
    workers: list[Worker]
    claiming: Tasks
    """One for each worker."""
    committing: Tasks
    """One for each worker."""
    beside: Tasks
    deadline: Deadline

    async def run(self) -> Leftover:
        """End everything, in the order in which nothing is lost and least is done twice."""
        for worker in self.workers:
            worker.stop()
        await self._end_claims()
        for worker in self.workers:
            await _reported(worker.queue, worker.give_back())
        if not await self.deadline.wait_for([worker.finished() for worker in self.workers]):
            LOGGER.warning("jobs still run, and the time to end is over: they are given back")
            for worker in self.workers:
                worker.abandon()
            await within(_CANCELS, [worker.finished() for worker in self.workers])
        await self._flush()
        await self.heart.stop()
        await cancelled(self.beside + self.committing)
        held = 0
        for worker in self.workers:
            held += not await _reported(worker.queue, self.lease.end(worker.queue))
        deaf = sum(worker.running for worker in self.workers)
        return Leftover(self.executor.threads + deaf, held)

    async def _end_claims(self) -> None:
        """Let the claims that are on their way come back."""
        if self.workers:
            await within(_CLAIMS, [self.lease.wake(), _ended(self.claiming)])
        await cancelled(self.claiming)

    async def _flush(self) -> None:
        """Settle what has ended, also where a committer itself was cancelled."""
        again = [w for w, task in zip(self.workers, self.committing, strict=True) if task.done()]
        self.committing.extend(asyncio.create_task(one.committer.run()) for one in again)
        await within(_LAST_FLUSH, [worker.committer.flushed() for worker in self.workers])


async def within(seconds: float, works: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Wait for all, at most so long; what is not done by then is cancelled, errors are logged."""
    tasks = [asyncio.create_task(work) for work in works]
    if tasks:
        await asyncio.wait(tasks, timeout=seconds)
    await cancelled(tasks)


async def cancelled(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel tasks and wait for their end; what they raise instead is logged."""
    waiting = list(tasks)
    for task in waiting:
        task.cancel()
    for outcome in await asyncio.gather(*waiting, return_exceptions=True):
        if isinstance(outcome, BackendError):
            LOGGER.warning("the store is away while stopping: %s", outcome)
        elif isinstance(outcome, Exception):
            LOGGER.error("a part of the worker had failed", exc_info=outcome)


async def _ended(tasks: Tasks) -> None:
    await asyncio.wait(tasks)


async def _reported(queue: str, step: Coroutine[Any, Any, object]) -> bool:
    """Whether a step was done; if the store is away others will do it, when the lease ends."""
    try:
        await step
    except BackendError as error:
        LOGGER.warning("queue %s: could not sign off, others will: %s", queue, error)
        return False
    return True
