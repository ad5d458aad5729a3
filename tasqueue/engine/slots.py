"""The slots of one queue: how claimed jobs begin, run beside each other, and end."""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import copy_context
from functools import partial
from typing import Any, Final

from tasqueue.core.ports import Claim
from tasqueue.engine.inline import in_context
from tasqueue.engine.processor import Equipment, Held, Processor

_APART: Final = 100
"""Jobs that get a task of their own without being tried, after one that waited for something."""
_TURN: Final = 0.001
"""Seconds after which a row of jobs that wait for nothing lets the loop go on with others."""
_REST: Final = 3
"""Turns of the loop that these get, and two more until the next row begins: it takes five to hear
an answer and send what follows."""


class Slots:
    """Claimed jobs that are ready to begin, and those that run, at most ``size`` at once.

    Jobs that end without waiting for anything run in one task, one after the other, each in a
    context of its own: a task costs more than such a job. The first one that waits keeps that task
    for itself, and the next hundred get theirs before they begin. One that ends and leaves somebody
    who refers to the task was the last in it: who cancels that later means none of the others.
    """

    def __init__(
        self,
        size: int,
        shared: Equipment,
        processor: Processor,
        *,
        ready: deque[Held],
        ended: Callable[[Held, float], bool],
        vacated: Callable[[], object],
    ) -> None:
        self._size = size
        self._processor = processor
        self._executor = shared.executor
        self._clock = shared.clock
        self._ready = ready
        self._tell = ended
        self._tell_vacated = vacated
        self._context = copy_context()
        self._held: dict[str, Held] = {}
        self._overdue = 0
        self._row: asyncio.Task[None] | None = None
        self._apart = 0
        self.closed: bool = False
        """Whether nothing may begin."""

    @property
    def free(self) -> int:
        """Slots in which nothing runs: neither a job, nor the thread of one that timed out."""
        return self._size - len(self._held) - self._overdue

    @property
    def running(self) -> list[Held]:
        """The jobs that run."""
        return list(self._held.values())

    def fill(self) -> None:
        """Have jobs that are ready begin, as many as there are free slots."""
        while (held := self._next()) is not None:
            if not self._apart:
                self._ready.appendleft(held)
                self._begin_row()
                return
            self._apart -= 1
            self._begin(held, self._processor.process(held))

    def _next(self) -> Held | None:
        return self._ready.popleft() if self._ready and self.free > 0 and not self.closed else None

    # -- in a task of its own --------------------------------------------------------------------

    def _begin(self, held: Held, work: Coroutine[Any, Any, None]) -> None:
        self._held[held.claim.token] = held
        held.begun = self._clock.monotonic()
        held.work = self._task(work)
        held.work.add_done_callback(partial(self._over, held))

    def _over(self, held: Held, work: asyncio.Task[None]) -> None:
        held.error = asyncio.CancelledError() if work.cancelled() else work.exception()
        self._ended(held, self._clock.monotonic())
        self.fill()

    def _task(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """A task that begins in the next turn of the loop, whatever the loop's factory makes."""
        loop = asyncio.get_running_loop()
        return asyncio.Task(work, loop=loop, context=self._context.copy())

    # -- in a row --------------------------------------------------------------------------------

    def _begin_row(self) -> None:
        if self._row is None:
            self._row = self._task(self._work())
            self._row.add_done_callback(self._row_over)

    async def _work(self) -> None:
        row, now = self._row, self._clock.monotonic()
        until = now + _TURN
        references = sys.getrefcount(row)
        while row is not None and not row.cancelling() and (held := self._next()) is not None:
            held.begun, held.work = now, row
            if not await self._has_ended(held, row):
                return
            now = self._clock.monotonic()
            if self._ended(held, now) or now > until:
                for _ in range(_REST):
                    await self._clock.sleep(0)
                return
            if sys.getrefcount(row) != references:
                return  # somebody kept it, and may cancel it

    async def _has_ended(self, held: Held, row: asyncio.Task[None]) -> bool:
        """Run a job in the row; False if it has waited, and so has ended with a task of its own."""
        self._held[held.claim.token] = held
        work, waits = self._processor.process(held), partial(self._waits, held)
        try:
            await in_context(self._context.copy(), work, waits)
        except (Exception, asyncio.CancelledError) as error:
            if row is not self._row:
                raise
            held.error = error
        if row is not self._row:
            return False
        if row.cancelling():
            held.error = held.error or asyncio.CancelledError()
        return True

    def _waits(self, held: Held) -> None:
        """The job that runs in the row waits for something: the row's task is its own now."""
        self._row, self._apart = None, _APART
        if held.work is not None:
            held.work.add_done_callback(partial(self._over, held))
        self.fill()

    def _row_over(self, row: asyncio.Task[None]) -> None:
        if row is not self._row:
            return
        self._row = None
        for held in self.running:
            if held.work is row:  # an interrupt (KeyboardInterrupt, SystemExit) broke both off
                self._over(held, row)
        self.fill()

    # -- the end ---------------------------------------------------------------------------------

    def bury(self, claim: Claim, text: str) -> None:
        """Keep the bytes of a job over which the worker failed, in a slot beyond the others."""
        burial = Held(claim, self._clock.monotonic(), is_burial=True)
        self._begin(burial, self._processor.bury(claim, text))

    def _ended(self, held: Held, now: float) -> bool:
        del self._held[held.claim.token]
        held.work = None
        if held.ctx is not None:
            self._overdue += self._executor.when_vacated(held.ctx, self._vacated)
        return self._tell(held, now - held.begun)

    def _vacated(self) -> None:
        self._overdue -= 1
        self.fill()
        self._tell_vacated()
