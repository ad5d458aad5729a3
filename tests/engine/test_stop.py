"""The end of a run: nothing is lost, nothing that runs is doubled without need, and it is said."""

import asyncio
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from tasqueue import Job, JobContext, JobOpts, Server, ServerOpts, TaskOpts, Unsupported
from tasqueue.brokers import MemoryBroker
from tasqueue.core.errors import BackendUnavailable
from tasqueue.core.ports import Claim
from tasqueue.drivers.memory.lease import MemoryLease
from tasqueue.engine.prefetch import Prefetch
from tasqueue.engine.worker import COURTESY
from tasqueue.results import MemoryResults
from tests.engine.rig import FaultyStore, Q, Rig, stopped, until


@pytest.fixture
def rig() -> Rig:
    return Rig()


@pytest.fixture
def door() -> Iterator[threading.Event]:
    """What a job in a thread waits for; open at the end, so that no thread is left."""
    event = threading.Event()
    yield event
    event.set()


async def test_quirk_graceful_shutdown_loses_jobs_running_ones_end_and_waiting_ones_stay(
    rig: Rig,
) -> None:
    rig.add("gated", rig._gated, concurrency=2)
    names = [await rig.send("gated") for _ in range(5)]
    started = asyncio.create_task(rig.server.start())
    await until(lambda: len(rig.runs) == 2)
    stop = asyncio.create_task(rig.server.stop())
    await until(lambda: rig.store.calls["wake"])
    rig.gate.set()
    await asyncio.gather(stop, started)
    assert [await rig.status(name) for name in names] == ["successful"] * 2 + ["queued"] * 3
    assert [one.id for one in await rig.server.get_pending(Q)] == names[:1:-1]
    assert not rig.memory.held
    assert rig.server.leftover == (0, 0)
    assert rig.runs == dict.fromkeys(names[:2], 1)


async def test_what_was_claimed_and_not_begun_goes_back_to_the_old_end(rig: Rig) -> None:
    """It is given back before the running jobs are waited for."""
    claiming: list[Any] = []
    lease_of = rig.store.lease

    def lease(worker: Any) -> Any:
        made = lease_of(worker)
        claim = made.claim

        async def late(queue: str, limit: int) -> list[Claim]:
            claims: list[Claim] = await claim(queue, 1)
            if claims and claiming:
                claiming.append(claims)
                await until(lambda: len(claiming) == 3)  # the stop comes meanwhile
            return claims

        made.claim = late
        return made

    rig.store.lease = lease
    running = await rig.send("gated")
    started = asyncio.create_task(rig.server.start())
    await until(lambda: rig.runs[running])
    claiming.append("go")
    unbegun, waiting = await rig.send("quick"), await rig.send("quick")
    await until(lambda: len(claiming) == 2)
    stop = asyncio.create_task(rig.server.stop())
    await until(lambda: rig.store.calls["wake"])
    claiming.append("stopping")
    await until(lambda: rig.store.calls["release"])
    assert [one.id for one in await rig.server.get_pending(Q)] == [waiting, unbegun]
    assert await rig.status(running) != "successful"
    rig.gate.set()
    await asyncio.gather(stop, started)
    assert rig.runs == {running: 1}


async def test_a_job_that_outlasts_the_grace_is_cancelled_and_given_back(rig: Rig) -> None:
    name = await rig.send("gated")
    started = asyncio.create_task(rig.server.start())
    await until(lambda: rig.runs[name])
    stop = asyncio.create_task(rig.server.stop())
    await until(lambda: rig.store.calls["wake"])
    assert not stop.done()
    await asyncio.gather(rig.server.stop(), stop, started)  # again: no more time
    assert [one.id for one in await rig.server.get_pending(Q)] == [name]
    assert await rig.status(name) in {"queued", "processing"}
    assert rig.server.leftover == (0, 0)


@pytest.mark.parametrize("grace", [0.0, 0.05])
async def test_the_grace_has_an_end(grace: float) -> None:
    rig = Rig(grace=grace)
    name = await rig.send("gated")
    started = asyncio.create_task(rig.server.start())
    await until(lambda: rig.runs[name])
    await rig.server.stop()
    await started
    assert [one.id for one in await rig.server.get_pending(Q)] == [name]


async def test_a_stop_now_skips_the_wait(rig: Rig) -> None:
    name = await rig.send("gated")
    started = asyncio.create_task(rig.server.start())
    await until(lambda: rig.runs[name])
    await rig.server.stop(now=True)
    await started
    assert [one.id for one in await rig.server.get_pending(Q)] == [name]


async def test_a_stop_while_claimed_jobs_go_back_waits_for_no_slot(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The slots are full: whoever claims for them must look whether it is to end."""
    monkeypatch.setattr("tasqueue.engine.drain._CLAIMS", 600)
    monkeypatch.setattr(Prefetch, "ahead", 5)
    stops, release = list[asyncio.Task[None]](), MemoryLease.release

    async def stopping(lease: MemoryLease, queue: str, tokens: Sequence[str]) -> int:
        if not stops:
            stops.append(asyncio.create_task(rig.server.stop(now=True)))
            await until(lambda: rig.store.calls["wake"])
        return await release(lease, queue, tokens)

    monkeypatch.setattr(MemoryLease, "release", stopping)
    for task in ["gated"] * 16 + ["quick"] * 5:
        await rig.send(task)
    await rig.server.start()
    await stops[0]
    assert len(await rig.server.get_pending(Q)) == 21
    assert not rig.memory.held


async def test_nothing_is_claimed_after_a_stop_that_comes_while_others_are_let_go_first(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    stops, claims, sleep = list[asyncio.Task[None]](), list[int](), rig.clock.sleep

    async def stopping(seconds: float) -> None:
        if seconds == COURTESY and not stops:
            stops.append(asyncio.create_task(rig.server.stop()))
            await until(lambda: rig.store.calls["wake"])
            claims.append(rig.store.calls["claim"])
        await sleep(seconds)

    monkeypatch.setattr(rig.clock, "sleep", stopping)
    rig.add("gated", rig._gated, concurrency=1)
    other = Server(ServerOpts(broker=MemoryBroker(rig.store), results=MemoryResults(rig.store)))
    await other.register_task("theirs", rig._quick, TaskOpts(queue=Q))
    await rig.send("theirs")
    await rig.server.start()
    await stops[0]
    assert claims == [rig.store.calls["claim"]]


async def test_what_a_cancelled_handler_hides_or_saves_is_no_outcome(rig: Rig) -> None:
    async def deaf(payload: bytes, ctx: JobContext) -> None:
        rig.runs[ctx.id] += 1
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await ctx.save(b"half of it")
        if ctx.cancelled:
            raise ValueError("cleaning up went wrong")

    rig.add("deaf", deaf)
    name = await rig.send("deaf")
    started = asyncio.create_task(rig.server.start())
    await until(lambda: rig.runs[name])
    await rig.server.stop(now=True)
    await started
    assert [one.id for one in await rig.server.get_pending(Q)] == [name]
    assert await rig.server.get_failed() == []


async def test_a_coroutine_that_takes_no_notice_is_given_back_and_counted(rig: Rig) -> None:
    async def deaf(payload: bytes, ctx: JobContext) -> None:
        rig.runs[ctx.id] += 1
        while not rig.gate.is_set():
            try:
                await rig.gate.wait()
            except asyncio.CancelledError:
                continue

    rig.add("deaf", deaf)
    name = await rig.send("deaf")
    started = asyncio.create_task(rig.server.start())
    await until(lambda: rig.runs[name])
    await rig.server.stop(now=True)
    await started
    assert rig.server.leftover == (1, 0)
    assert [one.id for one in await rig.server.get_pending(Q)] == [name]
    rig.gate.set()


async def test_a_thread_that_outlasts_the_grace_is_given_back_and_counted(
    rig: Rig, door: threading.Event
) -> None:
    began = threading.Event()

    def blocking(payload: bytes, ctx: JobContext) -> None:
        began.set()
        door.wait()

    rig.add("blocking", blocking)
    name = await rig.send("blocking")
    started = asyncio.create_task(rig.server.start())
    await until(began.is_set)
    await rig.server.stop(now=True)
    await started
    assert rig.server.leftover == (1, 0)
    assert [one.id for one in await rig.server.get_pending(Q)] == [name]


async def test_what_has_ended_is_settled_before_the_end_though_the_store_blinks(rig: Rig) -> None:
    names = [await rig.send("gated") for _ in range(3)]
    started = asyncio.create_task(rig.server.start())
    await until(lambda: len(rig.runs) == 3)
    rig.store.fail("settle", times=3)
    rig.gate.set()
    await rig.server.stop()
    await started
    assert [await rig.status(name) for name in names] == ["successful"] * 3
    assert rig.server.leftover == (0, 0)


async def test_cancelling_the_task_that_runs_start_is_a_stop(rig: Rig) -> None:
    name = await rig.send("gated")
    started = asyncio.create_task(rig.server.start())
    await until(lambda: rig.runs[name])
    started.cancel()
    await until(lambda: rig.store.calls["wake"])
    rig.gate.set()
    await stopped(started)
    assert started.cancelled()
    assert await rig.status(name) == "successful"


async def test_cancelling_it_twice_hurries_the_stop_and_breaks_nothing_off(rig: Rig) -> None:
    name = await rig.send("gated")
    started = asyncio.create_task(rig.server.start())
    await until(lambda: rig.runs[name])
    started.cancel()
    await until(lambda: rig.store.calls["wake"])
    started.cancel()
    await stopped(started)
    assert started.cancelled()
    assert [one.id for one in await rig.server.get_pending(Q)] == [name]


async def test_a_server_may_be_stopped_before_it_starts(rig: Rig) -> None:
    await rig.server.stop()
    await rig.server.start()
    assert not rig.store.calls["claim"]


async def test_a_stop_does_not_wait_for_a_broker_that_cannot_be_opened() -> None:
    memory = MemoryBroker().store

    class Away(FaultyStore):
        async def identity(self) -> str:
            self.calls["identity"] += 1
            raise BackendUnavailable("away")

    away: Any = Away(memory)
    server = Server(ServerOpts(broker=MemoryBroker(away), results=MemoryResults()))
    started = asyncio.create_task(server.start())
    await until(lambda: away.calls["identity"])
    await server.stop()
    await started


async def test_a_store_that_cannot_be_used_at_all_ends_the_start_with_its_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Refusing(FaultyStore):
        async def identity(self) -> str:
            raise Unsupported("not with this server")

    refusing: Any = Refusing(MemoryBroker().store)
    server = Server(ServerOpts(broker=MemoryBroker(refusing), results=MemoryResults()))
    with pytest.raises(Unsupported, match="not with this server"):
        await server.start()
    assert caplog.text == ""


async def test_a_server_without_tasks_waits_for_its_stop() -> None:
    """As in Go: it has no queue, and runs until it is stopped."""
    server = Server(ServerOpts(broker=MemoryBroker(), results=MemoryResults()))
    started = asyncio.create_task(server.start())
    await asyncio.sleep(0)
    job_id = await server.enqueue(Job.create("any", b"", JobOpts(queue=Q)))
    assert not started.done()
    await server.stop()
    await started
    assert (await server.get_job(job_id)).status == "queued"


def test_the_end_of_the_programs_loop_fails_no_job() -> None:
    """`asyncio.run` cancels all that is left: such a job is given back, not failed."""
    rig = Rig()

    async def main() -> None:
        name = await rig.send("gated")
        rig.gate = asyncio.Event()
        task = asyncio.create_task(rig.server.start(), name="left to itself")
        await until(lambda: rig.runs[name])
        assert not task.done()

    asyncio.run(main())
    assert len(rig.memory.queues[Q]) == 1
    assert not rig.memory.lists["failed"]
    assert not rig.memory.held
