"""A store, and workers of it, on the session's Valkey."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from tasqueue.core.ports import WorkerInfo
from tasqueue.drivers.redis import Address, RedisStore
from tasqueue.drivers.redis.blocking import BlockingDriver
from tasqueue.drivers.redis.lease import RedisLease
from tests.servers import Valkey, valkey

Q = "q"


def parked(client: Any) -> int:
    """How many connections wait at a server for something to come."""
    return int(client.info("clients")["blocked_clients"])


@pytest.fixture
def driver(redis_url: str) -> Iterator[BlockingDriver]:
    driver = BlockingDriver(Address.from_url(redis_url))
    yield driver
    driver.close()


@pytest.fixture
async def store(redis_url: str) -> AsyncIterator[RedisStore]:
    store = RedisStore(Address.from_url(redis_url))
    yield store
    await store.aclose()


class Workers:
    """Makes leases that are registered, and closes what they opened."""

    def __init__(self, store: RedisStore) -> None:
        self._store = store
        self._made: list[RedisLease] = []

    async def __call__(self, *queues: str, lease_seconds: float = 30) -> RedisLease:
        info = WorkerInfo(queues=queues or (Q,), lease_seconds=lease_seconds)
        lease = self._store.lease(info)
        self._made.append(lease)
        assert await self.beat(lease)
        return lease

    async def beat(self, lease: RedisLease, *, leaving: bool = False) -> bool:
        """Beat from another thread, as the engine does; that thread's connection is closed."""

        def beat() -> bool:
            try:
                return lease.beat(leaving=leaving)
            finally:
                self._store.close()

        return await asyncio.to_thread(beat)

    async def close(self) -> None:
        for lease in self._made:
            await lease.wake()
            for bell in lease._bells.values():
                await bell.close()


@pytest.fixture
async def worker(store: RedisStore) -> AsyncIterator[Workers]:
    workers = Workers(store)
    yield workers
    await workers.close()


@pytest.fixture
def own_valkey() -> Iterator[Valkey]:
    """A server with AOF that the test may stop and start."""
    with valkey(aof=True, appendfsync="always") as server:
        yield server
