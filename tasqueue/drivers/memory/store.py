"""The store: queues, results and groups in dictionaries, behind one lock."""

from __future__ import annotations

import asyncio
import dataclasses
import heapq
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from tasqueue.core import lifecycle
from tasqueue.core.errors import Unsupported
from tasqueue.core.job import JobStatus
from tasqueue.core.ports import (
    JOB_KEY,
    Answer,
    Forget,
    GroupResults,
    Listing,
    OpenGroup,
    Pause,
    Pending,
    PendingPage,
    Push,
    PutTask,
    Read,
    Request,
    Settlement,
    Submit,
    Tasks,
    WorkerInfo,
    Write,
)
from tasqueue.core.wire import decode_job, encode_job
from tasqueue.drivers.memory.fanin import FanIn
from tasqueue.drivers.memory.lease import MemoryLease

if TYPE_CHECKING:
    from tasqueue.core.ports import Lease

_REUSED_ID = 0.01
"""Seconds to pause for a job whose ID has ended before: its next end cannot be told apart."""


class MemoryStore:
    """Everything in this process; safe from many threads and event loops, gone at the end.

    ``now_ns`` is its clock (unix nanoseconds), to be turned by tests.
    """

    fan_in: bool = True

    def __init__(self, *, now_ns: Callable[[], int] = time.time_ns) -> None:
        self.now_ns = now_ns
        self.lock = threading.RLock()
        self.queues: defaultdict[str, deque[bytes]] = defaultdict(deque)
        """Oldest left."""
        self.scheduled: defaultdict[str, list[tuple[int, int, bytes]]] = defaultdict(list)
        """Heaps of (due in unix ns, a tie-breaker, message)."""
        self.held: dict[str, tuple[str, str, bytes]] = {}
        """Token → (worker ID, queue, message)."""
        self.parked: defaultdict[str, dict[str, deque[bytes]]] = defaultdict(dict)
        """Queue → task → messages."""
        self.dead: list[tuple[str, bytes, str]] = []
        """(queue, bytes, reason)."""
        self.tasks: dict[str, bytes] = {}
        self._id = uuid4().hex
        self._order = count()
        self._data: dict[str, tuple[bytes, int]] = {}
        self._lists: dict[str, dict[str, None]] = {"success": {}, "failed": {}}
        self._calls: set[str] = set()
        self._once: set[str] = set()
        self._groups = FanIn()
        self._bells: defaultdict[str, list[Callable[[], None]]] = defaultdict(list)
        self._waiters: defaultdict[str, list[Callable[[], None]]] = defaultdict(list)

    # -- Store and BlockingStore -----------------------------------------------------------------

    async def perform(self, request: Request) -> Any:
        """Do what the request says."""
        if isinstance(request, Pause):
            return await self._pause(request)
        return self._do(request)

    def perform_blocking(self, request: Request) -> Any:
        """Do what the request says."""
        if isinstance(request, Pause):
            woken = threading.Event()
            with self._waiting(request, woken.set) as seconds:
                woken.wait(seconds)
            return None
        return self._do(request)

    async def identity(self) -> str:
        """This very object."""
        return f"memory {self._id}"

    def lease(self, worker: WorkerInfo) -> Lease:
        """A worker's place in this store."""
        return MemoryLease(self, worker)

    async def aclose(self) -> None:
        """Nothing is to be closed."""

    def close(self) -> None:
        """Nothing is to be closed."""

    # -- what leases use too ---------------------------------------------------------------------

    def put(self, queue: str, body: bytes, due_ns: int | None = None) -> None:
        """Put a message at the young end of a queue, or into its schedule."""
        with self.lock:
            if due_ns is not None:
                heapq.heappush(self.scheduled[queue], (due_ns, next(self._order), body))
            else:
                self.queues[queue].append(body)
            self.ring(queue)

    def ring(self, queue: str) -> None:
        """Wake whoever waits at a queue."""
        with self.lock:
            for bell in self._bells.pop(queue, ()):
                bell()

    @contextmanager
    def listening(self, queue: str, bell: Callable[[], None]) -> Iterator[None]:
        """Have ``bell`` called once, at the next message of a queue, while the block lasts."""
        with self.lock:
            self._bells[queue].append(bell)
        try:
            yield
        finally:
            with self.lock:
                if bell in self._bells.get(queue, ()):
                    self._bells[queue].remove(bell)

    def settle(self, queue: str, settlement: Settlement, worker_id: str) -> Answer:
        """Carry a settlement out in one step; see `tasqueue.core.ports.Settlement`."""
        with self.lock:
            owner, _, body = self.held.get(settlement.token, ("", "", b""))
            if owner != worker_id:
                return Answer.DECIDED
            if settlement.once and settlement.once in self._once:
                del self.held[settlement.token]
                return Answer.DECIDED
            if settlement.once:
                self._once.add(settlement.once)
            self._push([*settlement.pushes, *((settlement.again,) if settlement.again else ())])
            if settlement.dead:
                self.dead.append((queue, body, settlement.dead))
            self._keep(settlement.job_id, settlement.result, settlement.ttl_ms)
            self._keep(JOB_KEY + settlement.job_id, settlement.record, settlement.ttl_ms)
            if settlement.listing:
                self._end(settlement.job_id, settlement.listing, settlement.result)
            del self.held[settlement.token]
            return Answer.APPLIED

    def mark(self, token: str, job_id: str, record: bytes) -> None:
        """Write a record while the job is held."""
        with self.lock:
            if token in self.held:
                self._keep(JOB_KEY + job_id, record)

    def list_in(self, name: str, job_id: str) -> None:
        """Put a job at the young end of a list."""
        with self.lock:
            self._lists[name].pop(job_id, None)
            self._lists[name][job_id] = None

    # -- requests --------------------------------------------------------------------------------

    def _do(self, request: Request) -> Any:
        with self.lock:
            match request:
                case Submit(pushes, again):
                    return [self._submit(push, again=again) for push in pushes]
                case Read(names):
                    return [self._read(name) for name in names]
                case Write(name, data):
                    return self._keep(name, data)
                case Pending(queue, offset, limit):
                    return self._pending(queue, offset, limit)
                case Listing(name):
                    return list(reversed(self._lists[name]))
                case _:
                    return self._do_rare(request)

    def _do_rare(self, request: Request) -> Any:
        match request:
            case Forget(job_id):
                self._forget(job_id)
            case PutTask(name, record):
                self.tasks[name] = record
            case Tasks():
                return list(self.tasks.values())
            case OpenGroup():
                callback = self._groups.open(request)
                self._push([callback] if callback else [])
            case GroupResults(group_id):
                return self._groups.results(group_id)
            case _:
                msg = f"memory:// cannot do {type(request).__name__}"
                raise Unsupported(msg)
        return None

    def _submit(self, push: Push, *, again: bool) -> bool:
        known = push.call in self._calls if push.call else JOB_KEY + push.job_id in self._data
        if again and known:
            return False
        if push.call:
            self._calls.add(push.call)
        self._push([push])
        return True

    def _push(self, pushes: Iterable[Push]) -> None:
        for push in pushes:
            self._keep(JOB_KEY + push.job_id, push.record)
            self.put(push.queue, push.body, push.due_ns)

    def _read(self, name: str) -> bytes | None:
        data, until_ns = self._data.get(name, (None, 0))
        if until_ns and until_ns <= self.now_ns():
            del self._data[name]
            return None
        return data

    def _keep(self, name: str, data: bytes | None, ttl_ms: int = 0) -> None:
        if data is not None:
            self._data[name] = (data, self.now_ns() + ttl_ms * 1_000_000 if ttl_ms else 0)

    def _pending(self, queue: str, offset: int, limit: int | None) -> PendingPage:
        waiting = list(reversed(self.queues[queue]))
        stop = None if limit is None else offset + limit
        return PendingPage(len(waiting), waiting[offset:stop])

    def _forget(self, job_id: str) -> None:
        for name in (job_id, JOB_KEY + job_id):
            self._data.pop(name, None)
        for listed in self._lists.values():
            listed.pop(job_id, None)

    # -- the end of a job ------------------------------------------------------------------------

    def _end(self, job_id: str, listing: str, result: bytes | None) -> None:
        self.list_in(listing, job_id)
        for wake in self._waiters.pop(job_id, ()):
            wake()
        group = self._groups.ended(job_id, result, failed=listing == "failed")
        if group is None:
            return
        request = group.request
        callback = request.on_error if group.failed else request.on_success
        self._push([callback] if callback else [])
        if group.failed and request.on_success:
            self._never(request.on_success, request.group_id)

    def _never(self, push: Push, group_id: str) -> None:
        """A callback that will not come has failed: who waits for it is told."""
        record = lifecycle.recorded(decode_job(push.record), JobStatus.FAILED, self.now_ns())
        meta = dataclasses.replace(record.meta, prev_err=f"a member of group {group_id} failed")
        record = dataclasses.replace(record, meta=meta)
        self._keep(JOB_KEY + push.job_id, encode_job(record))
        self._end(push.job_id, "failed", None)

    # -- waiting for one -------------------------------------------------------------------------

    async def _pause(self, request: Pause) -> None:
        loop = asyncio.get_running_loop()
        woken = asyncio.Event()
        with self._waiting(request, lambda: loop.call_soon_threadsafe(woken.set)) as seconds:
            try:
                async with asyncio.timeout(seconds):
                    await woken.wait()
            except TimeoutError:
                return

    @contextmanager
    def _waiting(self, request: Pause, wake: Callable[[], None]) -> Iterator[float]:
        """Have ``wake`` called at a job's end; gives how many seconds to wait for that at most."""
        with self.lock:
            self._waiters[request.job_id].append(wake)
            ended = any(request.job_id in listed for listed in self._lists.values())
        try:
            yield min(request.seconds, _REUSED_ID) if ended else request.seconds
        finally:
            with self.lock:
                waiting = self._waiters.get(request.job_id, [])
                if wake in waiting:
                    waiting.remove(wake)
                if not waiting:
                    self._waiters.pop(request.job_id, None)
