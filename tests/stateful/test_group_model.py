"""The model of groups on Redis, against the scripts as they are shipped."""

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test
from redis import Redis

from tasqueue.drivers.redis import Address, command
from tasqueue.drivers.redis.blocking import BlockingDriver
from tasqueue.drivers.redis.script import Script, script
from tests.servers import Valkey
from tests.stateful.group_machine import GroupMachine
from tests.stateful.mutants import mutate

# A fault that `just mutants` puts in, to see that the model finds it.
MUTANT = os.environ.get("TASQUEUE_MUTANT", "")


@pytest.fixture
def machine(
    valkey_server: Valkey, redis_client: Redis, monkeypatch: pytest.MonkeyPatch
) -> Iterator[type[GroupMachine]]:
    driver = BlockingDriver(Address.from_url(valkey_server.url))
    if MUTANT:

        def changed(name: str) -> Script:
            return mutate(MUTANT, name, script(name))

        monkeypatch.setattr(command, "script", changed)

    class Bound(GroupMachine):
        pass

    Bound.client, Bound.driver = redis_client, driver
    yield Bound
    driver.close()


@pytest.mark.timeout(900)
@pytest.mark.parametrize("part", range(2))
def test_whatever_happens_a_group_calls_back_once_and_leaves_nothing(
    machine: type[GroupMachine], part: int
) -> None:
    fast = [Phase.explicit, Phase.generate] if MUTANT else list(Phase)
    assert settings.default is not None
    how = settings(
        max_examples=settings.default.max_examples,
        stateful_step_count=40,
        deadline=None,
        database=None,
        phases=fast,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(seed(part)(machine), settings=how)
