"""`Server`: the engine's face, the counterpart of Go's (server.go)."""

from __future__ import annotations

import asyncio
import math
from asyncio import FIRST_COMPLETED
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple, TypeVar

from tasqueue.core.chain import Chain, ChainMessage
from tasqueue.core.errors import BackendError
from tasqueue.core.group import Group, GroupMessage
from tasqueue.core.job import Job, JobMessage
from tasqueue.core.ports import (
    Broker,
    Forget,
    Listing,
    PutTask,
    Results,
    Store,
    Tasks,
    WorkerInfo,
)
from tasqueue.core.signing import Signing
from tasqueue.core.wire import TaskRecord, decode_task, encode_task
from tasqueue.engine import plan
from tasqueue.engine.advice import advise
from tasqueue.engine.clock import SYSTEM, Clock
from tasqueue.engine.context import LOGGER
from tasqueue.engine.executor import Executor
from tasqueue.engine.keeper import Heart, Keeper
from tasqueue.engine.notes import Notes
from tasqueue.engine.pair import join
from tasqueue.engine.registry import Handler, Registry, Task, TaskOpts
from tasqueue.engine.signed import signed
from tasqueue.engine.worker import Worker

T = TypeVar("T")

__all__ = ["Leftover", "Server", "ServerOpts", "Task", "TaskOpts"]

_PAGE: Final = 100
_LONGEST_PAGE: Final = 10_000
_OUTAGE: Final = 0.5
_LONGEST_OUTAGE: Final = 4.0
"""Seconds between the tries of a worker that starts while its broker is away."""
_LAST_FLUSH: Final = 2.0
"""Seconds for what is decided to be written, when the time for running jobs is over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOpts:
    """What a server works with."""

    broker: Broker
    results: Results
    grace: float = 10.0
    """Seconds that running jobs have to end when the server stops."""
    lease_seconds: float = 30.0
    """Seconds after which the jobs of a silent worker are given to others."""
    signing: Signing | None = None
    """Keys to sign messages with; None neither signs nor checks."""
    clock: Clock = SYSTEM


class Leftover(NamedTuple):
    """What a server that has stopped could not put in order."""

    running: int = 0
    """Jobs whose threads run on though they were given back: end the process with `os._exit`."""
    held: int = 0
    """Queues where it could not sign off: others get its jobs there when the lease has run out."""


class Server:
    """Registers tasks, runs their jobs, enqueues and answers (Go: Server).

    A producer is a server without tasks that is not started.
    """

    def __init__(self, opts: ServerOpts) -> None:
        self._opts = opts
        self._registry = Registry()
        self._store: Store | None = None
        self._running: _Running | None = None
        self._stop_asked = False
        self.leftover: Leftover = Leftover()
        """What the last `start` left behind when it returned."""

    # -- tasks -----------------------------------------------------------------------------------

    async def register_task(
        self, name: str, handler: Handler, opts: TaskOpts | None = None
    ) -> None:
        """Register a handler under a task's name, and list it in the store (Go: RegisterTask).

        Raises:
            QueueConflict: the task's queue has another concurrency already.
        """
        task = Task(name=name, handler=handler, opts=opts or TaskOpts())
        self.add_task(task)
        await (await self.open()).perform(self._record(task))

    def add_task(self, task: Task) -> None:
        """Register a task; the store learns of it at `start`."""
        self._registry.add(task)

    async def get_tasks(self) -> list[TaskRecord]:
        """The tasks that programs of any language have registered in the store."""
        return [decode_task(one) for one in await (await self.open()).perform(Tasks())]

    # -- enqueue ---------------------------------------------------------------------------------

    async def enqueue(self, job: Job) -> str:
        """Enqueue a job; returns its ID once the store has it (Go: Enqueue)."""
        return await self._follow(plan.enqueue(job, self._opts.clock))

    async def enqueue_group(self, group: Group) -> str:
        """Enqueue a group; returns its ID (Go: EnqueueGroup)."""
        return await self._follow(plan.enqueue_group(group, self._opts.clock))

    async def enqueue_chain(self, chain: Chain) -> str:
        """Enqueue a chain; returns its ID (Go: EnqueueChain)."""
        return await self._follow(plan.enqueue_chain(chain, self._opts.clock))

    # -- ask -------------------------------------------------------------------------------------

    async def get_job(self, job_id: str) -> JobMessage:
        """A job's record. Raises JobNotFound."""
        return await self._follow(plan.get_job(job_id))

    async def get_group(self, group_id: str) -> GroupMessage:
        """A group with its members' states added up. Raises JobNotFound."""
        return await self._follow(plan.get_group(group_id))

    async def get_chain(self, chain_id: str) -> ChainMessage:
        """A chain as far as it has come. Raises JobNotFound."""
        return await self._follow(plan.get_chain(chain_id))

    async def get_result(self, job_id: str) -> bytes:
        """What a job saved. Raises ResultNotFound."""
        return await self._follow(plan.get_result(job_id))

    async def get_pending(self, queue: str) -> list[JobMessage]:
        """The waiting messages of a queue, youngest first."""
        return (await self._follow(plan.get_pending(queue)))[0]

    async def get_pending_count(self, queue: str) -> int:
        """How many messages wait in a queue."""
        return (await self._follow(plan.get_pending(queue, 0, 0)))[1]

    async def get_pending_page(
        self, queue: str, offset: int, limit: int
    ) -> tuple[list[JobMessage], int]:
        """A page of the waiting messages, and how many wait in all.

        As in Go a limit below 1 is 100, and at most 10,000.
        """
        size = min(limit, _LONGEST_PAGE) if limit > 0 else _PAGE
        return await self._follow(plan.get_pending(queue, max(0, offset), size))

    async def get_success(self) -> list[str]:
        """The IDs of successful jobs, newest first."""
        found: list[str] = await (await self.open()).perform(Listing("success"))
        return found

    async def get_failed(self) -> list[str]:
        """The IDs of failed jobs, newest first."""
        found: list[str] = await (await self.open()).perform(Listing("failed"))
        return found

    async def delete_job(self, job_id: str) -> None:
        """Forget a job's record and result; a waiting message still runs."""
        await (await self.open()).perform(Forget(job_id))

    # -- run -------------------------------------------------------------------------------------

    async def open(self) -> Store:
        """Broker and results as one store; asks once whether they lie in the same server."""
        if self._store is None:
            joined = await join(self._opts.broker, self._opts.results)
            self._store = signed(joined, self._opts.signing)
        return self._store

    def limit(
        self,
        *,
        queues: Sequence[str] = (),
        concurrency: int | None = None,
        grace: float | None = None,
        lease_seconds: float | None = None,
    ) -> dict[str, int]:
        """Work on these queues only, with this many jobs at once on each, this grace and lease.

        Returns the queues that `start` will work on, with their concurrency.
        """
        self._registry.limit(queues, concurrency)
        if grace is not None:
            self._opts = replace(self._opts, grace=grace)
        if lease_seconds is not None:
            self._opts = replace(self._opts, lease_seconds=lease_seconds)
        return self._registry.queues()

    async def start(self, notes: Notes | None = None) -> None:
        """Run jobs until `stop`, or until the awaiting task is cancelled: both drain.

        ``notes`` are for a supervisor of this process to read.
        """
        running = self._running = _Running(self._opts, self._registry, notes or Notes())
        if self._stop_asked:
            running.stop(self._opts.grace)
        try:
            await running.run(self._opened, self._announce)
        finally:
            self._running = None
            self.leftover = running.leftover
            if self._store is not None:
                await self._store.aclose()

    async def stop(self, *, now: bool = False) -> None:
        """Take no more jobs, let the running ones end, and make `start` return.

        With ``now``, or when called again meanwhile, running jobs get no more time: they are
        cancelled and given back. Returns when `start` is about to.
        """
        now, self._stop_asked = now or self._stop_asked, True
        if self._running is not None:
            self._running.stop(0 if now else self._opts.grace)
            await self._running.ended.wait()

    async def _opened(self) -> Store:
        return await insisted(self.open, self._opts.clock)

    async def _announce(self, store: Store) -> None:
        for task in list(self._registry.tasks.values()):
            await store.perform(self._record(task))
        await advise(store)

    def _record(self, task: Task) -> PutTask:
        queue = task.opts.queue
        count = self._registry.concurrency(queue)
        return PutTask(task.name, encode_task(TaskRecord(task.name, queue, count)))

    async def _follow(self, steps: plan.Plan[T]) -> T:
        return await plan.run(steps, await self.open())


class _Running:
    """One run of a server: its lease, its workers, and what goes on beside them."""

    def __init__(self, opts: ServerOpts, registry: Registry, notes: Notes) -> None:
        self._opts = opts
        self._notes = notes
        self._registry = registry
        self._stop = asyncio.Event()
        self._moved = asyncio.Event()
        self._deadline: float | None = None
        self.ended = asyncio.Event()
        self.leftover = Leftover()

    def stop(self, grace: float) -> None:
        self._deadline = self._opts.clock.monotonic() + grace
        self._stop.set()
        self._moved.set()

    async def run(
        self,
        opened: Callable[[], Awaitable[Store]],
        announce: Callable[[Store], Awaitable[None]],
    ) -> None:
        queues, clock = self._registry.queues(), self._opts.clock
        executor = Executor(sum(queues.values()))
        try:
            store = await self._unless_stopped(opened())
            if store is None:
                return
            lease = store.lease(
                WorkerInfo(
                    queues=tuple(queues),
                    lease_seconds=self._opts.lease_seconds,
                    supervisor_pid=self._notes.supervisor_pid,
                )
            )
            self._notes.named(lease.worker_id)
            heart = Heart(lease, self._opts.lease_seconds / 4)
            workers = [
                Worker(
                    queue, slots, store=store, lease=lease, registry=self._registry,
                    executor=executor, clock=clock, notes=self._notes,
                    expiry_ms=_expiry_ms(self._opts.results),
                )
                for queue, slots in queues.items()
            ]  # fmt: skip
            beside = [
                asyncio.create_task(one.run(clock))
                for one in (
                    Keeper(lease, heart, registry=self._registry, notes=self._notes).loops()
                    if queues
                    else ()
                )
            ]
            beside += [asyncio.create_task(worker.committer.run()) for worker in workers]
            claiming = [asyncio.create_task(worker.run()) for worker in workers]
            if queues:
                heart.start()
            try:
                await self._unless_stopped(insisted(lambda: announce(store), clock))
                await self._stop.wait()
            finally:
                await self._drain(workers, claiming, lease)
                await heart.stop(clock)
                await cancelled(beside)
                held = await _leave(lease, tuple(queues))
                self.leftover = Leftover(executor.threads, held)
        finally:
            executor.close()
            self.ended.set()

    async def _unless_stopped(self, step: Awaitable[T]) -> T | None:
        """Do a step that may take for ever; None if `stop` came first."""
        doing = asyncio.ensure_future(step)
        stopped = asyncio.ensure_future(self._stop.wait())
        try:
            await asyncio.wait((doing, stopped), return_when=FIRST_COMPLETED)
            return doing.result() if doing.done() else None
        finally:
            await cancelled([doing, stopped])

    async def _drain(
        self, workers: list[Worker], claiming: list[asyncio.Task[None]], lease: Any
    ) -> None:
        for worker in workers:
            worker.stopping = True
        try:
            await lease.wake()
            await asyncio.wait(claiming, timeout=1) if claiming else None
        except BackendError as error:
            LOGGER.warning("the broker is away while stopping: %s", error)
        await cancelled(claiming)
        if not await self._in_time([worker.drained() for worker in workers]):
            LOGGER.warning("jobs still run, and the time to end is over: they are given back")
        for worker in workers:
            worker.cancel()
        flushed = [asyncio.create_task(worker.committer.flushed()) for worker in workers]
        if flushed:
            await asyncio.wait(flushed, timeout=_LAST_FLUSH)
        await cancelled(flushed)

    async def _in_time(self, ends: list[Coroutine[Any, Any, None]]) -> bool:
        """Wait for all ends until the deadline, which `stop` may move meanwhile."""
        clock = self._opts.clock
        if self._deadline is None:
            self._deadline = clock.monotonic() + self._opts.grace
        all_ended = asyncio.ensure_future(asyncio.gather(*ends))
        while not all_ended.done() and (left := self._deadline - clock.monotonic()) > 0:
            self._moved.clear()
            moved = asyncio.ensure_future(self._moved.wait())
            limit = None if left == math.inf else left
            await asyncio.wait((all_ended, moved), timeout=limit, return_when=FIRST_COMPLETED)
            moved.cancel()
        in_time = all_ended.done()
        all_ended.cancel()
        await asyncio.gather(all_ended, return_exceptions=True)
        return in_time


async def insisted(step: Callable[[], Awaitable[T]], clock: Clock) -> T:
    """Try a step for as long as it takes, with one line in the log for each try."""
    wait = _OUTAGE
    while True:
        try:
            return await step()
        except BackendError as error:
            LOGGER.warning("cannot reach the broker, trying again in %g s: %s", wait, error)
            await clock.sleep(wait)
            wait = min(2 * wait, _LONGEST_OUTAGE)


async def cancelled(tasks: Sequence[asyncio.Future[Any]]) -> None:
    """Cancel tasks, and wait for their end."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _leave(lease: Any, queues: tuple[str, ...]) -> int:
    """Sign off everywhere; returns at how many queues that was not possible."""
    held = 0
    for queue in queues:
        try:
            await lease.end(queue)
        except BackendError as error:
            LOGGER.warning("queue %s: could not sign off, others will: %s", queue, error)
            held += 1
    return held


def _expiry_ms(results: Results) -> int:
    found = getattr(results, "expiry_ms", 0)
    return found if isinstance(found, int) else 0
