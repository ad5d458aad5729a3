"""An app's way to its back end: it follows plans, blocking or awaited, and closes at the end."""

from __future__ import annotations

import asyncio
import inspect
import os
import threading
import warnings
from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar

from tasqueue.core.errors import ConfigurationError
from tasqueue.core.signing import Signing
from tasqueue.engine.plan import Plan, run, run_blocking
from tasqueue.engine.registry import Task
from tasqueue.engine.server import Server
from tasqueue.engine.signed import signed
from tasqueue.sdk.frame import APART
from tasqueue.sdk.inprocess import InProcessWorker
from tasqueue.sdk.opening import CLUSTERS, MEMORY, Opened, open_backend, scheme

T = TypeVar("T")

_PACKAGE = __name__.partition(".")[0]


class Client:
    """Opens its back end at the first use; safe from many threads, and after a fork.

    A memory back end is of no use without a worker beside it: the first job starts one in a
    thread. After a fork the child has a memory of its own, with nothing in it.
    """

    def __init__(
        self,
        url: str,
        keep: timedelta | None,
        serve: Callable[[Opened], Server],
        *,
        results_url: str = "",
        signing: Signing | None = None,
    ) -> None:
        self.url = url
        self._results_url = results_url
        self.is_memory: bool = scheme(url) == MEMORY
        self.hint = "" if self.is_memory else "tasqueue worker MODULE:APP"
        """The command that starts a worker for this app; "" where that is of no use."""
        self._keep = keep
        self._signing = signing
        self._serve = serve
        self._lock = threading.RLock()
        self._pid = os.getpid()
        self._opened: Opened | None = None
        self._server: Server | None = None
        self._worker: InProcessWorker | None = None
        self._retired: list[InProcessWorker] = []
        self._warned: set[tuple[str, int]] = set()

    @property
    def kind(self) -> str:
        """The scheme of the URL."""
        return scheme(self.url)

    @property
    def has_fan_in(self) -> bool:
        """Whether the back end can run a task when a group has ended."""
        return self._back_end().store.fan_in

    @property
    def has_one_step(self) -> bool:
        """Whether the back end writes a job's record and its message in one step."""
        return not self._back_end().is_pair and self.kind not in CLUSTERS

    @property
    def server(self) -> Server:
        """The engine over this back end."""
        with self._ready():
            return self._made_server()

    def submit(self, plan: Plan[T], twin: str) -> T:
        """Follow a plan that sends jobs, blocking; in a running loop warn and name ``twin``.

        Raises:
            ConfigurationError: a job in a process of its own sends to its worker's memory.
        """
        if _in_loop():
            self._warn(twin)
        return run_blocking(plan, self._working().store)

    async def asubmit(self, plan: Plan[T]) -> T:
        """Follow a plan that sends jobs."""
        return await run(plan, self._working().store)

    def ask(self, plan: Plan[T], twin: str) -> T:
        """Follow a plan that waits or reads, blocking.

        Raises:
            ConfigurationError: an event loop runs in this thread, and would stand still.
        """
        if _in_loop():
            msg = f"{twin[1:]}() would hold up the running event loop: use `await ….{twin}(…)`"
            raise ConfigurationError(msg)
        return run_blocking(plan, self._back_end().store)

    async def aask(self, plan: Plan[T]) -> T:
        """Follow a plan that waits or reads."""
        return await run(plan, self._back_end().store)

    def close(self) -> None:
        """End this thread's connections, and the worker of a memory app."""
        with self._ready():
            opened = self._opened
            workers = [*self._retired, *([self._worker] if self._worker else [])]
            if workers:
                self._worker = self._server = None
                self._retired = []
        for worker in workers:
            worker.stop()
        if opened:
            opened.store.close()

    async def aclose(self) -> None:
        """End this event loop's connections too."""
        opened = self._opened
        await asyncio.to_thread(self.close)
        if opened:
            await opened.store.aclose()

    def learn(self, task: Task, *, is_new_queue: bool) -> None:
        """Know one more task; for a new queue the next job starts a worker anew."""
        with self._ready():
            if self._server is not None and not is_new_queue:
                self._server.add_task(task)
            else:
                self._server = None

    def _back_end(self) -> Opened:
        if self._opened is not None and self._pid == os.getpid():
            return self._opened
        with self._ready():
            if self._opened is None:
                opened = open_backend(self.url, self._keep, self._results_url)
                self._opened = opened._replace(store=signed(opened.store, self._signing))
            return self._opened

    def _working(self) -> Opened:
        """The back end, with a worker beside it if nobody else can be one."""
        opened = self._back_end()
        if self.is_memory and APART.is_set():
            msg = 'an executor="process" job has no part in its worker\'s memory://: send from redis://'
            raise ConfigurationError(msg)
        if self.is_memory and (self._worker is None or self._server is None):
            with self._ready():
                self._start()
        return opened

    def _start(self) -> None:
        """Start a worker, also in place of one that does not know all tasks; nobody waits."""
        if self._worker is not None and self._server is not None:
            return
        old, self._worker = self._worker, InProcessWorker(self._made_server())
        self._worker.start()
        if old is not None:
            old.retire()
            self._retired.append(old)

    def _made_server(self) -> Server:
        if self._server is None:
            self._server = self._serve(self._back_end())
        return self._server

    def _ready(self) -> threading.RLock:
        """The lock; what a parent process left in a forked child is forgotten first."""
        if self._pid != os.getpid():
            self._lock = threading.RLock()
            self._pid = os.getpid()
            if self.is_memory:
                self._opened = self._server = self._worker = None
                self._retired = []
        return self._lock

    def _warn(self, twin: str) -> None:
        """Say once per line of the caller's code that it holds up its event loop."""
        frame, depth = inspect.currentframe(), 0
        while frame and str(frame.f_globals.get("__name__")).partition(".")[0] == _PACKAGE:
            frame, depth = frame.f_back, depth + 1
        site = (frame.f_code.co_filename, frame.f_lineno) if frame else ("", 0)
        if site not in self._warned:
            self._warned.add(site)
            text = f"{twin[1:]}() holds up the running event loop: use `await ….{twin}(…)`"
            warnings.warn(text, RuntimeWarning, stacklevel=depth + 1)


def _in_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
