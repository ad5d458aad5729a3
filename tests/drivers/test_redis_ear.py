"""Waiters are told what came of a job; where they cannot be, they find out by looking."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, TypeAlias

import pytest

from tasqueue import App, JobStatus
from tasqueue.core.job import FINAL_STATUSES
from tasqueue.core.ports import JOB_KEY, Pause, Read
from tasqueue.drivers.redis import Address, RedisStore
from tasqueue.drivers.redis.cluster import store_at
from tasqueue.drivers.redis.ear import EARS, Ear, SharedEar
from tasqueue.drivers.redis.word import Outcome, outcome_in
from tests.drivers.fleet import until
from tests.servers import Cluster, Valkey

FOR_EVER = 40.0
"""Seconds: who waits so long has been told, or the test ends without it."""

PauseOnce: TypeAlias = Callable[[RedisStore, str, float], Coroutine[Any, Any, Any]]


async def awaited(store: RedisStore, job_id: str, seconds: float) -> Any:
    return await store.perform(Pause(job_id, seconds))


async def blocking(store: RedisStore, job_id: str, seconds: float) -> Any:
    def pause() -> Any:
        told = store.perform_blocking(Pause(job_id, seconds))
        store.close()
        return told

    return await asyncio.to_thread(pause)


async def outcome(store: RedisStore, job_id: str) -> Any:
    return tuple(await store.perform(Read((JOB_KEY + job_id, job_id))))


both = pytest.mark.parametrize("pause", [awaited, blocking])


@asynccontextmanager
async def working(url: str, *, worker_url: str = "") -> AsyncIterator[tuple[App, asyncio.Event]]:
    """An app, whose worker runs ``gated`` jobs to their end once the event is set."""
    app, worker, gate = App(url), App(worker_url or url), asyncio.Event()

    @worker.task(name="gated")
    async def gated(size: int = 0) -> str:
        await gate.wait()
        return "x" * size or "done"

    @worker.task(name="failing")
    async def failing() -> None:
        await gate.wait()
        raise ValueError("as it is meant to")

    running = asyncio.create_task(worker.server.start())
    try:
        yield app, gate
    finally:
        gate.set()
        await worker.server.stop()
        await running
        await app.aclose()
        await worker.aclose()


def listening(client: Any, job_id: str) -> int:
    return int(client.execute_command("PUBSUB", "SHARDNUMSUB", f"tq:res:job:msg:{job_id}")[1])


def calls(client: Any, name: str) -> int:
    return int(client.info("commandstats").get(f"cmdstat_{name}", {"calls": 0})["calls"])


@both
async def test_a_waiter_is_told_when_the_job_ends(own_valkey: Valkey, pause: PauseOnce) -> None:
    store = RedisStore(Address.from_url(own_valkey.url))
    with own_valkey.client() as client:
        async with working(own_valkey.url) as (app, gate):
            for _ in range(3):
                gate.clear()
                job = await app.signature("gated").adelay()
                waiting = asyncio.create_task(pause(store, job.id, FOR_EVER))
                await until(partial(listening, client, job.id), "the waiter")
                gate.set()
                told = await waiting
                assert await job.astatus() == "successful"
                assert told == await outcome(store, job.id)
                assert told[1] == b'"done"'
    await store.aclose()


@both
@pytest.mark.parametrize(("task", "size"), [("gated", {"size": 10_000}), ("failing", {})])
async def test_what_a_word_does_not_say_is_left_to_be_read(
    own_valkey: Valkey, pause: PauseOnce, task: str, size: dict[str, int]
) -> None:
    store = RedisStore(Address.from_url(own_valkey.url))
    with own_valkey.client() as client:
        async with working(own_valkey.url) as (app, gate):
            job = await app.using(retries=0).signature(task, **size).adelay()
            waiting = asyncio.create_task(pause(store, job.id, FOR_EVER))
            await until(partial(calls, client, "mget"), "the waiter's look")
            gate.set()
            assert await waiting is None
            assert await job.astatus() in FINAL_STATUSES
    await store.aclose()


@both
async def test_the_end_of_a_job_in_another_database_says_nothing_of_one_of_the_same_id(
    own_valkey: Valkey, pause: PauseOnce
) -> None:
    store = RedisStore(Address.from_url(own_valkey.url))
    with own_valkey.client() as client:
        async with working(own_valkey.url.removesuffix("0") + "1") as (app, gate):
            job = await app.using(id="nightly").signature("gated").adelay()
            waiting = asyncio.create_task(pause(store, "nightly", FOR_EVER))
            await until(partial(listening, client, "nightly"), "the waiter")
            gate.set()
            assert await waiting is None
            assert await job.aget(timeout=20) == "done"
    await store.aclose()


async def test_who_listens_since_a_word_was_spoken_is_not_given_it(own_valkey: Valkey) -> None:
    ear, channel, word = SharedEar(Address.from_url(own_valkey.url)), "tq:res:job:msg:a", "0 1 rx"
    with own_valkey.client() as client:
        async with ear.hearing([channel]) as first:
            await until(lambda: first.listens, "the first waiter")
            client.execute_command("SPUBLISH", channel, word)  # which the loop has not read yet
            async with ear.hearing([channel]) as second:
                await first.wait()
                assert first.outcome == (b"r", b"x")
                await until(lambda: second.listens, "the second waiter")
                assert second.outcome is None
    await ear.close()


def test_a_word_that_the_last_wait_did_not_hear_is_not_given_to_the_next(
    own_valkey: Valkey,
) -> None:
    ear, channel = Ear(Address.from_url(own_valkey.url)), "tq:res:job:msg:a"
    ended = Outcome(b"", b"")
    with own_valkey.client() as client:

        def look() -> Outcome:
            while not listening(client, "a"):
                pass
            client.execute_command("SPUBLISH", channel, "0 1 rx")
            return ended

        assert ear.wait([channel], look, FOR_EVER) is ended
        assert ear.wait([channel], lambda: None, 0.05) is None
    ear.close()


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        (b"3 2 abcd", (b"ab", b"cd")),
        (b"3 4 a  bcd ", (b"a  b", b"cd ")),
        (b"3 2 ab", (b"ab", b"")),
        (b"", None),
        (b"33 2 abcd", None),
        (b"3 5 abcd", None),
        (b"3 -1 abcd", None),
        (b"3", None),
        (b"hello", None),
    ],
)
def test_a_word_is_read_or_says_that_one_must_look(word: bytes, expected: Any) -> None:
    assert outcome_in(word, 3) == expected


@both
async def test_a_waiter_that_comes_late_does_not_wait(own_valkey: Valkey, pause: PauseOnce) -> None:
    store = RedisStore(Address.from_url(own_valkey.url))
    async with working(own_valkey.url) as (app, gate):
        gate.set()
        job = await app.signature("gated").adelay()
        assert await job.aget(timeout=20) == "done"
        await pause(store, job.id, FOR_EVER)
    await store.aclose()


@both
async def test_nothing_is_said_while_nobody_waits_and_nothing_is_left_by_those_who_did(
    own_valkey: Valkey, pause: PauseOnce
) -> None:
    store = RedisStore(Address.from_url(own_valkey.url))
    with own_valkey.client() as client:
        async with working(own_valkey.url) as (app, gate):
            job = await app.signature("gated").adelay()
            await pause(store, job.id, 0.02)
            numsub = ("PUBSUB", "SHARDNUMSUB", EARS)
            await until(lambda: client.execute_command(*numsub)[1] == 0, "the end of the wait")
            gate.set()
            assert await job.aget(timeout=20) == "done"
            said = calls(client, "spublish")
            for _ in range(20):
                await app.signature("gated").adelay()
            await until(lambda: client.zcard("tq:res:success") == 21, "the jobs")
            assert calls(client, "spublish") == said <= 1
        assert not client.keys(f"{EARS}*")
    await store.aclose()


async def test_all_waiters_of_an_event_loop_share_one_connection(own_valkey: Valkey) -> None:
    with own_valkey.client() as client:
        async with working(own_valkey.url) as (app, gate):
            jobs = [await app.signature("gated").adelay() for _ in range(12)]
            waiting = [asyncio.create_task(job.aget(timeout=25)) for job in jobs * 2]
            await until(lambda: all(listening(client, job.id) for job in jobs), "the waiters")
            assert len(client.client_list(_type="pubsub")) == 1
            gate.set()
            assert await asyncio.gather(*waiting) == ["done"] * 24
        await until(lambda: not client.client_list(_type="pubsub"), "the end of the connection")


@both
async def test_a_waiter_outlives_its_connection(own_valkey: Valkey, pause: PauseOnce) -> None:
    store = RedisStore(Address.from_url(own_valkey.url))
    with own_valkey.client() as client:
        async with working(own_valkey.url) as (app, gate):
            job = await app.signature("gated").adelay()
            waiting = asyncio.create_task(pause(store, job.id, 0.5))
            await until(lambda: listening(client, job.id), "the waiter")
            client.client_kill_filter(_type="pubsub")
            await waiting
            waiting = asyncio.create_task(pause(store, job.id, FOR_EVER))
            await until(lambda: listening(client, job.id), "the waiter")
            gate.set()
            await waiting
    await store.aclose()


async def test_an_idle_connection_that_the_server_closed_is_made_again(own_valkey: Valkey) -> None:
    store = RedisStore(Address.from_url(own_valkey.url))
    with own_valkey.client() as client:
        for _ in range(2):
            store.perform_blocking(Pause("nobody", 0.002))
            client.client_kill_filter(_type="normal", skipme=True)
            client.client_kill_filter(_type="pubsub")
    store.close()


def restricted(server: Valkey, *rules: str) -> str:
    with server.client() as client:
        client.execute_command("ACL", "SETUSER", "few", "on", ">pw", "~*", "&*", "+@all", *rules)
    return server.url.replace("//", "//few:pw@")


@both
async def test_who_may_not_listen_finds_out_by_looking_and_does_not_ask_again(
    own_valkey: Valkey, pause: PauseOnce
) -> None:
    store = RedisStore(Address.from_url(restricted(own_valkey, "-ssubscribe")))
    for _ in range(3):
        await pause(store, "job", 0.01)
    with own_valkey.client() as client:
        assert [entry["count"] for entry in client.acl_log()] == [1]
        async with working(restricted(own_valkey, "-ssubscribe"), worker_url=own_valkey.url) as it:
            app, gate = it
            job = await app.signature("gated").adelay()
            gate.set()
            assert await job.aget(timeout=25) == "done"
    await store.aclose()


@pytest.mark.parametrize("denied", ["-spublish", "-pubsub", "resetchannels"])
async def test_a_worker_that_may_not_speak_ends_its_jobs_all_the_same(
    own_valkey: Valkey, denied: str
) -> None:
    async with working(own_valkey.url, worker_url=restricted(own_valkey, denied)) as (app, gate):
        job = await app.signature("gated").adelay()
        waiting = asyncio.create_task(job.aget(timeout=25))
        with own_valkey.client() as client:
            await until(lambda: listening(client, job.id), "the waiter")
        gate.set()
        assert await waiting == "done"
        assert await job.astatus() == JobStatus.SUCCESSFUL


@both
async def test_a_waiter_is_told_in_a_cluster(cluster_servers: Cluster, pause: PauseOnce) -> None:
    for node in cluster_servers.nodes:
        cluster_servers.ask(node, "FLUSHALL")
    store = store_at(Address.from_url(cluster_servers.url))
    async with working(cluster_servers.url) as (app, gate):
        job = await app.signature("gated").adelay()
        # As waiters do first, who so learn where everything is.
        await store.perform(Read((JOB_KEY + job.id,)))
        waiting = asyncio.create_task(pause(store, job.id, FOR_EVER))

        def heard() -> bool:
            found = 0
            for node in cluster_servers.nodes:
                with node.client() as client:
                    found += listening(client, job.id)
            return found > 0

        await until(heard, "the waiter")
        gate.set()
        await waiting
        assert await job.aget(timeout=20) == "done"
    await store.aclose()
