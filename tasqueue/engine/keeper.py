"""What goes on beside the workers: beats, due jobs, the jobs of the dead, parked jobs, groups."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final

from tasqueue.core.errors import BackendError, BackendRejected
from tasqueue.core.ports import Lease, Store, Sweep
from tasqueue.engine.clock import Clock
from tasqueue.engine.context import LOGGER
from tasqueue.engine.notes import Notes
from tasqueue.engine.patience import Refusals
from tasqueue.engine.registry import Registry
from tasqueue.engine.worker import Worker

_PROMOTE: Final = 0.25
_RESCUE: Final = 1.0
_UNPARK: Final = 10.0
_FENCE: Final = 0.1
"""Seconds between looks for due jobs, dead workers, parked jobs, and whether the lease holds."""
_AGAIN: Final = 0.5
"""Seconds between beats while the broker is away."""
_SILENCE: Final = 0.75
"""Part of the lease after which a worker that cannot beat takes itself for dead."""
_SWEEP: Final = 0.2
_SWEEP_AT_REST: Final = 5.0
"""Seconds between sweeps; the first grows to the second while they find nothing."""
_ENDING: Final = 0.005
"""Seconds between looks (no thread may be started any more while the interpreter ends)."""


class Heart:
    """Beats from a thread of its own: a busy event loop is not a dead one."""

    def __init__(self, lease: Lease, lease_seconds: float, clock: Clock) -> None:
        self._lease = lease
        self._seconds = lease_seconds / 4
        self._limit = lease_seconds * _SILENCE
        self._clock = clock
        self._alive_at: float | None = None
        self._failed = False
        self._leaving = False
        self._refusals = Refusals()
        self._stopped = threading.Event()
        self._now = threading.Event()
        self._thread = threading.Thread(target=self._run, name="tasqueue-beats", daemon=True)

    @property
    def lost(self) -> bool:
        """Beats have failed for so long that others will soon take the jobs.

        One that was merely late (a held GIL, a stopped process) says nothing before the next beat:
        the store may have got those of a supervisor.
        """
        at = self._alive_at
        return self._failed and at is not None and self._clock.monotonic() - at > self._limit

    def start(self) -> None:
        """Start beating, every quarter of the lease; the first beat registers."""
        self._thread.start()

    def beat_now(self) -> None:
        """Beat without waiting for the next turn."""
        self._now.set()

    def leave(self) -> None:
        """Say, now and with every beat, that this worker was told to stop."""
        self._leaving = True
        self._now.set()

    async def stop(self) -> None:
        """Stop beating; returns when the thread has ended."""
        self._stopped.set()
        self._now.set()
        while self._thread.is_alive():
            await self._clock.sleep(_ENDING)

    def _run(self) -> None:
        while not self._stopped.is_set():
            self._now.clear()
            wait, sent_at = self._seconds, self._clock.monotonic()
            try:
                if self._lease.beat(leaving=self._leaving):
                    self._alive_at, self._failed = sent_at, False
                self._refusals.note("beats")
            except BackendError as error:
                self._failed = True
                self._refusals.note("beats", error)
                LOGGER.debug("the beat failed, trying again: %s", error)
                wait = min(wait, _AGAIN)
            except Exception:  # noqa: BLE001 -- a heart outlives its beats, as a loop its steps
                self._failed = True
                LOGGER.exception("a beat failed; the next one follows")
            if not self._stopped.is_set():
                self._now.wait(wait)


class Loop:
    """A step that is done again and again; what it raises is logged, and it goes on.

    The step may return for how many seconds it wants to rest, instead of the usual ``seconds``.
    """

    def __init__(
        self, name: str, seconds: float, step: Callable[[], Awaitable[float | None]]
    ) -> None:
        self._name = name
        self._seconds = seconds
        self._step = step

    async def run(self, clock: Clock) -> None:
        """Do the step, for ever."""
        while True:
            rest: float | None = None
            try:
                rest = await self._step()
            except BackendError as error:
                LOGGER.debug("%s waits for the store: %s", self._name, error)
            except Exception:  # noqa: BLE001 -- a loop outlives its steps
                LOGGER.exception("%s: a step failed; it goes on", self._name)
            await clock.sleep(self._seconds if rest is None else rest)


class Keeper:
    """The background work of one worker process."""

    def __init__(
        self,
        lease: Lease,
        heart: Heart,
        *,
        store: Store,
        registry: Registry,
        notes: Notes,
        workers: Sequence[Worker],
    ) -> None:
        self._store = store
        self._lease = lease
        self._heart = heart
        self._registry = registry
        self._notes = notes
        self._workers = workers
        self._queues = tuple(registry.queues())
        self._lost = False
        self._refusals = Refusals()
        self._sweep_rest = _SWEEP

    def loops(self) -> list[Loop]:
        """What goes on beside the workers."""
        loops = [Loop("fence", _FENCE, self._fence)]
        if self._store.fan_in:
            loops.append(Loop("open groups", _SWEEP, self._sweep))
        for queue in self._queues:
            loops += self._beside(queue)
        return loops

    def _beside(self, queue: str) -> list[Loop]:
        """What goes on for one queue: if a key is bad, or a server hangs, no other queue waits."""
        steps = (
            (f"queue {queue}: due jobs", _PROMOTE, self._lease.promote),
            (f"queue {queue}: rescue", _RESCUE, self._rescue),
            (f"queue {queue}: parked jobs", _UNPARK, self._unpark),
        )
        return [
            Loop(name, seconds, partial(self._noted, name, partial(step, queue)))
            for name, seconds, step in steps
        ]

    async def _fence(self) -> None:
        """Stop what others may run by now; go on once a beat has come through."""
        if self._heart.lost or self._lease.fenced:
            self._lose()
        if self._lease.fenced:
            await self._lease.renew()
            self._notes.named(self._lease.worker_id)
            self._heart.beat_now()
        elif self._lost and not self._heart.lost:
            self._lost = False
            for worker in self._workers:
                worker.regain()

    def _lose(self) -> None:
        if not self._lost:
            self._lost = True
            why = "was taken for dead" if self._lease.fenced else "was cut off for too long"
            LOGGER.error("worker %s %s: its jobs are stopped here", self._lease.worker_id, why)
            for worker in self._workers:
                worker.lose()

    async def _sweep(self) -> float:
        found = await self._store.perform(Sweep())
        self._sweep_rest = _SWEEP if found else min(self._sweep_rest * 1.5, _SWEEP_AT_REST)
        return self._sweep_rest

    async def _rescue(self, queue: str) -> None:
        if await self._lease.rescue(queue):
            LOGGER.warning("queue %s: gave the jobs of a dead worker back", queue)

    async def _unpark(self, queue: str) -> None:
        await self._lease.unpark(queue, tuple(self._registry.tasks))

    async def _noted(self, name: str, step: Callable[[], Awaitable[object]]) -> None:
        """Do a step; that the server refuses it is said once."""
        error: BackendRejected | None = None
        try:
            await step()
        except BackendRejected as raised:
            error = raised
        self._refusals.note(name, error)
