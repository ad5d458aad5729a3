"""`Server`: the engine's face, the counterpart of Go's (server.go)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from tasqueue.core.chain import Chain, ChainMessage
from tasqueue.core.group import Group, GroupMessage
from tasqueue.core.job import Job, JobMessage
from tasqueue.core.limits import GRACE, LEASE
from tasqueue.core.ports import (
    Broker,
    Forget,
    Listing,
    PutTask,
    Results,
    Store,
    Tasks,
)
from tasqueue.core.signing import Signing
from tasqueue.core.wire import TaskRecord, decode_task, encode_task
from tasqueue.engine import plan
from tasqueue.engine.advice import advise
from tasqueue.engine.clock import SYSTEM, Clock
from tasqueue.engine.drain import Leftover
from tasqueue.engine.notes import Notes
from tasqueue.engine.pair import close, join
from tasqueue.engine.registry import Handler, Registry, Task, TaskOpts
from tasqueue.engine.running import Run
from tasqueue.engine.signed import signed

T = TypeVar("T")

_PAGE: Final = 100
_LONGEST_PAGE: Final = 10_000
"""Messages on a page of what waits, where the caller does not say, and at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOpts:
    """What a server works with."""

    broker: Broker
    results: Results
    grace: float = GRACE
    """Seconds that running jobs have to end when the server stops."""
    lease_seconds: float = LEASE
    """Seconds after which the jobs of a silent worker are given to others."""
    signing: Signing | None = None
    """Keys to sign messages with; None neither signs nor checks."""
    clock: Clock = SYSTEM
    """What tells the time; tests hand in one that they turn."""


class Server:
    """Registers tasks, runs their jobs, enqueues and answers (Go: Server).

    A producer is a server without tasks that is not started. All calls but `add_task` and `limit`
    raise BackendUnavailable while a server is out of reach. ``store`` is what broker and results
    are together, where that is known; else it is asked at the first call.
    """

    def __init__(self, opts: ServerOpts, *, store: Store | None = None) -> None:
        self._opts = opts
        self._registry = Registry()
        self._store = store
        self._running: Run | None = None
        self.leftover: Leftover = Leftover()
        """What the last `start` left behind when it returned."""
        self._stop_asked = False

    # -- tasks -----------------------------------------------------------------------------------

    async def register_task(
        self, name: str, handler: Handler, opts: TaskOpts | None = None
    ) -> None:
        """Register a handler under a task's name, and list it in the store (Go: RegisterTask).

        Raises:
            ConfigurationError: the task's or the queue's name is not usable.
            QueueConflict: the task's queue has another concurrency already.
        """
        task = Task(name=name, handler=handler, opts=opts or TaskOpts())
        self.add_task(task)
        await (await self.open()).perform(self._record(task))

    def add_task(self, task: Task) -> None:
        """Register a task; the store learns of it at `start`. Raises as `register_task`."""
        self._registry.add(task)

    async def get_tasks(self) -> list[TaskRecord]:
        """The tasks that programs of any language have registered in the store."""
        return [decode_task(one) for one in await (await self.open()).perform(Tasks())]

    # -- enqueue ---------------------------------------------------------------------------------

    async def enqueue(self, job: Job) -> str:
        """Enqueue a job; returns its ID once the store has it (Go: Enqueue).

        Raises:
            ConfigurationError: a name, ID or schedule is not usable, or the job is too large.
            EncodeError: a field holds what Go's type cannot.
            EnqueueUnconfirmed: it may be stored or not, or less safe than ``durability`` asks for.
        """
        return await self._follow(plan.enqueue(job, self._opts.clock))

    async def enqueue_group(self, group: Group) -> str:
        """Enqueue a group; returns its ID (Go: EnqueueGroup). Raises as `enqueue`."""
        return await self._follow(plan.enqueue_group(group, self._opts.clock))

    async def enqueue_chain(self, chain: Chain) -> str:
        """Enqueue a chain; returns its ID (Go: EnqueueChain). Raises as `enqueue`."""
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
        """The waiting messages of a queue, youngest first; scheduled ones do not count."""
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

        ``grace`` and ``lease_seconds`` are in seconds; None leaves them as they are. Returns the
        queues that `start` will work on, with their concurrency.
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
        What could not be brought to an end is in `leftover` afterwards.
        """
        opts = self._opts
        running = self._running = Run(
            self._registry, notes=notes or Notes(), grace=opts.grace, clock=opts.clock
        )
        if self._stop_asked:
            running.stop(opts.grace)
        try:
            await running.run(
                self.open,
                self._announce,
                lease_seconds=opts.lease_seconds,
                expiry_ms=_expiry_ms(opts.results),
            )
        finally:
            self._running, self.leftover = None, running.leftover
            await close(opts.broker, opts.results)

    async def stop(self, *, now: bool = False) -> None:
        """Take no more jobs, let the running ones end, and make `start` return.

        With ``now``, or when called again meanwhile, running jobs get no more time: they are
        cancelled and given back. Returns when `start` is about to.
        """
        now, self._stop_asked = now or self._stop_asked, True
        if self._running is not None:
            self._running.stop(0 if now else self._opts.grace)
            await self._running.ended.wait()

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


def _expiry_ms(results: Results) -> int:
    found = getattr(results, "expiry_ms", 0)
    return found if isinstance(found, int) else 0
