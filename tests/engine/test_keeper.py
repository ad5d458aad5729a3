"""Beside a queue's jobs: its trouble is no other queue's, and does not fill the log."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from tasqueue import JobContext, TaskOpts
from tasqueue.core.errors import BackendRejected, BackendUnavailable, WrongType
from tasqueue.engine.registry import Task
from tests.engine.rig import Rig, until

STEPS = ("rescue", "unpark", "promote")


@pytest.fixture
def rig() -> Rig:
    return Rig()


def _stepping(rig: Rig, call: str, step: Callable[[str], Any]) -> None:
    """Have ``step(queue)`` done first whenever a step of the lease is done for a queue."""
    lease_of = rig.store.lease

    def lease(worker: Any) -> Any:
        made = lease_of(worker)
        real = getattr(made, call)

        async def wrapped(queue: str, *more: Any) -> Any:
            await step(queue)
            return await real(queue, *more)

        setattr(made, call, wrapped)
        return made

    rig.store.lease = lease
    for queue in ("bad", "good"):
        rig.server.add_task(Task(name=queue, handler=_nothing, opts=TaskOpts(queue=queue)))


async def _nothing(_payload: bytes, _ctx: JobContext) -> None:
    pass


@pytest.mark.parametrize("call", STEPS)
async def test_a_step_that_fails_for_one_queue_leaves_those_of_the_others_be(
    rig: Rig, call: str
) -> None:
    """What another queue's step is at is not begun a second time beside it."""
    seen, at_once, most = Counter[str](), Counter[str](), Counter[str]()
    slow = asyncio.Event()

    async def step(queue: str) -> None:
        seen[queue] += 1
        if queue == "bad":
            raise BackendUnavailable("away")
        at_once[queue] += 1
        most[queue] = max(most[queue], at_once[queue])
        await slow.wait()
        at_once[queue] -= 1

    _stepping(rig, call, step)
    async with rig.running():
        await until(lambda: seen["bad"] > 3)
        slow.set()
        before = seen["good"]
        await until(lambda: seen["good"] > before + 2)
    assert most == {"good": 1, "rig": 1}
    assert not at_once.total()


@pytest.mark.parametrize("call", STEPS)
async def test_a_step_that_hangs_for_one_queue_holds_up_no_other(rig: Rig, call: str) -> None:
    seen, for_ever = Counter[str](), asyncio.Event()

    async def step(queue: str) -> None:
        seen[queue] += 1
        if queue == "bad":
            await for_ever.wait()

    _stepping(rig, call, step)
    async with rig.running():
        await until(lambda: seen["good"] > 3)
    assert seen["bad"] == 1


@pytest.mark.parametrize("call", ["claim", *STEPS])
async def test_a_bad_key_on_a_server_that_blinks_is_said_once_and_so_is_its_end(
    rig: Rig, call: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    seen, mended = Counter[str](), list[str]()

    async def step(queue: str) -> None:
        seen[queue] += 1
        if queue == "bad" and not mended:
            raise WrongType("wrong type") if seen[queue] % 2 else BackendUnavailable("away")

    _stepping(rig, call, step)
    async with rig.running():
        await until(lambda: seen["bad"] > 6)
        assert caplog.text.count("wrong type") == 1
        assert "goes on" not in caplog.text
        mended.append("bad")
        await until(lambda: "goes on" in caplog.text)
        await until(lambda: seen["good"] > 6)
    assert caplog.text.count("goes on") == 1


@pytest.mark.parametrize("call", ["claim", "settle", "beat", *STEPS])
async def test_what_the_server_refuses_is_said_once_and_so_is_its_end(
    rig: Rig, call: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A worker without the right to a queue idled there for ever, and its log was empty."""
    caplog.set_level(logging.INFO)
    rig = Rig(lease_seconds=0.04)
    rig.store.fail(call, error=BackendRejected("no right"))
    name = await rig.send("quick")
    async with rig.running():
        before = rig.store.calls[call]
        await until(lambda: rig.store.calls[call] > before + 4)
        assert caplog.text.count("no right") == 1
        rig.store.fail(call, times=0)
        await until(lambda: "goes on" in caplog.text)
        await rig.ended(name)
    assert caplog.text.count("goes on") == 1


async def test_a_result_that_is_refused_is_said_once_though_others_get_through(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    on, refused, lease_of = [True], Counter[str](), rig.store.lease

    def lease(worker: Any) -> Any:
        made = lease_of(worker)
        settle = made.settle

        async def choosy(queue: str, batch: Any) -> Any:
            if on and any(one.job_id == "bad" for one in batch):
                refused["bad"] += 1
                raise BackendRejected("no right")
            return await settle(queue, batch)

        made.settle = choosy
        return made

    rig.store.lease = lease
    await rig.send("quick", "bad")
    async with rig.running():
        while refused["bad"] < 4:
            await rig.ended(await rig.send("quick"))
        assert caplog.text.count("no right") == 1
        on.clear()
        await rig.ended("bad")


async def test_an_outage_that_the_driver_has_told_of_is_not_said_again(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    """A wrong password is refused too, and is one line for all queues and steps."""
    caplog.set_level(logging.INFO)
    error = BackendRejected("wrong password")
    error.logged = True
    for call in ("claim", *STEPS):
        rig.store.fail(call, error=error)
    async with rig.running():
        await until(lambda: all(rig.store.calls[call] > 3 for call in ("claim", *STEPS)))
    assert "wrong password" not in caplog.text
