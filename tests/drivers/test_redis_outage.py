"""A server that cannot serve for a while: workers wait and go on, producers are told at once."""

import asyncio
import logging
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import RedisError

from tasqueue.core.errors import BackendRejected, BackendUnavailable
from tasqueue.core.ports import Read, Submit
from tasqueue.drivers.redis import Address, RedisStore
from tasqueue.drivers.redis.command import call, command
from tasqueue.drivers.redis.outage import Outage
from tests.drivers.fleet import Fleet, fleet, until
from tests.drivers.test_redis_store import push
from tests.servers import Valkey


@pytest.fixture
def admin(own_valkey: Valkey) -> Iterator[Redis]:
    with own_valkey.client() as client:
        yield client


def said(caplog: pytest.LogCaptureFixture, *words: str) -> list[logging.LogRecord]:
    return [
        record
        for record in caplog.records
        if record.levelno >= logging.INFO and any(word in record.getMessage() for word in words)
    ]


def replica(admin: Redis) -> Callable[[], Any]:
    admin.replicaof("127.0.0.1", "1")
    return lambda: admin.replicaof("NO", "ONE")


def replica_without_data(admin: Redis) -> Callable[[], Any]:
    admin.config_set("replica-serve-stale-data", "no")
    admin.replicaof("127.0.0.1", "1")
    return lambda: admin.replicaof("NO", "ONE")


def too_few_replicas(admin: Redis) -> Callable[[], Any]:
    admin.config_set("min-replicas-to-write", 1)
    return lambda: admin.config_set("min-replicas-to-write", 0)


def full_disk(admin: Redis) -> Callable[[], Any]:
    """As far as the server can tell: it cannot write a snapshot into a folder that is gone."""
    folder = admin.config_get("dir")["dir"]
    assert folder
    shutil.rmtree(folder)
    admin.config_set("save", "3600 1")
    admin.bgsave()
    while admin.info("persistence")["rdb_last_bgsave_status"] == "ok":
        time.sleep(0.02)
    return lambda: admin.config_set("save", "")


TROUBLES = {
    "READONLY": replica,
    "MASTERDOWN": replica_without_data,
    "NOREPLICAS": too_few_replicas,
    "MISCONF": full_disk,
}


@pytest.mark.parametrize("word", TROUBLES)
async def test_a_worker_waits_and_goes_on_and_a_producer_is_told_at_once(
    word: str, own_valkey: Valkey, admin: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="tasqueue")
    async with fleet(own_valkey.url) as f:
        await f.does("before")
        cure = TROUBLES[word](admin)
        with pytest.raises(BackendUnavailable) as caught:
            await f.send("refused", "refused")
        assert caught.value.word in {word, "READONLY"}
        await until(lambda: said(caplog, "until it is taken"), "the line that says so")
        cure()
        await f.does("after")
        await until(lambda: said(caplog, "takes everything again"), "the line that says so")
    assert f.done == ["before", "after"]
    assert len(said(caplog, "until it is taken")) == 1
    assert len(said(caplog, "takes everything again")) == 1


async def test_a_full_server_is_drained_while_producers_are_refused(
    own_valkey: Valkey, admin: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    async with fleet(own_valkey.url) as f:
        await f.does("before")
        own_valkey.pause()
        own_valkey.resume()
        admin.client_pause(200)
        for number in range(100):
            await f.send(f"{number}")
        admin.config_set("maxmemory", 1)
        with pytest.raises(BackendUnavailable) as caught:
            await f.send("refused")
        assert caught.value.word == "OOM"
        await until(lambda: len(f.done) == 101, "the rest of the jobs")
        await until(lambda: admin.zcard("tq:res:success") == 101, "their ends")
        admin.config_set("maxmemory", 0)
        await f.does("after")
    assert "refused" not in f.done


async def test_a_server_that_is_busy_with_a_script_is_waited_for(
    own_valkey: Valkey, admin: Redis
) -> None:
    admin.config_set("busy-reply-threshold", 50)
    endless = threading.Thread(target=_run_for_ever, args=(own_valkey,))
    store = RedisStore(Address.from_url(own_valkey.url))
    async with fleet(own_valkey.url) as f:
        await f.does("before")
        endless.start()
        await until(lambda: _is_busy(own_valkey), "the script")
        with pytest.raises(BackendUnavailable, match="BUSY"):
            await store.perform(Read(["a"]))
        admin.script_kill()
        await asyncio.to_thread(endless.join)
        await f.does("after")
    await store.aclose()


async def _word_of(f: Fleet) -> str:
    """What the server says to a producer just now; there is a pause between two looks."""
    await asyncio.sleep(0.05)
    store = await f.producer.open()
    try:
        await store.perform(Read(["a"]))
    except BackendUnavailable as error:
        return error.word
    return "served"


def _run_for_ever(server: Valkey) -> None:
    with server.client() as client, pytest.raises(RedisError):
        client.eval("while true do end", 0)


def _is_busy(server: Valkey) -> bool:
    with server.client() as client:
        try:
            client.get("a")
        except RedisError as error:
            return "BUSY" in str(error)
    return False


async def test_a_paused_server_is_only_slow(own_valkey: Valkey, admin: Redis) -> None:
    async with fleet(own_valkey.url) as f:
        await f.does("before")
        admin.client_pause(700, all=False)
        await f.does("after")
    assert f.done == ["before", "after"]


async def test_a_password_that_is_wrong_for_a_while_is_an_error_and_is_waited_for(
    own_valkey: Valkey, admin: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="tasqueue")
    async with fleet(own_valkey.url.replace("//", "//default:canary@")) as f:
        admin.config_set("requirepass", "canary")
        await f.does("before")
        admin.config_set("requirepass", "another")
        admin.client_kill_filter(_type="normal", skipme=True)
        with pytest.raises(BackendRejected):
            await f.send("refused")
        await until(lambda: said(caplog, "refused the credentials"), "the line that says so")
        admin.config_set("requirepass", "canary")
        await f.does("after")
        await until(lambda: said(caplog, "is back"), "the line that says so")
    lines = said(caplog, "refused the credentials")
    assert [line.levelno for line in lines] == [logging.ERROR]
    assert "canary" not in caplog.text


async def test_one_line_says_that_a_server_is_gone_and_one_that_it_is_back(
    own_valkey: Valkey, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="tasqueue")
    async with fleet(own_valkey.url) as f:
        await f.does("before")
        own_valkey.stop()
        await until(lambda: said(caplog, "Trying again"), "the line that says so")
        await asyncio.sleep(1)  # so long it is away: many tries, of which nothing is said
        own_valkey.start()
        await f.does("after")
    assert len(said(caplog, "Trying again")) == 1
    assert len(said(caplog, "is back after")) == 1


async def test_a_server_that_loads_its_data_is_waited_for(
    own_valkey: Valkey, admin: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(400):
        admin.set(f"{number}", f"{number:0100}")
    admin.bgrewriteaof()
    await until(lambda: admin.info("persistence")["aof_base_size"] > 4000, "the file")
    own_valkey.options["key-load-delay"] = "5000"
    own_valkey.options["loading-process-events-interval-bytes"] = "1024"
    async with fleet(own_valkey.url) as f:
        await f.does("before")
        own_valkey.stop()
        starting = asyncio.create_task(asyncio.to_thread(own_valkey.start))
        words = {await _word_of(f) for _ in range(200) if not starting.done()}
        assert "LOADING" in words
        await starting
        await f.does("after")
    assert f.done == ["before", "after"]
    assert len(said(caplog, "Trying again")) == 1


@pytest.mark.parametrize("connected", [True, False])
def test_a_producer_hears_of_a_server_that_hangs_within_three_seconds(
    own_valkey: Valkey, *, connected: bool
) -> None:
    store = RedisStore(Address.from_url(own_valkey.url))
    if connected:
        store.perform_blocking(Read(["a"]))
    own_valkey.pause()
    try:
        begin = time.monotonic()
        for again in (False, True):
            with pytest.raises(BackendUnavailable, match="timed out"):
                store.perform_blocking(Submit([push("a")], again=again))
        assert time.monotonic() - begin < 3.5  # 2.8 s, whatever else the machine does
    finally:
        own_valkey.resume()
    store.close()


def test_a_server_is_left_alone_for_longer_the_longer_it_is_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now + 1000)
    outage = Outage("redis://h")
    assert outage.pause() == 0
    outage.lost(BackendUnavailable("gone"))
    for now in (0.0, 1.0, 60.0, 3600.0):
        longest = min(5.0, 0.05 + now)
        pauses = [outage.pause() for _ in range(300)]
        assert all(0 <= pause <= longest for pause in pauses)
        assert max(pauses) > 0.8 * longest
        assert min(pauses) < 0.2 * longest
    outage.answered([command("PING")], [b"PONG"], sent=0)
    assert outage.pause() == 0


def test_what_is_refused_is_taken_again_when_the_same_command_is(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, logger="tasqueue")
    outage = Outage("redis://h")
    full = BackendUnavailable("OOM", "OOM")
    move, read = command("BLMOVE", "a"), command("GET", "b")
    for _ in range(3):
        outage.answered([move, read], [full, b""], sent=outage.refusals)
        outage.answered([read], [b""], sent=outage.refusals)
    assert len(caplog.records) == 1
    outage.answered([move], [b""], sent=outage.refusals)
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


def test_what_was_sent_before_a_refusal_does_not_end_it(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="tasqueue")
    outage = Outage("redis://h")
    beat, claim = call("beat", (), ()), command("BLMOVE", "a")
    refused = BackendUnavailable("MISCONF", "MISCONF")
    before = outage.refusals
    outage.answered([beat], [refused], sent=before)
    outage.answered([claim], [None], sent=before)  # had rung before, and was read late
    outage.answered([beat], [refused], sent=outage.refusals)
    outage.answered([beat], [1], sent=outage.refusals)
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
