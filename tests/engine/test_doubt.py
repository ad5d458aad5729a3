"""A store that fails, before or after the effect: each job runs once, and none is lost."""

import asyncio
import logging
from typing import Any

import pytest

from tasqueue import Job, JobContext, JobOpts, Server, ServerOpts, TaskOpts
from tasqueue.brokers import MemoryBroker
from tasqueue.brokers.redis_broker import RedisBroker
from tasqueue.core import lifecycle
from tasqueue.core.errors import BackendRejected, BackendUnavailable, WrongType
from tasqueue.core.job import JobStatus
from tasqueue.core.ports import Answer, Push
from tasqueue.core.wire import encode_job
from tasqueue.engine.processor import PATIENT_TURNS, TURNS
from tasqueue.engine.registry import Task
from tasqueue.engine.worker import COURTESY
from tasqueue.results import MemoryResults
from tests.engine.rig import Q, Rig, until


@pytest.fixture
def rig() -> Rig:
    return Rig()


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_claim_whose_request_or_answer_was_lost_loses_no_job_and_runs_each_once(
    rig: Rig, when: Any
) -> None:
    names = [await rig.send("quick") for _ in range(40)]
    rig.store.fail("claim", when=when, times=2)
    async with rig.running():
        await rig.ended(*names)
    assert rig.runs == dict.fromkeys(names, 1)
    assert not rig.memory.held


@pytest.mark.parametrize("call", ["claim", "settle"])
@pytest.mark.parametrize("when", ["before", "after"])
async def test_on_redis_too_a_lost_request_or_answer_loses_no_job_and_runs_each_once(
    redis_url: str, redis_client: Any, call: str, when: Any
) -> None:
    broker = RedisBroker.from_url(redis_url)
    rig = Rig(store=broker.store)
    names = [await rig.send("quick") for _ in range(100)]
    rig.store.fail(call, when=when, times=3)
    async with rig.running():
        await rig.ended(*names)
    await broker.close()
    assert rig.runs == dict.fromkeys(names, 1)
    assert redis_client.zcard("tq:res:success") == 100
    assert redis_client.keys("tq:if:*") == []


async def test_adoption_does_not_run_again_what_runs_or_waits_to_be_settled(rig: Rig) -> None:
    """After doubt the worker asks what it holds: its own running and ended jobs are no news."""
    done, running = await rig.send("quick"), await rig.send("gated")
    rig.store.fail("settle", when="before")
    async with rig.running():
        await until(lambda: rig.runs[done] and rig.runs[running])
        rig.store.fail("claim", when="after", times=3)
        late = await rig.send("quick")
        await until(lambda: rig.runs[late])
        rig.store.fail("settle", times=0)
        await rig.ended(done, late)
        rig.gate.set()
        await rig.ended(running)
    assert rig.runs == {done: 1, running: 1, late: 1}


async def _claimed_late(rig: Rig, lease: Any) -> str:
    """A job that the worker holds according to the store, of which it was not told."""
    name = await rig.server.enqueue(Job.create("quick", b"", JobOpts(queue="other")))
    rig.memory.held["late:1"] = (lease.worker_id, Q, rig.memory.queues["other"].popleft())
    return name


async def test_a_claim_that_the_network_delivered_late_is_found_and_runs_once(rig: Rig) -> None:
    """Its worker had given it up: nobody but the store knows that it holds these jobs."""
    made, lease_of = list[Any](), rig.store.lease

    def lease(worker: Any) -> Any:
        made.append(lease_of(worker))
        return made[0]

    rig.store.lease = lease
    ended, running = await rig.send("quick"), await rig.send("gated")
    async with rig.running():
        await until(lambda: rig.runs[running])
        await rig.ended(ended)
        rig.store.fail("settle")
        unanswered = await rig.send("quick")
        await until(lambda: rig.runs[unanswered])
        late = await _claimed_late(rig, made[0])
        rig.clock.turn(31)
        await rig.send("quick")
        await until(lambda: rig.runs[late])
        rig.store.fail("settle", times=0)
        rig.gate.set()
        await rig.ended(late, unanswered, running)
    assert set(rig.runs.values()) == {1}
    assert not rig.memory.held


@pytest.mark.parametrize("when", ["before", "after"])
async def test_settlements_are_sent_until_they_are_answered(rig: Rig, when: Any) -> None:
    names = [await rig.send("quick") for _ in range(5)]
    rig.store.fail("settle", when=when, times=3)
    async with rig.running():
        await rig.ended(*names)
    assert rig.runs == dict.fromkeys(names, 1)
    assert await rig.server.get_success() == list(dict.fromkeys(await rig.server.get_success()))


def _settling(rig: Rig, answer: Any) -> list[bool]:
    """Have ``answer(settlements)`` asked before each settling, while the list is not empty."""
    on, lease_of = [True], rig.store.lease

    def lease(worker: Any) -> Any:
        made = lease_of(worker)
        settle = made.settle

        async def asked(queue: str, batch: Any) -> Any:
            answers = answer(batch) if on else None
            if answers is None:
                return await settle(queue, batch)
            good = [one for one, said in zip(batch, answers, strict=True) if said > 0]
            await settle(queue, good)
            return answers

        made.settle = asked
        return made

    rig.store.lease = lease
    return on


async def test_a_settlement_that_is_refused_holds_no_other_up(rig: Rig) -> None:
    def refusing(batch: Any) -> None:
        if any(one.job_id == "bad" for one in batch):
            raise BackendRejected("no")

    on = _settling(rig, refusing)
    await rig.send("quick", "bad")
    others = [await rig.send("quick") for _ in range(9)]
    async with rig.running():
        await rig.ended(*others)
        assert await rig.status("bad") != "successful"
        on.clear()
        await rig.ended("bad")
    assert rig.runs["bad"] == 1


async def test_a_key_of_the_wrong_type_holds_no_other_up_and_is_told_loudly(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    def bad_key(batch: Any) -> list[Answer]:
        return [Answer.BAD_KEY if one.job_id == "bad" else Answer.APPLIED for one in batch]

    on = _settling(rig, bad_key)
    await rig.send("quick", "bad")
    others = [await rig.send("quick") for _ in range(300)]
    async with rig.running():
        await rig.ended(*others)
        await until(lambda: "a key has the wrong type (job bad)" in caplog.text)
        on.clear()
        await rig.ended("bad")
    assert rig.runs["bad"] == 1


async def test_results_that_a_fence_refused_are_said_and_not_sent_again(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    on = _settling(rig, lambda batch: [Answer.FENCED] * len(batch))
    async with rig.running():
        await rig.send("quick", "zombie")
        await until(lambda: "1 results are refused" in caplog.text)
        on.clear()
        await rig.ended(await rig.send("quick"))
    assert rig.runs["zombie"] == 1


async def test_a_blinking_store_does_not_hang_a_groups_callback(rig: Rig) -> None:
    """What the worker reads before and after an attempt is waited for, and not given up."""
    got: list[Any] = []

    async def callback(payload: bytes, ctx: JobContext) -> None:
        got.append(ctx.group_results)

    rig.add("callback", callback)
    job = Job.create("callback", b"", JobOpts(id="cb", queue=Q))
    job.ext[lifecycle.GROUP] = "nobody"
    entry = lifecycle.entry(job, now_ns=rig.clock.now_ns(), new_id=str)
    record = encode_job(entry.message)
    rig.memory.push([Push(Q, "cb", record, record)])
    rig.store.fail("GroupResults", times=2)
    async with rig.running():
        await rig.ended("cb")
    assert len(got) == 1
    assert rig.store.calls["GroupResults"] == 3


async def test_a_callback_that_comes_again_after_its_end_is_let_go_without_a_run(rig: Rig) -> None:
    """Its group is closed: it would run without the results, and its failure would count."""
    ran: list[str] = []

    async def callback(payload: bytes, ctx: JobContext) -> None:
        ran.append(ctx.id)

    rig.add("callback", callback)
    job = Job.create("callback", b"", JobOpts(id="cb", queue=Q))
    job.ext[lifecycle.GROUP] = "closed"
    entry = lifecycle.entry(job, now_ns=rig.clock.now_ns(), new_id=str)
    ended = lifecycle.recorded(entry.message, JobStatus.SUCCESSFUL, rig.clock.now_ns())
    rig.memory.push([Push(Q, "cb", encode_job(ended), encode_job(entry.message))])
    async with rig.running():
        await until(lambda: not rig.memory.queues[Q] and not rig.memory.held)
        assert await rig.is_("successful", "cb")
    assert ran == []


async def test_a_blinking_store_does_not_hang_a_job_whose_earlier_result_is_read(rig: Rig) -> None:
    heard: list[bytes | None] = []

    async def twice(payload: bytes, ctx: JobContext) -> None:
        if ctx.attempt == 1:
            await ctx.save(b"early")
            raise ValueError

    async def child(payload: bytes, ctx: JobContext) -> None:
        heard.append(ctx.meta.prev_job_result)

    rig.add("twice", twice)
    rig.add("child", child)
    job = Job.create("twice", b"", JobOpts(queue=Q, max_retries=1))
    job.on_success.append(Job.create("child", b"", JobOpts(id="child", queue=Q)))
    rig.store.fail("Read", times=0)
    await rig.server.enqueue(job)
    rig.store.fail("Read", times=2)
    async with rig.running():
        await until(lambda: heard)
    assert heard == [b"early"]


async def test_a_job_whose_handler_had_returned_when_its_worker_was_cut_off_is_done() -> None:
    rig, contexts = Rig(lease_seconds=0.04), list[JobContext]()

    async def twice(payload: bytes, ctx: JobContext) -> None:
        contexts.append(ctx)
        if ctx.attempt == 1:
            await ctx.save(b"early")
            raise ValueError

    rig.add("twice", twice)
    job = Job.create("twice", b"", JobOpts(queue=Q, max_retries=1))
    job.on_success.append(Job.create("quick", b"", JobOpts(id="child", queue=Q)))
    name = await rig.server.enqueue(job)
    rig.store.fail("Read")
    async with rig.running():
        await until(lambda: rig.store.calls["Read"] > 2)
        rig.store.fail("beat")
        await until(lambda: rig.store.calls["beat"] > 1)
        rig.clock.turn(60)
        await until(lambda: contexts[1].lease_lost)
        rig.store.fail("Read", times=0)
        rig.store.fail("beat", times=0)
        await rig.ended(name, "child")
    assert len(contexts) == 2


@pytest.mark.parametrize("call", ["known_elsewhere", "park"])
async def test_a_blinking_store_does_not_lose_a_job_of_an_unknown_task(rig: Rig, call: str) -> None:
    rig.store.fail(call, times=2)
    async with rig.running():
        await rig.send("nobodys", "lost?")
        await until(lambda: rig.memory.parked[Q])
    assert list(rig.memory.parked[Q]) == ["nobodys"]


async def test_a_mistake_of_the_workers_own_is_logged_and_the_message_kept(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any) -> Any:
        raise ZeroDivisionError("our mistake")

    async with rig.running():
        monkeypatch.setattr(lifecycle, "decide", broken)
        await rig.send("quick")
        await until(lambda: rig.memory.dead)
        monkeypatch.undo()
        await rig.ended(await rig.send("quick"))
    ((queue, _, reason),) = rig.memory.dead
    assert (queue, "our mistake" in reason) == (Q, True)
    assert any(record.exc_info for record in caplog.records)
    assert not rig.memory.held


async def test_a_worker_that_ends_by_a_mistake_of_ours_ends_the_server(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It drains and raises; a supervisor starts it again. It never idles with a dead part."""
    running = await rig.send("gated")
    started = asyncio.create_task(rig.server.start())
    await until(lambda: rig.runs[running])
    rig.store.fail("claim", error=ZeroDivisionError("our mistake"))
    late = await rig.send("quick")
    rig.gate.set()
    with pytest.raises(ZeroDivisionError):
        await started
    assert await rig.status(running) == "successful"
    assert not rig.memory.held
    assert await rig.status(late) in {"queued", "successful"}


async def test_a_store_that_is_away_leaves_a_bounded_number_of_jobs_in_memory() -> None:
    """No claims meanwhile, and settled jobs wait in a list no longer than the slots."""
    rig = Rig()
    rig.add("quick", rig._quick, concurrency=4)
    names = [await rig.send("quick") for _ in range(200)]
    rig.store.fail("settle")
    async with rig.running():
        await until(lambda: rig.runs)
        before = rig.store.calls["settle"]
        await until(lambda: rig.store.calls["settle"] > before + 5)
        held = len(rig.memory.held)
        rig.store.fail("settle", times=0)
        await rig.ended(*names)
    assert held <= 4
    assert rig.runs == dict.fromkeys(names, 1)


async def test_a_worker_that_only_meets_jobs_of_another_program_lets_that_one_claim(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    stood_back, go_on = asyncio.Event(), asyncio.Event()

    async def sleep(seconds: float) -> None:
        if seconds == COURTESY:
            stood_back.set()
            await go_on.wait()
        await asyncio.sleep(min(seconds, 0.01))

    monkeypatch.setattr(rig.clock, "sleep", sleep)
    pair = ServerOpts(broker=MemoryBroker(rig.memory), results=MemoryResults(rig.memory))
    other = Server(pair)
    await other.register_task("theirs", rig._quick, TaskOpts(queue=Q, concurrency=2))
    rig.server.limit(concurrency=2)
    names = [await rig.send("theirs") for _ in range(20)]
    async with rig.running():
        await stood_back.wait()
        waiting = [message.id for message in await rig.server.get_pending(Q)]
        go_on.set()
    assert 10 < len(waiting) < len(names)


async def test_a_worker_that_takes_one_job_of_another_program_often_does_not_wait_for_it_for_long(
    rig: Rig,
) -> None:
    """Who has waited longest gets it, and a Go worker never waits for more than a second."""
    other = Server(ServerOpts(broker=MemoryBroker(rig.memory), results=MemoryResults(rig.memory)))
    await other.register_task("theirs", rig._quick, TaskOpts(queue=Q))
    job = Job.create("theirs", b"", JobOpts(id="lone", queue=Q))
    job.ext[TURNS] = PATIENT_TURNS
    await rig.server.enqueue(job)
    async with rig.running():
        await until(lambda: rig.store.calls["wake"])
        claims = rig.store.calls["claim"]
        await until(lambda: rig.store.calls["claim"] > claims)
    assert await rig.status("lone") == "queued"


@pytest.mark.parametrize("call", ["claim", "rescue", "unpark", "promote"])
async def test_a_queue_with_a_bad_key_holds_no_other_up_and_is_said_once(
    rig: Rig, call: str, caplog: pytest.LogCaptureFixture
) -> None:
    seen, lease_of = list[str](), rig.store.lease

    def lease(worker: Any) -> Any:
        made = lease_of(worker)
        real = getattr(made, call)

        async def step(queue: str, *more: Any) -> Any:
            seen.append(queue)
            if queue == "bad":
                raise WrongType("wrong type")
            return await real(queue, *more)

        setattr(made, call, step)
        return made

    rig.store.lease = lease
    for queue in ("bad", "good"):
        rig.server.add_task(Task(name=queue, handler=rig._quick, opts=TaskOpts(queue=queue)))
    async with rig.running():
        await until(lambda: seen.count("good") > 2 and seen.count("bad") > 2)
    assert caplog.text.count("wrong type") == 1


async def test_a_stop_does_not_wait_for_a_store_that_was_never_there(rig: Rig) -> None:
    rig.store.fail("PutTask")
    async with rig.running():
        await until(lambda: rig.store.calls["PutTask"] > 1)


async def test_an_outage_at_the_end_is_said_and_left_to_others(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    async with rig.running():
        await until(lambda: rig.store.calls["claim"])
        rig.store.fail("wake")
        rig.store.fail("end")
    assert rig.server.leftover.held == 1
    assert rig.server.leftover.running == 0
    assert "others will" in caplog.text


async def test_a_heart_outlives_a_beat_that_fails_by_a_mistake_of_ours(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    rig.store.fail("beat", times=1, error=ZeroDivisionError())
    async with rig.running():
        await until(lambda: "a beat failed" in caplog.text)
        await rig.ended(await rig.send("quick"))


async def test_a_loop_outlives_its_steps(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    rig.store.fail("promote", times=1, error=ZeroDivisionError())
    async with rig.running():
        await until(lambda: rig.store.calls["promote"] > 2)
    assert "due jobs: a step failed" in caplog.text


# -- the lease ---------------------------------------------------------------------------------


async def test_a_worker_that_cannot_beat_stops_its_jobs_before_others_may_run_them(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """After three quarters of the lease: no claims, ``ctx.lease_lost``, coroutines cancelled."""
    rig, told = Rig(lease_seconds=0.04), list[JobContext]()
    waiting = asyncio.Event()

    async def waits(payload: bytes, ctx: JobContext) -> None:
        rig.runs[ctx.id] += 1
        try:
            if rig.runs[ctx.id] == 1:
                await waiting.wait()
        except asyncio.CancelledError:
            told.append(ctx)
            raise

    rig.add("waits", waits)
    name = await rig.send("waits")
    async with rig.running():
        await until(lambda: rig.runs[name])
        rig.store.fail("beat")
        await until(lambda: rig.store.calls["beat"] > 1)
        rig.clock.turn(60)
        (ctx,) = await until(lambda: told)
        assert (ctx.lease_lost, ctx.cancelled) == (True, True)
        queued = await rig.send("quick")
        claims = rig.store.calls["claim"]
        rig.store.fail("beat", times=0)
        await rig.ended(name, queued)
        assert rig.store.calls["claim"] >= claims
    assert rig.runs == {name: 2, queued: 1}
    assert "was cut off for too long" in caplog.text


async def test_a_worker_that_lost_its_lease_begins_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    rig = Rig(lease_seconds=0.04)
    async with rig.running():
        await rig.ended(await rig.send("quick"))
        rig.store.fail("beat")
        await until(lambda: rig.store.calls["beat"] > 1)
        rig.clock.turn(60)
        await until(lambda: "was cut off" in caplog.text)
        # A claim that was parked when the lease was lost may still bring a job: it is not begun.
        first = await rig.send("quick")
        await until(lambda: not rig.memory.queues[Q])
        waiting = await rig.send("quick")
        beats = rig.store.calls["beat"]
        await until(lambda: rig.store.calls["beat"] > beats + 3)
        assert rig.runs[first] == rig.runs[waiting] == 0
        rig.store.fail("beat", times=0)
        await rig.ended(first, waiting)
    assert rig.runs[first] == rig.runs[waiting] == 1


async def test_a_worker_that_was_taken_for_dead_drops_its_jobs_and_starts_anew() -> None:
    rig, cancelled = Rig(), list[str]()
    leases: list[Any] = []
    lease_of = rig.store.store.lease

    def lease(worker: Any) -> Any:
        leases.append(lease_of(worker))
        return leases[-1]

    rig.store.store.lease = lease

    async def waits(payload: bytes, ctx: JobContext) -> None:
        rig.runs[ctx.id] += 1
        try:
            if rig.runs[ctx.id] == 1:
                await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(ctx.id)
            raise

    rig.add("waits", waits)
    name = await rig.send("waits")
    async with rig.running():
        await until(lambda: rig.runs[name])
        mine, before = leases[0], leases[0].worker_id
        renew = mine.renew

        async def renewed() -> None:
            await renew()
            mine.fenced = False

        mine.renew, mine.fenced = renewed, True
        await rig.ended(name)
        assert mine.worker_id != before
    assert (cancelled, rig.runs[name]) == ([name], 2)


async def test_a_beat_that_is_merely_late_is_no_lost_lease() -> None:
    """A held GIL or a stopped process: the next beat tells, not the clock."""
    rig = Rig()
    name = await rig.send("gated")
    async with rig.running():
        await until(lambda: rig.runs[name])
        rig.clock.turn(3600)
        await rig.ended(await rig.send("quick"))
        rig.gate.set()
        await rig.ended(name)
    assert rig.runs[name] == 1


async def test_an_error_of_the_driver_while_claiming_is_no_end(rig: Rig) -> None:
    rig.store.fail("claim", times=3, error=BackendRejected("not today"))
    async with rig.running():
        await rig.ended(await rig.send("quick"))


async def test_marks_that_failed_are_sent_again() -> None:
    rig = Rig()
    rig.store.fail("mark", times=2, error=BackendUnavailable("away"))
    name = await rig.send("gated")
    async with rig.running():
        await until(lambda: rig.is_("processing", name))


async def test_jobs_whose_claim_was_answered_while_cut_off_run_once_the_worker_is_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    rig = Rig(lease_seconds=0.8)
    names = [await rig.send("quick") for _ in range(16)]
    arrives, lease_of = asyncio.Event(), rig.store.lease

    def lease(worker: Any) -> Any:
        made = lease_of(worker)
        claim = made.claim

        async def late(queue: str, limit: int) -> Any:
            taken = await claim(queue, limit)
            if taken:
                await arrives.wait()
            return taken

        made.claim = late
        return made

    rig.store.lease = lease
    async with rig.running():
        await until(lambda: rig.memory.held)
        rig.store.fail("beat")
        rig.clock.turn(7)
        await until(lambda: "cut off" in caplog.text)
        arrives.set()
        await asyncio.sleep(0)
        rig.store.fail("beat", times=0)
        await rig.ended(*names)
    assert rig.runs == dict.fromkeys(names, 1)


async def test_on_a_line_that_large_batches_do_not_get_through_smaller_ones_do(rig: Rig) -> None:
    """Answers to more than two results at once never come in time."""
    lease_of = rig.store.lease

    def lease(worker: Any) -> Any:
        made = lease_of(worker)
        through = made.settle

        async def slow(queue: str, settlements: Any) -> list[Answer]:
            if len(settlements) > 2:
                raise BackendUnavailable("no reply within 5 s")
            return list(await through(queue, settlements))

        made.settle = slow
        return made

    rig.store.lease = lease
    names = [await rig.send("quick") for _ in range(16)]
    async with rig.running():
        await rig.ended(*names)
    assert rig.runs == dict.fromkeys(names, 1)
