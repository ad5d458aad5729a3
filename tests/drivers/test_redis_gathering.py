"""Sends of many coroutines in one call: each caller gets its own answer, or the call's error."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis import Redis

from tasqueue.core.errors import BackendRejected, BackendUnavailable, WrongType
from tasqueue.core.ports import Push, Read, Submit
from tasqueue.drivers.redis import Address, RedisStore
from tasqueue.drivers.redis.aio import Line
from tasqueue.drivers.redis.command import MAX_ITEMS
from tasqueue.drivers.redis.gathering import Gathering


@pytest.fixture
async def store(redis_url: str) -> AsyncIterator[RedisStore]:
    made = RedisStore(Address.from_url(redis_url))
    yield made
    await made.aclose()


def push(name: str, queue: str = "q") -> Push:
    return Push(queue, name, b"record", name.encode())


async def sent(store: RedisStore, *pushes: Push) -> list[object]:
    """What each of many callers at once is told."""
    calls = [store.perform(Submit((one,))) for one in pushes]
    return list(await asyncio.gather(*calls, return_exceptions=True))


async def test_callers_that_come_together_share_a_call_and_each_is_told(
    store: RedisStore, redis_client: Redis
) -> None:
    await store.perform(Submit((push("b"),)))
    redis_client.config_resetstat()
    assert await sent(store, push("a"), push("b"), push("c")) == [[True], [False], [True]]
    stats = redis_client.info("commandstats")
    assert isinstance(stats, dict)
    assert stats["cmdstat_fcall"]["calls"] == 1
    assert redis_client.lrange("q", 0, -1) == [b"c", b"a", b"b"]


async def test_a_queue_that_refuses_is_the_error_of_its_callers_alone(
    store: RedisStore, redis_client: Redis
) -> None:
    redis_client.set("bad", "not ours")
    one, two, three = await sent(store, push("a", "bad"), push("b"), push("c", "bad"))
    assert two == [True]
    assert isinstance(one, WrongType)
    assert isinstance(three, WrongType)
    assert one is not three


async def test_a_caller_that_gives_up_takes_no_answer_from_others(store: RedisStore) -> None:
    calls = [asyncio.ensure_future(store.perform(Submit((push(name),)))) for name in "abc"]
    await asyncio.sleep(0)
    calls[1].cancel()
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert (results[0], results[2]) == ([True], [True])
    assert isinstance(results[1], asyncio.CancelledError)


async def test_more_than_one_script_takes_leaves_in_several_calls() -> None:
    sizes: list[int] = []

    async def send(request: Submit) -> list[bool]:
        sizes.append(len(request.pushes))
        await asyncio.sleep(0)
        return [True] * len(request.pushes)

    gathering = Gathering(send)
    many = [gathering.push(push(str(number))) for number in range(MAX_ITEMS + 1)]
    assert await asyncio.gather(*many) == [[True]] * (MAX_ITEMS + 1)
    assert sizes == [MAX_ITEMS, 1]


@pytest.mark.parametrize(
    "error", [BackendUnavailable("gone", "OOM"), BackendRejected("no"), ValueError("a bug")]
)
async def test_an_error_of_the_call_is_that_of_each_caller_and_the_next_call_goes_out(
    error: Exception,
) -> None:
    errors = [error]

    async def send(request: Submit) -> list[bool]:
        if errors:
            raise errors.pop()
        return [True] * len(request.pushes)

    gathering = Gathering(send)
    told = await asyncio.gather(
        gathering.push(push("a")), gathering.push(push("b")), return_exceptions=True
    )
    assert [type(one) for one in told] == [type(error)] * 2
    assert await gathering.push(push("c")) == [True]


async def test_an_error_of_an_exchange_is_that_of_each_caller_and_the_next_exchange_goes_out(
    store: RedisStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    errors, whole = [ValueError("a bug")], Line.exchange

    async def exchange(line: Line, *args: Any, **options: Any) -> list[Any]:
        if errors:
            raise errors.pop()
        return await whole(line, *args, **options)

    monkeypatch.setattr(Line, "exchange", exchange)
    told = await asyncio.gather(
        *[store.perform(Read((name,))) for name in "ab"], return_exceptions=True
    )
    assert [type(one) for one in told] == [ValueError] * 2
    assert await store.perform(Read(("c",))) == [None]


async def test_nobody_waits_for_ever_for_a_call_that_was_cancelled() -> None:
    async def send(request: Submit) -> list[bool]:
        raise asyncio.CancelledError

    gathering = Gathering(send)
    told = await asyncio.gather(
        gathering.push(push("a")), gathering.push(push("b")), return_exceptions=True
    )
    assert all(isinstance(one, asyncio.CancelledError) for one in told)


async def test_nobody_waits_for_ever_for_a_call_that_was_cancelled_before_it_began() -> None:
    async def send(request: Submit) -> list[bool]:
        return [True] * len(request.pushes)

    gathering, others = Gathering(send), asyncio.all_tasks()
    caller = asyncio.create_task(gathering.push(push("a")))
    await asyncio.sleep(0)
    (pump,) = asyncio.all_tasks() - others - {caller}
    pump.cancel()
    await asyncio.wait([caller], timeout=5)
    assert caller.cancelled()
    assert await gathering.push(push("b")) == [True]


async def test_who_asks_while_the_store_closes_is_not_left_waiting(redis_url: str) -> None:
    store = RedisStore(Address.from_url(redis_url))
    caller = asyncio.create_task(store.perform(Read(("name",))))
    await asyncio.sleep(0)
    await store.aclose()
    await asyncio.wait([caller], timeout=5)
    assert caller.cancelled()
