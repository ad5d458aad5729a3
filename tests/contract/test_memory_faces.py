"""The memory back end against the contracts of a broker and of results."""

import time

import pytest

from tasqueue.brokers import MemoryBroker
from tasqueue.core.ports import Push, Submit
from tasqueue.drivers.memory import MemoryStore
from tasqueue.results import MemoryResults
from tests.contract.broker_contract import BrokerContract
from tests.contract.fanin_contract import FanInContract
from tests.contract.lease_contract import LeaseContract
from tests.contract.results_contract import ResultsContract
from tests.contract.store_contract import StoreContract


class TestMemoryBroker(BrokerContract):
    @pytest.fixture
    def broker(self) -> MemoryBroker:
        return MemoryBroker()


class TestMemoryResults(ResultsContract):
    @pytest.fixture
    def results(self) -> MemoryResults:
        return MemoryResults()


class TestMemoryStore(StoreContract, LeaseContract):
    @pytest.fixture
    def store(self) -> MemoryStore:
        return MemoryStore()


def test_a_call_is_known_for_15_minutes_and_then_forgotten() -> None:
    now = [time.time_ns()]
    store = MemoryStore(now_ns=lambda: now[0])
    request = Submit([Push("q", "a", b"", b"", call="call")])
    assert store.perform_blocking(request) == [True]
    now[0] += 899 * 10**9
    assert store.perform_blocking(request) == [False]
    now[0] += 2 * 10**9
    assert store.perform_blocking(request) == [True]
    assert list(store.calls) == ["call"]


class TestMemoryFanIn(FanInContract):
    @pytest.fixture
    def store(self) -> MemoryStore:
        return MemoryStore()
