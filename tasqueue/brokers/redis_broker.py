"""A broker on Redis or Valkey: Go's queues, with leases so that nothing is lost on the way."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import datetime
from typing import Final

from tasqueue.core.errors import BackendError
from tasqueue.core.limits import LEASE
from tasqueue.core.ports import Claim, Pending, PendingPage, WorkerInfo
from tasqueue.core.timing import to_ns
from tasqueue.drivers.redis import Address, RedisStore, store_at
from tasqueue.drivers.redis.command import ask, command
from tasqueue.drivers.redis.keys import queue_keys
from tasqueue.drivers.redis.lease import RedisLease

_TIDY: Final = 1.0
"""Seconds between looks for due messages and dead consumers."""


class RedisBroker:
    """Where messages wait (Go: brokers/redis); connects at its first use.

    Python takes the oldest message, Go the youngest. ``store`` is the whole server: a `Server`
    that finds its results in the same one ends each job in one step there.
    """

    def __init__(
        self,
        host: str = "localhost",
        port: int = 6379,
        db: int = 0,
        *,
        username: str | None = None,
        password: str | None = None,
        tls: bool = False,
    ) -> None:
        options = {
            "host": host, "port": port, "db": db, "username": username, "password": password,
        }  # fmt: skip
        self._store = RedisStore(Address.from_parts(options, tls=tls, origin="RedisBroker(…)"))

    @classmethod
    def from_url(cls, url: str, *, origin: str = "") -> RedisBroker:
        """Take ``redis://user:password@host:port/db``, ``rediss://``, ``valkey://``, ``unix://``.

        Also ``redis+sentinel://host,host/name/db`` and ``redis+cluster://host,host``.
        ``origin`` says in errors where the URL was written down.

        Raises:
            ConfigurationError: the URL cannot be read.
        """
        broker = cls.__new__(cls)
        broker._store = store_at(Address.from_url(url, origin=origin))  # noqa: SLF001 -- ours
        return broker

    def __repr__(self) -> str:
        return f"RedisBroker({self._store.address.shown!r})"

    @property
    def store(self) -> RedisStore:
        """The store behind this broker."""
        return self._store

    async def enqueue(self, message: bytes, queue: str) -> None:
        """Put a message at the young end of a queue."""
        await self._store.run(ask(command("LPUSH", queue, message)))

    async def enqueue_scheduled(self, message: bytes, queue: str, at: datetime) -> None:
        """Put a message into a queue at ``at``, or soon after; a naive ``at`` is local time."""
        scheduled = queue_keys(queue).scheduled
        await self._store.run(ask(command("ZADD", scheduled, to_ns(at), message)))

    async def get_pending(self, queue: str) -> list[bytes]:
        """List the waiting messages, youngest first (Go's order); scheduled ones do not count."""
        page: PendingPage = await self._store.perform(Pending(queue))
        return page.bodies

    async def consume(self, queue: str) -> AsyncIterator[RedisDelivery]:
        """Take messages, oldest first, for ever; an unacknowledged one comes back.

        Close the iterator (``aclose``) to give back what was not acknowledged.
        """
        consumer = _Consumer(self._store, queue)
        try:
            while True:
                for claim in await consumer.claim():
                    yield RedisDelivery(self._store, claim, consumer.held)
        finally:
            await consumer.close()

    async def close(self) -> None:
        """Close the connections of this event loop and of this thread."""
        await self._store.aclose()
        self._store.close()


class RedisDelivery:
    """One message as handed to a consumer; it comes back unless it is acknowledged."""

    __slots__ = ("_claim", "_held", "_store")

    def __init__(self, store: RedisStore, claim: Claim, held: str) -> None:
        self._store = store
        self._claim = claim
        self._held = held

    @property
    def body(self) -> bytes:
        """The message."""
        return self._claim.body

    async def ack(self) -> None:
        """Say that the message is done with. Without effect if it was given to others."""
        await self._store.run(ask(command("HDEL", self._held, self._claim.token)))


class _Consumer:
    """A lease with one slot, and the thread that beats for it."""

    def __init__(self, store: RedisStore, queue: str) -> None:
        self._queue = queue
        self._lease = store.lease(WorkerInfo(queues=(queue,)))
        self._tidied_at = 0.0
        self._heart: _Heart | None = None

    @property
    def held(self) -> str:
        """The key of what this consumer holds now."""
        return queue_keys(self._queue).held(self._lease.worker_id)

    async def claim(self) -> list[Claim]:
        if self._heart is None:
            self._heart = _Heart(self._lease)
        if self._lease.fenced:
            await self._lease.renew()
            self._heart.beat_now()
        now = asyncio.get_running_loop().time()
        if now - self._tidied_at > _TIDY:
            self._tidied_at = now
            await self._lease.promote(self._queue)
            await self._lease.rescue(self._queue)
        claims = await self._lease.claim(self._queue, 1)
        for claim in claims:
            if claim.convicted:
                await self._lease.bury(self._queue, claim.token, claim.convicted)
        return [claim for claim in claims if not claim.convicted]

    async def close(self) -> None:
        if self._heart is not None:
            await asyncio.to_thread(self._heart.stop)
            await self._lease.end(self._queue)


class _Heart:
    """Beats from a thread of its own: a busy event loop is not a dead one."""

    def __init__(self, lease: RedisLease) -> None:
        self._lease = lease
        self._stopped = threading.Event()
        self._now = threading.Event()
        self._thread = threading.Thread(
            target=self._beat, name="tasqueue: beats of a consumer", daemon=True
        )
        self._thread.start()

    def beat_now(self) -> None:
        self._now.set()

    def stop(self) -> None:
        self._stopped.set()
        self._now.set()
        self._thread.join()

    def _beat(self) -> None:
        while not self._stopped.is_set():
            # The lease notes a failure or a fence, and the consumer's claims meet the same.
            with suppress(BackendError):
                self._lease.beat()
            self._now.wait(LEASE / 4)
            self._now.clear()
