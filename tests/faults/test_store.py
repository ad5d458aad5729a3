"""Rows 28 to 33: the store is full, forgets scripts or keys, or holds what is not ours."""

import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasqueue import Job, JobOpts
from tasqueue.core.errors import BackendError, BackendRejected
from tasqueue.core.ports import Answer
from tasqueue.drivers.redis import Address, RedisStore
from tasqueue.drivers.redis.keys import queue_keys
from tasqueue.engine import plan
from tests.faults import diary
from tests.faults.load import QUEUE, Load, mixture
from tests.faults.oracle import judge
from tests.faults.site import Site, lasting, until
from tests.faults.witness import AOF
from tests.servers import Valkey

SLOW = pytest.mark.slow_fault


def _send_once(url: str) -> None:
    """Enqueue one job as a program does that does not insist."""
    store = RedisStore(Address.from_url(url))
    try:
        plan.run_blocking(plan.enqueue(Job.create("work", b"{}", JobOpts(queue=QUEUE))), store)
    finally:
        store.close()


KEYS = queue_keys(QUEUE)


@SLOW
def test_row_28_a_full_server_refuses_producers_and_is_drained_by_workers(here: Site) -> None:
    load = mixture(4).send(here.server.url)
    here.conn.config_set("maxmemory", "1mb")
    with pytest.raises(BackendError, match="OOM"):
        _send_once(here.server.url)
    here.hire()
    until(lambda: here.ended() >= len(load.fates), "the end of all jobs")
    here.conn.config_set("maxmemory", 0)
    assert not here.finish(load)


@SLOW
@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl"])
def test_row_29_a_policy_that_throws_keys_away_is_warned_of(here: Site, policy: str) -> None:
    here.conn.config_set("maxmemory-policy", policy)
    load = Load().plain(3).send(here.server.url)
    hand = here.hire()[0]
    assert not here.finish(load)
    assert f"maxmemory-policy is {policy}, so a full server throws jobs away" in hand.log


class Limited(Valkey):
    """A server whose files may be kept from growing, as a full disk does."""

    def _command(self, options: list[str]) -> list[str]:
        return ["env", "--ignore-signal=XFSZ", *super()._command(options)]

    def fill_disk(self) -> None:
        resource.prlimit(self.pid, resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))

    def empty_disk(self) -> None:
        unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        resource.prlimit(self.pid, resource.RLIMIT_FSIZE, unlimited)


@pytest.fixture
def limited(tmp_path: Path) -> Iterator[Site]:
    folder = tmp_path / "server"
    folder.mkdir()
    server = Limited(folder, aof=True, options=AOF)
    here = Site(server, tmp_path, journal=True)
    try:
        yield here
    finally:
        server.empty_disk()
        here.dismiss()
        server.stop()


@SLOW
def test_row_30_a_full_disk_is_waited_out(limited: Site) -> None:
    server = limited.server
    assert isinstance(server, Limited)
    load = mixture(6, ms=50).send(server.url)
    hand = limited.hire(concurrency=4, lease=1.0)[0]
    limited.hire(concurrency=4, lease=1.0)
    until(lambda: limited.started() >= 4, "the first runs")
    server.fill_disk()
    until(lambda: "MISCONF" in hand.log, "the server's refusal")
    with pytest.raises(BackendError, match="MISCONF"):
        _send_once(server.url)
    lasting(3)  # three leases
    server.empty_disk()
    assert not limited.finish(load)
    assert limited.notes("rescued") == []


def _running(here: Site, load: Load) -> None:
    load.send(here.server.url)
    here.hire(concurrency=4)
    until(lambda: here.started() >= 2, "the first runs")


def test_row_31_scripts_that_the_server_forgets_are_sent_again(here: Site) -> None:
    load = mixture(6, ms=20)
    _running(here, load)
    for _ in range(20):
        here.conn.script_flush()
        here.conn.function_flush()
        lasting(0.05)
    assert not here.finish(load)


@SLOW
def test_row_32_workers_register_again_after_flushall(bare: Site) -> None:
    Load(ms=50).plain(40).send(bare.server.url)
    hand = bare.hire(concurrency=4)[0]
    until(lambda: bare.started() >= 2, "the first runs")
    bare.conn.flushall()
    until(lambda: hand.notes("fenced"), "the worker's new life")
    load = Load().plain(20, name="after").send(bare.server.url)
    until(lambda: bare.ended() >= 20, "the end of what was sent after")
    bare.sign_off()
    # What was flushed in flight was refused, and said so.
    assert not judge(bare.conn, QUEUE, load.fates)
    assert len(hand.notes("fenced")) == 1


@SLOW
@pytest.mark.parametrize(
    "key", [KEYS.beats, KEYS.sequence, KEYS.workers], ids=["beats", "sequence", "workers"]
)
def test_row_32_the_loss_of_our_bookkeeping_loses_no_job(here: Site, key: str) -> None:
    load = mixture(4, ms=50)
    _running(here, load)
    here.conn.delete(key)
    assert not here.finish(load)


@SLOW
def test_row_32_jobs_whose_flight_was_deleted_are_refused_and_counted(here: Site) -> None:
    load = Load(ms=300).plain(8).send(here.server.url)
    hand = here.hire(concurrency=4)[0]
    until(lambda: len(hand.notes("start")) == 4, "four runs")
    (held,) = here.conn.scan_iter("tq:if:*")
    here.conn.delete(held)
    until(lambda: here.ended() == 4, "the end of the others")
    here.sign_off()
    verdict = judge(here.conn, QUEUE, load.fates, here.witness())
    assert len(verdict.lost) == 4
    assert diary.answers(hand.notes(), Answer.DECIDED).total() == 4


@SLOW
@pytest.mark.parametrize(
    "key",
    [
        KEYS.queue, KEYS.scheduled, KEYS.beats, KEYS.workers, KEYS.sequence, KEYS.tombs,
        KEYS.dead, KEYS.reasons, KEYS.parked, "tq:res:success", "tq:res:failed",
    ],
)  # fmt: skip
def test_row_33_a_key_of_another_type_is_waited_out(here: Site, key: str) -> None:
    load = mixture(6, ms=30)
    _running(here, load)
    aside = here.conn.exists(key)
    if aside:
        here.conn.rename(key, "aside")
    wrong = here.conn.lpush if key == KEYS.sequence else here.conn.set
    wrong(key, "not ours")
    lasting(1.5)
    here.conn.delete(key)
    if aside:
        here.conn.rename("aside", key)
    assert not here.finish(load)


def test_row_33_an_enqueue_into_a_key_of_another_type_is_refused(here: Site) -> None:
    here.conn.set(QUEUE, "not ours")
    with pytest.raises(BackendRejected, match="type"):
        Load().plain(1).send(here.server.url)
    assert here.conn.exists("tq:res:job:msg:plain-0") == 0
