"""The supervisor: it runs no user code, keeps worker processes running, and tidies up."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final

from tasqueue.core.blame import Blame, blame
from tasqueue.core.errors import BackendError
from tasqueue.core.limits import GRACE, LEASE
from tasqueue.core.ports import Reaper
from tasqueue.engine.clock import SYSTEM
from tasqueue.engine.context import LOGGER
from tasqueue.engine.keeper import Loop
from tasqueue.engine.process.channel import Hello, Order
from tasqueue.engine.process.child import Child
from tasqueue.engine.process.limits import Limits

_WATCH: Final = 0.25
"""Seconds between looks at what the children run, and how large they are."""
_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 8.0
"""Seconds before a process that died at its start is started again: doubled each time."""
_STEADY: Final = 10.0
"""Seconds after which a child that dies did not die of its start."""
_SLACK: Final = 10.0
"""Seconds beyond the grace that a child has to sign off before it is killed."""
_AGAIN: Final = 0.1
"""Seconds between tries to give a dead child's jobs back."""
_LAST_TRIES: Final = 5.0
"""Seconds of such tries once the supervisor stops."""
UNFINISHED: Final = 1
"""Exit code: jobs are left in hand, for others to find."""


class Supervisor:
    """Keeps worker processes running.

    ``command`` makes the command line of a child from two descriptors, of its ledger and of its
    channel. ``open_reaper`` makes, of the URL that a child greets with, what gives jobs back.
    ``fatal`` are the exit codes of a child that can never start: then all is over.
    """

    def __init__(
        self,
        command: Callable[[int, int], Sequence[str]],
        open_reaper: Callable[[str], Reaper],
        *,
        limits: Limits,
        fatal: Sequence[int] = (),
    ) -> None:
        self._command = command
        self._open_reaper = open_reaper
        self._limits = limits
        self._fatal = fatal
        self._children: set[Child] = set()
        self._errands: set[asyncio.Task[None]] = set()
        self._reaper: Reaper | None = None
        self._beating = ThreadPoolExecutor(1, thread_name_prefix="tasqueue-beats")
        self._reaping = ThreadPoolExecutor(1, thread_name_prefix="tasqueue-reap")
        self._greeted = asyncio.Event()
        self._stopping = asyncio.Event()
        self._code = 0
        self._lease = LEASE
        self._grace = GRACE
        self._until = float("inf")

    async def run(self) -> int:
        """Keep the children running until `stop`; returns the exit code, when all have ended."""
        keepers = [
            asyncio.create_task(self._keep(waits=n > 0)) for n in range(self._limits.processes)
        ]
        loops = Loop("watch", _WATCH, self._watch), Loop("beats", _WATCH, self._beat)
        beside = [asyncio.create_task(loop.run(SYSTEM)) for loop in loops]
        try:
            await asyncio.gather(*keepers)
            await asyncio.gather(*self._errands)
        finally:
            for task in (*keepers, *beside):
                task.cancel()
            await asyncio.gather(*keepers, *beside, return_exceptions=True)
            self._beating.shutdown(wait=False, cancel_futures=True)
            self._reaping.shutdown(wait=False, cancel_futures=True)
        return self._code

    def stop(self) -> None:
        """Let the children drain and end; a second call skips the wait for their jobs."""
        order = Order.NOW if self._stopping.is_set() else Order.STOP
        self._stopping.set()
        grace = 0.0 if order is Order.NOW else self._grace
        self._until = min(self._until, time.monotonic() + grace + _SLACK)
        for child in self._children:
            child.order(order)
        self._run(self._take_leave())

    async def _take_leave(self) -> None:
        """Have it known that we were told to stop, before who told us kills what still runs."""
        with contextlib.suppress(BackendError):  # the next beat says it again
            await self._beat()

    def _run(self, errand: Coroutine[Any, Any, None]) -> None:
        """Have something done before the end."""
        task = asyncio.create_task(errand)
        self._errands.add(task)
        task.add_done_callback(self._errands.discard)

    # -- one place, and the children that fill it one after the other -----------------------------

    async def _keep(self, *, waits: bool) -> None:
        """Fill one place; the first child shows whether the app can be loaded, others wait."""
        deaths = 0
        if waits:
            await self._either(self._greeted, self._stopping)
        while not self._stopping.is_set():
            try:
                child = await Child.started(self._command)
            except OSError as error:
                LOGGER.error("cannot start a worker process: %s", error)
                deaths += 1
            else:
                deaths = deaths + 1 if await self._life(child) else 0
            if deaths and not self._stopping.is_set():
                await self._pause(deaths)

    async def _life(self, child: Child) -> bool:
        """From start to end; whether it died of itself before it was of any use."""
        self._children.add(child)
        if self._stopping.is_set():
            child.order(Order.STOP)
        try:
            if hello := await child.greeted():
                self._learn(hello)
            code = await child.ended()
        finally:
            self._children.discard(child)
        useless = child.age < _STEADY and not child.page().ended and not child.ordered
        if code in self._fatal and not self._greeted.is_set():
            self._code = code
            self.stop()
        self._tidy(child, code)
        return useless

    def _learn(self, hello: Hello) -> None:
        if self._reaper is None:
            self._reaper = self._open_reaper(hello.url)
        self._lease, self._grace = hello.lease_seconds, hello.grace
        self._greeted.set()

    async def _pause(self, deaths: int) -> None:
        """A child that dies as soon as it lives is started ever more slowly."""
        seconds = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** (deaths - 1))
        LOGGER.warning("starting a worker process again in %g s", seconds)
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            return

    # -- after its end ----------------------------------------------------------------------------

    def _tidy(self, child: Child, code: int) -> None:
        """Give back what a child held: nothing if it signed off, which no exit code tells."""
        page, hello = child.page(), child.hello
        child.close()
        if hello is None:
            return
        if code or page.begun:
            how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
            text = "worker process %d %s, with %d jobs running"
            LOGGER.error(text, child.pid, how, len(page.begun))
        whose = blame(code, overtime=bool(child.killed_for), leaving=child.leaving)
        started: dict[str, list[str]] = {}
        for job in (child.killed_for or page.begun) if whose else ():
            started.setdefault(job.queue, []).append(job.token)
        self._run(self._reap(page.worker_id, hello, started, whose=whose))

    async def _reap(
        self, worker_id: str, hello: Hello, started: dict[str, list[str]], *, whose: Blame
    ) -> None:
        loop, reaper = asyncio.get_running_loop(), self._reaper
        if reaper is None or not worker_id:
            return
        reap = partial(reaper.reap, worker_id, hello.queues, started, blame=whose)
        give_up_at: float | None = None
        level = logging.WARNING
        while True:
            try:
                given = await loop.run_in_executor(self._reaping, reap)
            except BackendError as error:
                LOGGER.log(level, "the jobs of worker %s wait: %s", worker_id, error)
                level = logging.DEBUG
            else:
                if given:
                    LOGGER.info("gave %d jobs of worker %s back", given, worker_id)
                return
            if self._stopping.is_set():
                give_up_at = give_up_at or time.monotonic() + _LAST_TRIES
                if time.monotonic() > give_up_at:
                    self._code = UNFINISHED
                    return
            await asyncio.sleep(_AGAIN)

    # -- beside -----------------------------------------------------------------------------------

    async def _beat(self) -> float | None:
        """Beat for the children, four times a lease: what they run cannot hold it up.

        Not for one that a signal has stopped: others may have its jobs after the lease.
        """
        reaper, loop = self._reaper, asyncio.get_running_loop()
        if reaper is None:
            return None
        beats = [
            partial(reaper.beat, worker_id, child.hello.queues, leaving=child.leaving)
            for child in self._children
            if child.hello is not None
            and not child.stopped
            and (worker_id := child.page().worker_id)
        ]
        for beat in beats:
            await loop.run_in_executor(self._beating, beat)
        return self._lease / 4

    async def _watch(self) -> None:
        now = time.monotonic()
        for child in tuple(self._children):
            if now > self._until:
                LOGGER.error("worker process %d does not end: it is killed", child.pid)
                child.kill()
            else:
                self._look_at(child, now)

    def _look_at(self, child: Child, now: float) -> None:
        page, limits = child.page(), self._limits
        late = [job for job in page.begun if now > job.over_at + limits.overtime]
        if late:
            text = "worker process %d is killed: %d jobs run on after their timeout"
            LOGGER.error(text, child.pid, len(late))
            child.kill(late)
        elif child.hello is not None and self._may_retire(child):
            if limits.max_jobs is not None and page.ended >= limits.max_jobs:
                self._retire(child, f"has done {page.ended} jobs")
            elif limits.max_rss_mib is not None and (rss := child.rss_mib()) > limits.max_rss_mib:
                self._retire(child, f"has {rss:.0f} MiB")

    def _may_retire(self, child: Child) -> bool:
        """Not more than half of the children at a time: the others go on working."""
        leaving = sum(one.ordered for one in self._children)
        return not child.ordered and leaving < max(1, self._limits.processes // 2)

    @staticmethod
    def _retire(child: Child, why: str) -> None:
        LOGGER.info("worker process %d %s: it is replaced", child.pid, why)
        child.order(Order.RETIRE)

    @staticmethod
    async def _either(*events: asyncio.Event) -> None:
        waits = [asyncio.create_task(event.wait()) for event in events]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
