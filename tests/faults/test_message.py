"""Rows 42 to 45: long backlogs, large messages, copies, and bytes that are no message."""

import json
import time
from collections.abc import Callable
from typing import Any, Final

import pytest

from tasqueue import Chain, Group, GroupOpts, Job, JobOpts
from tasqueue.core.errors import LimitExceeded
from tasqueue.core.limits import MAX_LINKS, MAX_MESSAGE
from tasqueue.core.ports import Answer
from tasqueue.core.wire import decode_job
from tasqueue.drivers.redis import Address, KeepOpts, RedisStore
from tasqueue.drivers.redis.keys import queue_keys
from tasqueue.engine import plan
from tests.faults import diary
from tests.faults.cost import Cost, Steps, cost_of
from tests.faults.load import QUEUE, Fate, Load
from tests.faults.oracle import judge
from tests.faults.site import Site, peak_memory, until

SLOW = pytest.mark.slow_fault
KEYS = queue_keys(QUEUE)


_BACKLOG: Final = 1_000_000
_TENTH: Final = _BACKLOG // 10
_FLAT: Final = 3.0
"""So much more may a job cost at the end of a backlog ten times as long: it is flat, not linear."""
_MILLION_WITHIN: Final = 1800.0
"""Seconds in which a million messages are worked off, on a machine that others use too."""


@SLOW
@pytest.mark.timeout(1500)
def test_row_42_a_long_backlog_costs_no_more_and_is_worked_off(
    bare: Site, tell: Callable[[str], None]
) -> None:
    store: Any = bare.conn
    whole = Load()

    def send() -> None:
        part = Load(name=f"{len(whole.fates)}-").plain(_TENTH).send(bare.server.url)
        whole.fates.update(part.fates)

    into = [cost_of(bare.conn, send, lambda: store.llen(QUEUE)) for _ in range(10)]
    hands = bare.hire(2, concurrency=64)

    def out_of(first: int) -> Cost:
        _ended(bare, first)
        return cost_of(bare.conn, lambda: _ended(bare, first + _TENTH), bare.ended)

    out, memory = [out_of(0)], [max(peak_memory(hand.pid) for hand in hands)]
    out.append(out_of(8 * _TENTH))
    memory.append(max(peak_memory(hand.pid) for hand in hands))
    assert not bare.finish(whole, within=600)
    tell(f"into an empty queue {into[0]}; behind {9 * _TENTH:,} jobs {into[-1]}")
    tell(f"the first tenth out {out[0]}; the ninth {out[-1]}")
    tell(f"the larger worker's peak {memory[0] >> 20} MiB, and {memory[1] >> 20} MiB")
    for first, last in (into[0], into[-1]), (out[0], out[-1]):
        assert last.calls < _FLAT * first.calls
        assert last.commands < _FLAT * first.commands
    assert memory[1] < memory[0] + (32 << 20)


def _ended(here: Site, count: int) -> None:
    until(lambda: here.ended() >= count, f"the end of {count:,} jobs", within=600)


def _fresh(url: str) -> RedisStore:
    return RedisStore(Address.from_url(url), KeepOpts(expiry_ms=3_600_000))


@SLOW
def test_row_43_what_is_too_large_is_refused_at_enqueue(here: Site) -> None:
    store = _fresh(here.server.url)
    try:
        for size in (MAX_MESSAGE + 1, 64 << 20):
            large = Job.create("work", b"x" * size, JobOpts(queue=QUEUE))
            with pytest.raises(LimitExceeded, match="bytes"):
                plan.run_blocking(plan.enqueue(large), store)
        for count in (MAX_LINKS + 2, 10_000):
            links = [Job.create("work", b"{}", JobOpts(queue=QUEUE)) for _ in range(count)]
            with pytest.raises(LimitExceeded, match="in a row"):
                plan.run_blocking(plan.enqueue_chain(Chain.create(links)), store)
    finally:
        store.close()
    assert here.conn.dbsize() == 0
    load = Load().plain(1)
    body = json.dumps({"fill": "x" * (MAX_MESSAGE - 2000)}).encode()
    load.jobs.append(Job.create("work", body, JobOpts(id="large", queue=QUEUE)))
    load.fates["large"] = Fate.COMPLETED
    load.send(here.server.url)
    here.hire()
    assert not here.finish(load)


@SLOW
@pytest.mark.parametrize(
    "count",
    [
        pytest.param(100_000, marks=pytest.mark.timeout(600)),
        pytest.param(1_000_000, marks=[pytest.mark.deep, pytest.mark.timeout(3600)]),
    ],
)
def test_row_43_a_large_group_with_a_callback_goes_in_and_out_in_portions(
    bare: Site, tell: Callable[[str], None], count: int
) -> None:
    steps = Steps(bare.server)
    load = Load().fanning(count, 1).send(bare.server.url)
    tell(f"{count:,} members in: {steps}")
    steps = Steps(bare.server)
    bare.hire(2, concurrency=64)
    _ended(bare, len(load.fates))
    tell(f"{count:,} members out: {steps}")
    assert not bare.finish(load)


@SLOW
def test_row_43_a_large_group_without_a_callback_enters_in_portions(
    bare: Site, tell: Callable[[str], None]
) -> None:
    count = 20_000
    jobs = [Job.create("work", b"{}", JobOpts(id=f"m-{at}", queue=QUEUE)) for at in range(count)]
    store = _fresh(bare.server.url)
    steps = Steps(bare.server)
    try:
        plan.run_blocking(plan.enqueue_group(Group.create(jobs, GroupOpts(id="large"))), store)
        tell(f"{count:,} members in: {steps}")
        bare.hire(concurrency=64)
        until(lambda: bare.ended() == count, "the end of the group", within=170)
        message = plan.run_blocking(plan.get_group("large"), store)
    finally:
        store.close()
    assert message.meta.status == "successful"
    bare.sign_off()


def test_row_44_copies_of_a_scheduled_message_complete_once(here: Site) -> None:
    # Two Go workers that promote at once leave the same bytes in the queue twice.
    load = Load().later(4, seconds=3600)
    for job in load.jobs:
        job.on_success = [Job.create("work", b"{}", JobOpts(id=f"{job.opts.id}.1", queue=QUEUE))]
        load.fates[f"{job.opts.id}.1"] = Fate.COMPLETED
    load.send(here.server.url)
    store: Any = here.conn
    bodies = store.zrange(KEYS.scheduled, 0, -1)
    assert len(bodies) == 4
    store.lpush(QUEUE, *bodies, *bodies, *bodies)
    store.delete(KEYS.scheduled)
    here.hire(2, concurrency=4)
    assert not here.finish(load)
    applied = diary.answers(here.notes(), Answer.APPLIED)
    assert set(applied.values()) == {1}


@pytest.mark.parametrize(
    "count",
    [
        50,
        pytest.param(20_000, marks=SLOW),
        pytest.param(
            1_000_000, marks=[SLOW, pytest.mark.deep, pytest.mark.timeout(2 * _MILLION_WITHIN)]
        ),
    ],
)
def test_row_45_bytes_that_are_no_message_are_kept_and_harm_nobody(
    here: Site, tell: Callable[[str], None], count: int
) -> None:
    store: Any = here.conn
    load = Load().plain(30).send(here.server.url)
    good = store.lrange(QUEUE, 0, 0)[0]
    for start in range(0, count, 1_000):
        portion = range(start, min(count, start + 1_000))
        store.rpush(QUEUE, *[b"\xc1" + str(at).encode() + good[:40] for at in portion])
    hands = here.hire(2, concurrency=16)

    def peak(dead: int) -> int:
        """The larger worker's memory so far, when so many are among the dead."""
        within = _MILLION_WITHIN if count > 20_000 else 170
        until(lambda: store.zcard(KEYS.dead) >= dead, f"{dead:,} dead letters", within=within)
        return max(peak_memory(hand.pid) for hand in hands)

    early, late = peak(count // 10), peak(count)
    assert late < early + (32 << 20)
    until(lambda: here.ended() == 30, "the end of all jobs")
    tell(f"the larger worker's peak {early >> 20} MiB at a tenth, and {late >> 20} MiB at the end")
    here.sign_off()
    assert not judge(here.conn, QUEUE, load.fates, here.witness())
    assert store.zcard(KEYS.dead) == store.hlen(KEYS.reasons) == count


@SLOW
def test_row_44_a_message_decided_once_says_so_to_a_later_copy(here: Site) -> None:
    load = Load().later(1, seconds=3600).send(here.server.url)
    store: Any = here.conn
    (body,) = store.zrange(KEYS.scheduled, 0, -1)
    assert decode_job(body).id == "later-0"
    store.delete(KEYS.scheduled)
    store.lpush(QUEUE, body)
    here.hire()
    until(lambda: here.ended() == 1, "the first copy's end")
    store.lpush(QUEUE, body)
    until(lambda: diary.answers(here.notes(), Answer.DECIDED), "the second copy's answer")
    assert not here.finish(load)
    assert time.time_ns() < (decode_job(body).job.opts.eta_ns or 0)
