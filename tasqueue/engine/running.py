"""One run of a server: it starts the workers, watches over them, and has them drained."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any

from tasqueue.core.ports import Store, WorkerInfo
from tasqueue.engine.clock import Clock
from tasqueue.engine.drain import Deadline, Drain, Leftover, Tasks, cancelled
from tasqueue.engine.executor import Executor
from tasqueue.engine.keeper import Heart, Keeper
from tasqueue.engine.notes import Notes
from tasqueue.engine.patience import insist_aloud
from tasqueue.engine.processor import Equipment
from tasqueue.engine.registry import Registry
from tasqueue.engine.worker import Worker


class Run:
    """A lease, a worker for each queue, and the loops beside them, from start to drain."""

    def __init__(self, registry: Registry, *, notes: Notes, grace: float, clock: Clock) -> None:
        self._registry = registry
        self._notes = notes
        self._grace = grace
        self._clock = clock
        self._stop = asyncio.Event()
        self._deadline = Deadline(clock)
        self._mine: asyncio.Task[Any] | None = None
        self.ended: asyncio.Event = asyncio.Event()
        """Set when `run` has returned or raised."""
        self.leftover: Leftover = Leftover()

    def stop(self, grace: float) -> None:
        """Begin to drain. Running jobs get so many seconds from now; said again, it is changed."""
        self._deadline.move(grace)
        self._stop.set()

    async def run(
        self,
        opened: Callable[[], Awaitable[Store]],
        announce: Callable[[Store], Awaitable[None]],
        *,
        lease_seconds: float,
        expiry_ms: int,
    ) -> None:
        """Work until `stop`, or until cancelled; both drain.

        A worker or loop that ends by a mistake of ours ends the run: what it raised is raised.
        """
        self._mine = asyncio.current_task()
        executor = Executor(ending=self._is_cancelled)
        opening = asyncio.create_task(insist_aloud(opened, self._clock))
        try:
            await self._until_stopped([opening])
            if self._stop.is_set():
                return
            store, queues = opening.result(), tuple(self._registry.queues())
            lease = store.lease(
                WorkerInfo(
                    queues=queues,
                    lease_seconds=lease_seconds,
                    supervisor_pid=self._notes.supervisor_pid,
                )
            )
            self._notes.named(lease.worker_id)
            announcing = insist_aloud(lambda: announce(store), self._clock)
            shared = Equipment(
                store=store, lease=lease, registry=self._registry, executor=executor,
                clock=self._clock, notes=self._notes, lease_seconds=lease_seconds,
                expiry_ms=expiry_ms,
            )  # fmt: skip
            await self._work(shared, announcing, Heart(lease, lease_seconds, self._clock))
        finally:
            await cancelled([] if opening.done() else [opening])
            executor.close()
            self.ended.set()

    async def _work(
        self, shared: Equipment, announcing: Coroutine[Any, Any, None], heart: Heart
    ) -> None:
        queues = self._registry.queues()
        workers = [Worker(queue, slots, shared) for queue, slots in queues.items()]
        keeper = Keeper(
            shared.lease,
            heart,
            store=shared.store,
            registry=self._registry,
            notes=self._notes,
            workers=workers,
        )
        beside = _tasks([announcing])
        if workers:
            beside += _tasks(loop.run(self._clock) for loop in keeper.loops())
            heart.start()
        drain = Drain(
            lease=shared.lease, heart=heart, executor=shared.executor, workers=workers,
            claiming=_tasks(worker.run() for worker in workers),
            committing=_tasks(worker.committer.run() for worker in workers),
            beside=beside, deadline=self._deadline,
        )  # fmt: skip
        try:
            await self._until_stopped(drain.claiming + drain.committing + beside)
            await self._stop.wait()
        finally:
            if not self._stop.is_set():
                self.stop(self._grace)
            if self._notes.supervisor_pid is None:  # else it is the supervisor who knows why
                heart.leave()
            await self._in_any_case(asyncio.create_task(drain.run()))

    async def _until_stopped(self, tasks: Iterable[asyncio.Task[Any]]) -> None:
        """Wait for `stop`, or until all tasks have ended well; what one raises is raised."""
        stop = asyncio.create_task(self._stop.wait())
        waiting: set[asyncio.Task[Any]] = {stop, *tasks}
        try:
            while not stop.done() and len(waiting) > 1:
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
        finally:
            await cancelled([stop])

    async def _in_any_case(self, draining: asyncio.Task[Leftover]) -> None:
        """Wait for the drain; being cancelled hurries it, and does not break it off."""
        hurried: asyncio.CancelledError | None = None
        while not draining.done():
            try:
                await asyncio.shield(draining)
            except asyncio.CancelledError as error:
                self._deadline.move(0)
                hurried = error
        self.leftover = draining.result()
        if hurried is not None:
            raise hurried

    def _is_cancelled(self) -> bool:
        return self._mine is not None and self._mine.cancelling() > 0


def _tasks(works: Iterable[Coroutine[Any, Any, None]]) -> Tasks:
    return [asyncio.create_task(work) for work in works]
