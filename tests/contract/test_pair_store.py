"""Pairs of stores against the contracts: messages in one, records and groups in the other."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tasqueue.brokers import MemoryBroker
from tasqueue.brokers.redis_broker import RedisBroker
from tasqueue.engine.pair import PairStore
from tasqueue.results import MemoryResults
from tasqueue.results.redis_results import RedisResults
from tests.contract.fanin_contract import CallbackCopiesContract, FanInContract
from tests.contract.lease_contract import LeaseContract
from tests.contract.store_contract import StoreContract
from tests.servers import Cluster, Valkey

PAIRS = ["redis+redis", "memory+redis", "redis+memory", "redis+cluster"]


def _cluster(request: pytest.FixtureRequest) -> str:
    servers: Cluster = request.getfixturevalue("cluster_servers")
    for node in servers.nodes:
        servers.ask(node, "FLUSHALL")
    return servers.url


def _url(kind: str, request: pytest.FixtureRequest, *, broker: bool) -> str:
    if kind == "cluster":
        return _cluster(request)
    if broker:
        url: str = request.getfixturevalue("redis_url")
        return url
    other: Valkey = request.getfixturevalue("other_server")
    with other.client() as client:
        client.flushall()
    return other.url


class TestPairStore(StoreContract, LeaseContract, FanInContract, CallbackCopiesContract):
    many = 520

    @pytest.fixture(params=PAIRS)
    async def store(self, request: pytest.FixtureRequest) -> AsyncIterator[PairStore]:
        left, right = request.param.split("+")
        broker: Any = MemoryBroker()
        if left != "memory":
            broker = RedisBroker.from_url(_url(left, request, broker=True))
        results: Any = MemoryResults()
        if right != "memory":
            results = RedisResults.from_url(_url(right, request, broker=False))
        store = PairStore(broker.store, results.store, results)
        yield store
        await store.aclose()
        store.close()
