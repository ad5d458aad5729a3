"""What a handler may say by raising, and what clients may ask without an event loop."""

import asyncio
import logging
from datetime import timedelta

import pytest

from tasqueue import (
    Cancel,
    Chain,
    ConfigurationError,
    Group,
    Job,
    JobContext,
    JobNotFound,
    JobOpts,
    Retry,
    Snooze,
    current_job,
)
from tasqueue.core.errors import BackendUnavailable
from tasqueue.core.ports import Request
from tasqueue.drivers.memory import MemoryStore
from tasqueue.engine import plan
from tests.engine.rig import Q, Rig, until


async def test_a_handler_may_postpone_itself_without_using_up_an_attempt() -> None:
    rig = Rig()

    async def sleepy(payload: bytes, ctx: JobContext) -> None:
        rig.runs[ctx.id] += 1
        if rig.runs[ctx.id] < 3:
            raise Snooze(60)

    rig.add("sleepy", sleepy)
    async with rig.running():
        name = await rig.send("sleepy")
        await until(lambda: rig.runs[name] == 1 and rig.memory.scheduled[Q])
        rig.clock.turn(61)
        await until(lambda: rig.runs[name] == 2 and rig.memory.scheduled[Q])
        rig.clock.turn(61)
        await rig.ended(name)
    assert (await rig.server.get_job(name)).meta.retried == 0


async def test_a_handler_may_choose_when_it_is_tried_again() -> None:
    rig = Rig()

    async def later(payload: bytes, ctx: JobContext) -> None:
        rig.runs[ctx.id] += 1
        if ctx.attempt == 1:
            raise Retry("not yet", after=3600)

    rig.add("later", later)
    async with rig.running():
        name = await rig.send("later", max_retries=1)
        await until(lambda: rig.memory.scheduled[Q])
        assert (await rig.server.get_job(name)).status == "retrying"
        rig.clock.turn(3601)
        await rig.ended(name)
    assert rig.runs == {name: 2}


async def test_a_handler_may_end_its_job_whatever_attempts_are_left() -> None:
    rig = Rig()

    async def enough(payload: bytes, ctx: JobContext) -> None:
        rig.runs[ctx.id] += 1
        raise Cancel("enough")

    rig.add("enough", enough)
    async with rig.running():
        name = await rig.send("enough", max_retries=9)
        await until(lambda: rig.is_("failed", name))
    assert (await rig.server.get_job(name)).meta.prev_err == "cancelled: enough"
    assert rig.runs == {name: 1}


async def test_a_timeout_of_the_handlers_own_is_no_timeout_of_the_job() -> None:
    rig = Rig()

    async def impatient(payload: bytes, ctx: JobContext) -> None:
        async with asyncio.timeout(0):
            await asyncio.Event().wait()

    rig.add("impatient", impatient)
    async with rig.running():
        name = await rig.send("impatient", timeout=timedelta(hours=1))
        await until(lambda: rig.is_("failed", name))
    assert (await rig.server.get_job(name)).meta.prev_err == "TimeoutError"


async def test_a_limit_below_zero_is_over_at_once_as_in_go() -> None:
    rig = Rig()
    async with rig.running():
        name = await rig.send("gated", timeout_ns=-1)
        await until(lambda: rig.is_("failed", name))


def test_there_is_no_current_job_outside_of_one() -> None:
    with pytest.raises(ConfigurationError, match="no job runs here"):
        current_job()


async def test_what_is_set_in_the_handlers_context_stays_there() -> None:
    rig = Rig()
    loggers: list[logging.LoggerAdapter[logging.Logger]] = []

    async def logs(payload: bytes, ctx: JobContext) -> None:
        loggers.append(ctx.logger)

    rig.add("logs", logs)
    async with rig.running():
        name = await rig.send("logs")
        await rig.ended(name)
    assert loggers[0].extra == {"job_id": name, "task": "logs"}


# -- plans -------------------------------------------------------------------------------------


class _Blinking(MemoryStore):
    """A store whose first submission's answer is lost."""

    lost = 1

    def perform_blocking(self, request: Request) -> object:
        answer = super().perform_blocking(request)
        if self.lost and type(request).__name__ == "Submit":
            self.lost -= 1
            error = BackendUnavailable("the answer was lost")
            error.in_doubt = True
            raise error
        return answer


def test_a_plan_followed_without_a_loop_sends_a_lost_call_once_more_and_it_counts_once() -> None:
    store = _Blinking()
    job_id = plan.run_blocking(plan.enqueue(Job.create("t", b"", JobOpts(queue=Q))), store)
    assert plan.run_blocking(plan.get_job(job_id), store).status == "queued"
    assert len(store.queues[Q]) == 1


def test_a_plan_raises_what_the_store_raises_twice() -> None:
    store = _Blinking()
    store.lost = 2
    with pytest.raises(BackendUnavailable):
        plan.run_blocking(plan.enqueue(Job.create("t")), store)


def test_plans_of_many_jobs_groups_and_chains_ask_for_what_they_made() -> None:
    store = MemoryStore()
    assert plan.run_blocking(plan.enqueue_many([]), store) == []
    names = plan.run_blocking(plan.enqueue_many([Job.create("t"), Job.create("t")]), store)
    assert len(set(names)) == 2
    empty = plan.run_blocking(plan.enqueue_group(Group.create([])), store)
    assert plan.run_blocking(plan.get_group(empty), store).meta.status == "successful"
    chain = plan.run_blocking(
        plan.enqueue_chain(Chain.create([Job.create("a"), Job.create("b")])), store
    )
    assert plan.run_blocking(plan.get_chain(chain), store).meta.status == "processing"
    for asked in (plan.get_group("nobody"), plan.get_chain("nobody"), plan.get_job("nobody")):
        with pytest.raises(JobNotFound, match="nobody"):
            plan.run_blocking(asked, store)


def test_a_member_whose_record_has_expired_keeps_the_state_it_was_seen_in() -> None:
    store = MemoryStore()
    jobs = [Job.create("t", b"", JobOpts(id=name)) for name in ("kept", "gone")]
    group = plan.run_blocking(plan.enqueue_group(Group.create(jobs)), store)
    del store.data["job:msg:gone"]
    meta = plan.run_blocking(plan.get_group(group), store).meta
    assert meta.job_status == {"kept": "queued", "gone": "queued"}
