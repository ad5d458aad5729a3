"""What a supervisor does for its children in Redis."""

import os
from typing import Any

import pytest

from tasqueue.core.blame import Blame
from tasqueue.core.errors import BackendUnavailable
from tasqueue.core.ports import Answer, Push, Settlement, Submit, Supervised, WorkerInfo
from tasqueue.drivers.memory import MemoryStore
from tasqueue.drivers.redis import Address, RedisStore
from tasqueue.drivers.redis.keys import queue_keys
from tasqueue.drivers.redis.process import parse
from tests.drivers.conftest import Workers

Q, OTHER = "q", "{other}"
K = queue_keys(Q)
GONE = "127.0.0.1:1"


async def submit(store: RedisStore, *names: str, queue: str = Q) -> None:
    pushes = [Push(queue, name, b"queued", name.encode()) for name in names]
    await store.perform(Submit(pushes))


def test_only_a_store_that_lies_outside_the_process_can_be_supervised(store: RedisStore) -> None:
    assert isinstance(store, Supervised)
    assert not isinstance(MemoryStore(), Supervised)


async def test_a_beat_of_the_supervisor_keeps_a_child_alive_but_registers_nobody(
    store: RedisStore, worker: Workers, redis_client: Any
) -> None:
    reaper = store.reaper()
    assert not reaper.beat("nobody", [Q], leaving=False)
    assert not redis_client.exists(K.beats)
    lease = await worker(Q, OTHER)
    before = int(redis_client.hget(K.beats, lease.worker_id))
    assert reaper.beat(lease.worker_id, [Q, OTHER], leaving=False)
    assert int(redis_client.hget(K.beats, lease.worker_id)) == before + 1
    redis_client.hdel(queue_keys(OTHER).beats, lease.worker_id)
    assert not reaper.beat(lease.worker_id, [Q, OTHER], leaving=False)
    store.close()


async def test_a_dead_child_gives_everything_back_at_once_and_only_once(
    store: RedisStore, worker: Workers, redis_client: Any
) -> None:
    lease, other = await worker(Q, OTHER), await worker()
    await submit(store, "a", "b", "c")
    await submit(store, "x", queue=OTHER)
    (first,) = await lease.claim(Q, 1)
    await lease.claim(Q, 1)
    await lease.claim(OTHER, 1)
    await worker.beat(lease)
    reaper = store.reaper()
    assert reaper.reap(lease.worker_id, [Q, OTHER], {}, blame=Blame.NOBODY) == 3
    assert reaper.reap(lease.worker_id, [Q, OTHER], {}, blame=Blame.NOBODY) == 0
    store.close()
    assert redis_client.lrange(Q, 0, -1) == [b"c", b"b", b"a"]
    assert redis_client.lrange(OTHER, 0, -1) == [b"x"]
    sent = Settlement(first.token, "a", b"successful")
    assert await lease.settle(Q, [sent]) == [Answer.FENCED]
    assert [claim.body for claim in await other.claim(Q, 5)] == [b"a", b"b", b"c"]


async def test_what_a_doorbell_of_the_dead_took_after_a_peer_reaped_it_comes_back_too(
    store: RedisStore, worker: Workers, redis_client: Any
) -> None:
    lease = await worker()
    await lease.end(Q)
    await submit(store, "a")
    redis_client.lmove(Q, K.landing(lease.worker_id), "RIGHT", "LEFT")
    assert store.reaper().reap(lease.worker_id, [Q], {}, blame=Blame.NOBODY) == 1
    store.close()
    assert redis_client.lrange(Q, 0, -1) == [b"a"]


def test_a_worker_writes_down_who_supervises_it(store: RedisStore, redis_client: Any) -> None:
    lease = store.lease(WorkerInfo(queues=(Q,), supervisor_pid=os.getppid()))
    assert lease.beat()
    store.close()
    place = parse(redis_client.hget(K.workers, lease.worker_id).decode())
    assert place is not None
    assert (place.pid, place.supervisor) == (os.getpid(), os.getppid())
    assert bool(place.supervisor_started) == bool(place.boot)


def test_a_server_that_is_away_is_an_error_to_try_again_after() -> None:
    reaper = RedisStore(Address.from_url(f"redis://{GONE}")).reaper()
    with pytest.raises(BackendUnavailable):
        reaper.beat("w", [Q], leaving=False)
    with pytest.raises(BackendUnavailable):
        reaper.reap("w", [Q], {Q: ["1:x"]}, blame=Blame.JOB)
