"""Who is taken for dead, and who never is."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasqueue.drivers.redis import process
from tasqueue.drivers.redis.liveness import BEATS, Watch
from tasqueue.drivers.redis.process import Place, _started, here, parse, vanished

ELSEWHERE = Place("boot", "pid", 1, "1", 30)
ME = Place("", "", 1, "", 30)


def test_a_worker_is_dead_when_it_is_silent_for_five_beats_of_mine() -> None:
    watch = Watch(ME)
    for beats in range(BEATS):
        assert watch.dead({"w": b"1"}, {"w": ELSEWHERE}, beats) == []
    assert watch.dead({"w": b"1"}, {"w": ELSEWHERE}, BEATS) == ["w"]


def test_looking_often_kills_nobody() -> None:
    watch = Watch(ME)
    for _ in range(1000):
        assert watch.dead({"w": b"1"}, {"w": ELSEWHERE}, 3) == []


def test_a_failed_beat_of_mine_starts_the_count_anew() -> None:
    watch = Watch(ME)
    watch.dead({"w": b"1"}, {"w": ELSEWHERE}, 0)
    watch.forget()
    assert watch.dead({"w": b"1"}, {"w": ELSEWHERE}, BEATS) == []
    assert watch.dead({"w": b"1"}, {"w": ELSEWHERE}, 2 * BEATS) == ["w"]


@given(st.lists(st.tuples(st.integers(0, 9), st.booleans()), max_size=60))
def test_whoever_beats_between_two_of_my_five_beats_lives(
    steps: list[tuple[int, bool]],
) -> None:
    watch, mine, theirs, silent = Watch(ME), 0, 0, 0
    for my_beats, beaten in steps:
        mine += my_beats
        theirs += beaten
        silent = 0 if beaten else silent + my_beats
        dead = watch.dead({"w": b"%d" % theirs}, {"w": ELSEWHERE}, mine)
        assert not (dead and silent < BEATS)


def test_a_longer_lease_than_mine_is_waited_for() -> None:
    watch = Watch(ME)
    patient = ELSEWHERE._replace(lease=300)
    for beats in range(10 * BEATS):
        assert watch.dead({"w": b"1"}, {"w": patient}, beats) == []
    assert watch.dead({"w": b"1"}, {"w": patient}, 10 * BEATS) == ["w"]


def test_a_record_that_cannot_be_read_only_costs_the_fast_way() -> None:
    watch = Watch(ME)
    assert parse("no place") is None
    assert watch.dead({"w": b"1"}, {"w": None}, 0) == []
    assert watch.dead({"w": b"1"}, {"w": None}, BEATS) == ["w"]


@given(st.integers(1, 1 << 22), st.floats(0.5, 1e6), st.lists(st.sampled_from("ab"), max_size=3))
def test_a_place_survives_being_stored_and_a_later_version(
    pid: int, lease: float, more: list[str]
) -> None:
    place = Place("boot", "pid:[1]", pid, "99", float(f"{lease:g}"), pid + 1, "98")
    assert parse("|".join([place.text(), *more])) == place


def test_a_place_of_the_version_before_has_no_supervisor() -> None:
    assert parse("boot|pid:[1]|7|99|30") == Place("boot", "pid:[1]", 7, "99", 30)


linux = pytest.mark.skipif(not here(1).boot, reason="this system does not say who runs")


@pytest.fixture
def child() -> Iterator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen(
        [sys.executable, "-c", "print(flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.readline()
    yield process
    process.kill()
    process.communicate()


@linux
def test_a_process_that_runs_has_not_vanished() -> None:
    assert not vanished(here(30), here(30))


@linux
def test_a_worker_whose_supervisor_lives_is_left_to_it(child: "subprocess.Popen[bytes]") -> None:
    gone = here(30)._replace(started="1")
    above = gone._replace(supervisor=child.pid, supervisor_started=_started(child.pid))
    assert vanished(gone, here(30))
    assert not vanished(above, here(30))
    child.kill()
    child.wait()
    assert vanished(above, here(30))
    assert not vanished(here(30, supervisor=child.pid), here(30)), "it lives, alone"


@linux
def test_a_killed_process_has_vanished_also_before_its_parent_knows(
    child: "subprocess.Popen[bytes]",
) -> None:

    place = here(30)._replace(pid=child.pid, started=_started(child.pid))
    assert not vanished(place, here(30))
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert vanished(place, here(30))
    child.wait()
    assert vanished(place, here(30))


@linux
def test_another_process_with_the_same_number_is_another_process() -> None:
    assert vanished(here(30)._replace(started="1"), here(30))


@linux
@pytest.mark.parametrize(
    "elsewhere",
    [
        here(30)._replace(boot="other"),
        here(30)._replace(namespace="pid:[1]"),
        here(30)._replace(boot=""),
    ],
)
def test_nobody_judges_the_processes_of_another_host(elsewhere: Place) -> None:
    assert not vanished(elsewhere._replace(started="1"), here(30))


def test_a_system_that_does_not_say_who_runs_judges_nobody(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(process, "_PROC", tmp_path)
    assert here(30) == Place("", "", os.getpid(), "", 30)
    assert not vanished(here(30), here(30))
    hidden = Place("boot", "pid", os.getpid(), "99", 30)
    assert not vanished(hidden, hidden), "alive, but hidden"


def test_a_process_of_another_user_has_not_vanished(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_pid: int, _signal: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "kill", refuse)
    assert not vanished(ELSEWHERE, ELSEWHERE)
