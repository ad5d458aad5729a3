"""One worker's place in a memory store: what it holds, and what it gives back."""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from itertools import count
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from tasqueue.core.ports import Answer, Claim

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tasqueue.core.ports import Mark, Settlement, WorkerInfo
    from tasqueue.drivers.memory.state import MemoryState

_IDLE: Final = 1.0
"""Seconds that a claim waits for a message."""


class MemoryUpkeep:
    """What a lease does for the whole store, not for its own jobs."""

    def __init__(self, store: MemoryState) -> None:
        self._store = store

    async def promote(self, queue: str) -> float | None:
        """Move due jobs into the queue, earliest first; seconds until the next one."""
        store = self._store
        with store.lock:
            heap, now_ns = store.scheduled[queue], store.now_ns()
            while heap and heap[0][0] <= now_ns:
                store.put(queue, heapq.heappop(heap)[2])
            return (heap[0][0] - now_ns) / 1e9 if heap else None

    async def rescue(self, queue: str) -> int:  # noqa: ARG002 -- the port's signature
        """The workers of a memory store live and die together: there is nobody to rescue."""
        return 0

    async def unpark(self, queue: str, known: Sequence[str]) -> int:
        """Put parked jobs of known tasks back, oldest first."""
        store, back = self._store, 0
        with store.lock:
            parked = store.parked[queue]
            for task in [t for t in parked if t in known or t in store.tasks]:
                bodies = parked.pop(task)
                back += len(bodies)
                for body in bodies:
                    store.put(queue, body)
        return back

    async def known_elsewhere(self, task: str) -> bool:
        """Whether a task has a record in the store."""
        return task in self._store.tasks


class MemoryHolding(MemoryUpkeep):
    """What a lease does with the jobs that it holds."""

    def __init__(self, store: MemoryState) -> None:
        super().__init__(store)
        self._id = uuid4().hex[:16]

    async def adopt(self, queue: str) -> list[Claim]:
        """What this worker holds on a queue."""
        with self._store.lock:
            held = self._store.held.items()
            return [Claim(t, body) for t, (w, q, body) in held if (w, q) == (self._id, queue)]

    async def mark(self, queue: str, marks: Sequence[Mark]) -> None:  # noqa: ARG002 -- the port's
        """Write ``processing`` records."""
        for mark in marks:
            self._store.mark(mark)

    async def settle(self, queue: str, settlements: Sequence[Settlement]) -> list[Answer]:
        """Carry settlements out."""
        return [self._store.settle(queue, one, self._id) for one in settlements]

    async def release(self, queue: str, tokens: Sequence[str]) -> int:
        """Give unstarted jobs back to the old end."""
        with self._store.lock:
            held = [self._drop(token) for token in tokens]
            bodies = [body for body in held if body is not None]
            self._store.queues[queue].extendleft(reversed(bodies))
            self._store.ring(queue)
        return len(bodies)

    async def park(self, queue: str, token: str, task: str) -> None:
        """Set a job aside."""
        with self._store.lock:
            body = self._drop(token)
            if body is not None:
                self._store.parked[queue].setdefault(task, deque()).append(body)

    async def bury(self, queue: str, token: str, reason: str) -> None:
        """Move bytes to the dead letters."""
        with self._store.lock:
            body = self._drop(token)
            if body is not None:
                self._store.dead.append((queue, body, reason))

    async def drop(self, queue: str, tokens: Sequence[str]) -> None:  # noqa: ARG002 -- the port's
        """Let go of jobs that were settled elsewhere."""
        with self._store.lock:
            for token in tokens:
                self._drop(token)

    def _drop(self, token: str) -> bytes | None:
        """Let a token go, if it is mine."""
        owner, _, body = self._store.held.get(token, ("", "", b""))
        if owner != self._id:
            return None
        del self._store.held[token]
        return body


class MemoryLease(MemoryHolding):
    """See `tasqueue.core.ports.Lease`."""

    fenced = False

    def __init__(self, store: MemoryState, worker: WorkerInfo) -> None:
        super().__init__(store)
        self._queues = worker.queues
        self._turns = count(1)
        self._waits: set[asyncio.Event] = set()

    @property
    def worker_id(self) -> str:
        """Random for each lease."""
        return self._id

    def beat(self, *, leaving: bool = False) -> bool:  # noqa: ARG002 -- the port's signature
        """Register, and stay so until the end."""
        self._store.workers.setdefault(self._id, set(self._queues))
        return True

    async def renew(self) -> None:
        """Take a new ID, and give back what was held."""
        self._store.workers.pop(self._id, None)
        for queue in {queue for owner, queue, _ in self._store.held.values() if owner == self._id}:
            await self.end(queue)
        self._id = uuid4().hex[:16]

    async def claim(self, queue: str, limit: int) -> list[Claim]:
        """Take up to ``limit`` jobs, oldest first; waits up to a second for one."""
        taken = self._take(queue, limit)
        if taken or limit < 1:
            return taken
        loop, woken = asyncio.get_running_loop(), asyncio.Event()
        self._waits.add(woken)
        try:
            with self._store.listening(queue, _waker(loop, woken)):
                if not self._store.queues[queue]:
                    async with asyncio.timeout(_IDLE):
                        await woken.wait()
        except TimeoutError:
            return []
        finally:
            self._waits.discard(woken)
        return self._take(queue, limit)

    async def wake(self) -> None:
        """Make waiting claims return now."""
        for woken in self._waits:
            woken.set()

    async def end(self, queue: str) -> None:
        """Sign off, and give everything back."""
        self._store.workers.get(self._id, set()).discard(queue)
        await self.release(queue, [claim.token for claim in await self.adopt(queue)])

    def _take(self, queue: str, limit: int) -> list[Claim]:
        claims: list[Claim] = []
        with self._store.lock:
            waiting = self._store.queues[queue]
            while waiting and len(claims) < limit:
                claim = Claim(f"{next(self._turns)}:{self._id}", waiting.popleft())
                self._store.held[claim.token] = (self._id, queue, claim.body)
                claims.append(claim)
        return claims


def _waker(loop: asyncio.AbstractEventLoop, woken: asyncio.Event) -> Callable[[], None]:
    def wake() -> None:
        loop.call_soon_threadsafe(woken.set)

    return wake
