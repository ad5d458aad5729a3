"""Rows 42 to 45: long backlogs, large messages, copies, and bytes that are no message."""

import json
import time
from typing import Any

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
from tests.faults.load import QUEUE, Fate, Load
from tests.faults.oracle import judge
from tests.faults.site import Site, until

SLOW = pytest.mark.slow_fault
KEYS = queue_keys(QUEUE)


@SLOW
@pytest.mark.timeout(600)
def test_row_42_a_long_backlog_costs_no_more_and_is_worked_off(bare: Site) -> None:
    load = Load().plain(100_000).send(bare.server.url)
    bare.hire(2, concurrency=64)
    # Judged by the end, the memory of the workers (`finish`), and the places: no time is asserted.
    assert not bare.finish(load, within=540)


def _fresh(url: str) -> RedisStore:
    return RedisStore(Address.from_url(url), KeepOpts(expiry_ms=3_600_000))


@SLOW
def test_row_43_what_is_too_large_is_refused_at_enqueue(here: Site) -> None:
    store = _fresh(here.server.url)
    try:
        large = Job.create("work", b"x" * (MAX_MESSAGE + 1), JobOpts(queue=QUEUE))
        with pytest.raises(LimitExceeded, match="bytes"):
            plan.run_blocking(plan.enqueue(large), store)
        links = [Job.create("work", b"{}", JobOpts(queue=QUEUE)) for _ in range(MAX_LINKS + 2)]
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
def test_row_43_a_large_group_enters_in_portions(bare: Site) -> None:
    count = 20_000
    jobs = [Job.create("work", b"{}", JobOpts(id=f"m-{at}", queue=QUEUE)) for at in range(count)]
    store = _fresh(bare.server.url)
    try:
        plan.run_blocking(plan.enqueue_group(Group.create(jobs, GroupOpts(id="large"))), store)
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


@pytest.mark.parametrize("count", [50, pytest.param(20_000, marks=SLOW)])
def test_row_45_bytes_that_are_no_message_are_kept_and_harm_nobody(here: Site, count: int) -> None:
    store: Any = here.conn
    load = Load().plain(30).send(here.server.url)
    good = store.lrange(QUEUE, 0, 0)[0]
    for start in range(0, count, 1_000):
        portion = range(start, min(count, start + 1_000))
        store.rpush(QUEUE, *[b"\xc1" + str(at).encode() + good[:40] for at in portion])
    here.hire(2, concurrency=16)
    until(lambda: store.zcard(KEYS.dead) == count, "all of it among the dead", within=170)
    until(lambda: here.ended() == 30, "the end of all jobs")
    here.sign_off()
    assert not judge(here.conn, QUEUE, load.fates, here.witness())
    assert store.hlen(KEYS.reasons) == count


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
