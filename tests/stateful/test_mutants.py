"""The deliberate faults are faults of today's scripts: one that changes nothing proves nothing."""

import pytest

from tasqueue.drivers.redis.script import NAMES, script
from tests.stateful.group_mutants import GROUPS
from tests.stateful.mutants import LUA

FAULTS = LUA | GROUPS


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_applies_to_a_script(name: str) -> None:
    where, old, new = FAULTS[name]
    assert old != new
    assert any(old in script(one).source for one in NAMES if where in {one, ""})
