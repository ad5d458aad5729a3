"""Redis against the contracts of a broker and of results, and what is its own."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tasqueue.brokers.redis_broker import RedisBroker
from tasqueue.core.job import Job, JobMessage, Meta
from tasqueue.core.ports import Parked, Stored, Workers
from tasqueue.core.wire import encode_job
from tasqueue.drivers.redis import RedisStore
from tasqueue.drivers.redis.keys import queue_keys
from tasqueue.drivers.redis.process import here
from tasqueue.results.redis_results import RedisResults
from tests.contract.broker_contract import BrokerContract
from tests.contract.fanin_contract import FanInContract
from tests.contract.lease_contract import LeaseContract
from tests.contract.results_contract import ResultsContract
from tests.contract.store_contract import StoreContract
from tests.servers import Valkey


@pytest.fixture
async def broker(redis_url: str) -> AsyncIterator[RedisBroker]:
    broker = RedisBroker.from_url(redis_url)
    yield broker
    await broker.close()


@pytest.fixture
async def results(redis_url: str) -> AsyncIterator[RedisResults]:
    results = RedisResults.from_url(redis_url)
    yield results
    await results.close()


class TestRedisBroker(BrokerContract):
    """The clauses of the contract."""


class TestRedisResults(ResultsContract):
    """The clauses of the contract."""


class TestRedisFanIn(FanInContract):
    @pytest.fixture
    def store(self, results: RedisResults) -> RedisStore:
        return results.store


class TestRedisStore(StoreContract, LeaseContract):
    @pytest.fixture
    def store(self, results: RedisResults) -> RedisStore:
        return results.store

    async def test_a_worker_of_this_host_whose_process_is_gone_is_not_listed(
        self, store: RedisStore, redis_client: Any
    ) -> None:
        keys = queue_keys("q")
        dead = here(30)._replace(pid=2**22 - 1, started="1")
        redis_client.hset(keys.beats, "dead", 3)
        redis_client.hset(keys.workers, "dead", dead.text())
        redis_client.hset(keys.beats, "unknown", 3)
        assert await store.perform(Workers("q")) == ["unknown"]

    async def test_a_page_of_parked_jobs_is_no_limit(
        self, store: RedisStore, redis_client: Any
    ) -> None:
        name = queue_keys("q").parked_jobs("t")
        redis_client.rpush(name, *[b"%d" % n for n in range(450)], b"no message of wanted")
        assert not await store.perform(Parked("q", "t", "wanted"))
        redis_client.rpush(name, encode_job(JobMessage(Meta("wanted"), Job("t"))))
        assert await store.perform(Parked("q", "t", "wanted"))
        redis_client.rpush(name, *[b"%d" % n for n in range(5000)])
        assert await store.perform(Parked("q", "t", "another"))


def test_both_are_faces_of_a_store(broker: RedisBroker, results: RedisResults) -> None:
    assert isinstance(broker, Stored)
    assert isinstance(results, Stored)


async def test_two_faces_of_one_server_are_one_store(
    broker: RedisBroker, results: RedisResults
) -> None:
    assert await broker.store.identity() == await results.store.identity()


async def test_the_seed_readmes_spelling(valkey_server: Valkey, redis_url: str) -> None:
    broker = RedisBroker(host="localhost", port=valkey_server.port)
    results = RedisResults(host="localhost", port=valkey_server.port)
    await broker.enqueue(b"a", "q")
    await results.set("a", b"1")
    assert await broker.get_pending("q") == [b"a"]
    assert await results.get("a") == b"1"
    await broker.close()
    await results.close()


async def test_the_keys_are_those_of_go(
    broker: RedisBroker, results: RedisResults, redis_client: Any
) -> None:
    at = datetime.now(UTC) + timedelta(hours=1)
    await broker.enqueue(b"a", "q")
    await broker.enqueue_scheduled(b"later", "q", at)
    await results.set("id", b"1")
    await results.set_success("id")
    await results.set_failed("id")
    assert set(redis_client.keys("*")) == {
        b"q", b"tasqueue:ss:q", b"tq:res:id", b"tq:res:success", b"tq:res:failed",
    }  # fmt: skip
    score = redis_client.zscore("tasqueue:ss:q", b"later")
    assert abs(score - at.timestamp() * 1e9) < 1e6


async def test_a_consumer_that_leaves_leaves_no_trace(
    broker: RedisBroker, redis_client: Any
) -> None:
    await broker.enqueue(b"a", "q")
    consumer: Any = broker.consume("q")
    delivery = await anext(consumer)
    await delivery.ack()
    await consumer.aclose()
    left = {key for key in redis_client.keys("*") if redis_client.ttl(key) == -1}
    assert left == {b"tq:sq:{q}"}


async def test_a_consumer_that_was_taken_for_dead_goes_on(
    broker: RedisBroker, redis_client: Any
) -> None:
    await broker.enqueue(b"a", "q")
    await broker.enqueue(b"b", "q")
    consumer: Any = broker.consume("q")
    first = await anext(consumer)
    redis_client.delete("tq:hb:{q}")
    again = await anext(consumer)
    assert {first.body, again.body} <= {b"a", b"b"}
    await first.ack()
    await again.ack()
    await consumer.aclose()


@pytest.mark.parametrize(
    ("expiry", "milliseconds"),
    [(None, 0), (0, 0), (1.5, 1500), (timedelta(seconds=2), 2000), (0.0001, 1)],
)
def test_expiry_is_a_span_or_seconds(expiry: Any, milliseconds: int) -> None:
    results = RedisResults(expiry=expiry, meta_expiry=expiry)
    assert results.expiry_ms == milliseconds
    assert results.store.keep.meta_expiry_ms == milliseconds


def test_a_password_is_never_shown() -> None:
    for face in (
        RedisBroker(password="canary"),
        RedisResults(password="canary"),
        RedisBroker.from_url("redis://user:canary@localhost"),
        RedisResults.from_url("redis://user:canary@localhost"),
    ):
        assert "canary" not in repr(face)
        assert "canary" not in repr(face.store)
