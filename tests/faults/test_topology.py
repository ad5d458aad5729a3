"""Rows 34 to 36: replicas, primaries that are demoted, and slots of a cluster that move."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tasqueue import Job, JobOpts
from tasqueue.core.errors import BackendUnavailable, EnqueueUnconfirmed
from tasqueue.drivers.redis import Address, KeepOpts, RedisStore
from tasqueue.engine import plan
from tests.faults import diary
from tests.faults.load import QUEUE, Fate, Load, mixture
from tests.faults.site import Site, lasting, until
from tests.servers import Cluster, Valkey, sentinel, valkey

SLOW = pytest.mark.slow_fault


def _follow(server: Valkey, primary: Valkey | None) -> None:
    with server.client() as client:
        if primary is None:
            client.replicaof("NO", "ONE")
        else:
            client.replicaof("127.0.0.1", str(primary.port))


def _linked(server: Valkey) -> None:
    with server.client() as client:
        until(lambda: client.info("replication").get("master_link_status") == "up", "the copy")


@pytest.fixture
def replica(bare: Site) -> Iterator[Valkey]:
    bare.conn.config_set("repl-diskless-sync-delay", 0)
    with valkey(replicaof=f"127.0.0.1 {bare.server.port}") as made:
        _linked(made)
        yield made


@SLOW
def test_row_34_what_a_replica_confirmed_survives_its_promotion(
    bare: Site, replica: Valkey, tmp_path: Path
) -> None:
    store = RedisStore(Address.from_url(bare.server.url), KeepOpts(expiry_ms=3_600_000))
    confirmed = Load()
    unconfirmed = 0
    try:
        for at in range(300):
            if at == 200:
                _follow(replica, None)  # and the old primary goes on serving
            opts = JobOpts(id=f"job-{at}", queue=QUEUE, durability="replica")
            try:
                plan.run_blocking(plan.enqueue(Job.create("work", b"{}", opts)), store)
            except EnqueueUnconfirmed:
                unconfirmed += 1
                if unconfirmed == 3:
                    break
            else:
                confirmed.fates[f"job-{at}"] = Fate.COMPLETED
    finally:
        store.close()
    assert unconfirmed == 3
    assert len(confirmed.fates) == 200
    folder = tmp_path / "promoted"
    folder.mkdir()
    promoted = Site(replica, folder, journal=False)
    try:
        promoted.hire()
        assert not promoted.finish(confirmed)
    finally:
        promoted.dismiss()


@SLOW
def test_row_35_a_worker_blocked_on_a_primary_that_is_demoted_goes_on_when_it_is_one_again(
    bare: Site, replica: Valkey
) -> None:
    hand = bare.hire(lease=1.0)[0]
    until(lambda: bare.registered() == 1, "the worker")
    lasting(0.5)  # it waits for a job now, blocked
    _follow(replica, None)
    _follow(bare.server, replica)
    _linked(bare.server)
    with pytest.raises(BackendUnavailable, match="READONLY"):
        _refused(bare.server.url)
    _follow(bare.server, None)
    load = mixture(2).send(bare.server.url)
    assert not bare.finish(load)
    assert hand.process.returncode == 0


def _refused(url: str) -> None:
    store = RedisStore(Address.from_url(url))
    try:
        plan.run_blocking(plan.enqueue(Job.create("work", b"{}", JobOpts(queue=QUEUE))), store)
    finally:
        store.close()


@SLOW
def test_row_35_a_worker_follows_its_sentinel_to_the_next_primary(
    bare: Site, replica: Valkey, tmp_path: Path
) -> None:
    with sentinel(bare.server) as watch:
        until(lambda: watch.knows().get("num-slaves") == "1", "the sentinel to know the replica")
        bare.hire(url=watch.url, lease=1.0)
        until(lambda: bare.registered() == 1, "the worker")
        with watch.client() as client:
            ask: Any = client.execute_command
            ask("SENTINEL", "FAILOVER", "main")
        until(lambda: watch.knows()["port"] == str(replica.port), "the next primary")
        load = mixture(2).send(watch.url)
        after = Site(replica, tmp_path, journal=False)
        after.hands = bare.hands
        try:
            assert not after.finish(load)
        finally:
            after.conn.close()


@SLOW
@pytest.mark.parametrize("queue", [QUEUE, f"{{{QUEUE}}}"], ids=["plain", "tagged"])
def test_row_36_a_slot_that_moves_to_another_server_loses_nothing(
    cluster_servers: Cluster, tmp_path: Path, queue: str
) -> None:
    for node in cluster_servers.nodes:
        cluster_servers.ask(node, "FLUSHALL")
    load = Load(queue=queue, ms=20).plain(60).chains(10).retrying(10).failing(5)
    load.send(cluster_servers.url)
    place = Site(cluster_servers.of(queue), tmp_path, journal=False)
    try:
        hand = place.hire(url=cluster_servers.url, queue=queue, concurrency=4)[0]
        for _ in range(3):
            until(lambda: hand.notes("end"), "some jobs")
            source = cluster_servers.of(queue)
            target = next(node for node in cluster_servers.nodes if node is not source)
            cluster_servers.begin_move(queue, target)
            lasting(0.3)
            cluster_servers.end_move(queue, target)
        until(lambda: _ended(cluster_servers) >= set(load.fates), "the end of all jobs")
        assert hand.stop() == 0
        assert _ended(cluster_servers) == set(load.fates)
        left = [
            key for key in cluster_servers.found() if key.startswith(("tq:if", "tq:ld", "tq:hb"))
        ]
        assert left == []
        runs = diary.runs(hand.notes())
        assert runs.total() == len(load.fates) + load.extra_runs
    finally:
        place.dismiss()


def _ended(servers: Cluster) -> set[str]:
    found: set[str] = set()
    for name in ("tq:res:success", "tq:res:failed"):
        found |= {one.decode() for one in servers.ask(servers.of(name), "ZRANGE", name, 0, -1)}
    return found
