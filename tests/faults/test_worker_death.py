"""Rows 1 to 10: worker processes die, hang, or are asked to end."""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable

import pytest

from tasqueue import Job, JobOpts
from tasqueue.core.ports import Answer
from tests.faults import diary
from tests.faults.failpoint import EXIT, MOMENTS, STEPS
from tests.faults.load import QUEUE, Fate, Load, mixture
from tests.faults.site import LEASE, PATIENCE, Hand, Site, assert_each_tick_once, lasting, until
from tests.parity.program import ROOT

BATCH = 8
SLOW = pytest.mark.slow_fault


def _claimed(hand: Hand, count: int = 1) -> None:
    until(lambda: len(hand.notes("start")) >= count, f"{count} started jobs of {hand.name}")


def test_row_01_an_idle_worker_that_is_killed_leaves_no_trace(here: Site) -> None:
    first, second = here.hire(2)
    until(lambda: here.registered() == 2, "two workers")
    first.kill()
    load = Load().plain(5).send(here.server.url)
    assert not here.finish(load)
    assert diary.runs(here.notes()).total() == 5
    assert second.process.returncode == 0


def test_row_02_the_jobs_of_a_killed_worker_run_elsewhere(here: Site) -> None:
    load = mixture(4, ms=30).send(here.server.url)
    victim = here.hire(concurrency=BATCH)[0]
    _claimed(victim, 4)
    here.hire()
    until(lambda: here.registered() == 2, "the second worker")
    victim.kill()
    assert not here.finish(load)
    runs = diary.runs(here.notes()).total()
    assert runs <= len(load.fates) + load.extra_runs + BATCH


@SLOW
def test_row_02_every_worker_killed_in_turn_loses_nothing(here: Site) -> None:
    load = mixture(20, ms=20).send(here.server.url)
    kills = 8
    here.hire(2, concurrency=BATCH)
    for turn in range(kills):
        here.progress(here.hands[turn].kill, load)
        here.hire(concurrency=BATCH)
    assert not here.finish(load)
    runs = diary.runs(here.notes()).total()
    assert runs <= len(load.fates) + load.extra_runs + kills * BATCH


def _dies_at(here: Site, load: Load, fail: str) -> Hand:
    """Run a load with one worker that dies at a failpoint and one that does not."""
    load.send(here.server.url)
    victim = here.hire(fail=fail, concurrency=BATCH)[0]
    victim.process.wait(timeout=60)
    assert victim.process.returncode == EXIT
    here.hire()
    assert not here.finish(load)
    return victim


@SLOW
def test_row_03_jobs_that_were_claimed_and_not_started_run_elsewhere(here: Site) -> None:
    victim = _dies_at(here, mixture(1), "claim:after:1")
    assert victim.notes("start") == []


def test_row_04_a_job_whose_handler_is_done_runs_again_and_completes_once(here: Site) -> None:
    load = Load().plain(1)
    victim = _dies_at(here, load, "settle:before:1")
    assert len(victim.notes("end")) == 1
    assert diary.runs(here.notes())["plain-0"] == 2


def test_row_05_a_finish_whose_reply_nobody_read_counts(here: Site) -> None:
    load = Load().plain(1)
    _dies_at(here, load, "settle:after:1")
    assert diary.runs(here.notes())["plain-0"] == 1


def _kinds() -> dict[str, Load]:
    return {
        "jobs": Load(ms=5).plain(12),
        "retries": Load(ms=5).retrying(6),
        "failures": Load(ms=5).failing(6),
        "chains": Load(ms=5).chains(5, links=4),
        "groups": Load(ms=5).groups_of(4, 3),
        "groups with a callback": Load(ms=5).fanning(4, 3),
        "scheduled": Load(ms=5).later(8, seconds=0.5),
    }


@SLOW
@pytest.mark.parametrize("kind", list(_kinds()))
@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("step", ["beat", "claim", "mark", "settle", "promote", "rescue"])
def test_row_06_a_death_at_any_step_leaves_every_kind_of_work_whole(
    here: Site, *, step: str, moment: str, kind: str
) -> None:
    _dies_at(here, _kinds()[kind], f"{step}:{moment}:1")


def test_row_06_a_death_in_the_middle_of_a_mixture_leaves_it_whole(here: Site) -> None:
    _dies_at(here, mixture(2, ms=5), "settle:after:3")


@SLOW
@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("step", ["claim", "settle", "promote"])
def test_row_06_a_death_at_any_step_of_a_scheduled_job_leaves_one_next_firing(
    here: Site, *, step: str, moment: str
) -> None:
    ticking = Load(jobs=[Job.create("work", b"{}", JobOpts(queue=QUEUE, schedule="@every 1s"))])
    ticking.send(here.server.url)
    victim = here.hire(fail=f"{step}:{moment}:2")[0]
    victim.process.wait(timeout=60)
    here.hire()
    before = here.ended()
    until(lambda: here.ended() >= before + 2, "two more firings")
    here.sign_off()
    assert_each_tick_once(here)


def _produce(here: Site, fail: str) -> None:
    """Have a process enqueue three jobs, one by one, and die at the second."""
    env = os.environ | {"TQ_FAIL": fail, "TQ_FAIL_ONCE": str(here.folder / "failed")}
    command = [sys.executable, "-c", _PRODUCER, here.server.url, QUEUE]
    done = subprocess.run(command, cwd=ROOT, env=env, check=False, timeout=60)
    assert done.returncode == EXIT


_PRODUCER = """
import os, pathlib, sys
from tasqueue import Job, JobOpts
from tasqueue.drivers.redis import Address, KeepOpts, RedisStore
from tasqueue.engine import plan
from tests.faults import failpoint

failpoint.install(os.environ["TQ_FAIL"], pathlib.Path(os.environ["TQ_FAIL_ONCE"]))
store = RedisStore(Address.from_url(sys.argv[1]), KeepOpts(expiry_ms=3_600_000))
for at in range(3):
    job = Job.create("work", b"{}", JobOpts(id=f"job-{at}", queue=sys.argv[2]))
    plan.run_blocking(plan.enqueue(job), store)
"""


@SLOW
@pytest.mark.parametrize(("moment", "there"), [("before", 1), ("after", 2)])
def test_row_06_a_death_of_a_producer_leaves_what_was_enqueued(
    here: Site, moment: str, there: int
) -> None:
    _produce(here, f"enqueue:{moment}:2")
    load = Load()
    load.fates = {f"job-{at}": Fate.COMPLETED for at in range(there)}
    here.hire()
    assert not here.finish(load)


@SLOW
@pytest.mark.parametrize("moment", MOMENTS)
def test_row_06_a_death_while_burying_keeps_the_bytes(here: Site, moment: str) -> None:
    here.conn.lpush(QUEUE, b"\xc1 no message")
    _dies_at(here, Load().plain(2), f"bury:{moment}:1")
    assert here.conn.zcard(f"tq:dl:{{{QUEUE}}}") == 1


@SLOW
@pytest.mark.parametrize("moment", MOMENTS)
def test_row_06_a_death_while_parking_keeps_the_job(here: Site, moment: str) -> None:
    load = Load().alone("stranger", "nobody-knows-me", fate=Fate.PARKED).plain(2)
    _dies_at(here, load, f"park:{moment}:1")


@SLOW
@pytest.mark.parametrize("moment", MOMENTS)
def test_row_06_a_death_while_unparking_keeps_the_job(here: Site, moment: str) -> None:
    load = Load().alone("stranger", "work", fate=Fate.COMPLETED).send(here.server.url)
    ignorant = here.hire(tasks="bad")[0]
    until(lambda: here.conn.scard(f"tq:pk:{{{QUEUE}}}") == 1, "a parked job")
    assert ignorant.stop() == 0
    victim = here.hire(fail=f"unpark:{moment}:1")[0]
    assert victim.process.wait(timeout=60) == EXIT
    here.hire()
    until(lambda: here.conn.zcard("tq:res:success") == 1, "its end")
    assert not here.finish(load)


@SLOW
@pytest.mark.parametrize("moment", MOMENTS)
def test_row_06_a_death_while_signing_off_gives_everything_back(here: Site, moment: str) -> None:
    load = Load(ms=200).plain(20).send(here.server.url)
    victim = here.hire(fail=f"end:{moment}:1", concurrency=4, grace=0.1)[0]
    _claimed(victim)
    victim.term()
    assert victim.process.wait(timeout=60) == EXIT
    here.hire()
    assert not here.finish(load)


@SLOW
@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("step", STEPS[:6])
def test_row_06_a_death_at_the_third_turn_of_a_step_leaves_a_mixture_whole(
    here: Site, *, step: str, moment: str
) -> None:
    _dies_at(here, mixture(3, ms=10), f"{step}:{moment}:3")


def _term_under_load(here: Site, workers: int, *, concurrency: int) -> None:
    """Ask workers to end together, each in the middle of its jobs."""
    hands = here.hire(workers, concurrency=concurrency)
    for hand in hands:
        _claimed(hand)
    for hand in hands:
        hand.term()
    assert {hand.process.wait(timeout=PATIENCE) for hand in hands} == {0}
    in_flight = list(here.conn.scan_iter("tq:if:*")) + list(here.conn.scan_iter("tq:ld:*"))
    assert in_flight == []
    assert here.registered() == 0


def test_row_07_sigterm_under_load_leaves_nothing_in_flight_and_doubles_nothing(
    here: Site,
) -> None:
    load = Load(ms=20).plain(60).send(here.server.url)
    _term_under_load(here, 1, concurrency=BATCH)
    here.hire()
    assert not here.finish(load)
    assert diary.runs(here.notes()).total() == 60


_TOGETHER = 10
_BACKLOG = 4_000
"""Jobs of 0.1 s: ten workers with four slots do not get to its end before the last has started."""


@SLOW
@pytest.mark.parametrize(
    "times",
    [
        pytest.param(100, marks=pytest.mark.timeout(900)),
        pytest.param(1_000, marks=[pytest.mark.deep, pytest.mark.timeout(7200)]),
    ],
)
def test_row_07_sigterm_under_load_again_and_again(
    here: Site, tell: Callable[[str], None], times: int
) -> None:
    whole = Load()
    for _ in range(times // _TOGETHER):
        missing = _BACKLOG - (len(whole.fates) - here.ended())
        part = Load(name=f"{len(whole.fates)}-", ms=100).plain(missing).send(here.server.url)
        whole.fates.update(part.fates)
        _term_under_load(here, _TOGETHER, concurrency=4)
    tell(f"{here.ended():,} of {len(whole.fates):,} jobs had ended at the last of {times:,} ends")
    here.hire(2, concurrency=64)
    assert not here.finish(whole)
    assert here.notes("rescued") == []
    assert diary.runs(here.notes()) == Counter(dict.fromkeys(whole.fates, 1))


@SLOW
def test_row_08_a_kill_while_draining_loses_nothing(here: Site) -> None:
    load = Load(ms=2_000).plain(6).send(here.server.url)
    victim = here.hire(concurrency=4, grace=30)[0]
    _claimed(victim, 4)
    victim.term()
    victim.kill()
    here.hire()
    assert not here.finish(load)


@SLOW
def test_row_08_a_second_sigterm_waits_for_nobody_and_loses_nothing(here: Site) -> None:
    gate = here.folder / "gate"
    load = Load()
    for at in range(6):
        load.alone(f"gated-{at}", "gated", fate=Fate.COMPLETED, gate=str(gate))
    load.send(here.server.url)
    hand = here.supervise(2, concurrency=2, grace=600)
    _claimed(hand, 4)
    hand.term()
    until(lambda: "stopping" in hand.log, "the drain")
    hand.term()
    hand.process.wait(timeout=PATIENCE)
    # The gate is closed: it did not wait for the jobs, and they have not run to their end.
    assert hand.notes("answer") == []
    gate.touch()
    here.hire()
    assert not here.finish(load)


def test_row_09_a_worker_that_slept_beyond_its_lease_is_refused(here: Site) -> None:
    load = Load(ms=300).plain(8).send(here.server.url)
    zombie = here.hire(concurrency=4, lease=1.0)[0]
    _claimed(zombie)
    zombie.pause()
    other = here.hire(concurrency=4, lease=1.0)[0]
    until(lambda: other.notes("rescued"), "the rescue of its jobs")
    zombie.resume()
    until(lambda: zombie.notes("fenced"), "the zombie's new life")
    assert not here.finish(load)
    refused = diary.answers(zombie.notes(), Answer.FENCED)
    applied = diary.answers(here.notes(), Answer.APPLIED)
    assert set(applied.values()) == {1}
    assert applied.total() == 8
    assert diary.runs(here.notes()).total() <= 8 + 4
    assert refused.total() <= 4


@SLOW
def test_row_10_workers_that_slept_together_reap_nobody(here: Site) -> None:
    load = Load(ms=400).plain(12).send(here.server.url)
    hands = here.hire(3, concurrency=2, lease=LEASE)
    for hand in hands:
        _claimed(hand)
    for hand in hands:
        hand.pause()
    lasting(2 * LEASE)
    for hand in hands:
        hand.resume()
    assert not here.finish(load)
    assert here.notes("rescued") == []
    assert diary.runs(here.notes()).total() == 12
