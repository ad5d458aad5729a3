"""Rows 23 to 27: what the network does between a worker or a producer and the server."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tasqueue.core.errors import BackendUnavailable
from tasqueue.core.ports import Answer
from tasqueue.drivers.redis import Address, RedisStore
from tasqueue.engine import plan
from tests.faults import diary
from tests.faults.load import Load, mixture
from tests.faults.proxy import FaultProxy
from tests.faults.site import Site, lasting, until

SLOW = pytest.mark.slow_fault


@pytest.fixture
def proxy(here: Site, tmp_path: Path) -> Iterator[FaultProxy]:
    with FaultProxy(here.server.port, tmp_path) as made:
        yield made


def _working_through(here: Site, proxy: FaultProxy, load: Load, **flags: Any) -> None:
    load.send(here.server.url)
    here.hire(url=proxy.url, **flags)
    until(lambda: here.started() >= 2, "the first runs")


def test_row_23_replies_that_are_lost_with_their_connection_lose_nothing(
    here: Site, proxy: FaultProxy
) -> None:
    load = mixture(4, ms=30)
    _working_through(here, proxy, load, concurrency=4)
    for _ in range(4):
        here.progress(lambda: proxy.weather(cut_replies=2), load)
    assert not here.finish(load)


@SLOW
def test_row_23_replies_that_vanish_in_a_black_hole_lose_nothing(
    here: Site, proxy: FaultProxy
) -> None:
    load = mixture(6, ms=30)
    _working_through(here, proxy, load)
    proxy.weather(lose_replies=True)
    lasting(8)  # longer than a worker waits for a reply
    proxy.fair()
    assert not here.finish(load)


@SLOW
def test_row_23_a_claim_whose_reply_was_lost_is_adopted_and_not_doubled(
    here: Site, proxy: FaultProxy
) -> None:
    here.hire(url=proxy.url)
    until(lambda: here.registered() == 1, "the worker")
    proxy.weather(cut_replies=1)
    load = Load().plain(30).send(here.server.url)
    assert not here.finish(load)
    assert diary.runs(here.notes()).total() == 30


@SLOW
def test_row_24_reset_connections_lose_nothing(here: Site, proxy: FaultProxy) -> None:
    load = mixture(4, ms=30)
    _working_through(here, proxy, load, concurrency=4)
    for _ in range(5):
        here.progress(proxy.reset, load)
    assert not here.finish(load)


@SLOW
def test_row_24_requests_that_vanish_lose_nothing(here: Site, proxy: FaultProxy) -> None:
    load = mixture(6, ms=30)
    _working_through(here, proxy, load)
    proxy.weather(lose_requests=True)
    lasting(8)
    proxy.fair()
    assert not here.finish(load)


@SLOW
def test_row_24_half_open_connections_are_given_up_while_jobs_run(
    here: Site, proxy: FaultProxy
) -> None:
    # Neither end says anything any more, and new connections work: only a time-out can tell.
    load = Load(ms=20).plain(200)
    _working_through(here, proxy, load, concurrency=2)
    here.progress(proxy.freeze, load)
    here.progress(proxy.freeze, load)
    assert not here.finish(load)


@SLOW
@pytest.mark.parametrize(
    "seconds", [60, pytest.param(600, marks=[pytest.mark.deep, pytest.mark.timeout(900)])]
)
def test_row_24_half_open_connections_of_an_idle_worker_are_given_up(
    here: Site, proxy: FaultProxy, seconds: float
) -> None:
    here.hire(2, url=proxy.url)
    until(lambda: here.registered() == 2, "two workers")
    proxy.freeze()
    lasting(seconds)
    load = Load().plain(40).send(here.server.url)
    assert not here.finish(load)
    assert here.notes("rescued") == []


@SLOW
@pytest.mark.parametrize(
    "weather",
    [
        pytest.param({"latency": 0.5}, id="half a second late"),
        pytest.param({"latency": 0.02, "jitter": 0.2}, id="jitter"),
        pytest.param({"slice": 1}, id="byte by byte"),
        pytest.param({"rate": 10_000}, id="10 kB a second"),
        pytest.param({"limit": 20_000}, id="reset after 20 kB"),
    ],
)
def test_row_25_a_bad_line_is_slow_and_nothing_else(
    here: Site, proxy: FaultProxy, weather: dict[str, float]
) -> None:
    load = mixture(2).send(here.server.url)
    proxy.weather(**weather)
    here.hire(url=proxy.url, lease=10.0, concurrency=4)
    assert not here.finish(load)


@SLOW
def test_row_26_a_worker_cut_off_beyond_its_lease_is_refused_later(
    here: Site, proxy: FaultProxy
) -> None:
    load = Load(ms=400).plain(8).send(here.server.url)
    lost = here.hire(url=proxy.url, lease=1.0, concurrency=4)[0]
    until(lambda: len(lost.notes("start")) >= 4, "running jobs")
    other = here.hire(lease=1.0)[0]
    # Only what the others see counts: the process lives, so that only its lease can tell.
    proxy.weather(lose_requests=True)
    until(lambda: other.notes("rescued"), "the rescue of its jobs")
    proxy.fair()
    proxy.reset()
    until(lambda: lost.notes("fenced"), "the new life of the lost one")
    assert not here.finish(load)
    applied = diary.answers(here.notes(), Answer.APPLIED)
    assert applied.total() == 8
    assert set(applied.values()) == {1}


def _enqueue(url: str, load: Load) -> None:
    store = RedisStore(Address.from_url(url))
    try:
        plan.run_blocking(plan.enqueue_many(load.jobs), store)
    finally:
        store.close()


def test_row_27_an_enqueue_whose_reply_was_lost_enters_once(here: Site, proxy: FaultProxy) -> None:
    load = Load().plain(20).later(5, seconds=0.2)
    proxy.weather(cut_replies=1)
    _enqueue(proxy.url, load)  # it tries again by itself
    here.hire()
    assert not here.finish(load)
    assert diary.runs(here.notes()).total() == 25


@SLOW
def test_row_27_an_enqueue_whose_request_was_lost_enters_once(
    here: Site, proxy: FaultProxy
) -> None:
    load = Load().plain(20)
    proxy.weather(cut_requests=1)
    _enqueue(proxy.url, load)
    here.hire()
    assert not here.finish(load)


@SLOW
def test_row_27_a_producer_that_stays_cut_off_is_told_so(here: Site, proxy: FaultProxy) -> None:
    load = Load().plain(3)
    proxy.weather(refuse=True)
    with pytest.raises(BackendUnavailable):
        _enqueue(proxy.url, load)
    proxy.fair()
    _enqueue(proxy.url, load)
    here.hire()
    assert not here.finish(load)
