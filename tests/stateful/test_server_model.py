"""Whole servers against what is known beforehand, on every back end."""

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from redis import Redis

from tasqueue.drivers.memory import MemoryStore
from tasqueue.drivers.redis import Address, RedisStore, store_at
from tests.servers import Cluster, Valkey
from tests.stateful.server_machine import ServerMachine


def run(machine: type[ServerMachine], share: int) -> None:
    assert settings.default is not None
    how = settings(
        max_examples=max(1, settings.default.max_examples // share),
        stateful_step_count=25,
        deadline=None,
        database=None,
        # A failure waits for what does not come: shrinking it would take an hour.
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(machine, settings=how)


@pytest.mark.timeout(900)
def test_every_job_ends_as_its_handler_has_it_and_its_children_come_once_in_memory() -> None:
    class InMemory(ServerMachine):
        rescues = False

        def start_store(self) -> MemoryStore:
            return MemoryStore()

    run(InMemory, 3)


@pytest.mark.timeout(900)
def test_every_job_ends_as_its_handler_has_it_and_its_children_come_once_on_redis(
    valkey_server: Valkey, redis_client: Redis
) -> None:
    class OnRedis(ServerMachine):
        rescues = True

        def start_store(self) -> RedisStore:
            redis_client.flushdb()
            return RedisStore(Address.from_url(valkey_server.url))

    run(OnRedis, 6)


@pytest.mark.timeout(900)
def test_every_job_ends_as_its_handler_has_it_and_its_children_come_once_on_a_cluster(
    cluster_servers: Cluster,
) -> None:
    class OnCluster(ServerMachine):
        rescues = True

        def start_store(self) -> RedisStore:
            for node in cluster_servers.nodes:
                cluster_servers.ask(node, "FLUSHALL")
            return store_at(Address.from_url(cluster_servers.url))

    run(OnCluster, 12)
