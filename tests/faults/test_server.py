"""Rows 16 to 22: the server dies, restarts, loads, hangs, or throws everybody out."""

import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.faults import diary
from tests.faults.load import QUEUE, Load, mixture
from tests.faults.oracle import places
from tests.faults.site import Site, lasting, site, until

SLOW = pytest.mark.slow_fault


def _kill_server(here: Site) -> None:
    here.server.kill()
    lasting(0.3)
    here.server.start()


def test_row_16_a_killed_server_with_a_journal_loses_nothing(here: Site) -> None:
    load = mixture(4, ms=20).send(here.server.url)
    here.hire(concurrency=4)
    until(lambda: here.started() >= 3, "the first runs")
    for _ in range(2):
        here.progress(lambda: _kill_server(here), load)
    assert not here.finish(load)


@SLOW
def test_row_16_a_server_killed_ten_times_loses_nothing(here: Site) -> None:
    load = mixture(40, ms=20).send(here.server.url)
    here.hire(2, concurrency=4)
    for _ in range(10):
        here.progress(lambda: _kill_server(here), load)
    assert not here.finish(load)
    assert here.notes("rescued") == []


@SLOW
def test_row_17_workers_outlive_a_server_that_forgot_everything(bare: Site) -> None:
    Load(ms=50).plain(50).send(bare.server.url)
    hand = bare.hire(concurrency=4)[0]
    until(lambda: bare.started() >= 4, "running jobs")
    bare.server.restart(kill=True)
    until(lambda: hand.notes("fenced"), "the worker's new life")
    before = set(diary.runs(hand.notes()))
    load = Load().plain(20, name="after").send(bare.server.url)
    until(lambda: bare.ended() >= 20, "the end of what was sent after")
    bare.sign_off()
    # What ran while the server died was refused: those jobs are no longer this worker's.
    assert not set(load.fates) & before
    done = places(bare.conn, QUEUE).completed
    assert set(load.fates) <= done
    assert not done & before


def _restarts(here: Site, count: int) -> None:
    load = mixture(10 * count, ms=20).send(here.server.url)
    here.hire(concurrency=4)
    until(lambda: here.started() >= 1, "the first run")
    for _ in range(count):
        here.progress(here.server.restart, load)
    assert not here.finish(load)


@SLOW
def test_row_18_workers_outlive_restarts(here: Site) -> None:
    _restarts(here, 2)


@SLOW
def test_row_18_workers_outlive_twenty_restarts(here: Site) -> None:
    _restarts(here, 20)


@pytest.fixture
def loading(tmp_path: Path) -> Iterator[Site]:
    """A server that takes its time to load its journal, and answers LOADING meanwhile."""
    with site(tmp_path, key_load_delay="500") as opened:
        yield opened


def _loaded_in(here: Site) -> float:
    """Seconds that the server took to load its journal, by its own log."""
    log = (here.server.folder / "log").read_text()
    return max(map(float, re.findall(r"DB loaded from append only file: ([\d.]+) seconds", log)))


@SLOW
def test_row_19_a_server_that_loads_for_ten_seconds_is_waited_for(loading: Site) -> None:
    store: Any = loading.conn
    for start in range(0, 22_000, 1_000):
        with store.pipeline() as pipe:
            for at in range(start, start + 1_000):
                pipe.set(f"ballast:{at}", at, ex=3600)
            pipe.execute()
    load = mixture(6, ms=50).send(loading.server.url)
    loading.hire(concurrency=2)
    until(lambda: loading.started() >= 2, "the first runs")
    loading.server.restart(kill=True)
    assert not loading.finish(load)
    assert "errorstat_LOADING" in store.info("errorstats")
    assert _loaded_in(loading) > 10  # how long the fault lasted
    assert loading.notes("rescued") == []


@contextmanager
def _asleep(here: Site, seconds: float) -> Iterator[None]:
    """Send the server to sleep; a client library would time out and say it again."""
    with socket.create_connection(("127.0.0.1", here.server.port)) as line:
        line.sendall(b"DEBUG SLEEP %g\r\n" % seconds)
        yield
        assert line.recv(5) == b"+OK\r\n"


@SLOW
def test_row_20_a_server_that_sleeps_beyond_the_time_outs_doubles_nothing(here: Site) -> None:
    load = mixture(6, ms=50).send(here.server.url)
    here.hire(2, concurrency=2)
    until(lambda: here.started() >= 2, "the first runs")
    with _asleep(here, 8):
        pass
    assert not here.finish(load)
    assert here.notes("rescued") == []


@SLOW
def test_row_20_an_enqueue_into_a_sleeping_server_enters_once(here: Site) -> None:
    load = Load().plain(20)
    with _asleep(here, 2):
        load.send(here.server.url)  # the first try times out, and arrives all the same
    here.hire()
    assert not here.finish(load)


@SLOW
@pytest.mark.parametrize("what", ["WRITE", "ALL"])
def test_row_21_a_paused_server_makes_nobody_look_dead(here: Site, what: str) -> None:
    load = mixture(6, ms=50).send(here.server.url)
    here.hire(2, concurrency=2, lease=1.0)
    until(lambda: here.started() >= 2, "the first runs")
    here.conn.client_pause(7_000, all=what == "ALL")
    lasting(7)
    assert not here.finish(load)
    assert here.notes("rescued") == []


@SLOW
def test_row_22_connections_that_are_killed_again_and_again_lose_nothing(here: Site) -> None:
    load = mixture(6, ms=20).send(here.server.url)
    here.hire(concurrency=4)
    until(lambda: here.started() >= 2, "the first runs")
    for _ in range(40):
        here.conn.client_kill_filter(_type="normal", skipme=True)
        lasting(0.05)
    assert not here.finish(load)
    assert here.conn.llen(QUEUE) == 0
