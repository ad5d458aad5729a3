"""Row 9, a thousand times: the completions of workers whose jobs have long been others'."""

import os
import signal
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Final

import pytest

from tasqueue.core.ports import Answer
from tests.faults import diary
from tests.faults.load import Fate, Load
from tests.faults.site import Hand, Site, until

_WORKERS: Final = 12
_SLOTS: Final = 100
_ALL: Final = _WORKERS * _SLOTS


def _sleep_beyond_the_lease(here: Site, hands: list[Hand]) -> None:
    """All of them sleep with their hands full, one other takes it all over, and they wake up."""
    until(lambda: here.started() >= _ALL, "the start of all jobs")
    for hand in hands:
        hand.pause()
    other = here.hire(concurrency=_ALL, lease=1.0)[0]
    until(lambda: len(other.notes("start")) >= _ALL, "the start of all jobs elsewhere")
    for hand in hands:
        hand.resume()
    for hand in hands:
        until(partial(hand.notes, "fenced"), "its new life")


@pytest.mark.slow_fault
def test_row_09_a_stopped_process_of_a_supervisor_loses_its_jobs_to_the_others(
    here: Site,
) -> None:
    gate = here.folder / "gate"
    load = Load()
    for at in range(4):
        load.alone(f"gated-{at}", "gated", fate=Fate.COMPLETED, gate=str(gate))
    load.send(here.server.url)
    hand = here.supervise(2, lease=1.0, concurrency=2)
    until(lambda: here.started() == 4, "four running jobs")
    zombie = int(hand.notes("start")[0].words[-1])
    os.kill(zombie, signal.SIGSTOP)
    until(lambda: hand.notes("rescued"), "the rescue of its jobs")
    gate.touch()
    until(lambda: here.ended() == 4, "the end of all jobs")
    os.kill(zombie, signal.SIGCONT)
    until(lambda: hand.notes("fenced"), "its new life")
    assert not here.finish(load)
    assert diary.answers(here.notes(), Answer.APPLIED) == dict.fromkeys(load.fates, 1)


@pytest.mark.slow_fault
@pytest.mark.timeout(600)
def test_row_09_more_than_a_thousand_completions_of_zombies_are_all_refused(
    here: Site, tell: Callable[[str], None]
) -> None:
    # Their jobs end while they sleep, so that each wakes up to a hundred completions to send.
    load = Load(ms=15_000).plain(_ALL)
    hands = here.hire(_WORKERS, concurrency=_SLOTS, lease=1.0, env={"TQ_HEEDLESS": str(_SLOTS)})
    load.send(here.server.url)
    _sleep_beyond_the_lease(here, hands)
    assert not here.finish(load)
    refused = diary.answers(here.notes(), Answer.FENCED)
    witness = here.witness()
    assert witness is not None
    tell(f"{refused.total():,} tried, {len(witness.completed_twice())} accepted")
    assert set(refused) == set(load.fates)
    assert witness.completions == Counter(load.fates.keys())
