"""The two drivers of a store: threads, forks, event loops, lost servers; and what clients ask."""

import asyncio
import os
import threading
from typing import Any

import pytest

from tasqueue.core.errors import BackendRejected, BackendUnavailable
from tasqueue.core.ports import (
    BlockingStore,
    Forget,
    Lease,
    Listing,
    Pending,
    Push,
    Read,
    Store,
    Submit,
    WorkerInfo,
    Write,
)
from tasqueue.drivers.redis import Address, KeepOpts, RedisStore
from tasqueue.drivers.redis.command import ask, command
from tests.servers import Valkey

Q = "q"


def push(name: str) -> Push:
    return Push(Q, name, b"record", name.encode())


def test_it_is_a_store_for_either_world(redis_url: str) -> None:
    store = RedisStore(Address.from_url(redis_url))
    lease: Lease = store.lease(WorkerInfo(queues=(Q,)))
    assert isinstance(store, Store)
    assert isinstance(store, BlockingStore)
    assert lease.worker_id != store.lease(WorkerInfo(queues=(Q,))).worker_id


async def test_forgetting_a_job_forgets_no_other(store: RedisStore, redis_client: Any) -> None:
    for name in ("tq:res:success", "tq:res:failed"):
        redis_client.zadd(name, {"1": 1, "a": 2})
    await store.perform(Forget("a"))
    assert redis_client.zrange("tq:res:success", 0, -1) == [b"1"]
    assert redis_client.zrange("tq:res:failed", 0, -1) == [b"1"]


async def test_a_first_request_that_arrives_after_its_repeat_is_the_same_call(
    store: RedisStore, redis_client: Any
) -> None:
    """The client gave up and sent again; the network still had the first packet."""
    sent = [push("a"), push("b")._replace(call="chosen by the user")]
    assert await store.perform(Submit(sent, again=True)) == [True, True]
    assert await store.perform(Submit(sent)) == [False, False]
    assert redis_client.llen(Q) == 2


async def test_expiry_and_meta_expiry_are_those_of_go(redis_url: str, redis_client: Any) -> None:
    keep = KeepOpts(expiry_ms=60_000, meta_expiry_ms=60_000)
    store = RedisStore(Address.from_url(redis_url), keep)
    await store.perform(Write("a", b"result"))
    assert 0 < redis_client.pttl("tq:res:a") <= 60_000
    redis_client.zadd("tq:res:success", {"old": 1, "new": 1 << 62})
    assert await store.perform(Listing("success")) == ["new"]
    assert redis_client.zrange("tq:res:success", 0, -1) == [b"new"]
    await store.aclose()


async def test_two_stores_are_the_same_by_server_and_database(
    store: RedisStore, valkey_server: Valkey
) -> None:
    same = RedisStore(Address.from_url(f"redis://localhost:{valkey_server.port}"))
    other = RedisStore(Address.from_url(f"redis://127.0.0.1:{valkey_server.port}/1"))
    assert await same.identity() == await store.identity()
    assert await other.identity() != await store.identity()
    await same.aclose()
    await other.aclose()


async def test_callers_that_wait_together_are_answered_each(store: RedisStore) -> None:
    await asyncio.gather(*[store.perform(Write(f"{i}", f"{i}".encode())) for i in range(500)])
    answers = await asyncio.gather(*[store.perform(Read([f"{i}"])) for i in range(500)])
    assert answers == [[f"{i}".encode()] for i in range(500)]


async def test_the_error_of_one_caller_does_not_reach_another(
    store: RedisStore, redis_client: Any
) -> None:
    redis_client.set("string", "x")
    bad, good = await asyncio.gather(
        store.run(ask(command("LPUSH", "string", "x"))),
        store.perform(Read(["a"])),
        return_exceptions=True,
    )
    assert isinstance(bad, BackendRejected)
    assert good == [None]


async def test_a_cancelled_caller_leaves_the_connection_in_order(store: RedisStore) -> None:
    await store.perform(Write("a", b"1"))
    for _ in range(20):
        asking = asyncio.create_task(store.perform(Read(["a"])))
        await asyncio.sleep(0)
        asking.cancel()
        assert await store.perform(Read(["a", "a"])) == [b"1", b"1"]


def test_each_event_loop_has_its_own_connection(redis_url: str) -> None:
    store = RedisStore(Address.from_url(redis_url))

    async def use() -> Any:
        await store.perform(Write("a", b"1"))
        answer = await store.perform(Read(["a"]))
        await store.aclose()
        return answer

    assert [asyncio.run(use()) for _ in range(3)] == [[b"1"]] * 3


def test_many_threads_share_a_store(redis_url: str) -> None:
    store = RedisStore(Address.from_url(redis_url))
    answers: dict[int, bool] = {}

    def use(number: int) -> None:
        own = f"{number}".encode()
        for _ in range(50):
            store.perform_blocking(Write(f"{number}", own))
            assert store.perform_blocking(Read([f"{number}"])) == [own]
        answers[number] = True
        store.close()

    threads = [threading.Thread(target=use, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 8


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_does_not_touch_its_parents_connection(redis_url: str) -> None:
    store = RedisStore(Address.from_url(redis_url))
    store.perform_blocking(Write("parent", b"1"))
    children = []
    for number in range(4):
        child = os.fork()
        if child == 0:
            try:
                own = f"{number}".encode()
                for _ in range(50):
                    store.perform_blocking(Write(f"child {number}", own))
                    assert store.perform_blocking(Read([f"child {number}"])) == [own]
            except BaseException:  # noqa: BLE001 -- a child of a test only says whether it worked
                os._exit(1)
            os._exit(0)
        children.append(child)
    for _ in range(200):
        assert store.perform_blocking(Read(["parent"])) == [b"1"]
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4
    assert store.perform_blocking(Read(["parent"])) == [b"1"]
    store.close()


def test_a_server_that_is_away_is_unavailable_and_the_error_says_where_and_what() -> None:
    url = "redis://user:canary@localhost:1/3"
    store = RedisStore(Address.from_url(url, origin="TASQUEUE_URL"))
    with pytest.raises(BackendUnavailable) as caught:
        store.perform_blocking(Read(["a"]))
    assert str(caught.value) == (
        "Cannot reach the broker at redis://localhost:1/3 (connection refused). The address "
        "comes from TASQUEUE_URL. Start Redis, correct the address, or use memory://."
    )


async def test_awaited_too(redis_url: str) -> None:
    store = RedisStore(Address.from_url("redis://localhost:1"))
    with pytest.raises(BackendUnavailable, match="connection refused"):
        await store.perform(Read(["a"]))
    await store.aclose()


def test_a_server_that_hangs_is_unavailable(own_valkey: Valkey) -> None:
    store = RedisStore(Address.from_url(own_valkey.url))
    store.perform_blocking(Write("a", b"1"))
    own_valkey.pause()
    try:
        with pytest.raises(BackendUnavailable, match="timed out"):
            store.perform_blocking(Read(["a"]))
    finally:
        own_valkey.resume()
    assert store.perform_blocking(Read(["a"])) == [b"1"]
    store.close()


async def test_a_restart_between_two_requests_is_not_noticed(own_valkey: Valkey) -> None:
    store = RedisStore(Address.from_url(own_valkey.url))
    await store.perform(Submit([push("a")]))
    await asyncio.to_thread(own_valkey.restart)
    assert await store.perform(Submit([push("b")])) == [True]
    assert (await store.perform(Pending(Q))).bodies == [b"b", b"a"]
    await store.aclose()


def test_nor_by_a_blocking_caller(own_valkey: Valkey) -> None:
    store = RedisStore(Address.from_url(own_valkey.url))
    store.perform_blocking(Submit([push("a")]))
    own_valkey.restart(kill=True)
    assert store.perform_blocking(Submit([push("b")])) == [True]
    assert store.perform_blocking(Pending(Q)).bodies == [b"b", b"a"]
    store.close()


async def test_a_wrong_password_is_refused_and_shown_nowhere(
    own_valkey: Valkey, capfd: pytest.CaptureFixture[str]
) -> None:
    with own_valkey.client() as client:
        client.config_set("requirepass", "right")
    for secret, words in (("canary", "WRONGPASS|invalid|refused"), ("", "NOAUTH|refused")):
        url = f"redis://:{secret}@127.0.0.1:{own_valkey.port}"
        store = RedisStore(Address.from_url(url))
        with pytest.raises(BackendRejected, match=words) as caught:
            await store.perform(Read(["a"]))
        with pytest.raises(BackendRejected, match=words):
            store.perform_blocking(Read(["a"]))
        shown = "".join([repr(store), repr(store.address), str(caught.value), repr(caught.value)])
        assert "canary" not in shown
        await store.aclose()
        store.close()
    store = RedisStore(Address.from_url(f"redis://:right@127.0.0.1:{own_valkey.port}"))
    assert await store.perform(Read(["a"])) == [None]
    await store.aclose()


async def test_a_server_that_cannot_serve_now_is_unavailable(own_valkey: Valkey) -> None:
    store = RedisStore(Address.from_url(own_valkey.url))
    with own_valkey.client() as client:
        client.replicaof("127.0.0.1", "1")
    with pytest.raises(BackendUnavailable, match="cannot serve now"):
        await store.perform(Submit([push("a")]))
    with own_valkey.client() as client:
        client.replicaof("NO", "ONE")
    assert await store.perform(Submit([push("a")], again=True)) == [True]
    await store.aclose()
