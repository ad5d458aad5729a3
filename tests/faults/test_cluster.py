"""Rows 2, 6 and 36 on a cluster, where a job ends in several steps: kill -9, slots that move."""

import json
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import pytest

from tasqueue import App, JobHandle
from tasqueue.drivers.redis.keys import group_key
from tests.faults import diary, flows
from tests.faults.failpoint import EXIT
from tests.faults.grid import Grid
from tests.faults.load import QUEUE, Fan, Fate, Load
from tests.faults.site import Hand, lasting, until

SLOW = pytest.mark.slow_fault
ROUNDS = 3
SLOTS = 4


def _gathered(here: Grid, fans: list[Fan]) -> bool:
    """Whether each callback had what all members of its group saved."""
    conn: Any = here.conn
    saved = [json.loads(conn.get(f"tq:res:{fan.group_id}.end")) for fan in fans]
    return saved == [fan.gathered() for fan in fans]


def _kill_all(hand: Hand) -> None:
    """``kill -9`` of a supervisor and its workers, as when their host is lost."""
    pids = hand.pids()
    hand.kill()
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@SLOW
@pytest.mark.timeout(300)
def test_row_02_flows_on_a_cluster_whose_workers_are_killed_end_whole_and_once(
    lattice: Grid,
) -> None:
    here, kills = lattice, 6
    account, sent = Load(), list[tuple[JobHandle[Any], Any]]()
    with App(here.url) as app:
        tasks = flows.tasks_of(app)
        here.supervise(2, concurrency=SLOTS)
        for turn in range(kills):
            hand = here.hands[-1]
            harm = partial(_kill_all, hand)
            if turn % 2:
                here.supervise(2, concurrency=SLOTS)  # it goes on when the other is gone
            else:
                harm = partial(hand.kill_child, until(hand.children, "its workers")[0])
            before = len(here.notes("start"))
            sent += flows.send(app, tasks, ROUNDS)
            account.plain(ROUNDS * flows.JOBS)
            until(partial(_noted, here, "start", before + SLOTS), "some jobs")
            here.progress(harm, account)
        assert [job.get(timeout=90) for job, _ in sent] == [wanted for _, wanted in sent]
    load = Load(fates=dict.fromkeys(here.witness().bodies, Fate.COMPLETED))
    assert len(load.fates) == len(account.fates)
    assert not here.finish(load)
    runs = diary.runs(here.notes()).total()
    assert runs <= kills * (ROUNDS * (flows.JOBS + flows.EXTRA_RUNS) + 2 * SLOTS)


def _fan(turn: int) -> Load:
    return Load(name=f"{turn}-", ms=5).fanning(1, 1, callback="gather")


def _retry(turn: int) -> Load:
    return Load(name=f"{turn}-", ms=5).retrying(1, times=1)


@SLOW
@pytest.mark.timeout(400)
@pytest.mark.parametrize(("make", "steps"), [(_fan, 23), (_retry, 8)])
def test_row_06_a_death_at_any_step_of_a_jobs_end_on_a_cluster_leaves_its_work_whole(
    lattice: Grid, make: Callable[[int], Load], steps: int
) -> None:
    """The first has a child, the child a group, which calls back; or it is tried once more."""
    here, whole, deaths = lattice, Load(), 0
    for turn in range(1, steps + 1):
        whole.add(make(turn).send(here.url))
        (here.folder / "failed").unlink(missing_ok=True)
        victim = here.hire(fail=f"piece:after:{turn}", lease=1.0)[0]
        until(partial(_dead_or_done, here, victim, whole), "a death, or the end of all jobs")
        code = victim.stop()
        assert code in {0, EXIT}
        deaths += code == EXIT
        other = here.hire(lease=1.0)[0]
        until(partial(_done, here, whole), "the end of all jobs")
        assert other.stop() == 0
    here.hire(lease=1.0)
    assert deaths > steps // 2
    assert not here.finish(whole)
    assert _gathered(here, whole.fans)


@SLOW
@pytest.mark.timeout(300)
def test_row_06_a_chain_on_a_cluster_whose_worker_dies_is_followed_to_its_end(
    lattice: Grid,
) -> None:
    """Its handle goes by the IDs in the records: a job that ran twice has one child, of one ID."""
    here, steps = lattice, 6
    with App(here.url) as app:
        tasks = flows.tasks_of(app)
        for turn in range(1, steps + 1):
            job = tasks.part.s(turn).then(tasks.double).delay()
            (here.folder / "failed").unlink(missing_ok=True)
            hand = here.supervise(1, fail=f"piece:after:{turn}")
            assert job.get(timeout=60) == 2 * turn
            until(partial(getattr, here, "failed"), "a death")
            assert hand.stop() == 0
    here.supervise(1)
    load = Load(fates=dict.fromkeys(here.witness().bodies, Fate.COMPLETED))
    assert len(load.fates) == 2 * steps
    assert not here.finish(load)


def _done(here: Grid, load: Load) -> bool:
    return here.ended() >= len(load.fates)


def _dead_or_done(here: Grid, hand: Hand, load: Load) -> bool:
    return hand.process.poll() is not None or _done(here, load)


@SLOW
@pytest.mark.parametrize("lattice", [QUEUE, f"{{{QUEUE}}}"], ids=["plain", "tagged"], indirect=True)
def test_row_36_groups_whose_slots_move_with_the_queues_call_back_once_with_all_results(
    lattice: Grid,
) -> None:
    here, whole = lattice, Load()
    here.hire(2, concurrency=SLOTS)
    for turn in range(3):
        load = Load(queue=here.queue, name=f"{turn}-", ms=20)
        load.fanning(4, 4, callback="gather").chains(4).retrying(2)
        groups = [group_key(fan.group_id) for fan in load.fans]
        before = len(here.notes("end"))
        whole.add(load.send(here.url))
        # Members of two groups end while the slots of these are on the way.
        moves = here.begin_moves(groups[:2])
        until(partial(_noted, here, "end", before + SLOTS), "some jobs")
        # The queue's own moves too, and those of groups in their midst.
        moves += here.begin_moves([here.queue, *groups[2:]])
        lasting(0.3)
        here.end_moves(moves)
    assert not here.finish(whole)
    assert _gathered(here, whole.fans)
    assert diary.runs(here.notes()).total() == len(whole.fates) + whole.extra_runs


def _noted(here: Grid, event: str, times: int) -> bool:
    return len(here.notes(event)) >= times
