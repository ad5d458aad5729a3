"""Jobs that wait for nothing share a task; nothing else of one reaches another."""

import asyncio
from contextvars import ContextVar
from functools import partial

import pytest

from tasqueue import JobContext, current_job
from tests.engine.rig import Rig, until

_VAR: ContextVar[str] = ContextVar("var", default="")
SLOTS = 16


async def test_jobs_that_wait_for_nothing_share_a_task_and_no_context() -> None:
    rig, tasks, found = Rig(), set[object](), list[str]()

    async def plain(_payload: bytes, ctx: JobContext) -> None:
        assert current_job() is ctx
        found.append(_VAR.get())
        _VAR.set(ctx.id)
        tasks.add(asyncio.current_task())

    rig.add("plain", plain, concurrency=SLOTS)
    jobs = [await rig.send("plain") for _ in range(SLOTS)]
    async with rig.running():
        await rig.ended(*jobs)
    assert len(tasks) == 1
    assert found == [""] * SLOTS


async def test_a_job_that_waits_has_a_task_and_a_context_to_itself() -> None:
    rig, tasks, found = Rig(), list[object](), list[str]()

    async def waits(_payload: bytes, ctx: JobContext) -> None:
        assert _VAR.get() == ""
        _VAR.set(ctx.id)
        tasks.append(asyncio.current_task())
        await asyncio.sleep(0)
        assert tasks.count(asyncio.current_task()) == 1
        assert current_job() is ctx
        found.append(_VAR.get())

    rig.add("waits", waits, concurrency=SLOTS)
    jobs = [await rig.send("waits") for _ in range(10 * SLOTS)]
    async with rig.running():
        await rig.ended(*jobs)
    assert sorted(found) == sorted(jobs)


async def test_jobs_that_wait_run_beside_each_other_after_those_that_do_not() -> None:
    rig = Rig()
    quick = [await rig.send("quick") for _ in range(3)]
    gated = [await rig.send("gated") for _ in range(SLOTS)]
    async with rig.running():
        await rig.ended(*quick)
        await until(lambda: len(rig.runs) == 3 + SLOTS)
        rig.gate.set()
        await rig.ended(*gated)


async def test_a_long_row_lets_the_loop_go_on_with_others() -> None:
    rig, turns, counted = Rig(), 0, list[int]()

    async def plain(_payload: bytes, _ctx: JobContext) -> None:
        counted.append(turns)
        rig.clock.turn(0.01)

    async def beside() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    rig.add("plain", plain, concurrency=SLOTS)
    jobs = [await rig.send("plain") for _ in range(SLOTS)]
    async with rig.running():
        other = asyncio.create_task(beside())
        await rig.ended(*jobs)
        other.cancel()
    assert sorted(set(counted)) == counted


@pytest.mark.parametrize("ends", ["returns", "raises", "again"])
async def test_a_job_that_cancels_its_own_task_harms_no_other(ends: str) -> None:
    """Also where that would arrive only later: at what the task waits for next."""
    rig = Rig()

    async def cancels(_payload: bytes, _ctx: JobContext) -> None:
        mine = asyncio.current_task()
        assert mine is not None
        mine.cancel()
        if ends == "raises":
            raise asyncio.CancelledError
        if ends == "again":
            try:
                await asyncio.sleep(0)
            finally:
                mine.cancel()

    async def waits(_payload: bytes, ctx: JobContext) -> None:
        await asyncio.sleep(0)
        rig.runs[ctx.id] += 1

    rig.add("cancels", cancels, concurrency=SLOTS)
    rig.add("waits", waits)
    bad = [await rig.send("cancels", f"bad{number}") for number in range(3)]
    good = [await rig.send("waits") for _ in range(3)]
    async with rig.running():
        await rig.ended(*good)
        for job in bad:
            await until(partial(rig.is_, "successful" if ends == "returns" else "failed", job))
    assert {rig.runs[job] for job in good} == {1}
