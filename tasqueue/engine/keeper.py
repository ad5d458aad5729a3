"""Background loops: beats, due jobs, rescue of the jobs of the dead, parked jobs."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from tasqueue.core.errors import BackendError
from tasqueue.core.ports import Lease
from tasqueue.engine.clock import Clock
from tasqueue.engine.context import LOGGER

_PROMOTE: Final = 0.25
_RESCUE: Final = 1.0
_UNPARK: Final = 10.0
_FENCE: Final = 0.1


class Heart:
    """Beats from a thread of its own: a busy event loop is not a dead one."""

    def __init__(self, lease: Lease, seconds: float) -> None:
        self._lease = lease
        self._seconds = seconds
        self._stopped = threading.Event()
        self._now = threading.Event()
        self._thread = threading.Thread(target=self._run, name="tasqueue-beats", daemon=True)

    def start(self) -> None:
        """Start beating; the first beat registers."""
        self._thread.start()

    def beat_now(self) -> None:
        """Beat without waiting for the next turn."""
        self._now.set()

    def stop(self) -> None:
        """Stop beating; returns when the thread has ended."""
        self._stopped.set()
        self._now.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._stopped.is_set():
            self._now.clear()
            wait = self._seconds
            try:
                self._lease.beat()
            except BackendError as error:
                LOGGER.warning("cannot reach the broker, trying again: %s", error)
                wait = min(wait, 0.5)
            if not self._stopped.is_set():
                self._now.wait(wait)


class Loop:
    """A step that is done again and again; what it raises is logged, and it goes on."""

    def __init__(self, name: str, seconds: float, step: Callable[[], Awaitable[None]]) -> None:
        self._name = name
        self._seconds = seconds
        self._step = step

    async def run(self, clock: Clock) -> None:
        """Do the step, for ever."""
        while True:
            try:
                await self._step()
            except BackendError as error:
                LOGGER.debug("%s waits for the store: %s", self._name, error)
            except Exception:
                LOGGER.exception("%s: a step failed; it goes on", self._name)
            await clock.sleep(self._seconds)


def loops(
    lease: Lease, heart: Heart, queues: Sequence[str], known: Callable[[], Sequence[str]]
) -> list[Loop]:
    """The background work of one worker process."""

    async def fence() -> None:
        if lease.fenced:
            LOGGER.error("worker %s was taken for dead: starting anew", lease.worker_id)
            await lease.renew()
            heart.beat_now()

    async def promote() -> None:
        await asyncio.gather(*[lease.promote(queue) for queue in queues])

    async def rescue() -> None:
        for queue in queues:
            if await lease.rescue(queue):
                LOGGER.warning("queue %s: gave the jobs of a dead worker back", queue)

    async def unpark() -> None:
        for queue in queues:
            await lease.unpark(queue, known())

    return [
        Loop("fence", _FENCE, fence),
        Loop("due jobs", _PROMOTE, promote),
        Loop("rescue", _RESCUE, rescue),
        Loop("parked jobs", _UNPARK, unpark),
    ]
