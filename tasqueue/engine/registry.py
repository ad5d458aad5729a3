"""What a server knows: names to handlers, and queues to concurrency."""

from __future__ import annotations

import inspect
import os
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from tasqueue.core.errors import QueueConflict
from tasqueue.core.job import DEFAULT_QUEUE
from tasqueue.core.limits import check_name
from tasqueue.core.timing import AT_ONCE, Backoff
from tasqueue.engine.context import JobContext

DEFAULT_CONCURRENCY: Final = 16
"""Jobs at once on a queue; more where the machine has more processors."""

Handler = Callable[[bytes, JobContext], Awaitable[None] | None]
"""``async def`` runs on the loop, ``def`` in a thread."""
Callback = Callable[[JobContext], Awaitable[None] | None]
"""Called on the loop, sync or async; what it raises is logged, and changes nothing."""
ErrorCallback = Callable[[JobContext, BaseException], Awaitable[None] | None]
"""The same, with what the handler raised."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskOpts:
    """How a task is run (Go: server.go, TaskOpts). Callbacks may be sync or async."""

    concurrency: int | None = None
    """Jobs that run at once on the task's queue.

    None takes what the queue has, else 16, or one per processor if there are more.
    """
    queue: str = DEFAULT_QUEUE
    success_cb: Callback | None = None
    processing_cb: Callback | None = None
    retrying_cb: ErrorCallback | None = None
    failed_cb: ErrorCallback | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A registered task."""

    name: str
    handler: Handler
    opts: TaskOpts = field(default_factory=TaskOpts)
    backoff: Backoff | None = None
    """How long a failed job waits; None retries at once, as Go does."""
    result_ttl: timedelta | None = None
    """How long record and result are kept after the end; None is as the results store says."""
    explains: bool = False
    """Whether a failure's record says its class and traceback, which Go's records do not."""

    is_async: bool = field(init=False)
    """Whether the handler runs on the event loop."""
    result_ttl_ms: int = field(init=False)
    """`result_ttl` in milliseconds; 0 if it is not said."""

    def __post_init__(self) -> None:
        method = getattr(self.handler, "__call__", None)  # noqa: B004 -- a callable object's method
        found = inspect.iscoroutinefunction(self.handler) or inspect.iscoroutinefunction(method)
        object.__setattr__(self, "is_async", found)
        ttl_ms = int(self.result_ttl.total_seconds() * 1000) if self.result_ttl else 0
        object.__setattr__(self, "result_ttl_ms", ttl_ms)

    @property
    def retry_backoff(self) -> Backoff:
        """The back-off, said or not."""
        return self.backoff or AT_ONCE


class Registry:
    """The tasks of a server, and the queues they are on."""

    def __init__(self) -> None:
        self.tasks: dict[str, Task] = {}
        self._concurrency: dict[str, int | None] = {}
        self._only: frozenset[str] = frozenset()
        self._forced: int | None = None

    def add(self, task: Task) -> None:
        """Register a task; the same name again replaces the handler, as in Go.

        Raises:
            ConfigurationError: the name or the queue's name is not usable.
            QueueConflict: the queue has another concurrency already.
        """
        queue, wanted = check_name("queue", task.opts.queue), task.opts.concurrency
        check_name("task", task.name)
        has = self._concurrency.get(queue)
        if has is not None and wanted is not None and has != wanted:
            msg = (
                f"queue {queue!r} is already defined with {has} concurrency, and task "
                f"{task.name!r} asks for {wanted}: leave it out, or take another queue"
            )
            raise QueueConflict(msg)
        self._concurrency[queue] = has if has is not None else wanted
        self.tasks[task.name] = task

    def limit(self, queues: Iterable[str], concurrency: int | None) -> None:
        """Work on these queues only (none: on all), with this many jobs at once (None: as said)."""
        self._only, self._forced = frozenset(queues), concurrency

    def concurrency(self, queue: str) -> int:
        """How many jobs of a queue run at once."""
        return self._forced or self._concurrency.get(queue) or default_concurrency()

    def queues(self) -> dict[str, int]:
        """Each queue to work on, with its concurrency."""
        return {name: self.concurrency(name) for name in self._only or self._concurrency}


def default_concurrency() -> int:
    """16, or more where the machine has more processors."""
    return max(DEFAULT_CONCURRENCY, os.cpu_count() or 1)
