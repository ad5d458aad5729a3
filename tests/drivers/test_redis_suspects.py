"""A job that may have killed its process runs alone, and what is proved to kill does not run."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tasqueue.core.blame import Blame
from tasqueue.core.ports import Answer, Claim, Push, Settlement, Submit
from tasqueue.drivers.redis import RedisStore, solitude
from tasqueue.drivers.redis.keys import queue_keys
from tasqueue.drivers.redis.lease import RedisLease
from tests.drivers.conftest import Workers, parked
from tests.engine.rig import until

Q, OTHER = "q", "other"
K = queue_keys(Q)


async def submit(store: RedisStore, *names: str, queue: str = Q) -> None:
    pushes = [Push(queue, name, b"queued", name.encode()) for name in names]
    await store.perform(Submit(pushes))


def bodies(claims: list[Claim]) -> list[bytes]:
    return [claim.body for claim in claims]


def done(claim: Claim) -> Settlement:
    return Settlement(claim.token, "id", b"successful", listing="success")


async def takes(lease: RedisLease, queue: str = Q, limit: int = 5) -> list[Claim]:
    """Claim until there is something, as the engine does: it promotes all the time."""
    while True:
        await lease.promote(queue)
        if found := await lease.claim(queue, limit):
            return found


async def dies(
    store: RedisStore,
    lease: RedisLease,
    *begun: Claim,
    queues: Any = (Q,),
    blame: Blame = Blame.JOB,
) -> None:
    """As the supervisor tells it."""

    def reap() -> None:
        started = {Q: [claim.token for claim in begun]}
        store.reaper().reap(lease.worker_id, queues, started, blame=blame)
        store.close()

    await asyncio.to_thread(reap)


async def test_only_what_a_dead_child_had_begun_is_suspect(
    store: RedisStore, worker: Workers, redis_client: Any
) -> None:
    lease = await worker()
    await submit(store, "a", "b", "c")
    first, second, _ = await takes(lease)
    await dies(store, lease, first, second)
    assert redis_client.lrange(K.suspects, 0, -1) == [b"b", b"a"]
    assert redis_client.lrange(Q, 0, -1) == [b"c"]
    assert not redis_client.exists(K.charges), "a crowd proves nothing"


async def test_a_child_that_was_killed_on_purpose_makes_nobody_suspect(
    store: RedisStore, worker: Workers, redis_client: Any
) -> None:
    await submit(store, "long")
    for _ in range(20):
        lease = await worker()
        assert bodies(await takes(lease)) == [b"long"]
        await dies(store, lease, blame=Blame.NOBODY)
    assert not redis_client.exists(K.suspects, K.charges, K.convicts)


async def test_a_suspect_is_the_one_job_of_its_process_until_it_ends(
    store: RedisStore, worker: Workers, redis_client: Any
) -> None:
    lease = await worker(Q, OTHER)
    await submit(store, "a", "b")
    await submit(store, "x", queue=OTHER)
    redis_client.lpush(K.suspects, "suspect")
    (suspect,) = await takes(lease)
    assert suspect.token.startswith("s")
    for queue in (Q, OTHER, Q, OTHER):
        assert await lease.claim(queue, 5) == []
    assert redis_client.lrange(Q, 0, -1) == [b"b", b"a"], "nothing waits in the landing"
    assert await lease.settle(Q, [done(suspect)]) == [Answer.APPLIED]
    assert bodies(await takes(lease)) == [b"a", b"b"]
    assert bodies(await takes(lease, OTHER)) == [b"x"]


async def test_a_busy_worker_makes_itself_empty_for_a_suspect_and_then_takes_it(
    store: RedisStore, worker: Workers, redis_client: Any
) -> None:
    lease, other = await worker(Q, OTHER), await worker(Q, OTHER)
    await submit(store, "x", queue=OTHER)
    (busy,) = await takes(lease, OTHER)
    await submit(store, "a")
    (more,) = await takes(other)
    await submit(store, "b", "c")
    redis_client.lpush(K.suspects, "suspect")
    assert await lease.claim(Q, 5) == []
    assert redis_client.get(K.drainer) == lease.worker_id.encode()
    assert bodies(await takes(other, limit=1)) == [b"b"], "only one worker drains"
    assert await lease.claim(Q, 5) == await lease.claim(OTHER, 5) == []
    await lease.settle(OTHER, [done(busy)])
    assert bodies(await takes(lease)) == [b"suspect"]
    assert not redis_client.exists(K.drainer)
    assert await other.settle(Q, [done(more)]) == [Answer.APPLIED]


async def test_a_worker_that_does_not_get_empty_lets_another_drain_and_goes_on(
    store: RedisStore, worker: Workers, redis_client: Any
) -> None:
    lease, other = await worker(), await worker()
    await submit(store, "a", "b", "c", "d")
    await takes(lease, limit=1)
    (busy,) = await takes(other, limit=1)
    redis_client.lpush(K.suspects, "suspect")
    assert await lease.claim(Q, 5) == []
    redis_client.pexpire(K.drainer, 30_000)
    assert bodies(await takes(lease, limit=1)) == [b"c"], "thirty seconds are enough"
    assert await other.claim(Q, 5) == []
    assert redis_client.get(K.drainer) == other.worker_id.encode()
    await other.settle(Q, [done(busy)])
    assert bodies(await takes(other)) == [b"suspect"]


async def test_no_parked_claim_of_another_queue_brings_a_job_beside_a_suspect(
    store: RedisStore, worker: Workers, redis_client: Any
) -> None:
    lease = await worker(Q, OTHER)
    parked = asyncio.create_task(lease.claim(OTHER, 5))
    redis_client.lpush(K.suspects, "suspect")
    (suspect,) = await takes(lease)
    assert await parked == []
    await submit(store, "x", queue=OTHER)
    assert await lease.claim(OTHER, 5) == []
    await lease.settle(Q, [done(suspect)])
    (_, found) = await asyncio.gather(lease.claim(Q, 5), takes(lease, OTHER))
    assert bodies(found) == [b"x"]


async def test_two_queues_that_ask_at_once_bring_one_suspect(
    store: RedisStore, worker: Workers, redis_client: Any
) -> None:
    for queue in (Q, OTHER):
        redis_client.lpush(queue_keys(queue).suspects, f"suspect of {queue}")
    await submit(store, "a")
    await submit(store, "x", queue=OTHER)
    lease = await worker(Q, OTHER)
    for queue in (Q, OTHER):
        await lease.promote(queue)
    both = await asyncio.gather(lease.claim(Q, 5), lease.claim(OTHER, 5))
    (suspect,) = [claim for claims in both for claim in claims]
    assert suspect.token.startswith("s")
    assert await lease.claim(OTHER, 5) == await lease.claim(Q, 5) == []


async def test_a_queue_that_nobody_asks_any_more_does_not_hold_the_others_up(
    store: RedisStore, worker: Workers, redis_client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease = await worker(Q, OTHER)
    await submit(store, "x", queue=OTHER)
    redis_client.lpush(K.suspects, "suspect")
    (suspect,) = await takes(lease)
    monkeypatch.setattr(solitude, "_FORSAKEN", 0.0)
    assert await lease.claim(OTHER, 5) == await lease.claim(OTHER, 5) == [], "it still runs"
    await lease.settle(Q, [done(suspect)])
    assert await lease.claim(OTHER, 5) == []
    assert bodies(await lease.claim(OTHER, 5)) == [b"x"]


async def test_an_idle_worker_is_woken_for_a_suspect(
    store: RedisStore, worker: Workers, redis_client: Any
) -> None:
    lease = await worker()
    waiting = asyncio.create_task(lease.claim(Q, 5))
    await until(lambda: parked(redis_client))
    redis_client.lpush(K.suspects, "suspect")
    await lease.promote(Q)
    assert waiting.done()
    assert bodies(await waiting) == [b"suspect"]


async def test_a_worker_that_lost_the_reply_still_runs_its_suspect_alone(
    store: RedisStore, worker: Workers, redis_client: Any
) -> None:
    lease = await worker(Q, OTHER)
    await submit(store, "x", queue=OTHER)
    redis_client.hset(K.held(lease.worker_id), "s1:n", "suspect")
    (suspect,) = await lease.adopt(Q)
    assert await lease.claim(OTHER, 5) == await lease.claim(Q, 5) == []
    await lease.settle(Q, [done(suspect)])
    assert await lease.claim(Q, 5) == []
    assert bodies(await takes(lease, OTHER)) == [b"x"]


async def test_a_released_suspect_is_still_one(
    store: RedisStore, worker: Workers, redis_client: Any
) -> None:
    lease = await worker()
    redis_client.lpush(K.suspects, "old", "young")
    for _ in range(2):
        (suspect,) = await takes(lease)
        assert suspect.body == b"old"
        await (lease.release(Q, [suspect.token]) if _ else lease.end(Q))
        lease = await worker()
    assert redis_client.lrange(K.suspects, 0, -1) == [b"young", b"old"]
    assert not redis_client.exists(Q)


async def test_three_lone_crashes_convict_and_the_next_worker_is_told_not_to_run_it(
    store: RedisStore, worker: Workers, redis_client: Any
) -> None:
    await submit(store, "poison", "innocent")
    lease = await worker()
    both = await takes(lease)
    await dies(store, lease, *both)
    crashes = 0
    while not redis_client.exists(K.convicts):
        lease = await worker()
        (suspect,) = await takes(lease)
        if suspect.body == b"poison":
            crashes += 1
            await dies(store, lease, suspect)
        else:
            await lease.settle(Q, [done(suspect)])
    assert crashes == 3
    lease = await worker()
    (convict,) = [claim for claim in await takes(lease) if claim.convicted]
    assert (convict.body, convict.token[0]) == (b"poison", "c")
    end = Settlement(convict.token, "poison", b"failed", listing="failed", dead=convict.convicted)
    assert await lease.settle(Q, [end]) == [Answer.APPLIED]
    assert redis_client.zrange(K.dead, 0, -1) == [b"poison"]
    assert redis_client.hvals(K.reasons) == [convict.convicted.encode()]
    assert not redis_client.hexists(K.charges, "c" + redis_client.hkeys(K.reasons)[0].decode())


@pytest.mark.parametrize(("kills", "convicted"), [(11, False), (12, True)])
async def test_a_suspect_survives_eleven_kills_that_anybody_may_have_sent(
    store: RedisStore, worker: Workers, redis_client: Any, *, kills: int, convicted: bool
) -> None:
    await submit(store, "long")
    for _ in range(1 + kills):  # the first one makes it a suspect
        lease = await worker()
        await dies(store, lease, *await takes(lease), blame=Blame.ANYBODY)
    assert redis_client.llen(K.convicts) == convicted
    assert redis_client.llen(K.suspects) == (not convicted)


async def test_a_convict_that_its_worker_did_not_bury_is_told_again(
    store: RedisStore, worker: Workers, redis_client: Any
) -> None:
    redis_client.lpush(K.convicts, "poison")
    for _ in range(3):
        lease = await worker()
        (convict,) = await takes(lease)
        assert convict.convicted
        await dies(store, lease, convict)
    assert redis_client.lrange(K.convicts, 0, -1) == [b"poison"]
    assert not redis_client.exists(K.charges)


async def test_a_crash_of_a_suspect_beside_other_jobs_charges_nobody(
    store: RedisStore, worker: Workers, redis_client: Any
) -> None:
    """It cannot be, but for a claim whose connection was lost: then it proves nothing."""
    for _ in range(20):
        lease = await worker(Q, OTHER)
        redis_client.lpush(K.suspects, "suspect")
        (suspect,) = await takes(lease)
        redis_client.hset(queue_keys(OTHER).held(lease.worker_id), "7:x", "beside")
        await dies(store, lease, suspect, queues=(Q, OTHER))
        assert redis_client.lrange(K.suspects, 0, -1) == [b"suspect"]
        redis_client.delete(K.suspects, OTHER)
    assert not redis_client.exists(K.charges, K.convicts)


async def test_a_success_clears_what_a_job_was_charged_with(
    store: RedisStore, worker: Workers, redis_client: Any
) -> None:
    await submit(store, "long")
    lease = await worker()
    await dies(store, lease, *await takes(lease))
    for _ in range(2):
        lease = await worker()
        await dies(store, lease, *await takes(lease))
    assert redis_client.hlen(K.charges) == 1
    lease = await worker()
    (suspect,) = await takes(lease)
    assert await lease.settle(Q, [done(suspect)]) == [Answer.APPLIED]
    assert not redis_client.exists(K.charges)


@asynccontextmanager
async def lost_host(worker: Workers, redis_client: Any) -> AsyncIterator[RedisLease]:
    """A worker whose host goes down, as a peer finds out by its lease."""
    lease, peer = await worker(), await worker()
    redis_client.hset(K.workers, lease.worker_id, "elsewhere|pid|1|1|30|0|")
    yield lease
    for _ in range(6):
        await worker.beat(peer)
        await peer.rescue(Q)
    assert not redis_client.hexists(K.beats, lease.worker_id)
    await peer.end(Q)


async def test_a_job_that_takes_its_host_down_is_convicted_in_the_end(
    store: RedisStore, worker: Workers, redis_client: Any
) -> None:
    await submit(store, "poison", "innocent")
    hosts = 0
    while not redis_client.exists(K.convicts):
        hosts += 1
        async with lost_host(worker, redis_client) as lease:
            if b"innocent" in bodies(await takes(lease)) and hosts > 2:
                (claim,) = await lease.adopt(Q)
                await lease.settle(Q, [done(claim)])
    assert redis_client.lrange(K.convicts, 0, -1) == [b"poison"]
    assert 14 <= hosts <= 16, "two make a suspect, twelve alone convict it"


async def test_a_lost_host_makes_nobody_suspect_the_first_time(
    store: RedisStore, worker: Workers, redis_client: Any
) -> None:
    await submit(store, "a", "b")
    async with lost_host(worker, redis_client) as lease:
        assert len(await takes(lease)) == 2
    assert redis_client.lrange(Q, 0, -1) == [b"b", b"a"]
    async with lost_host(worker, redis_client) as lease:
        assert len(await takes(lease, limit=1)) == 1
    assert redis_client.lrange(K.suspects, 0, -1) == [b"a"]
    assert redis_client.lrange(Q, 0, -1) == [b"b"]


async def test_the_loss_of_what_was_told_to_stop_makes_nobody_suspect_and_charges_nobody(
    store: RedisStore, worker: Workers, redis_client: Any
) -> None:
    """Deploys by a runtime that kills what still drains when its patience is over."""
    await submit(store, "long")
    redis_client.lpush(K.suspects, "suspect")
    for _ in range(20):
        async with lost_host(worker, redis_client) as lease:
            await takes(lease)
            assert await worker.beat(lease, leaving=True)
    assert redis_client.lrange(K.suspects, 0, -1) == [b"suspect"]
    assert redis_client.lrange(Q, 0, -1) == [b"long"]
    assert not redis_client.exists(K.charges, K.convicts)


async def test_whatever_queues_do_at_once_a_suspect_is_the_one_job_of_its_process(
    store: RedisStore, worker: Workers, redis_client: Any
) -> None:
    """Two processes of two queues, each queue with a loop of its own, as in the engine."""
    queues = (Q, OTHER)
    left = set()
    for queue in queues:
        names = [f"{queue}{n}" for n in range(20)]
        await submit(store, *names, queue=queue)
        suspects = [f"suspect {queue}{n}" for n in range(3)]
        redis_client.lpush(queue_keys(queue).suspects, *suspects)
        left |= {name.encode() for name in (*names, *suspects)}

    def held(lease: RedisLease) -> list[bytes]:
        return [
            token
            for queue in queues
            for token in redis_client.hkeys(queue_keys(queue).held(lease.worker_id))
        ]

    async def run(lease: RedisLease, queue: str) -> None:
        while left:
            await lease.promote(queue)
            claims = await lease.claim(queue, 3)
            for _ in range(3):
                tokens = held(lease)
                assert len(tokens) == 1 or not any(token.startswith(b"s") for token in tokens)
                await asyncio.sleep(0)
            await lease.settle(queue, [done(claim) for claim in claims])
            left.difference_update(bodies(claims))
        await lease.wake()

    leases = [await worker(*queues), await worker(*queues)]
    await asyncio.gather(*[run(lease, queue) for lease in leases for queue in queues])
    for queue in queues:
        keys = queue_keys(queue)
        assert not redis_client.exists(queue, keys.suspects, keys.drainer)
