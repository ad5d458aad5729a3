"""Fan-in on a cluster when a job's end is cut off between any two of its steps."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from functools import partial
from typing import Any

import pytest

from tasqueue import App
from tasqueue.core.errors import BackendUnavailable
from tasqueue.core.group import Membership
from tasqueue.core.job import JobStatus
from tasqueue.core.ports import Answer, Sweep, WorkerInfo
from tasqueue.drivers.redis import Address, RedisStore, store_at
from tasqueue.drivers.redis.cluster.group import open_group, seal
from tasqueue.drivers.redis.command import MAX_ITEMS, Steps, ask, command
from tasqueue.drivers.redis.keys import OPEN_GROUPS
from tests.contract.fanin_contract import Hand, Q, opening, push
from tests.servers import Cluster

STEPS = 40
"""More than the longest end has."""


@pytest.fixture
async def hand(cluster_servers: Cluster) -> AsyncIterator[Hand]:
    for node in cluster_servers.nodes:
        cluster_servers.ask(node, "FLUSHALL")
    store: RedisStore = store_at(Address.from_url(cluster_servers.url))
    lease = store.lease(WorkerInfo(queues=(Q,)))

    def beat() -> bool:
        try:
            return lease.beat()
        finally:
            store.close()

    assert await asyncio.to_thread(beat)
    yield Hand(store, lease)
    await lease.end(Q)
    await store.aclose()


def cut(steps: Steps[Any], after: int) -> Steps[Any]:
    """Carry out so many steps, and no more."""
    try:
        sent = next(steps)
        for _ in range(after):
            sent = steps.send((yield sent))
    except StopIteration as end:
        return end.value
    raise BackendUnavailable("cut off on command")


async def ends_in_pieces(hand: Hand, job_id: str, after: int, **more: Any) -> bool:
    """End a job with a cut after so many steps, then a sweep, then again; whether it was cut."""
    driver, was_cut = hand.lease._driver, False
    run = driver.run

    async def halting(steps: Steps[Any], **options: Any) -> Any:
        return await run(cut(steps, after), **options)

    driver.run = halting
    try:
        await hand.end(job_id, **more)
    except BackendUnavailable:
        was_cut = True
    finally:
        driver.run = run
    if was_cut:
        await hand.store.perform(Sweep())
        assert await hand.end(job_id, **more) in {Answer.APPLIED, Answer.DECIDED}
    return was_cut


@pytest.mark.parametrize("fails", [False, True])
async def test_an_end_cut_anywhere_calls_the_outer_callback_once(hand: Hand, fails: bool) -> None:  # noqa: FBT001 -- a parameter of the test
    cuts = 0
    for after in range(STEPS):
        inner, outer, job = f"in{after}", f"out{after}", f"a{after}"
        await hand.store.perform(opening(outer, f"{inner}-ok", on_error=push(f"{outer}-bad")))
        await hand.store.perform(opening(inner, job, outer=Membership(outer)))
        await hand.send(job, seals=[inner, outer])
        assert await hand.claim() == [job]
        error = "oh" if fails else ""
        if not await ends_in_pieces(hand, job, after, error=error, of=Membership(inner)):
            break
        cuts += 1
        if not fails:
            assert await hand.claim() == [f"{inner}-ok"]
            await hand.end(f"{inner}-ok", of=Membership(outer), closes=inner)
        callback = f"{outer}-{'bad' if fails else 'ok'}"
        assert await hand.claim() == [callback]
        await hand.end(callback, closes=outer)
        await hand.store.perform(Sweep())
        assert await hand.claim() == []
    assert 8 < cuts < STEPS


async def test_the_sweep_fires_a_group_whose_sealing_was_cut_off(hand: Hand) -> None:
    driver = hand.store._async
    run = driver.run
    for after in range(STEPS):
        await hand.store.perform(opening(f"g{after}", f"a{after}"))
        await hand.send(f"a{after}")
        assert await hand.claim() == [f"a{after}"]
        await hand.end(f"a{after}", of=Membership(f"g{after}"))

        async def halting(steps: Steps[Any], at: int = after, **options: Any) -> Any:
            return await run(cut(steps, at), **options)

        driver.run = halting
        try:
            await hand.send(seals=[f"g{after}"])
        except BackendUnavailable:
            was_cut = True
        else:
            was_cut = False
        finally:
            driver.run = run
        await hand.send(seals=[f"g{after}"])
        await hand.store.perform(Sweep())
        assert await hand.claim() == [f"g{after}-ok"]
        await hand.end(f"g{after}-ok", closes=f"g{after}")
        if not was_cut:
            break
    assert 4 < after < STEPS


async def test_a_listed_group_whose_producer_died_while_it_sealed_is_fired(
    hand: Hand, cluster_servers: Cluster
) -> None:
    listed = 0
    for after in range(STEPS):
        group = f"g{after}"
        await hand.store.perform(opening(group, f"a{after}"))
        await hand.send(f"a{after}")
        assert await hand.claim() == [f"a{after}"]
        await hand.end(f"a{after}", of=Membership(group))
        try:
            await hand.store._async.run(cut(seal(group), after))
        except BackendUnavailable:
            was_cut = True
        else:
            was_cut = False
        asked = command("SISMEMBER", OPEN_GROUPS, group)
        (is_listed,) = await hand.store._async.run(ask(asked))
        if is_listed:
            listed += 1
            await hand.store.perform(Sweep())
            assert await hand.claim() == [f"{group}-ok"]
            await hand.end(f"{group}-ok", closes=group)
        if not was_cut:
            break
    assert 4 < listed < after < STEPS


async def test_a_flow_of_nested_groups_runs_from_end_to_end(cluster_servers: Cluster) -> None:
    for node in cluster_servers.nodes:
        cluster_servers.ask(node, "FLUSHALL")
    async with App(cluster_servers.url) as app:

        @app.task(queue="orders")
        async def double(number: int) -> int:
            return 2 * number

        @app.task(queue="{mails}")
        def total(numbers: list[int]) -> int:
            return sum(numbers)

        working = asyncio.create_task(app.server.start())
        inner = double.group([(1,), (2,)]).then(total)
        flow = app.group(inner, double.s(3), double.s(4).then(double)).then(total).then(double)
        jobs = [await flow.adelay() for _ in range(20)]
        assert [await job.aget(timeout=20) for job in jobs] == [56] * len(jobs)
        await app.server.stop()
        await working


async def test_what_arrives_twice_or_late_while_a_group_is_opened_counts_once(hand: Hand) -> None:
    """A request whose reply did not come in time is sent again, and may arrive after that one."""
    names = [f"m{at}" for at in range(MAX_ITEMS + 50)]
    sent: list[Any] = []

    def doubled(steps: Steps[None]) -> Steps[None]:
        with suppress(StopIteration):
            commands = next(steps)
            while True:
                sent.append(commands)
                replies = yield commands
                yield commands
                commands = steps.send(replies)

    async def known() -> tuple[list[bytes], set[bytes]]:
        order, still = await hand.store._async.run(
            ask(command("LRANGE", "tq:gp:{g}:m", 0, -1), command("SMEMBERS", "tq:gp:{g}:p"))
        )
        return order, set(still)

    await hand.store._async.run(doubled(open_group(opening("g", *names), 0)))
    order = [name.encode() for name in names]
    assert await known() == (order, set(order))
    await hand.send(names[0], seals=["g"])
    await hand.claim()
    await hand.end(names[0], of=Membership("g"))
    for commands in sent:
        await hand.store._async.run(ask(*commands))
    assert await known() == (order, set(order[1:]))


async def _cut_run(run: Any, after: int, steps: Steps[Any], **options: Any) -> Any:
    return await run(cut(steps, after), **options)


async def test_an_end_that_is_cut_and_sent_again_leaves_the_record_of_a_child_that_ended(
    hand: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = 0
    for after in range(STEPS):
        parent, child = f"p{after}", f"c{after}"
        await hand.send(parent)
        assert await hand.claim() == [parent]
        run = hand.lease._driver.run
        with monkeypatch.context() as patched:
            patched.setattr(hand.lease._driver, "run", partial(_cut_run, run, after))
            try:
                await hand.end(parent, pushes=[push(child)])
            except BackendUnavailable:
                was_cut = True
            else:
                was_cut = False
        if child in await hand.claim():
            seen += was_cut
            await hand.end(child)
        await hand.end(parent, pushes=[push(child)])
        if child in await hand.claim():
            await hand.end(child)
        assert await hand.status(child) == JobStatus.SUCCESSFUL
        if not was_cut:
            break
    assert 1 < seen < after < STEPS
