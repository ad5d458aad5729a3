"""What tests of the engine are made of: a turned clock, stores that fail on command, servers."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from inspect import isawaitable
from typing import Any, Literal, cast

from tasqueue import Job, JobContext, JobOpts, Server, ServerOpts, TaskOpts
from tasqueue.brokers import MemoryBroker
from tasqueue.core.errors import BackendError, BackendUnavailable
from tasqueue.core.ports import WorkerInfo
from tasqueue.drivers.memory import MemoryStore
from tasqueue.engine.clock import Clock
from tasqueue.engine.registry import Task
from tasqueue.results import MemoryResults

Q = "rig"


class TurnedClock(Clock):
    """The real time, put forward by hand. Sleeps are short: what waits for a turn sees it soon."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def now_ns(self) -> int:
        return time.time_ns() + int(self.ahead * 1e9)

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(min(seconds, 0.01))

    def turn(self, seconds: float) -> None:
        self.ahead += seconds


class FaultyStore:
    """A store whose calls fail on command, before or after their effect.

    Calls are named by the method of the lease (``claim``) or by the request (``Read``).
    """

    def __init__(self, store: Any) -> None:
        self.store = store
        self.calls: Counter[str] = Counter()
        self.sizes: dict[str, list[int]] = {}
        self._faults: dict[str, tuple[str, int, BackendError]] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    def fail(
        self,
        call: str,
        *,
        when: Literal["before", "after"] = "before",
        times: int = 1 << 30,
        error: BackendError | None = None,
    ) -> None:
        """Have the next calls fail; 0 times mends it."""
        if error is None:
            error = BackendUnavailable(f"{call} failed on command")
            error.in_doubt = True  # whoever sent it cannot know
        self._faults[call] = (when, times, error)

    async def perform(self, request: Any) -> Any:
        with self.fault(type(request).__name__):
            return await self.store.perform(request)

    def lease(self, worker: WorkerInfo) -> Any:
        return _FaultyLease(self, self.store.lease(worker))

    def fault(self, call: str) -> "_Fault":
        self.calls[call] += 1
        when, times, error = self._faults.get(call, ("", 0, BackendError()))
        if times < 1:
            return _Fault("", error)
        self._faults[call] = (when, times - 1, error)
        return _Fault(when, error)


class _Fault:
    def __init__(self, when: str, error: BackendError) -> None:
        self._when, self._error = when, error

    def __enter__(self) -> None:
        if self._when == "before":
            raise self._error

    def __exit__(self, kind: object, *_: object) -> None:
        if self._when == "after" and kind is None:
            raise self._error


class _FaultyLease:
    def __init__(self, store: FaultyStore, lease: Any) -> None:
        self._store, self._lease = store, lease

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._lease, name)
        if name == "beat":
            return lambda **how: self._beat(partial(found, **how))
        if not callable(found):
            return found

        async def call(*args: Any) -> Any:
            with self._store.fault(name):
                answer = found(*args)
                answer = await answer if isawaitable(answer) else answer
            if args and isinstance(args[-1], list):
                self._store.sizes.setdefault(name, []).append(len(args[-1]))
            return answer

        return call

    def _beat(self, beat: Callable[[], bool]) -> bool:
        with self._store.fault("beat"):
            return beat()


async def until(look: Callable[[], Any]) -> Any:
    """What ``look`` finds, once it finds something; the test's own limit is the patience."""
    while True:
        found = look()
        found = await found if isawaitable(found) else found
        if found:
            return found
        await asyncio.sleep(0.002)


class Rig:
    """A server over a store, in memory if no other is given, that fails on command."""

    def __init__(
        self, *, lease_seconds: float = 30.0, grace: float = 10.0, store: Any = None
    ) -> None:
        self.clock = TurnedClock()
        self.memory = MemoryStore(now_ns=self.clock.now_ns)
        self.store = cast("Any", FaultyStore(store or self.memory))
        self.server = Server(
            ServerOpts(
                broker=MemoryBroker(self.store),
                results=MemoryResults(self.store),
                clock=self.clock,
                lease_seconds=lease_seconds,
                grace=grace,
            )
        )
        self.runs: Counter[str] = Counter()
        self.gate = asyncio.Event()
        self.add("quick", self._quick)
        self.add("gated", self._gated)

    def add(self, name: str, handler: Callable[..., Any], **opts: Any) -> None:
        """Register a task on the rig's queue."""
        self.server.add_task(Task(name=name, handler=handler, opts=TaskOpts(queue=Q, **opts)))

    async def send(self, task: str, job_id: str = "", **opts: Any) -> str:
        return await self.server.enqueue(Job.create(task, b"", JobOpts(id=job_id, queue=Q, **opts)))

    async def status(self, job_id: str) -> str:
        return (await self.server.get_job(job_id)).status

    async def ended(self, *job_ids: str) -> None:
        """Wait until all jobs are successful."""
        for job_id in job_ids:
            await until(partial(self.is_, "successful", job_id))

    async def is_(self, status: str, job_id: str) -> bool:
        return await self.status(job_id) == status

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """The server at work; afterwards it is drained."""
        task = asyncio.create_task(self.server.start())
        try:
            yield
        finally:
            self.gate.set()
            await self.server.stop()
            await task

    async def _quick(self, payload: bytes, ctx: JobContext) -> None:
        self.runs[ctx.id] += 1

    async def _gated(self, payload: bytes, ctx: JobContext) -> None:
        self.runs[ctx.id] += 1
        await self.gate.wait()


async def stopped(task: Awaitable[None]) -> None:
    """Await a task that was cancelled."""
    with suppress(asyncio.CancelledError):
        await task
