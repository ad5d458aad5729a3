"""The memory back end against the contracts of a broker and of results."""

import pytest

from tasqueue.brokers import MemoryBroker
from tasqueue.results import MemoryResults
from tests.contract.broker_contract import BrokerContract
from tests.contract.results_contract import ResultsContract


class TestMemoryBroker(BrokerContract):
    @pytest.fixture
    def broker(self) -> MemoryBroker:
        return MemoryBroker()


class TestMemoryResults(ResultsContract):
    @pytest.fixture
    def results(self) -> MemoryResults:
        return MemoryResults()
