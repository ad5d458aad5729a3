"""A broker in memory: one face of a `MemoryStore`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from typing import TYPE_CHECKING

from tasqueue.core.ports import Claim, Pending, WorkerInfo
from tasqueue.core.timing import to_ns
from tasqueue.drivers.memory import MemoryStore

if TYPE_CHECKING:
    from tasqueue.core.ports import Lease, PendingPage


class MemoryBroker:
    """Where messages wait, inside this process (Go: brokers/in-memory), oldest first.

    ``store`` is shared with a `MemoryResults` where each job must end in one step; without it the
    broker has a store of its own.
    """

    def __init__(self, store: MemoryStore | None = None) -> None:
        self._store = store or MemoryStore()

    @property
    def store(self) -> MemoryStore:
        """The store behind this broker."""
        return self._store

    async def enqueue(self, message: bytes, queue: str) -> None:
        """Put a message at the young end of a queue."""
        self._store.put(queue, message)

    async def enqueue_scheduled(self, message: bytes, queue: str, at: datetime) -> None:
        """Put a message into a queue at ``at``, or soon after; a naive ``at`` is local time."""
        self._store.put(queue, message, to_ns(at))

    async def get_pending(self, queue: str) -> list[bytes]:
        """List the waiting messages, youngest first; scheduled ones do not count."""
        page: PendingPage = await self._store.perform(Pending(queue))
        return page.bodies

    async def consume(self, queue: str) -> AsyncIterator[MemoryDelivery]:
        """Take messages, oldest first, for ever; unacknowledged ones come back at the end."""
        lease = self._store.lease(WorkerInfo(queues=(queue,)))
        try:
            while True:
                await lease.promote(queue)
                for claim in await lease.claim(queue, 1):
                    yield MemoryDelivery(lease, queue, claim)
        finally:
            await lease.end(queue)

    async def close(self) -> None:
        """Nothing is to be closed."""


class MemoryDelivery:
    """One message in a consumer's hands."""

    def __init__(self, lease: Lease, queue: str, claim: Claim) -> None:
        self._lease = lease
        self._queue = queue
        self._claim = claim

    @property
    def body(self) -> bytes:
        """The message."""
        return self._claim.body

    async def ack(self) -> None:
        """Say that the message is done with; it will not come again."""
        await self._lease.drop(self._queue, (self._claim.token,))
