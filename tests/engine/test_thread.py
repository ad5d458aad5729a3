"""``def`` handlers run in threads, which nothing can interrupt: what is promised of them."""

import asyncio
import threading
from collections.abc import Iterator
from datetime import timedelta

import pytest

from tasqueue import App, JobContext
from tasqueue.core.errors import Cancel
from tasqueue.sdk.running import sync_handler
from tests.engine.rig import Rig, until


@pytest.fixture
def door() -> Iterator[threading.Event]:
    """What a job in a thread waits for; open at the end, so that no thread is left."""
    event = threading.Event()
    yield event
    event.set()


async def timed_out(rig: Rig, began: threading.Event) -> str:
    """A job that runs on after its time; on a busy machine some have none left when they begin."""
    late = await rig.send("blocking", timeout=timedelta(milliseconds=20))
    await until(lambda: rig.is_("failed", late))
    return late if began.is_set() else await timed_out(rig, began)


async def test_a_slot_is_not_free_while_the_thread_of_a_timed_out_job_runs(
    door: threading.Event,
) -> None:
    """QUIRK: Go frees it, and so runs more handlers at once than its concurrency."""
    rig, began = Rig(), threading.Event()

    def blocking(payload: bytes, ctx: JobContext) -> None:
        began.set()
        door.wait()

    rig.add("blocking", blocking, concurrency=1)
    async with rig.running():
        late = await timed_out(rig, began)
        assert "deadline exceeded" in (await rig.server.get_job(late)).meta.prev_err
        waiting = await rig.send("quick")
        settled = rig.store.calls["promote"]
        await until(lambda: rig.store.calls["promote"] > settled + 3)
        assert await rig.status(waiting) == "queued"
        door.set()
        await rig.ended(waiting)


async def test_a_stop_does_not_wait_for_the_thread_of_a_job_that_timed_out(
    door: threading.Event,
) -> None:
    """Its outcome is settled, and nothing can end it but the end of the process."""
    rig, began = Rig(grace=float("inf")), threading.Event()

    def blocking(payload: bytes, ctx: JobContext) -> None:
        began.set()
        door.wait()

    rig.add("blocking", blocking)
    async with rig.running():
        await timed_out(rig, began)
    assert rig.server.leftover.running == 1
    assert not rig.memory.held


async def test_a_thread_whose_time_is_over_is_told_at_its_next_save(door: threading.Event) -> None:
    rig, began, told = Rig(), threading.Event(), list[object]()

    def blocking(payload: bytes, ctx: JobContext) -> None:
        ctx.save(b"in time")
        began.set()
        door.wait()
        told.append(ctx.cancelled)
        try:
            ctx.save(b"too late")
        except Cancel as error:
            told.append(str(error))
            raise

    rig.add("blocking", blocking)
    async with rig.running():
        late = await timed_out(rig, began)
        door.set()
        await until(lambda: len(told) == 2)
        assert told == [True, "this attempt is over: it had 0.02 s"]
        assert await rig.server.get_result(late) == b"in time"


@pytest.mark.parametrize("how", ["save", "raise"])
async def test_a_job_that_fails_when_its_cut_off_worker_stops_it_runs_again_later(
    door: threading.Event, how: str
) -> None:
    """The word of its worker, or its process that is killed, is no failure of the job's own."""
    rig = Rig(lease_seconds=0.04)
    lost, contexts = threading.Event(), list[JobContext]()

    def blocking(payload: bytes, ctx: JobContext) -> None:
        contexts.append(ctx)
        rig.runs[ctx.id] += 1
        if rig.runs[ctx.id] == 1:
            door.wait()
            lost.set()
            if how == "raise":
                raise OSError("its process was killed by signal 9")
        ctx.save(b"done")

    rig.add("blocking", blocking)
    async with rig.running():
        name = await rig.send("blocking")
        await until(lambda: contexts)
        rig.store.fail("beat")
        await until(lambda: rig.store.calls["beat"] > 1)
        rig.clock.turn(60)
        await until(lambda: contexts[0].lease_lost)
        door.set()
        await until(lost.is_set)
        rig.store.fail("beat", times=0)
        await rig.ended(name)
    assert rig.runs == {name: 2}


async def test_a_thread_that_ends_while_its_worker_is_cut_off_is_settled_if_still_held(
    door: threading.Event,
) -> None:
    rig, contexts = Rig(lease_seconds=0.04), list[JobContext]()

    def blocking(payload: bytes, ctx: JobContext) -> None:
        contexts.append(ctx)
        door.wait()

    rig.add("blocking", blocking)
    async with rig.running():
        name = await rig.send("blocking")
        await until(lambda: contexts)
        rig.store.fail("beat")
        await until(lambda: rig.store.calls["beat"] > 1)
        rig.clock.turn(60)
        await until(lambda: contexts[0].lease_lost)
        door.set()
        await rig.ended(name)
        rig.store.fail("beat", times=0)
        await rig.ended(await rig.send("quick"))
    assert len(contexts) == 1


async def test_what_a_function_returned_while_its_worker_was_cut_off_counts_if_still_held(
    door: threading.Event,
) -> None:
    """The function is not told any more, by what saves its result, that its attempt was over."""
    rig, app, contexts = Rig(lease_seconds=0.04), App("memory://"), list[JobContext]()

    @app.task(name="returns")
    def returns(ctx: JobContext) -> int:
        contexts.append(ctx)
        door.wait()
        return 5

    rig.add("returns", sync_handler(returns.spec, returns.function))
    async with rig.running():
        name = await rig.send("returns")
        await until(lambda: contexts)
        rig.store.fail("beat")
        await until(lambda: rig.store.calls["beat"] > 1)
        rig.clock.turn(60)
        await until(lambda: contexts[0].lease_lost)
        door.set()
        await rig.ended(name)
        rig.store.fail("beat", times=0)
    assert await rig.server.get_result(name) == b"5"
    assert len(contexts) == 1


async def test_a_thread_whose_time_is_over_while_its_worker_is_cut_off_is_settled_and_not_doubled(
    door: threading.Event,
) -> None:
    rig, contexts = Rig(lease_seconds=0.04), list[JobContext]()

    def blocking(payload: bytes, ctx: JobContext) -> None:
        contexts.append(ctx)
        door.wait()

    rig.add("blocking", blocking, concurrency=1)
    async with rig.running():
        late = await rig.send("blocking", timeout=timedelta(milliseconds=500))
        await until(lambda: contexts)
        rig.store.fail("beat")
        await until(lambda: rig.store.calls["beat"] > 1)
        rig.clock.turn(60)
        await until(lambda: rig.is_("failed", late))
        rig.store.fail("beat", times=0)
        waiting = await rig.send("quick")
        looks = rig.store.calls["promote"]
        await until(lambda: rig.store.calls["promote"] > looks + 3)
        assert await rig.status(waiting) == "queued"
        door.set()
        await rig.ended(waiting)
    assert len(contexts) == 1


async def test_as_many_threads_run_as_there_are_slots(door: threading.Event) -> None:
    rig, at_once = Rig(), threading.Barrier(4)

    def meeting(payload: bytes, ctx: JobContext) -> None:
        at_once.wait(timeout=20)

    rig.add("meeting", meeting, concurrency=4)
    async with rig.running():
        await rig.ended(*[await rig.send("meeting") for _ in range(8)])


async def test_a_handler_in_a_thread_sees_its_context_and_may_await_nothing() -> None:
    rig, seen = Rig(), list[object]()

    def handler(payload: bytes, ctx: JobContext) -> None:
        from tasqueue import current_job  # noqa: PLC0415 -- as a user's function would

        seen.extend([current_job() is ctx, ctx.attempt, ctx.max_retries, ctx.queue, ctx.cancelled])
        ctx.logger.info("said")
        ctx.save(b"saved")

    rig.add("handler", handler)
    async with rig.running():
        name = await rig.send("handler")
        await rig.ended(name)
    assert seen == [True, 1, 0, "rig", False]
    assert await rig.server.get_result(name) == b"saved"


async def test_a_result_is_bytes() -> None:
    rig = Rig()

    async def wrong(payload: bytes, ctx: JobContext) -> None:
        await ctx.save(5)  # type: ignore[arg-type]

    rig.add("wrong", wrong)
    async with rig.running():
        name = await rig.send("wrong")
        await until(lambda: rig.is_("failed", name))
    assert "as bytes, not as int" in (await rig.server.get_job(name)).meta.prev_err


async def test_a_cancelled_coroutine_in_its_limit_is_told_why() -> None:
    rig, contexts = Rig(), list[JobContext]()

    async def endless(payload: bytes, ctx: JobContext) -> None:
        contexts.append(ctx)
        await asyncio.Event().wait()

    rig.add("endless", endless)
    async with rig.running():
        name = await rig.send("endless", timeout=timedelta(milliseconds=20))
        await until(lambda: rig.is_("failed", name))
    assert contexts[0].cancelled
    assert contexts[0].deadline is not None
    assert not contexts[0].lease_lost
