"""A memory store: it answers clients, and gives workers their leases."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, Final

from tasqueue.core.errors import Unsupported
from tasqueue.core.ports import (
    JOB_KEY,
    Decided,
    Forget,
    GroupResults,
    Lease,
    Listing,
    OpenGroup,
    Parked,
    Pause,
    Pending,
    PendingPage,
    Push,
    PutTask,
    Read,
    Request,
    Submit,
    Sweep,
    Tasks,
    TellEnd,
    Withdraw,
    WorkerInfo,
    Workers,
    Write,
)
from tasqueue.core.wire import is_message_of
from tasqueue.drivers.memory.lease import MemoryLease
from tasqueue.drivers.memory.state import MemoryState

_CALL_NS: Final = 900 * 10**9
"""How long an enqueue call is known."""
_REUSED_ID = 0.01
"""Seconds to pause for a job whose ID has ended before: its next end cannot be told apart."""


class MemoryStore(MemoryState):
    """Everything in this process; safe from many threads and event loops, gone at the end.

    ``now_ns`` is its clock (unix nanoseconds), to be turned by tests.
    """

    fan_in: bool = True

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

    # -- requests --------------------------------------------------------------------------------

    def _do(self, request: Request) -> Any:
        with self.lock:
            match request:
                case Submit(pushes, again, seals):
                    pushed = [self._submit(push, again=again) for push in pushes]
                    self.seal(seals)
                    return pushed
                case Read(names):
                    return [self._read(name) for name in names]
                case Write(name, data):
                    return self.keep(name, data)
                case Pending(queue, offset, limit):
                    return self._pending(queue, offset, limit)
                case Listing(name):
                    return list(reversed(self.lists[name]))
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
            case Parked(queue, task, job_id):
                return any(is_message_of(body, job_id) for body in self.parked[queue].get(task, ()))
            case Workers(queue):
                return [worker for worker, at in self.workers.items() if queue in at]
            case _:
                return self._do_for_groups(request)
        return None

    def _do_for_groups(self, request: Request) -> Any:
        match request:
            case OpenGroup():
                return self.open_group(request)
            case GroupResults(group_id):
                return self.groups.results(group_id)
            case Sweep():
                return False
            case TellEnd():
                return self.tell(request)
            case Decided(names):
                return [name in self.once for name in names]
            case Withdraw(queue, bodies):
                waiting = self.queues[queue]
                self.queues[queue] = deque(one for one in waiting if one not in bodies)
            case _:
                msg = f"memory:// cannot do {type(request).__name__}"
                raise Unsupported(msg)
        return None

    def _submit(self, push: Push, *, again: bool) -> bool:
        known = again and JOB_KEY + push.job_id in self.data
        if self._known(push.call) if push.call else known:
            return False
        self.push([push])
        return True

    def _known(self, call: str) -> bool:
        """Whether a call was made before, in the last 15 minutes; from now on it was."""
        now_ns = self.now_ns()
        while self.calls and self.calls[oldest := next(iter(self.calls))] <= now_ns:
            del self.calls[oldest]
        known = call in self.calls
        self.calls.setdefault(call, now_ns + _CALL_NS)
        return known

    def _read(self, name: str) -> bytes | None:
        data, until_ns = self.data.get(name, (None, 0))
        if until_ns and until_ns <= self.now_ns():
            del self.data[name]
            return None
        return data

    def _pending(self, queue: str, offset: int, limit: int | None) -> PendingPage:
        waiting = list(reversed(self.queues[queue]))
        stop = None if limit is None else offset + limit
        return PendingPage(len(waiting), waiting[offset:stop])

    def _forget(self, job_id: str) -> None:
        for name in (job_id, JOB_KEY + job_id):
            self.data.pop(name, None)
        for listed in self.lists.values():
            listed.pop(job_id, None)

    # -- waiting for one -------------------------------------------------------------------------

    async def _pause(self, request: Pause) -> None:
        loop = asyncio.get_running_loop()
        woken = asyncio.Event()

        def wake() -> None:
            loop.call_soon_threadsafe(woken.set)

        with self._waiting(request, wake) as seconds:
            try:
                async with asyncio.timeout(seconds):
                    await woken.wait()
            except TimeoutError:
                return

    @contextmanager
    def _waiting(self, request: Pause, wake: Callable[[], None]) -> Generator[float]:
        """Have ``wake`` called at a job's end; gives how many seconds to wait for that at most."""
        with self.lock:
            self.waiters[request.job_id].append(wake)
            ended = any(request.job_id in listed for listed in self.lists.values())
        try:
            yield min(request.seconds, _REUSED_ID) if ended else request.seconds
        finally:
            with self.lock:
                waiting = self.waiters.get(request.job_id, [])
                if wake in waiting:
                    waiting.remove(wake)
                if not waiting:
                    self.waiters.pop(request.job_id, None)
