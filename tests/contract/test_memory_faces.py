"""The memory back end against the contracts of a broker and of results."""

import pytest

from tasqueue.brokers import MemoryBroker
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


class TestMemoryFanIn(FanInContract):
    @pytest.fixture
    def store(self) -> MemoryStore:
        return MemoryStore()
