"""A cluster of three servers against the contracts of a store and of a lease."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tasqueue.core.blame import Blame
from tasqueue.core.ports import Answer, Claim, Push, Settlement, Submit, WorkerInfo
from tasqueue.drivers.redis import Address, RedisStore, store_at
from tasqueue.drivers.redis.lease import RedisLease
from tests.contract.fanin_contract import CallbackCopiesContract, FanInContract
from tests.contract.lease_contract import LeaseContract
from tests.contract.store_contract import StoreContract
from tests.servers import Cluster

QUEUES = ("orders", "{mails}", "letters")
"""Each in another slot."""


@pytest.fixture
async def store(cluster_servers: Cluster) -> AsyncIterator[RedisStore]:
    for node in cluster_servers.nodes:
        cluster_servers.ask(node, "FLUSHALL")
    made = store_at(Address.from_url(cluster_servers.url))
    yield made
    await made.aclose()
    made.close()


class TestClusterStore(StoreContract, LeaseContract, FanInContract, CallbackCopiesContract):
    """The clauses of the contracts."""


async def _worker(store: RedisStore) -> RedisLease:
    lease = store.lease(WorkerInfo(queues=QUEUES))

    def beat() -> None:
        assert lease.beat()
        assert store.reaper().beat(lease.worker_id, QUEUES, leaving=False)
        store.close()

    await asyncio.to_thread(beat)
    return lease


async def _takes(lease: RedisLease, queue: str) -> list[Claim]:
    while True:
        await lease.promote(queue)
        if found := await lease.claim(queue, 5):
            return found


async def _dies(store: RedisStore, lease: RedisLease, begun: dict[str, list[str]]) -> None:
    def reap() -> None:
        store.reaper().reap(lease.worker_id, QUEUES, begun, blame=Blame.JOB)
        store.close()

    await asyncio.to_thread(reap)
    for bell in lease._bells.values():
        await bell.close()


async def test_a_poisonous_job_of_one_slot_is_convicted_and_those_of_the_others_come_back(
    store: RedisStore,
) -> None:
    for queue in QUEUES:
        await store.perform(Submit([Push(queue, queue, b"r", queue.encode())]))
    poison = QUEUES[0]
    deaths = 0
    while True:
        lease = await _worker(store)
        begun: dict[str, list[str]] = {}
        for queue in QUEUES if not deaths else QUEUES[:1]:
            begun[queue] = [claim.token for claim in await _takes(lease, queue)]
        if any(token.startswith("c") for token in begun[poison]):
            break
        deaths += 1

        await _dies(store, lease, begun)
    assert deaths == 4, "once beside others, three times alone"
    end = Settlement(begun[poison][0], poison, b"ended", listing="failed", dead="dead: …")
    assert await lease.settle(poison, [end]) == [Answer.APPLIED]
    for queue in QUEUES[1:]:
        (suspect,) = await _takes(lease, queue)
        assert suspect.body.decode() == queue
        assert await lease.settle(queue, [Settlement(suspect.token, queue, b"ended")]) == [1]
    for queue in QUEUES:
        await lease.end(queue)
