"""Claiming ahead fills the slots of short jobs, and holds no job back behind long ones."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasqueue import JobContext
from tasqueue.core.ports import Answer, Claim, Settlement
from tasqueue.drivers.memory.lease import MemoryLease
from tasqueue.engine.prefetch import Prefetch
from tests.engine.rig import Rig, until

SLOTS = 16


def test_nothing_is_claimed_ahead_before_a_run_was_seen() -> None:
    assert Prefetch(SLOTS).ahead == 0


@given(st.lists(st.floats(0, 3600), max_size=50), st.floats(0, 0.049), st.integers(1, 1000))
def test_short_runs_are_learned_whatever_was_before(
    before: list[float], seconds: float, slots: int
) -> None:
    prefetch = Prefetch(slots)
    for one in [*before, *[seconds] * 150]:
        prefetch.ran(one)
    assert prefetch.ahead * seconds <= slots * 0.0101
    assert prefetch.ahead <= 200


@given(st.lists(st.floats(0, 0.01), max_size=50), st.floats(0.06, 3600))
def test_nothing_is_claimed_ahead_of_long_runs(before: list[float], seconds: float) -> None:
    prefetch = Prefetch(SLOTS)
    for one in [*before, *[seconds] * 30]:
        prefetch.ran(one)
    assert prefetch.ahead == 0


def test_a_misjudgement_ends_claiming_ahead_until_runs_are_short_again() -> None:
    prefetch = Prefetch(SLOTS)
    for _ in range(100):
        prefetch.ran(0.0001)
    assert prefetch.ahead == 200
    prefetch.misjudged()
    assert prefetch.ahead == 0
    for _ in range(100):
        prefetch.ran(0.0001)
    assert prefetch.ahead == 200


async def test_what_waits_behind_full_slots_goes_back_and_runs_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rig = Rig()
    monkeypatch.setattr(Prefetch, "ahead", 5)
    for _ in range(SLOTS):
        await rig.send("gated")
    quick = [await rig.send("quick") for _ in range(5)]
    async with rig.running():
        await until(lambda: rig.store.calls["release"])
        assert not any(rig.runs[one] for one in quick)
        assert rig.store.sizes["release"] == [5]
        rig.gate.set()
        await rig.ended(*quick)
    assert set(rig.runs.values()) == {1}


async def test_a_claim_that_waits_gives_way_to_jobs_that_wait_behind_full_slots(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The first claim is full, so the next one is sent while the last of its jobs still wait."""
    rig = Rig()
    monkeypatch.setattr(Prefetch, "ahead", 40)
    for task in ["quick"] * 20 + ["gated"] * SLOTS:
        await rig.send(task)
    last = [await rig.send("quick") for _ in range(20)]
    async with rig.running():
        await until(lambda: rig.store.calls["release"])
        assert rig.store.calls["wake"] == 1
        assert rig.store.sizes["release"] == [20]
        rig.gate.set()
        await rig.ended(*last)
    assert set(rig.runs.values()) == {1}


async def test_the_next_claim_is_sent_while_the_last_jobs_of_a_full_one_begin(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rig, waiting, taken = Rig(), list[int](), list[Claim]()
    claim = MemoryLease.claim

    async def seen(lease: MemoryLease, queue: str, limit: int) -> list[Claim]:
        waiting.append(len(taken) - sum(rig.runs.values()))
        taken.extend(got := await claim(lease, queue, limit))
        return got

    monkeypatch.setattr(MemoryLease, "claim", seen)
    monkeypatch.setattr(Prefetch, "ahead", 100)
    jobs = [await rig.send("quick") for _ in range(400)]
    async with rig.running():
        await rig.ended(*jobs)
    assert SLOTS < max(waiting) <= SLOTS + 50
    assert set(rig.runs.values()) == {1}


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_store_that_blinks_while_jobs_go_back_loses_and_doubles_none(
    monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    rig = Rig()
    monkeypatch.setattr(Prefetch, "ahead", 5)
    for _ in range(SLOTS):
        await rig.send("gated")
    quick = [await rig.send("quick") for _ in range(5)]
    rig.store.fail("release", when=when, times=1)
    async with rig.running():
        await until(lambda: rig.store.calls["release"])
        rig.gate.set()
        await rig.ended(*quick)
    assert set(rig.runs.values()) == {1}


async def test_a_job_that_ends_at_once_begins_and_is_settled_before_the_next_claim_is_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rig, log = Rig(), list[str]()
    claim, settle = MemoryLease.claim, MemoryLease.settle

    async def logged(lease: MemoryLease, queue: str, limit: int) -> list[Claim]:
        log.append("asks")
        taken = await claim(lease, queue, limit)
        log.extend("gets" for _ in taken)
        return taken

    async def settled(
        lease: MemoryLease, queue: str, settlements: Sequence[Settlement]
    ) -> list[Answer]:
        log.append("settles")
        return await settle(lease, queue, settlements)

    async def begun(payload: bytes, ctx: JobContext) -> None:
        log.append("begins")

    monkeypatch.setattr(MemoryLease, "claim", logged)
    monkeypatch.setattr(MemoryLease, "settle", settled)
    rig.add("begun", begun)
    async with rig.running():
        await rig.ended(await rig.send("begun"))
    assert [*log, "asks"][log.index("gets") :][:4] == ["gets", "begins", "settles", "asks"]
