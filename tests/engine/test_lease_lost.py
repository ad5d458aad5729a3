"""A worker that lost its lease begins nothing: whatever its jobs had come to by then."""

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest

from tasqueue import Job, JobContext, JobOpts, TaskOpts
from tasqueue.core import lifecycle
from tasqueue.core.ports import Push, WorkerInfo
from tasqueue.core.wire import encode_job
from tasqueue.drivers.memory import MemoryStore
from tasqueue.engine.executor import Executor
from tasqueue.engine.notes import Notes
from tasqueue.engine.prepare import new_id, prepare
from tasqueue.engine.processor import Equipment
from tasqueue.engine.registry import Registry, Task
from tasqueue.engine.worker import Worker
from tests.engine.rig import Q, Rig, TurnedClock, until


class Clock(TurnedClock):
    """Does something when a worker lets its jobs begin, before any of them does."""

    then: Callable[[], None] | None = None

    async def sleep(self, seconds: float) -> None:
        then, self.then = (None, self.then) if seconds else (self.then, None)
        if then is not None:
            then()
        await super().sleep(seconds)


class Bench:
    """One worker without a server around it, and a second task, which waits for the loop."""

    def __init__(self, task: Task) -> None:
        self.clock = Clock()
        self.waited = asyncio.Event()
        self.store = MemoryStore(now_ns=self.clock.now_ns)
        registry = Registry()
        registry.add(task)
        registry.add(Task(name="waits", handler=self._waits, opts=TaskOpts(queue=Q)))
        lease = self.store.lease(WorkerInfo(queues=(Q,), lease_seconds=30.0))
        lease.beat()
        equipment = Equipment(
            store=self.store, lease=lease, registry=registry, executor=Executor(),
            clock=self.clock, notes=Notes(), lease_seconds=30.0, expiry_ms=0,
        )  # fmt: skip
        self.worker = Worker(Q, 2, equipment)
        self.executor = equipment.executor

    async def _waits(self, _payload: bytes, _ctx: JobContext) -> None:
        await asyncio.sleep(0)
        self.waited.set()

    def push(self, task: str) -> None:
        self.store.push([prepare(Job.create(task, b"", JobOpts(queue=Q)))])

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None, None]:
        works = [asyncio.create_task(self.worker.committer.run())]
        works.append(asyncio.create_task(self.worker.run()))
        try:
            yield
        finally:
            for work in works:
                work.cancel()
            await asyncio.gather(*works, return_exceptions=True)
            self.executor.close()


def _handlers(ran: Counter[str]) -> dict[str, Any]:
    async def awaited(_payload: bytes, ctx: JobContext) -> None:
        ran["lost" if ctx.lease_lost else "held"] += 1

    def threaded(_payload: bytes, ctx: JobContext) -> None:
        ran["lost" if ctx.lease_lost else "held"] += 1

    return {"async": awaited, "thread": threaded}


@pytest.mark.parametrize("own", [False, True], ids=["in a row", "in its own task"])
@pytest.mark.parametrize("kind", ["async", "thread"])
async def test_a_job_that_got_its_slot_as_the_lease_was_lost_begins_when_it_is_held_again(
    kind: str, *, own: bool
) -> None:
    ran = Counter[str]()
    bench = Bench(Task(name="one", handler=_handlers(ran)[kind], opts=TaskOpts(queue=Q)))
    worker, lost = bench.worker, asyncio.Event()

    def lose() -> None:
        assert worker.running == own
        worker.lose()
        lost.set()

    async with bench.running():
        if own:
            bench.push("waits")
            await bench.waited.wait()
            await until(lambda: not bench.store.held)
        bench.clock.then = lose
        bench.push("one")
        await lost.wait()
        await until(lambda: worker.running == 0)
        assert not ran
        worker.regain()
        await until(lambda: not bench.store.held)
    assert ran == {"held": 1}


async def test_a_job_that_waits_for_the_store_as_the_lease_is_lost_does_not_begin() -> None:
    """A group's callback reads the results first; its thread could not be called back."""
    rig, ran = Rig(lease_seconds=0.04), Counter[str]()
    rig.add("callback", _handlers(ran)["thread"])
    job = Job.create("callback", b"", JobOpts(id="cb", queue=Q))
    job.ext[lifecycle.GROUP] = "nobody"
    entry = lifecycle.entry(job, now_ns=rig.clock.now_ns(), new_id=new_id)
    record = encode_job(entry.message)
    rig.memory.push([Push(Q, "cb", record, record)])
    rig.store.fail("GroupResults")
    async with rig.running():
        await until(lambda: rig.store.calls["GroupResults"])
        await _cut_off(rig)
        rig.store.fail("GroupResults", times=0)
        await _looked(rig)
        assert not ran
        rig.store.fail("beat", times=0)
        await rig.ended("cb")
    assert ran == {"held": 1}


async def test_a_job_whose_callback_runs_as_the_lease_is_lost_does_not_begin() -> None:
    rig, ran, go = Rig(lease_seconds=0.04), Counter[str](), asyncio.Event()
    called = threading.Event()

    async def processing(_ctx: JobContext) -> None:
        called.set()
        await go.wait()

    rig.add("one", _handlers(ran)["thread"], processing_cb=processing)
    name = await rig.send("one")
    async with rig.running():
        await until(called.is_set)
        await _cut_off(rig)
        go.set()
        await _looked(rig)
        assert not ran
        rig.store.fail("beat", times=0)
        await rig.ended(name)
    assert ran == {"held": 1}


async def _cut_off(rig: Rig) -> None:
    """Have no beat come through, until the worker takes itself for dead."""
    rig.store.fail("beat")
    beats = rig.store.calls["beat"]
    await until(lambda: rig.store.calls["beat"] > beats)
    rig.clock.turn(60)
    await _looked(rig)


async def _looked(rig: Rig) -> None:
    """Wait until the worker has looked at its lease, and all else had its turn, some times."""
    calls = rig.store.calls
    for name in ("beat", "promote"):
        before = calls[name]
        await until(partial(lambda name, before: calls[name] > before + 3, name, before))
