"""An enqueue that returns when a replica, or the disk, has the job too; or says that it has not."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, NamedTuple

import pytest
from redis import Redis

from tasqueue import App
from tasqueue.core.errors import BackendUnavailable, ConfigurationError, EnqueueUnconfirmed
from tasqueue.core.job import Job, JobOpts
from tasqueue.core.ports import Push, Submit
from tasqueue.drivers.redis import Address, RedisStore
from tests.drivers.fleet import Fleet, until
from tests.servers import Valkey, valkey


class Pair(NamedTuple):
    primary: Valkey
    replica: Valkey
    admin: Redis
    copy: Redis


@pytest.fixture
def pair() -> Iterator[Pair]:
    with ExitStack() as stack:
        primary = stack.enter_context(valkey(repl_diskless_sync_delay="0"))
        replica = stack.enter_context(valkey(replicaof=f"127.0.0.1 {primary.port}"))
        admin = stack.enter_context(primary.client())
        copy = stack.enter_context(replica.client())
        while copy.info("replication")["master_link_status"] != "up":
            threading.Event().wait(0.02)
        yield Pair(primary, replica, admin, copy)
        replica.resume()


def send(app: App, text: str, **options: Any) -> str:
    return app.using(**options).send("note", text=text).id


def test_a_confirmed_job_is_on_the_replica_when_the_call_returns(pair: Pair) -> None:
    with App(pair.primary.url, durability="replica") as app:
        for number in range(50):
            job = send(app, f"{number}")
            assert pair.copy.exists(f"tq:res:job:msg:{job}")
    assert pair.copy.llen("tasqueue:tasks") == 50


def test_a_job_that_no_replica_confirms_says_so_and_may_be_sent_again_with_its_id(
    pair: Pair,
) -> None:
    with App(pair.primary.url) as app:
        pair.replica.pause()
        with pytest.raises(EnqueueUnconfirmed, match="no replica has confirmed") as caught:
            send(app, "a", durability="replica")
        job = caught.value.job_id
        assert pair.admin.exists(f"tq:res:job:msg:{job}")
        with pytest.raises(EnqueueUnconfirmed) as again:
            send(app, "a", durability="replica", id=job)
        assert again.value.job_id == job
        pair.replica.resume()
        app.close()  # a new connection, on which nothing else was written
        assert send(app, "a", durability="replica", id=job) == job
    assert pair.admin.llen("tasqueue:tasks") == 1
    assert pair.copy.llen("tasqueue:tasks") == 1


def test_without_any_replica_nothing_is_confirmed_and_ack_is_enough(own_valkey: Valkey) -> None:
    with App(own_valkey.url, durability="replica") as app:
        with pytest.raises(EnqueueUnconfirmed):
            send(app, "a")
        send(app, "b", durability="ack")
        with own_valkey.client() as admin:
            assert admin.llen("tasqueue:tasks") == 2


def test_fsync_waits_for_the_disk(own_valkey: Valkey) -> None:
    with own_valkey.client() as admin, App(own_valkey.url, durability="fsync") as app:
        job = send(app, "a")
        own_valkey.restart(kill=True)
        assert admin.exists(f"tq:res:job:msg:{job}")


def test_fsync_without_a_file_says_what_is_missing(redis_url: str) -> None:
    with App(redis_url) as app, pytest.raises(EnqueueUnconfirmed, match="appendonly"):
        send(app, "a", durability="fsync")


def test_the_wait_counts_also_where_the_server_has_lost_the_scripts(pair: Pair) -> None:
    """The call that is repaired runs late; the wait must come after it."""
    with App(pair.primary.url, durability="replica") as app:
        for flush in (pair.admin.function_flush, pair.admin.script_flush):
            flush()
            job = send(app, "a")
            assert pair.copy.exists(f"tq:res:job:msg:{job}")


async def test_many_awaited_calls_share_a_wait_and_each_is_told(pair: Pair) -> None:
    producer = Fleet(pair.primary.url, "q").producer

    async def enqueue(number: int) -> str:
        opts = JobOpts(queue="q", durability="replica", id=f"{number}")
        return await producer.enqueue(Job("note", b"", opts))

    await asyncio.gather(*[enqueue(number) for number in range(100)])
    assert pair.copy.llen("q") == 100
    waits = pair.admin.info("commandstats")["cmdstat_wait"]["calls"]
    assert waits < 50
    pair.replica.pause()
    told = await asyncio.gather(*[enqueue(n) for n in range(100, 110)], return_exceptions=True)
    assert [getattr(error, "job_id", None) for error in told] == [f"{n}" for n in range(100, 110)]
    assert all(isinstance(error, EnqueueUnconfirmed) for error in told)
    await (await producer.open()).aclose()


async def test_whoever_waits_for_a_replica_holds_up_nobody_else(pair: Pair) -> None:
    producer = Fleet(pair.primary.url, "q").producer
    pair.replica.pause()
    slow = asyncio.create_task(
        producer.enqueue(Job("note", b"", JobOpts(queue="q", durability="replica")))
    )
    await until(lambda: pair.admin.info("clients")["blocked_clients"], "the wait")
    await producer.enqueue(Job("note", b"", JobOpts(queue="q")))
    assert not slow.done()
    with pytest.raises(EnqueueUnconfirmed):
        await slow
    await (await producer.open()).aclose()


def test_a_group_is_confirmed_as_a_whole(pair: Pair) -> None:
    with App(pair.primary.url) as app:
        members = [
            app.using(durability="replica" if n == 3 else "ack").signature("note", text="x")
            for n in range(5)
        ]
        app.group(members).delay()
        assert pair.copy.llen("tasqueue:tasks") == 5
        pair.replica.pause()
        with pytest.raises(EnqueueUnconfirmed):
            app.group(members).delay()
    assert pair.admin.llen("tasqueue:tasks") == 10


def test_all_of_a_large_submit_is_sent_though_its_first_part_is_not_confirmed(pair: Pair) -> None:
    pair.replica.pause()
    store = RedisStore(Address.from_url(pair.primary.url))
    pushes = [Push("q", f"{n}", b"", b"x", call=f"{n}", durability="replica") for n in range(1200)]
    with pytest.raises(EnqueueUnconfirmed, match="job 0 "):
        store.perform_blocking(Submit(pushes))
    assert pair.admin.llen("q") == 1200
    store.close()


def test_a_refusal_stays_a_refusal(pair: Pair) -> None:
    pair.admin.config_set("maxmemory", 1)
    with App(pair.primary.url) as app, pytest.raises(BackendUnavailable, match="OOM"):
        send(app, "a", durability="replica")


def test_of_confirmed_jobs_none_is_lost_when_the_old_primary_lives_on(pair: Pair) -> None:
    """Split brain: it goes on taking jobs after the replica was promoted; none is confirmed."""
    confirmed, unconfirmed = set[str](), set[str]()
    with App(pair.primary.url, durability="replica") as app:
        for number in range(200):
            if number == 150:
                pair.copy.replicaof("NO", "ONE")
            if len(unconfirmed) == 3:
                break
            try:
                confirmed.add(send(app, f"{number}"))
            except EnqueueUnconfirmed as error:
                unconfirmed.add(error.job_id)
    assert len(confirmed) >= 150
    assert len(unconfirmed) == 3
    assert all(pair.copy.exists(f"tq:res:job:msg:{job}") for job in confirmed)
    assert not any(pair.copy.exists(f"tq:res:job:msg:{job}") for job in unconfirmed)


@pytest.mark.parametrize("wrong", ["disk", "", None, 1])
def test_a_wrong_value_is_an_error_that_names_it(wrong: Any) -> None:
    for use in (
        lambda: App("memory://", durability=wrong),
        lambda: App("memory://").using(durability=wrong),
        lambda: App("memory://").task(durability=wrong),
        lambda: JobOpts(durability=wrong),
    ):
        with pytest.raises(ConfigurationError, match=r"'ack', 'replica', 'fsync'") as caught:
            use()
        assert repr(wrong) in str(caught.value)


def test_memory_knows_no_other_durability_and_needs_none() -> None:
    with App("memory://", durability="fsync") as app:

        @app.task
        def double(number: int) -> int:
            return 2 * number

        assert double.delay(2).get(timeout=20) == 4
