"""What a worker says of its server's settings when it starts, and what it keeps to itself."""

import logging
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis import Redis

from tasqueue.brokers.memory_broker import MemoryBroker
from tasqueue.core.errors import BackendUnavailable
from tasqueue.drivers.redis import Address, RedisStore
from tasqueue.drivers.redis.check import _of_clock
from tasqueue.engine.advice import advise
from tasqueue.engine.pair import PairStore
from tasqueue.results.redis_results import RedisResults
from tests.drivers.fleet import fleet, until
from tests.servers import Valkey, valkey

SAFE: Any = {"appendonly": "yes", "appendfsync": "everysec", "maxmemory_policy": "noeviction"}
DANGERS = {
    "appendonly is no": {"appendonly": "no"},
    "appendfsync is no": {"appendfsync": "no"},
    "maxmemory-policy is allkeys-lru": {"maxmemory_policy": "allkeys-lru"},
}


def _writes_its_file(client: Redis) -> bool:
    info = client.info("persistence")
    return bool(info["aof_rewrite_in_progress"] or info["aof_rewrite_scheduled"])


async def advice(url: str) -> list[str]:
    store = RedisStore(Address.from_url(url))
    try:
        return await store.advice()
    finally:
        await store.aclose()


@pytest.mark.parametrize("said", DANGERS)
async def test_each_danger_is_one_line_with_the_setting_its_value_and_one_action(said: str) -> None:
    with valkey(**(SAFE | DANGERS[said])) as server:
        (line,) = await advice(server.url)
        shown, _, rest = line.partition(": ")
        assert shown == server.url
        assert rest.startswith(said)
        cure = rest.rpartition(": ")[2].split()
        assert cure[:2] == ["CONFIG", "SET"]
        with server.client() as client:
            client.config_set(*cure[2:])
            # A server does not end while it writes its first append-only file.
            await until(lambda: not _writes_its_file(client), "the append-only file")
        assert await advice(server.url) == []


async def test_replicas_that_nobody_waits_for_are_a_danger() -> None:
    with (
        valkey(**SAFE) as primary,
        valkey(**SAFE, replicaof=f"127.0.0.1 {primary.port}"),
        primary.client() as client,
    ):
        await until(lambda: client.info("replication")["connected_slaves"], "the replica")
        (line,) = await advice(primary.url)
        assert "min-replicas-to-write is 0 with 1 connected" in line
        client.config_set("min-replicas-to-write", 1)
        assert await advice(primary.url) == []


async def test_a_user_who_may_not_see_the_settings_hears_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, logger="tasqueue")
    with valkey(appendonly="no") as server:
        with server.client() as client:
            acl: Any = client.execute_command
            acl("ACL", "SETUSER", "u", "on", ">pw", "~*", "+@all", "-config", "-time", "-info")
        assert await advice(server.url.replace("//", "//u:pw@")) == []
    assert {record.levelno for record in caplog.records} == {logging.DEBUG}


async def test_a_worker_says_it_once_and_works(caplog: pytest.LogCaptureFixture) -> None:
    with valkey(appendonly="no", maxmemory_policy="allkeys-lru") as server:
        async with fleet(server.url) as f:
            await f.does("a")
    lines = [record for record in caplog.records if "CONFIG SET" in record.getMessage()]
    assert [record.levelno for record in lines] == [logging.WARNING] * 2


async def test_a_server_that_is_away_is_nothing_to_warn_of(
    own_valkey: Valkey, caplog: pytest.LogCaptureFixture
) -> None:
    own_valkey.stop()
    store = RedisStore(Address.from_url(own_valkey.url))
    with pytest.raises(BackendUnavailable):
        await store.advice()
    await advise(store)
    assert caplog.records == []
    own_valkey.start()
    with own_valkey.client() as client:
        client.replicaof("127.0.0.1", "1")
        client.config_set("replica-serve-stale-data", "no")
    await advise(store)
    assert caplog.records == []
    await store.aclose()


async def test_a_pair_says_what_either_says() -> None:
    with valkey(appendonly="no") as server:
        results = RedisResults.from_url(server.url)
        pair = PairStore(MemoryBroker().store, results.store, results)
        assert len([line for line in await pair.advice() if "appendonly" in line]) == 1
        await pair.aclose()


async def test_clocks_that_differ_are_a_danger(
    own_valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await advice(own_valkey.url) == []
    real = time.time
    monkeypatch.setattr("tasqueue.drivers.redis.check.time.time", lambda: real() - 3600)
    (line,) = await advice(own_valkey.url)
    assert "clock is 3600 s ahead of this host's" in line
    assert "NTP" in line


@given(st.floats(-1e6, 1e6), st.floats(0, 10))
def test_a_slow_answer_is_no_difference_of_clocks(ahead: float, took: float) -> None:
    lines = list(_of_clock(1e9 + ahead, 1e9, 1e9 + took))
    assert bool(lines) == (ahead < -2 or ahead > took + 2)
