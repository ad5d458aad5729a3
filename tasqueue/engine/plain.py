"""Back ends that only keep the public Protocols, as the two halves of a store that workers need.

They promise less: an acknowledgement is the only thing that is atomic, so a crash runs a job and
its followers again. What cannot be asked of them is kept in this process, or is not there.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from itertools import count
from typing import Any, Final
from uuid import uuid4

from tasqueue.core.digest import sha1
from tasqueue.core.errors import BackendUnavailable, Unsupported
from tasqueue.core.ports import (
    Broker,
    Claim,
    Delivery,
    Forget,
    Lease,
    Listing,
    Parked,
    Pause,
    Pending,
    PendingPage,
    Push,
    PutTask,
    Read,
    Request,
    Results,
    Submit,
    Tasks,
    WorkerInfo,
    Workers,
    Write,
)
from tasqueue.core.timing import from_ns
from tasqueue.engine.clock import SYSTEM

DEAD: Final = "dead:msg:"
"""Before the sha1 of bytes that are no message: their name in the results, reason line first."""
_IDLE: Final = 1.0
"""Seconds that a claim waits for a message."""
_PARKED_NS: Final = 10_000_000_000
"""How long a job of an unknown task stays away before it is offered again."""


class PlainBroker:
    """Where messages wait, for clients and workers; dead letters go to the results."""

    fan_in: bool = False

    def __init__(self, broker: Broker, results: Results) -> None:
        self._broker = broker
        self._results = results

    async def perform(self, request: Request) -> Any:
        """Do what concerns messages."""
        match request:
            case Submit(pushes):
                return await self._submit(pushes)
            case Pending(queue, offset, limit):
                waiting = await self._broker.get_pending(queue)
                stop = None if limit is None else offset + limit
                return PendingPage(len(waiting), waiting[offset:stop])
            case Parked():
                return False
            case Workers():
                return []
            case PutTask():
                return None  # it tells nobody of them: see `_Upkeep.known_elsewhere`
            case _:
                name = type(self._broker).__name__
                raise Unsupported(f"{name} cannot do {type(request).__name__}")

    async def _submit(self, pushes: Sequence[Push]) -> list[bool]:
        """Hand messages over; of one that this broker could not confirm nobody knows the fate."""
        try:
            for push in pushes:
                if push.due_ns is None:
                    await self._broker.enqueue(push.body, push.queue)
                else:
                    at = from_ns(push.due_ns)
                    await self._broker.enqueue_scheduled(push.body, push.queue, at)
        except BackendUnavailable as error:
            error.in_doubt = True
            raise
        return [True] * len(pushes)

    async def identity(self) -> str:
        """This very object."""
        return f"broker {id(self):x}"

    def lease(self, worker: WorkerInfo) -> Lease:
        """A worker's consumers; `tasqueue.engine.pair.PairLease` adds what needs results."""
        made: Any = PlainLease(self._broker, self._results, queues=worker.queues)
        lease: Lease = made
        return lease

    async def aclose(self) -> None:
        """Whoever made the broker closes it."""


class PlainResults:
    """Where outcomes are kept, for clients. Task records are those of this process."""

    fan_in: bool = False

    def __init__(self, results: Results) -> None:
        self._results = results
        self._tasks: dict[str, bytes] = {}

    async def perform(self, request: Request) -> Any:
        """Do what concerns results."""
        match request:
            case Read(names):
                return [await self._results.get(name) for name in names]
            case Write(name, data):
                return await self._results.set(name, data)
            case Listing("success"):
                return await self._results.get_success()
            case Listing():
                return await self._results.get_failed()
            case Forget(job_id):
                return await self._results.delete_job(job_id)
            case _:
                return await self._rare(request)

    async def _rare(self, request: Request) -> Any:
        match request:
            case PutTask(name, record):
                self._tasks[name] = record
            case Tasks():
                return list(self._tasks.values())
            case Pause(_, seconds):
                await asyncio.sleep(seconds)
            case _:
                name = type(self._results).__name__
                raise Unsupported(f"{name} cannot do {type(request).__name__}")
        return None

    async def identity(self) -> str:
        """This very object."""
        return f"results {id(self):x}"

    def lease(self, worker: WorkerInfo) -> Lease:  # noqa: ARG002 -- the port's signature
        """Workers hold nothing of the results."""
        raise Unsupported(f"{type(self._results).__name__} gives no jobs out")

    async def aclose(self) -> None:
        """Whoever made the results closes them."""


class _Upkeep:
    """What a broker does by itself, or not at all."""

    fenced: bool = False

    def beat(self, *, leaving: bool = False) -> bool:  # noqa: ARG002 -- the port's signature
        """Nobody watches."""
        return True

    async def renew(self) -> None:
        """Nobody is fenced."""

    async def promote(self, queue: str) -> float | None:  # noqa: ARG002 -- the port's signature
        """The broker moves its due messages itself."""
        return None

    async def rescue(self, queue: str) -> int:  # noqa: ARG002 -- the port's signature
        """The broker gives back what a dead consumer did not acknowledge."""
        return 0

    async def unpark(self, queue: str, known: Sequence[str]) -> int:  # noqa: ARG002 -- the port's
        """Parked jobs come back by themselves."""
        return 0

    async def known_elsewhere(self, task: str) -> bool:  # noqa: ARG002 -- the port's signature
        """No other program's tasks are listed."""
        return False


class PlainLease(_Upkeep):
    """One consumer a queue, and the deliveries that are not acknowledged yet."""

    def __init__(self, broker: Broker, results: Results, *, queues: Sequence[str]) -> None:
        self._broker = broker
        self._results = results
        self._id = uuid4().hex[:16]
        self._turns = count(1)
        self._consumers: dict[str, AsyncIterator[Delivery]] = {}
        self._next: dict[str, asyncio.Task[Delivery]] = {}
        self._held: dict[str, dict[str, Delivery]] = {queue: {} for queue in queues}
        self._waits: set[asyncio.Future[Any]] = set()

    @property
    def worker_id(self) -> str:
        """Random for each lease."""
        return self._id

    async def claim(self, queue: str, limit: int) -> list[Claim]:
        """Take the next message; waits up to a second for it."""
        if limit < 1:
            return []
        if queue not in self._next:
            if queue not in self._consumers:
                self._consumers[queue] = aiter(self._broker.consume(queue))
            self._next[queue] = asyncio.create_task(_next(self._consumers[queue]))
        coming = self._next[queue]
        await self._wait(coming)
        if not coming.done():
            return []
        del self._next[queue]
        try:
            delivery = coming.result()
        except BaseException:
            # A consumer that raised is over: the next claim has a new one.
            del self._consumers[queue]
            raise
        token = f"{next(self._turns)}:{self._id}"
        self._held[queue][token] = delivery
        return [Claim(token, delivery.body)]

    async def _wait(self, coming: asyncio.Future[Any]) -> None:
        """Wait for a message, a wake or the end of the patience."""
        woken: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waits.add(woken)
        try:
            await asyncio.wait([coming, woken], timeout=_IDLE, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._waits.discard(woken)

    async def wake(self) -> None:
        """Make the waiting claims return now; those to come wait again."""
        for woken in self._waits:
            if not woken.done():
                woken.set_result(None)

    async def adopt(self, queue: str) -> list[Claim]:
        """What is not acknowledged yet."""
        return [Claim(token, one.body) for token, one in self._held[queue].items()]

    async def drop(self, queue: str, tokens: Sequence[str]) -> None:
        """Acknowledge."""
        for token in tokens:
            delivery = self._held[queue].get(token)
            if delivery is not None:
                await delivery.ack()
                self._held[queue].pop(token, None)

    async def release(self, queue: str, tokens: Sequence[str]) -> int:
        """Give jobs back, to the young end: a consumer cannot do better while it goes on."""
        given = [self._held[queue][token] for token in tokens if token in self._held[queue]]
        for delivery in given:
            await self._broker.enqueue(delivery.body, queue)
        await self.drop(queue, tokens)
        return len(given)

    async def park(self, queue: str, token: str, task: str) -> None:  # noqa: ARG002 -- the port's
        """Have a job come again in a while: its task may be known then."""
        delivery = self._held[queue].get(token)
        if delivery is not None:
            at = from_ns(SYSTEM.now_ns() + _PARKED_NS)
            await self._broker.enqueue_scheduled(delivery.body, queue, at)
            await self.drop(queue, (token,))

    async def bury(self, queue: str, token: str, reason: str) -> None:
        """Keep bytes that are no message under a name of the results."""
        delivery = self._held[queue].get(token)
        if delivery is not None:
            name = DEAD + sha1(delivery.body)
            await self._results.set(name, f"{queue}: {reason}\n".encode() + delivery.body)
            await self.drop(queue, (token,))

    async def end(self, queue: str) -> None:
        """End the consumer: what it did not acknowledge comes back."""
        coming = self._next.pop(queue, None)
        if coming is not None:
            coming.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await coming
        consumer: Any = self._consumers.pop(queue, None)
        if hasattr(consumer, "aclose"):
            await consumer.aclose()
        self._held[queue].clear()


async def _next(consumer: AsyncIterator[Delivery]) -> Delivery:
    return await anext(consumer)
