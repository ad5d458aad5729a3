"""Rows 11 to 15: what user code does to the process that runs it."""

import pytest

from tests.faults import diary
from tests.faults.load import Fate, Load
from tests.faults.site import Site, until
from tests.faults.witness import suspected

SLOW = pytest.mark.slow_fault
LONE_RUNS = 3
"""Runs as the one job of its process that convict: 4 points each, of 12."""
LONE_KILLS = 12
"""The same if each ends by SIGKILL, which anybody may have sent: 1 point each."""
_MINUTE = pytest.mark.timeout(300)
_LONG = 60_000
"""Milliseconds: sixty leases of one second."""


def _held_up(here: Site, how: str) -> None:
    """One of two processes is held up for a minute; nobody takes its job."""
    load = Load().alone("held", "block", fate=Fate.COMPLETED, how=how, ms=_LONG)
    load.send(here.server.url)
    until(lambda: here.notes("start"), "the job that holds its process up")
    load.plain(20).send_rest(here.server.url)
    assert not here.finish(load, within=200)
    assert here.notes("rescued") == []
    assert set(diary.runs(here.notes()).values()) == {1}


@SLOW
@_MINUTE
def test_row_11_a_process_whose_gil_is_held_is_not_taken_for_dead(here: Site) -> None:
    here.supervise(2, lease=1.0)
    _held_up(here, "gil")


@SLOW
def test_row_11_a_job_that_holds_the_gil_beyond_its_time_is_ended_with_its_process(
    here: Site,
) -> None:
    load = Load().alone("held", "block", fate=Fate.DEAD, how="gil", ms=600_000, timeout=1.0)
    load.plain(40).send(here.server.url)
    here.supervise(2, lease=1.0)
    assert not here.finish(load)
    assert suspected(here.server.folder)["held"] == LONE_RUNS
    assert here.notes("rescued") == []


@SLOW
@_MINUTE
def test_row_12_a_worker_whose_loop_is_blocked_is_not_taken_for_dead(here: Site) -> None:
    here.hire(2, lease=1.0)
    _held_up(here, "loop")


@SLOW
@_MINUTE
def test_row_12_a_process_whose_loop_is_blocked_is_not_taken_for_dead(here: Site) -> None:
    here.supervise(2, lease=1.0)
    _held_up(here, "loop")


def _poisoned(here: Site, how: str, neighbours: int, *, lone_runs: int = LONE_RUNS) -> None:
    load = Load(ms=5).plain(neighbours // 2)
    load.alone("poison", "crash", fate=Fate.DEAD, how=how).plain(neighbours - neighbours // 2)
    load.send(here.server.url)
    here.supervise(2, concurrency=8)
    assert not here.finish(load)
    assert suspected(here.server.folder)["poison"] == lone_runs
    # Besides it ran where it was first found out; once more if that process held neighbours too.
    assert diary.runs(here.notes())["poison"] <= lone_runs + 2


@SLOW
@pytest.mark.parametrize("how", ["exit", "abort", "segfault", "overflow"])
def test_row_13_a_job_that_ends_its_process_is_dead_in_the_end_and_harms_no_other(
    here: Site, how: str
) -> None:
    _poisoned(here, how, 40)


@SLOW
@_MINUTE
def test_row_13_a_job_that_kills_its_process_as_an_operator_would_is_dead_in_the_end(
    here: Site,
) -> None:
    _poisoned(here, "kill", 40, lone_runs=LONE_KILLS)


@SLOW
@_MINUTE
def test_row_14_a_job_that_takes_all_memory_is_dead_in_the_end(here: Site) -> None:
    """The kernel's kill looks like an operator's, and need not hit the process that grows."""
    _poisoned(here, "memory", 40, lone_runs=LONE_KILLS)


@SLOW
def test_row_15_one_poisonous_job_among_a_thousand_is_the_only_dead_one(here: Site) -> None:
    _poisoned(here, "segfault", 1_000)
