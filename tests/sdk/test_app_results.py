"""An app whose results lie elsewhere: which addresses can be a pair."""

import pytest

from tasqueue import App
from tasqueue.core.errors import ConfigurationError, Unsupported
from tasqueue.engine.pair import PairStore

HERE, THERE = "redis://here:6379/0", "redis://there:6379/0"


@pytest.mark.parametrize(("url", "results"), [(HERE, "memory://"), ("memory://", HERE)])
def test_memory_is_no_half_of_a_back_end(url: str, results: str) -> None:
    with pytest.raises(ConfigurationError, match="lies in one process"):
        App(url, results=results)


def test_the_address_of_results_is_checked_as_that_of_the_broker() -> None:
    with pytest.raises(ConfigurationError, match=r"'ftp://u:\*\*\*@x'"):
        App(HERE, results="ftp://u:canary@x")
    with pytest.raises(Unsupported, match="later version"):
        App(HERE, results="sqlite://file")


@pytest.mark.parametrize(
    ("results", "apart"), [(THERE, True), (HERE, False), ("valkey://here", False), (None, False)]
)
def test_one_place_under_two_addresses_is_one_store(results: str | None, *, apart: bool) -> None:
    opened = App(HERE, results=results)._client._back_end()
    assert opened.is_pair is apart
    assert isinstance(opened.store, PairStore) is apart
