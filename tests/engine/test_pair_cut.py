"""Fan-in on a pair of stores when what it does is cut off before or after any of its steps."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from functools import partial
from typing import Any

import pytest

from tasqueue.core.errors import BackendUnavailable
from tasqueue.core.group import Membership
from tasqueue.core.job import JobStatus
from tasqueue.core.ports import Answer, Sweep, WorkerInfo
from tasqueue.drivers.memory import MemoryStore
from tasqueue.drivers.redis.command import Steps
from tasqueue.engine.pair import PairStore
from tasqueue.results import MemoryResults
from tasqueue.results.redis_results import RedisResults
from tests.contract.fanin_contract import Hand, Q, opening, push
from tests.servers import Cluster

STEPS = 60
"""More than the longest of them has."""


class Fuse:
    """Blows at one step of all that both stores do: before it is done, or after."""

    def __init__(self) -> None:
        self.left = -1
        self.late = False
        self.blown = False

    def before(self) -> None:
        if self.left == 0 and not self.late:
            self.blow()

    def after(self) -> None:
        if self.left == 0:
            self.blow()
        self.left -= 1

    def blow(self) -> None:
        self.left, self.blown = -1, True
        raise BackendUnavailable("cut off on command")

    def guard(self, owner: Any, name: str) -> None:
        """Make each call of a method one step."""
        call = getattr(owner, name)

        async def guarded(*args: Any) -> Any:
            self.before()
            answer = await call(*args)
            self.after()
            return answer

        setattr(owner, name, guarded)

    def guard_driver(self, driver: Any) -> None:
        """Make each round trip one step."""
        run = driver.run

        def stepwise(steps: Steps[Any]) -> Steps[Any]:
            try:
                sent = next(steps)
                while True:
                    self.before()
                    replies = yield sent
                    self.after()
                    sent = steps.send(replies)
            except StopIteration as end:
                return end.value

        async def guarded(steps: Steps[Any], **options: Any) -> Any:
            return await run(stepwise(steps), **options)

        driver.run = guarded


class Site:
    """A pair and its worker, which may die and be replaced."""

    def __init__(self, results: Any) -> None:
        self.fuse = Fuse()
        broker = MemoryStore()
        self.store = PairStore(broker, results.store, results)
        self.fuse.guard(broker, "perform")
        if isinstance(results, MemoryResults):
            self.fuse.guard(results.store, "perform")
        else:
            self.fuse.guard_driver(results.store._async)
        self.hand = self.hire()

    def hire(self) -> Hand:
        lease: Any = self.store.lease(WorkerInfo(queues=(Q,)))
        assert lease.beat()
        self.fuse.guard(lease._lease, "drop")
        return Hand(self.store, lease)

    async def cut(self, at: int, do: Callable[[], Any], *, late: bool) -> bool:
        """Do something that is cut off at a step; whether it was. A store may try again itself."""
        self.fuse.left, self.fuse.late, self.fuse.blown = at, late, False
        with suppress(BackendUnavailable):
            await do()
        self.fuse.left = -1
        return self.fuse.blown

    async def send(self, group: str, job: str, *, again: bool = False) -> None:
        await self.store.perform(opening(group, job))
        await self.hand.send(job, seals=[group], again=again)

    async def sweep(self) -> None:
        while await self.store.perform(Sweep()):
            pass

    async def dies(self) -> None:
        """What the worker held is another's."""
        await self.hand.lease.end(Q)
        self.hand = self.hire()


@pytest.fixture(params=["memory", "redis", "cluster"])
async def site(request: pytest.FixtureRequest) -> AsyncIterator[Site]:
    results: Any = MemoryResults()
    if request.param == "redis":
        results = RedisResults.from_url(request.getfixturevalue("redis_url"))
    elif request.param == "cluster":
        servers: Cluster = request.getfixturevalue("cluster_servers")
        for node in servers.nodes:
            servers.ask(node, "FLUSHALL")
        results = RedisResults.from_url(servers.url)
    made = Site(results)
    yield made
    await made.store.aclose()
    await asyncio.to_thread(made.store.close)


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("dies", [False, True])
@pytest.mark.parametrize("late", [False, True])
async def test_a_members_end_cut_anywhere_calls_back_once(
    site: Site, *, fails: bool, dies: bool, late: bool
) -> None:
    error, cuts = "oh" if fails else "", 0
    for at in range(STEPS):
        inner, outer, job = f"in{at}", f"out{at}", f"a{at}"
        await site.store.perform(opening(outer, f"{inner}-ok", on_error=push(f"bad{at}")))
        await site.store.perform(opening(inner, job, outer=Membership(outer)))
        await site.hand.send(job, seals=[inner, outer])
        assert await site.hand.claim() == [job]
        end: dict[str, Any] = {"error": error, "of": Membership(inner)}
        if not await site.cut(at, partial(site.hand.end, job, b"1", **end), late=late):
            break
        cuts += 1
        await site.sweep()
        if dies:
            await site.dies()
        found = await site.hand.claim()
        if job in found or not dies:
            assert await site.hand.end(job, b"1", **end) in {Answer.APPLIED, Answer.DECIDED}
        found += await site.hand.claim()
        callback = f"bad{at}" if fails else f"{inner}-ok"
        assert [one for one in found if one != job] == [callback]
        assert await site.hand.status(job) == (JobStatus.FAILED if fails else JobStatus.SUCCESSFUL)
        if not fails:
            assert await site.hand.results(inner) == [b"1"]
            await site.hand.end(f"{inner}-ok", b"2", of=Membership(outer), closes=inner)
            assert await site.hand.claim() == [f"{outer}-ok"]
        await site.hand.end(f"bad{at}" if fails else f"{outer}-ok", closes=outer)
        await site.sweep()
        assert await site.hand.claim() == []
    assert 6 < cuts < STEPS - 1


@pytest.mark.parametrize("late", [False, True])
async def test_a_flow_whose_sending_is_cut_anywhere_and_repeated_calls_back_once(
    site: Site, *, late: bool
) -> None:
    cuts = 0
    for at in range(STEPS):
        group, job = f"g{at}", f"a{at}"
        send = partial(site.send, group, job)
        if not await site.cut(at, send, late=late):
            break
        cuts += 1
        if job in await site.hand.claim():
            await site.hand.end(job, b"1", of=Membership(group))
        await send(again=True)
        found = await site.hand.claim()
        if job in found:
            await site.hand.end(job, b"1", of=Membership(group))
            found += await site.hand.claim()
        assert found.count(f"{group}-ok") == 1
        assert await site.hand.results(group) == [b"1"]
        assert await site.hand.status(job) == JobStatus.SUCCESSFUL
        await site.hand.end(f"{group}-ok", closes=group)
    assert 3 < cuts < STEPS - 1


@pytest.mark.parametrize("dies", [False, True])
@pytest.mark.parametrize("late", [False, True])
async def test_a_callback_whose_end_is_cut_anywhere_has_its_results_or_has_ended(
    site: Site, *, dies: bool, late: bool
) -> None:
    cuts = 0
    for at in range(STEPS):
        group, job, callback = f"g{at}", f"a{at}", f"g{at}-ok"
        await site.store.perform(opening(group, job))
        await site.hand.send(job, seals=[group])
        await site.hand.claim()
        await site.hand.end(job, b"1", of=Membership(group))
        assert await site.hand.claim() == [callback]
        end = partial(site.hand.end, callback, b"2", closes=group)
        if not await site.cut(at, end, late=late):
            break
        cuts += 1
        await site.sweep()
        if dies:
            await site.dies()
        if not dies or callback in await site.hand.claim():
            results, status = await site.hand.results(group), await site.hand.status(callback)
            assert results == [b"1"] or status == JobStatus.SUCCESSFUL
            await site.hand.end(callback, b"2", closes=group)
        await site.sweep()
        assert await site.hand.results(group) is None
        assert await site.hand.status(callback) == JobStatus.SUCCESSFUL
        assert await site.hand.claim() == []
    assert 3 < cuts < STEPS - 1
