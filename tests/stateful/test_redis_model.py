"""The model of a queue on Redis, against the scripts as they are shipped."""

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test
from redis import Redis

from tasqueue.core.blame import Blame
from tasqueue.drivers.redis import Address, command, reaper, upkeep
from tasqueue.drivers.redis.blocking import BlockingDriver
from tasqueue.drivers.redis.command import Command
from tasqueue.drivers.redis.script import Script, script
from tests.servers import Valkey
from tests.stateful.mutants import mutate
from tests.stateful.redis_machine import QueueMachine

# A fault that `just mutants` puts in, to see that the model finds it.
MUTANT = os.environ.get("TASQUEUE_MUTANT", "")


def reap_with_a_fault(sound: Callable[..., Command], *args: Any, **kwargs: Any) -> Command:
    """A supervisor that tells the server something wrong."""
    if MUTANT == "the supervisor takes every job for a lone one":
        kwargs["whose"] = Blame.JOB
    else:
        kwargs["started"] = ()
    return sound(*args, **kwargs)


@pytest.fixture
def machine(
    valkey_server: Valkey, redis_client: Redis, monkeypatch: pytest.MonkeyPatch
) -> Iterator[type[QueueMachine]]:
    driver = BlockingDriver(Address.from_url(valkey_server.url))
    if MUTANT:

        def changed(name: str) -> Script:
            return mutate(MUTANT, name, script(name))

        monkeypatch.setattr(command, "script", changed)

    class Bound(QueueMachine):
        pass

    Bound.client, Bound.driver = redis_client, driver
    Bound.once_keys = MUTANT != "the worker passes no once-key"
    Bound.turns = MUTANT != "the worker does not mark its retries"
    if MUTANT.startswith("the supervisor"):
        changed_reap = partial(reap_with_a_fault, upkeep.reap)
        monkeypatch.setattr(reaper, "reap", changed_reap)
    yield Bound
    driver.close()


@pytest.mark.timeout(900)
@pytest.mark.parametrize("part", range(4))
def test_whatever_happens_a_message_is_in_one_place_and_decided_once(
    machine: type[QueueMachine], part: int
) -> None:
    # Four parts, each with its seed: 1,200 examples on CI, however few cores run them.
    fast = [Phase.explicit, Phase.generate] if MUTANT else list(Phase)
    assert settings.default is not None
    how = settings(
        max_examples=settings.default.max_examples,
        stateful_step_count=25,
        deadline=None,
        database=None,
        phases=fast,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(seed(part)(machine), settings=how)


def test_two_lives_of_an_id_in_one_batch_while_the_server_knows_one_of_the_scripts(
    machine: type[QueueMachine], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the model once got wrong itself: RETRY is known, so FINISH goes out after it."""
    monkeypatch.setattr(command, "script", lambda name: replace(script(name), function=""))
    model = machine()
    model.start()
    model.go_enqueues(user="u0", scheduled=False, kids=0)
    model.go_enqueues(user="", scheduled=False, kids=0)
    model.go_enqueues(user="u0", scheduled=False, kids=0)
    model.client.script_load(script("retry").source)
    model.a_good_day(w="a", limit=3, later=False)
    model.the_server_holds_what_the_model_says()
    model.teardown()
