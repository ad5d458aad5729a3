"""Jobs that wait for nothing share a task; nothing else of one reaches another."""

import asyncio
from contextvars import ContextVar
from functools import partial
from typing import Any, NoReturn

import pytest

from tasqueue import JobContext, current_job
from tasqueue.engine import journal
from tests.engine.rig import Rig, until

_VAR: ContextVar[str] = ContextVar("var", default="")
_EAGER = getattr(asyncio, "eager_task_factory", None)
SLOTS = 16


async def test_jobs_that_wait_for_nothing_share_a_task_and_no_context() -> None:
    rig, tasks, found = Rig(), set[str](), list[str]()

    async def plain(_payload: bytes, ctx: JobContext) -> None:
        assert current_job() is ctx
        found.append(_VAR.get())
        _VAR.set(ctx.id)
        tasks.add(_mine().get_name())

    rig.add("plain", plain, concurrency=SLOTS)
    jobs = [await rig.send("plain") for _ in range(SLOTS)]
    async with rig.running():
        await rig.ended(*jobs)
    assert len(tasks) == 1
    assert found == [""] * SLOTS


def _mine() -> "asyncio.Task[object]":
    mine = asyncio.current_task()
    assert mine is not None
    return mine


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


async def test_what_a_job_wants_done_when_its_task_ends_is_done_though_more_jobs_come() -> None:
    rig, done, counted = Rig(), list[object](), list[int]()

    async def plain(_payload: bytes, _ctx: JobContext) -> None:
        counted.append(len(done))
        _mine().add_done_callback(done.append)
        rig.clock.turn(0.01)

    rig.add("plain", plain, concurrency=SLOTS)
    jobs = [await rig.send("plain") for _ in range(SLOTS)]
    async with rig.running():
        await rig.ended(*jobs)
    assert counted == list(range(SLOTS))


@pytest.mark.parametrize("ends", ["returns", "raises", "again"])
async def test_a_job_that_cancels_its_own_task_harms_no_other(ends: str) -> None:
    """Also where that would arrive only later: at what the task waits for next."""
    rig = Rig()

    async def cancels(_payload: bytes, _ctx: JobContext) -> None:
        mine = _mine()
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


async def test_a_job_that_keeps_its_task_cannot_cancel_another_with_it_later() -> None:
    rig, kept, late = Rig(), list[asyncio.Task[object]](), asyncio.Event()

    async def keeps(_payload: bytes, _ctx: JobContext) -> None:
        kept.append(_mine())

    async def waits(_payload: bytes, _ctx: JobContext) -> None:
        late.set()
        await rig.gate.wait()

    rig.add("keeps", keeps, concurrency=SLOTS)
    rig.add("waits", waits)
    keeping, waiting = await rig.send("keeps"), await rig.send("waits")
    async with rig.running():
        await rig.ended(keeping)
        await late.wait()
        kept[0].cancel()
        await asyncio.sleep(0)
        rig.gate.set()
        await rig.ended(waiting)


async def test_a_job_that_cancels_its_own_task_and_raises_is_tried_again() -> None:
    """Its result waits for more to send with it: a burial, which does not, would overtake it."""
    rig = Rig()

    async def cancels(_payload: bytes, ctx: JobContext) -> None:
        rig.runs[ctx.id] += 1
        if rig.runs[ctx.id] == 1:
            _mine().cancel()
            raise ValueError

    rig.add("cancels", cancels, concurrency=SLOTS)
    bad = await rig.send("cancels", max_retries=1)
    good = [await rig.send("gated") for _ in range(3 * SLOTS)]
    async with rig.running():
        await until(lambda: rig.runs[bad])
        rig.gate.set()
        await rig.ended(bad, *good)


async def test_what_a_job_waits_for_and_fails_with_shows_frames_of_the_handler_alone() -> None:
    rig, found = Rig(), list[str]()

    async def waits(_payload: bytes, _ctx: JobContext) -> None:
        loop = asyncio.get_running_loop()
        answer = loop.create_future()
        loop.call_soon(answer.set_exception, ValueError())
        try:
            await answer
        except ValueError as error:
            found.extend(_functions(error))

    rig.add("waits", waits)
    job = await rig.send("waits")
    async with rig.running():
        await rig.ended(job)
    assert found == ["waits"]


def _functions(error: BaseException) -> list[str]:
    frame, names = error.__traceback__, list[str]()
    while frame is not None:
        names.append(frame.tb_frame.f_code.co_name)
        frame = frame.tb_next
    return names


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_that_meets_the_engine_in_a_row_leaves_no_job_that_runs_for_ever(
    error: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_ctx: JobContext) -> NoReturn:
        monkeypatch.undo()
        raise error

    async def start() -> tuple[Rig, asyncio.Task[None]]:
        rig = Rig()
        for job_id in ("met", "next"):
            await rig.send("quick", job_id)
        return rig, asyncio.create_task(rig.server.start())

    async def end(rig: Rig, work: asyncio.Task[None]) -> None:
        await rig.ended("next")
        await rig.server.stop()
        await work

    monkeypatch.setattr(journal, "started", interrupted)
    with asyncio.Runner() as runner:
        rig, work = runner.run(start())
        with pytest.raises(error):
            runner.run(end(rig, work))
        runner.run(end(rig, work))
    assert rig.server.leftover == (0, 0)


async def test_jobs_run_also_where_a_task_begins_as_soon_as_it_is_made() -> None:
    """So a loop's own factory may do (from Python 3.12 on): it makes no task of a job."""
    rig, made = Rig(), list[str]()
    jobs = [await rig.send("quick") for _ in range(SLOTS)]
    jobs += [await rig.send("gated") for _ in range(SLOTS)]
    rig.gate.set()
    loop = asyncio.get_running_loop()

    def factory(loop: asyncio.AbstractEventLoop, work: Any, **how: Any) -> Any:
        made.append(work.__qualname__)
        return _EAGER(loop, work, **how) if _EAGER else asyncio.Task(work, loop=loop, **how)

    loop.set_task_factory(factory)
    try:
        async with rig.running():
            await rig.ended(*jobs)
    finally:
        loop.set_task_factory(None)
    assert "Worker.run" in made
    assert not {"Slots._work", "Processor.process"} & set(made)
