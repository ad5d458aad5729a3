"""Rows 37 to 41: clocks, cron, and Go workers beside ours."""

import itertools
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tasqueue import Job, JobOpts
from tasqueue.core import lifecycle
from tasqueue.core.lifecycle import Circumstances, Finish, Succeeded
from tasqueue.core.ports import Answer
from tasqueue.core.timing import to_ns
from tests.faults import diary
from tests.faults.load import QUEUE, Fate, Load, mixture
from tests.faults.oracle import places
from tests.faults.server_clock import ServerClock
from tests.faults.site import Site, assert_each_tick_once, lasting, site, until
from tests.parity.live.fleet import GoProducer, GoWorker, JobSpec

SLOW = pytest.mark.slow_fault
HOUR = 3600


@SLOW
@pytest.mark.parametrize("seconds", [HOUR, -HOUR], ids=["an hour ahead", "an hour behind"])
def test_row_37_a_worker_whose_clock_is_wrong_is_not_taken_for_dead(
    here: Site, seconds: int
) -> None:
    load = mixture(4, ms=60).send(here.server.url)
    here.hire(concurrency=4, lease=1.0)
    here.hire(concurrency=4, lease=1.0, env={"TQ_CLOCK": str(seconds)})
    assert not here.finish(load)
    assert here.notes("rescued") == []
    assert here.notes("fenced") == []


@SLOW
@pytest.mark.parametrize("how", ["jumping", "drifting"])
def test_row_37_a_clock_that_turns_while_workers_run_reaps_nobody(here: Site, how: str) -> None:
    load = Load(ms=200).plain(60).send(here.server.url)
    # Its clock turns by an hour, ahead and back, each second; or runs half as fast again.
    here.hire(concurrency=4, lease=1.0, env={"TQ_CLOCK": how})
    here.hire(concurrency=4, lease=1.0)
    assert not here.finish(load)
    assert here.notes("rescued") == []
    assert here.notes("fenced") == []


@pytest.fixture
def clock(tmp_path: Path) -> ServerClock:
    """The clock of the server that `turned` starts."""
    return ServerClock(tmp_path)


@pytest.fixture
def turned(tmp_path: Path, clock: ServerClock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A server whose clock a test turns; its workers keep their own."""
    with monkeypatch.context() as only_the_server:
        for name, value in clock.env.items():
            only_the_server.setenv(name, value)
        opened = ExitStack()
        here = opened.enter_context(site(tmp_path))
    with opened:
        yield here


@SLOW
@pytest.mark.parametrize(
    "turns",
    [
        pytest.param([HOUR], id="an hour ahead"),
        pytest.param([-HOUR], id="an hour behind"),
        pytest.param([HOUR, -HOUR, -HOUR, HOUR], id="to and fro"),
        pytest.param([0.25] * 12, id="drifting"),
    ],
)
def test_row_37_a_server_whose_clock_is_turned_makes_nobody_look_dead(
    turned: Site, clock: ServerClock, turns: list[float]
) -> None:
    load = Load(ms=100).plain(120).chains(6).fanning(3, 2)
    now = len(load.fates)
    load.later(3, seconds=HOUR / 2).send(turned.server.url)
    turned.hire(2, concurrency=2, lease=1.0)
    until(lambda: turned.started() >= 2, "the first runs")
    for seconds in turns:
        clock.turn(seconds)
        lasting(0.5)
    until(lambda: turned.ended() >= now, "the end of what is due")
    # What is due in half an hour comes when the server's clock says so, and no sooner.
    if max(turns) < HOUR:
        assert turned.ended() == now
        clock.turn(2 * HOUR)
    assert not turned.finish(load)
    assert turned.notes("rescued") == []
    assert turned.notes("fenced") == []


def _ticks(expr: str, start: datetime, count: int) -> list[datetime]:
    """The ticks of a scheduled job, each found by the end of the one before it."""
    zone = start.tzinfo
    now_ns = to_ns(start)
    numbers = iter(range(10**6))

    def new_id() -> str:
        return f"tick-{next(numbers)}"

    made = lifecycle.entry(
        Job.create("work", b"{}", JobOpts(schedule=expr)), now_ns=now_ns, new_id=new_id
    )
    ticks: list[datetime] = []
    for _ in range(count):
        due_ns = made.due_ns
        assert due_ns is not None
        ticks.append(datetime.fromtimestamp(due_ns // 10**9, tz=UTC).astimezone(zone))
        around = Circumstances(due_ns + 5_000_000, "1:x", new_id)
        decision = lifecycle.decide(made.message, Succeeded(), around)
        assert isinstance(decision, Finish)
        (made,) = decision.released
    return ticks


@pytest.mark.parametrize("day", ["2026-03-28", "2026-10-24"], ids=["spring", "autumn"])
def test_row_38_each_tick_comes_once_over_a_change_of_daylight_saving(day: str) -> None:
    berlin = ZoneInfo("Europe/Berlin")
    start = datetime.fromisoformat(f"{day}T12:00").replace(tzinfo=berlin)
    ticks = _ticks("CRON_TZ=Europe/Berlin 30 * * * *", start, 48)
    instants = [tick.timestamp() for tick in ticks]
    assert len(set(instants)) == 48
    assert {later - sooner for sooner, later in itertools.pairwise(instants)} == {3600}
    noons = _ticks("CRON_TZ=Europe/Berlin 0 12 * * *", start, 4)
    assert {tick.hour for tick in noons} == {12}
    assert len({tick.date() for tick in noons}) == 4


def test_row_38_a_leap_day_is_a_day() -> None:
    ticks = _ticks("CRON_TZ=UTC 0 6 29 2 *", datetime(2026, 1, 1, tzinfo=UTC), 3)
    assert [tick.date().isoformat() for tick in ticks] == ["2028-02-29", "2032-02-29", "2036-02-29"]


@SLOW
def test_row_39_a_tick_fires_once_among_many_workers_of_which_some_die(here: Site) -> None:
    hands = here.hire(20, concurrency=1)
    until(lambda: here.registered() == 20, "twenty workers")
    schedule = JobOpts(queue=QUEUE, schedule="@every 1s")
    load = Load()
    load.jobs.append(Job.create("work", b"{}", schedule))
    load.send(here.server.url)
    for victim in hands[:5]:
        here.progress(victim.kill)
    before = here.ended()
    until(lambda: here.ended() >= before + 2, "two more ticks")
    assert_each_tick_once(here)
    for hand in hands[5:]:
        assert hand.stop() == 0


@pytest.fixture
def go_worker(here: Site, go_program: Path) -> Iterator[GoWorker]:
    """A Go worker of ``work`` on the suite's queue."""
    with GoWorker(
        go_program, port=here.server.port, tasks=["work=echo"], queues=[QUEUE], concurrency=4
    ) as worker:
        yield worker


def _by_go(here: Site) -> Counter[str]:
    store: Any = here.conn
    counts = store.hgetall(f"runs:{QUEUE}")
    return Counter({name.decode(): int(count) for name, count in counts.items()})


@SLOW
def test_row_40_go_and_python_that_promote_the_same_set_complete_each_job(
    here: Site, go_worker: GoWorker
) -> None:
    load = Load().later(300, seconds=1.5).send(here.server.url)
    here.hire(concurrency=4)
    until(lambda: here.ended() >= 300, "the end of all jobs")
    # Go moves one member at a time and may leave a copy: at most two runs, all of them ended.
    runs = _by_go(here) + diary.runs(here.notes())
    assert set(runs) == set(load.fates)
    assert max(runs.values()) <= 2
    applied = diary.answers(here.notes(), Answer.APPLIED)
    assert set(applied.values()) <= {1}
    here.sign_off()


@SLOW
@pytest.mark.parametrize("kills", [0, 3], ids=["nobody dies", "Python workers die"])
def test_row_41_a_go_worker_beside_ours_completes_the_union(
    here: Site, go_program: Path, go_worker: GoWorker, kills: int
) -> None:
    load = Load(ms=5).plain(400).chains(40).send(here.server.url)
    with GoProducer(go_program, port=here.server.port) as producer:
        for at in range(200):
            producer.enqueue(JobSpec(task="work", id=f"go-{at}", queue=QUEUE, payload=b"{}"))
            load.fates[f"go-{at}"] = Fate.COMPLETED
    here.hire(2, concurrency=4)
    for turn in range(kills):
        here.progress(here.hands[turn].kill, load)
        here.hire(concurrency=4)
    until(lambda: here.ended() >= len(load.fates), "the end of all jobs")
    lasting(0.2)  # Go writes its records after its lists
    here.sign_off()
    go_worker.stop()
    found = places(here.conn, QUEUE)
    assert found.completed == set(load.fates)
    assert not found.pending
    witness = here.witness()
    assert witness is not None
    assert not witness.completed_twice()
    assert not witness.entered_twice()
    ours = diary.runs(here.notes())
    assert (ours + _by_go(here)).total() <= len(load.fates) + 4 * kills
