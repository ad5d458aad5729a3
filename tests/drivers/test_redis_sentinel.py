"""Sentinels: the primary is found through them, and after a failover the next one is."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, NamedTuple

import pytest

from tasqueue import App
from tasqueue.brokers.redis_broker import RedisBroker
from tasqueue.core.errors import BackendUnavailable
from tasqueue.core.ports import Read, Write
from tasqueue.drivers.redis import Address, RedisStore
from tasqueue.drivers.redis.sentinel import Sentinels
from tasqueue.engine.pair import join
from tasqueue.results.redis_results import RedisResults
from tests.drivers.fleet import Fleet, fleet, until
from tests.servers import Sentinel, Valkey, sentinel, valkey


class Watched(NamedTuple):
    primary: Valkey
    replica: Valkey
    sentinel: Sentinel

    @property
    def url(self) -> str:
        return self.sentinel.url


@pytest.fixture
def watched() -> Iterator[Watched]:
    with ExitStack() as stack:
        primary = stack.enter_context(valkey(repl_diskless_sync_delay="0"))
        replica = stack.enter_context(valkey(replicaof=f"127.0.0.1 {primary.port}"))
        yield Watched(primary, replica, stack.enter_context(sentinel(primary)))


async def ask(store: RedisStore, *, awaited: bool) -> Any:
    read = Read(["a"])
    return await store.perform(read) if awaited else store.perform_blocking(read)


async def end(store: RedisStore) -> None:
    await store.aclose()
    store.close()


async def has_a_replica(watched: Watched) -> None:
    await until(lambda: watched.sentinel.knows()["num-slaves"] == "1", "the replica")
    with watched.replica.client() as client:
        await until(lambda: client.info("replication")["master_link_status"] == "up", "the link")


async def test_the_primary_is_found_and_is_the_same_store_as_by_its_own_address(
    watched: Watched,
) -> None:
    store, own = (RedisStore(Address.from_url(url)) for url in (watched.url, watched.primary.url))
    await store.perform(Write("a", b"1"))
    assert store.perform_blocking(Read(["a"])) == [b"1"]
    assert await store.identity() == await own.identity()
    for one in (store, own):
        await one.aclose()
        one.close()


async def test_broker_and_results_are_one_store_while_one_still_speaks_to_the_old_primary(
    watched: Watched,
) -> None:
    """For some seconds after a failover the old primary does not know of it: it answers as one."""
    await has_a_replica(watched)
    broker, results = RedisBroker.from_url(watched.url), RedisResults.from_url(watched.url)
    assert await broker.get_pending("q") == []
    with watched.sentinel.client() as client:
        tell: Any = client.execute_command
        assert tell("SENTINEL", "FAILOVER", "main") == b"OK"
    await until(lambda: watched.sentinel.knows()["port"] == str(watched.replica.port), "a failover")
    assert await join(broker, results) is results.store
    await broker.close()
    await results.close()


async def test_a_worker_goes_on_when_its_primary_is_killed(watched: Watched) -> None:
    await has_a_replica(watched)
    async with fleet(watched.url) as f:
        await f.does("before")
        watched.primary.kill()
        await until(
            lambda: watched.sentinel.knows()["port"] == str(watched.replica.port), "a failover"
        )
        await f.does("after")
    assert f.done[0] == "before"
    assert f.done[-1] == "after"
    with watched.replica.client() as client:
        assert client.zcard("tq:res:success") == 2


async def test_a_worker_goes_on_when_its_primary_becomes_a_replica(watched: Watched) -> None:
    """Nobody dies: the old primary answers READONLY, or UNBLOCKED to whoever waits there."""
    await has_a_replica(watched)
    async with fleet(watched.url) as f:
        await f.does("before")
        with watched.sentinel.client() as client:
            tell: Any = client.execute_command
            assert tell("SENTINEL", "FAILOVER", "main") == b"OK"
        await until(
            lambda: watched.sentinel.knows()["port"] == str(watched.replica.port), "a failover"
        )
        await _sent(f)
        await until(lambda: "after" in f.done, "the job after it")


async def _sent(f: Fleet) -> None:
    while True:
        try:
            await f.send("after", "after")
        except BackendUnavailable:
            await asyncio.sleep(0.05)
        else:
            return


def test_an_app_takes_the_url(watched: Watched) -> None:
    with App(watched.url) as app:
        job = app.send("note", text="x").id
        assert app.job(job).status() == "queued"
        assert str(watched.sentinel.port) in repr(app)


def test_the_first_sentinel_may_be_gone(watched: Watched) -> None:
    url = watched.url.replace("//", "//127.0.0.1:1,")
    store = RedisStore(Address.from_url(url))
    assert store.perform_blocking(Read(["a"])) == [None]
    store.close()


@pytest.mark.parametrize("awaited", [True, False])
async def test_what_cannot_be_found_is_said(watched: Watched, *, awaited: bool) -> None:
    for url, words in (
        (watched.url.replace("main", "other"), "no sentinel knows a primary called 'other'"),
        ("redis+sentinel://u:canary@127.0.0.1:1,127.0.0.1:2/main", "no sentinel answers"),
    ):
        store = RedisStore(Address.from_url(url))
        with pytest.raises(BackendUnavailable, match=words) as caught:
            await ask(store, awaited=awaited)
        assert "canary" not in f"{caught.value}{caught.value.__cause__}"
        await store.aclose()
        store.close()


@pytest.mark.parametrize("awaited", [True, False])
async def test_a_server_that_is_a_replica_now_is_not_written_to(
    watched: Watched, *, awaited: bool
) -> None:
    """The sentinel has not noticed yet."""
    with watched.primary.client() as client:
        client.replicaof("127.0.0.1", str(watched.replica.port))
    store = RedisStore(Address.from_url(watched.url))
    with pytest.raises(BackendUnavailable, match="is not the primary any more"):
        await ask(store, awaited=awaited)
    await store.aclose()
    store.close()


@pytest.mark.parametrize("awaited", [True, False])
async def test_passwords_of_both_are_used_and_never_shown(
    watched: Watched, caplog: pytest.LogCaptureFixture, *, awaited: bool
) -> None:
    with watched.primary.client() as client, watched.sentinel.client() as guard:
        tell: Any = guard.execute_command
        tell("SENTINEL", "SET", "main", "auth-pass", "canary1")
        client.config_set("requirepass", "canary1")
        tell("ACL", "SETUSER", "default", ">canary2")
    right = watched.url.replace("//", "//:canary1@") + "?sentinel_password=canary2"
    wrong = watched.url.replace("//", "//:canary3@") + "?sentinel_password=canary4"
    store = RedisStore(Address.from_url(right))
    assert await ask(store, awaited=awaited) == [None]
    await end(store)
    store = RedisStore(Address.from_url(wrong))
    with pytest.raises(BackendUnavailable) as caught:
        await ask(store, awaited=awaited)
    error = caught.value
    assert "canary" not in f"{error}{error!r}{error.__cause__}{store!r}{store.address!r}"
    await end(store)
    assert "canary" not in caplog.text


def test_sentinels_are_asked_in_turn() -> None:
    search = Sentinels((("a", 1), ("b", 2), ("c", 3)), "main").search()
    assert next(search) == ("a", 1)
    assert search.send(OSError()) == ("b", 2)
    assert search.send(None) == ("c", 3)
    with pytest.raises(StopIteration) as end:
        search.send([b"h", b"7"])
    assert end.value.value == ("h", 7)
