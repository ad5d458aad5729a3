"""What lies in a memory store: queues, results and groups in dictionaries, behind one lock."""

from __future__ import annotations

import heapq
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from itertools import count
from uuid import uuid4

from tasqueue.core import lifecycle
from tasqueue.core.job import JobStatus
from tasqueue.core.ports import JOB_KEY, Answer, Mark, OpenGroup, Push, Settlement, TellEnd
from tasqueue.core.wire import decode_job, encode_job
from tasqueue.drivers.memory.fanin import FanIn


class MemoryState:
    """The data and each of its steps; safe from many threads."""

    def __init__(self, *, now_ns: Callable[[], int] = time.time_ns) -> None:
        self.now_ns = now_ns
        self.lock: threading.RLock = threading.RLock()
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
        self.workers: dict[str, set[str]] = {}
        """Worker ID → the queues that it works on."""
        self.tasks: dict[str, bytes] = {}
        self._id = uuid4().hex
        self._order = count()
        self.data: dict[str, tuple[bytes, int]] = {}
        self.lists: dict[str, dict[str, None]] = {"success": {}, "failed": {}}
        self.calls: dict[str, int] = {}
        """Tokens of enqueue calls → until when each is known (unix ns), the oldest first."""
        self.once: set[str] = set()
        self.groups: FanIn = FanIn()
        self._bells: defaultdict[str, list[Callable[[], None]]] = defaultdict(list)
        self.waiters: defaultdict[str, list[Callable[[], None]]] = defaultdict(list)

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
    def listening(self, queue: str, bell: Callable[[], None]) -> Generator[None]:
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
            if settlement.once and settlement.once in self.once:
                del self.held[settlement.token]
                return Answer.DECIDED
            if settlement.once:
                self.once.add(settlement.once)
            self.push([*settlement.pushes, *((settlement.again,) if settlement.again else ())])
            if settlement.dead:
                self.dead.append((queue, body, settlement.dead))
            self.keep(settlement.job_id, settlement.result, settlement.ttl_ms)
            self.keep(JOB_KEY + settlement.job_id, settlement.record, settlement.ttl_ms)
            if settlement.listing:
                self._end(settlement.job_id, settlement.listing)
            if settlement.closes and not settlement.again:
                self.groups.close(settlement.closes)
            del self.held[settlement.token]
            return Answer.APPLIED

    def mark(self, one: Mark) -> None:
        """Write a record while the job is held, and no copy of its message has ended it."""
        with self.lock:
            if one.token in self.held and one.once not in self.once:
                self.keep(JOB_KEY + one.job_id, one.record)

    def list_in(self, name: str, job_id: str) -> None:
        """Put a job at the young end of a list."""
        with self.lock:
            self.lists[name].pop(job_id, None)
            self.lists[name][job_id] = None

    def push(self, pushes: Iterable[Push]) -> None:
        """Write records, and put their messages into their queues."""
        for push in pushes:
            self.keep(JOB_KEY + push.job_id, push.record or None)
            self.put(push.queue, push.body, push.due_ns)

    def keep(self, name: str, data: bytes | None, ttl_ms: int = 0) -> None:
        """Store data under a name for ``ttl_ms`` (0: for ever); None is not stored."""
        if data is not None:
            self.data[name] = (data, self.now_ns() + ttl_ms * 1_000_000 if ttl_ms else 0)

    # -- groups, and the end of a job ------------------------------------------------------------

    def open_group(self, request: OpenGroup) -> None:
        """Know a group; one without members is complete."""
        if self.groups.open(request):
            if request.on_success:
                self.keep(JOB_KEY + request.on_success.job_id, request.on_success.record)
            if not request.members:
                self.seal((request.group_id,))

    def seal(self, group_ids: Iterable[str]) -> None:
        """Let groups fire from now on."""
        for group in self.groups.seal(group_ids):
            self._fire(group.request, failed=group.failed)

    def tell(self, end: TellEnd) -> list[str]:
        """See `tasqueue.core.ports.TellEnd`."""
        queues = self.groups.queues(end.member.group_id) if end.member else []
        self._tell(end.job_id, end.saved, failed=end.failed)
        if end.once:
            self.once.add(end.once)
        if end.closes:
            self.groups.close(end.closes)
        return queues

    def _end(self, job_id: str, listing: str) -> None:
        self.list_in(listing, job_id)
        failed = listing == "failed"
        result, _ = self.data.get(job_id, (None, 0))
        self._tell(job_id, None if failed else result, failed=failed)

    def _tell(self, job_id: str, saved: bytes | None, *, failed: bool) -> None:
        for wake in self.waiters.pop(job_id, ()):
            wake()
        for group in self.groups.ended(job_id, saved, failed=failed):
            self._fire(group.request, failed=group.failed)

    def _fire(self, group: OpenGroup, *, failed: bool) -> None:
        callback = group.on_error if failed else group.on_success
        self.push([callback] if callback else [])
        if failed and group.on_success:
            self._never(group.on_success, group.group_id)
        if callback is None:
            self.groups.close(group.group_id)

    def _never(self, push: Push, group_id: str) -> None:
        """A callback that will not come has failed: who waits for it is told."""
        message = lifecycle.never(decode_job(push.record), group_id)
        record = encode_job(lifecycle.recorded(message, JobStatus.FAILED, self.now_ns()))
        self.keep(JOB_KEY + push.job_id, record)
        self._end(push.job_id, "failed")
