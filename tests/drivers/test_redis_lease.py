"""A worker's place in Redis: what it holds, and when it loses it."""

import asyncio
from typing import Any

import pytest

from tasqueue.core.errors import BackendRejected, BackendUnavailable
from tasqueue.core.ports import Answer, Claim, Mark, Push, Settlement, Submit, WorkerInfo
from tasqueue.drivers.redis import Address, RedisStore
from tasqueue.drivers.redis.command import MAX_ITEMS, ask, command
from tasqueue.drivers.redis.keys import queue_keys
from tasqueue.drivers.redis.process import Place, here
from tests.drivers.conftest import Workers, parked
from tests.engine.rig import until
from tests.servers import Valkey

Q = "q"
K = queue_keys(Q)


async def submit(store: RedisStore, *names: str, queue: str = Q) -> None:
    pushes = [Push(queue, name, b"queued", name.encode()) for name in names]
    assert await store.perform(Submit(pushes)) == [True] * len(names)


def done(token: str) -> Settlement:
    return Settlement(token, "id", b"successful", listing="success", result=b"result")


async def test_a_job_goes_from_queue_to_worker_to_result(
    store: RedisStore, worker: Workers, redis_client: Any
) -> None:
    lease = await worker()
    await submit(store, "a", "b", "c")
    taken = await lease.claim(Q, 2)
    assert [claim.body for claim in taken] == [b"a", b"b"]
    assert await lease.adopt(Q) == taken
    await lease.mark(Q, [Mark(taken[0].token, "a", b"processing")])
    assert redis_client.get("tq:res:job:msg:a") == b"processing"
    assert await lease.settle(Q, [done(claim.token) for claim in taken]) == [1, 1]
    assert await lease.settle(Q, [done(taken[0].token)]) == [Answer.DECIDED]
    assert await lease.adopt(Q) == []
    assert redis_client.get("tq:res:id") == b"result"


async def test_a_claim_before_the_first_beat_takes_nothing(store: RedisStore) -> None:
    await submit(store, "a")
    lease = store.lease(WorkerInfo(queues=(Q,)))
    assert await lease.claim(Q, 5) == []


async def test_a_lost_reply_loses_no_job(
    store: RedisStore, worker: Workers, redis_client: Any
) -> None:
    lease = await worker()
    waiting = asyncio.create_task(lease.claim(Q, 5))
    await until(lambda: parked(redis_client))
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await submit(store, "a")
    found = {claim.body for claim in await lease.adopt(Q)}
    if not found:
        found = {claim.body for claim in await lease.claim(Q, 5)}
    assert found == {b"a"}


async def test_a_reaped_worker_is_told_at_each_step_and_comes_back_under_a_new_name(
    store: RedisStore, worker: Workers, redis_client: Any
) -> None:
    lease, other = await worker(), await worker()
    await submit(store, "a", "b")
    (claim,) = await lease.claim(Q, 1)
    old = lease.worker_id
    redis_client.hset(K.workers, old, Place("b", "n", 1, "s", 30).text())
    found = 0
    for _ in range(6):
        assert await worker.beat(other)
        found = await other.rescue(Q)
    assert found == 1
    assert await lease.settle(Q, [done(claim.token)]) == [Answer.FENCED]
    await lease.mark(Q, [Mark(claim.token, "a", b"processing")])
    assert redis_client.get("tq:res:job:msg:a") == b"queued"
    assert await lease.release(Q, [claim.token]) == 0
    assert not await worker.beat(lease)
    await lease.renew()
    assert lease.worker_id != old
    assert await worker.beat(lease)
    assert [claim.body for claim in await other.claim(Q, 5)] == [b"a", b"b"]


async def test_a_claim_learns_of_the_fence_too(
    store: RedisStore, worker: Workers, redis_client: Any
) -> None:
    lease = await worker()
    redis_client.delete(K.beats)
    await submit(store, "a")
    assert await lease.claim(Q, 5) == []
    assert redis_client.llen(Q) == 1
    assert not await worker.beat(lease)
    await lease.renew()
    assert await worker.beat(lease)
    assert len(await lease.claim(Q, 5)) == 1


async def test_a_worker_that_beats_is_never_taken_for_dead(worker: Workers) -> None:
    lease, other = await worker(), await worker()
    for _ in range(20):
        assert await worker.beat(other)
        assert await worker.beat(lease)
        assert await other.rescue(Q) == 0


async def test_the_jobs_of_a_vanished_process_of_this_host_come_back_at_once(
    store: RedisStore, worker: Workers, redis_client: Any
) -> None:
    lease, other = await worker(), await worker()
    await submit(store, "a")
    assert await lease.claim(Q, 1)
    mine = here(30)
    gone = mine._replace(started="1") if mine.boot else None
    if gone is None:
        pytest.skip("this system does not say when a process was started")
    redis_client.hset(K.workers, lease.worker_id, gone.text())
    assert await other.rescue(Q) == 1
    assert len(await other.claim(Q, 1)) == 1


async def test_what_a_late_doorbell_took_comes_back(
    store: RedisStore, worker: Workers, redis_client: Any
) -> None:
    lease, other = await worker(), await worker()
    gone = lease.worker_id
    await lease.end(Q)
    await submit(store, "a")
    redis_client.lmove(Q, K.landing(gone), "RIGHT", "LEFT")
    assert redis_client.llen(Q) == 0
    await other.rescue(Q)
    assert redis_client.llen(Q) == 1


async def test_a_worker_that_leaves_gives_back_what_it_held_and_leaves_no_trace(
    store: RedisStore, worker: Workers, redis_client: Any
) -> None:
    lease = await worker(Q, "other")
    await submit(store, "a", "b")
    await lease.claim(Q, 1)
    await lease.end(Q)
    assert await worker.beat(lease), "it still serves the other queue"
    await lease.end("other")
    assert redis_client.lrange(Q, 0, -1) == [b"b", b"a"]
    left = {key.decode() for key in redis_client.keys("tq:*") if redis_client.ttl(key) == -1}
    assert left == {K.sequence, "tq:res:job:msg:a", "tq:res:job:msg:b"}


async def test_a_job_of_an_unknown_task_waits_until_somebody_knows_it(
    store: RedisStore, worker: Workers, redis_client: Any
) -> None:
    lease = await worker()
    await submit(store, "a", "b")
    for claim in await lease.claim(Q, 2):
        await lease.park(Q, claim.token, "strange")
    assert redis_client.smembers(K.parked) == {b"strange"}
    assert await lease.unpark(Q, ["another"]) == 0
    assert not await lease.known_elsewhere("strange")
    assert await lease.unpark(Q, ["strange"]) == 2
    assert not redis_client.exists(K.parked)
    for claim in await lease.claim(Q, 2):
        await lease.park(Q, claim.token, "strange")
    redis_client.sadd("tq:tasks", "strange")
    assert await lease.known_elsewhere("strange")
    assert await lease.unpark(Q, []) == 2


async def test_bytes_that_nobody_can_read_are_kept_with_the_reason(
    store: RedisStore, worker: Workers, redis_client: Any
) -> None:
    lease = await worker()
    redis_client.lpush(Q, b"\xc1 no message")
    (claim,) = await lease.claim(Q, 1)
    await lease.bury(Q, claim.token, "it is no message")
    assert redis_client.zrange(K.dead, 0, -1) == [b"\xc1 no message"]
    assert redis_client.hvals(K.reasons) == [b"it is no message"]
    assert await lease.adopt(Q) == []


async def test_released_jobs_come_back_oldest_first_however_many(
    store: RedisStore, worker: Workers
) -> None:
    lease = await worker()
    names = [f"{i:04}" for i in range(2 * MAX_ITEMS + 100)]
    await submit(store, *names)
    taken: list[Claim] = []
    while len(taken) < len(names):
        taken += await lease.claim(Q, 2 * MAX_ITEMS)
    assert await lease.release(Q, [claim.token for claim in taken]) == len(names)
    again = await lease.claim(Q, 2 * MAX_ITEMS)
    assert [claim.body.decode() for claim in again] == names[:MAX_ITEMS]


async def test_a_full_server_is_drained_by_polling(
    store: RedisStore, worker: Workers, redis_client: Any
) -> None:
    lease = await worker()
    await submit(store, "a")
    redis_client.config_set("maxmemory", 1)
    try:
        (claim,) = await lease.claim(Q, 1)
        assert await lease.settle(Q, [done(claim.token)]) == [Answer.APPLIED]
        assert await lease.claim(Q, 1) == []
        assert await lease.claim(Q, 1) == []
        with pytest.raises(BackendUnavailable):
            await store.run(ask(command("LPUSH", "anything", "x")))
    finally:
        redis_client.config_set("maxmemory", 0)


async def test_a_queue_of_another_type_is_an_error_that_says_so(
    worker: Workers, redis_client: Any
) -> None:
    lease = await worker()
    redis_client.set(Q, "a string")
    with pytest.raises(BackendRejected, match="the queue does not have the type"):
        await lease.claim(Q, 1)


async def test_scripts_that_the_server_lost_are_taught_to_it_again(
    store: RedisStore, worker: Workers, redis_client: Any
) -> None:
    lease = await worker()
    for name in "abc":
        redis_client.script_flush()
        await submit(store, name)
        redis_client.script_flush()
        (claim,) = await lease.claim(Q, 5)
        redis_client.script_flush()
        again = Push(Q, name, b"retrying", b"again", 1)
        batch = [done(claim.token), Settlement("0:x", name, b"r", again=again), done("0:y")]
        assert await lease.settle(Q, batch) == [1, 2, 2]


async def test_a_lease_outlives_a_restart_of_the_server(own_valkey: Valkey) -> None:
    store = RedisStore(Address.from_url(own_valkey.url))
    workers = Workers(store)
    try:
        lease = await workers()
        await submit(store, "a", "b")
        (first,) = await lease.claim(Q, 1)
        await asyncio.to_thread(own_valkey.stop)
        with pytest.raises(BackendUnavailable):
            await lease.claim(Q, 1)
        await asyncio.to_thread(own_valkey.start)
        assert await workers.beat(lease)
        assert await lease.adopt(Q) == [first]
        assert await lease.settle(Q, [done(first.token)]) == [Answer.APPLIED]
        assert [claim.body for claim in await lease.claim(Q, 5)] == [b"b"]
    finally:
        await workers.close()
        await store.aclose()


async def test_a_failed_beat_of_mine_makes_nobody_dead(
    own_valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = RedisStore(Address.from_url(own_valkey.url))
    workers = Workers(store)
    try:
        lease, other = await workers(), await workers()
        with own_valkey.client() as client:
            client.hset(K.workers, other.worker_id, Place("b", "n", 1, "s", 30).text())
        for _ in range(5):
            assert await workers.beat(lease)
            assert await lease.rescue(Q) == 0
        await asyncio.to_thread(own_valkey.stop)
        with pytest.raises(BackendUnavailable):
            await workers.beat(lease)
        await asyncio.to_thread(own_valkey.start)
        for _ in range(5):
            assert await workers.beat(lease)
            assert await lease.rescue(Q) == 0
        assert await workers.beat(lease)
        assert await lease.rescue(Q) == 1
    finally:
        await workers.close()
        await store.aclose()


async def test_a_job_that_was_settled_elsewhere_is_let_go(
    store: RedisStore, worker: Workers, redis_client: Any
) -> None:
    lease = await worker()
    await submit(store, "a", "b", "c")
    taken = await lease.claim(Q, 3)
    await lease.drop(Q, [])
    await lease.drop(Q, [taken[0].token, taken[2].token])
    assert await lease.adopt(Q) == [taken[1]]
