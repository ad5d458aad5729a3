"""Threads that run the handlers of ``def`` tasks: few are woken, and the loop once for many."""

from __future__ import annotations

import asyncio
import atexit
import contextvars
import os
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Final
from weakref import WeakSet

from tasqueue.engine.context import LOGGER

_POOLS: Final[WeakSet[ThreadPool]] = WeakSet()


class Call:
    """One function in a thread, or on its way there."""

    __slots__ = ("_context", "_error", "_function", "_then", "outcome", "over")

    def __init__(self, function: Callable[[], object], outcome: asyncio.Future[Any]) -> None:
        self._function = function
        self._context = contextvars.copy_context()
        self._error: BaseException | None = None
        self._then: Callable[[], None] | None = None
        self.outcome: Final[asyncio.Future[BaseException | None]] = outcome
        """What the function raised. Cancelled before the function has begun, it never begins."""
        self.over: bool = False
        """Whether the thread is done with it, as far as the loop knows."""

    def when_over(self, then: Callable[[], None]) -> None:
        """Call back on the loop when the thread is done, also if nobody waits for the outcome."""
        self._then = then

    def run(self) -> None:
        """In the thread: call the function, and keep what it raises."""
        if self.outcome.done():
            return
        try:
            self._context.run(self._function)
        except BaseException as error:  # noqa: BLE001 -- user code may raise anything
            self._error = error

    def end(self) -> None:
        """On the loop, when the thread is done."""
        self.over = True
        if not self.outcome.done():
            self.outcome.set_result(self._error)
        if self._then is not None:
            self._then()


class ThreadPool:
    """As many threads as calls have been there at once: none waits behind another that blocks.

    To wake a thread costs more than a short call. So one is woken at a time: it takes the oldest
    call and, if more are waiting and no thread is on its way, wakes the next before it runs its
    own. Who is done takes another call. Thus one thread runs all the short calls that came
    together, and the next, which got up meanwhile, finds none; a call that blocks lets that one
    go on at once. The loop, too, is woken once for all that has been done until it looks.

    The threads end with `close`; the interpreter's end waits for the calls that still run. Only a
    forked child of `multiprocessing` breaks them off, where Python (3.11) runs no exit handlers.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._waiting: deque[Call] = deque()
        self._idle: list[threading.Lock] = []
        self._coming = False
        self._closed = False
        self._done: deque[Call] = deque()
        self._told = False
        self.running: int = 0
        """Calls that are not over, waited for or not."""
        _POOLS.add(self)

    def begin(self, function: Callable[[], object]) -> Call:
        """Have a function called in a thread, in a copy of this context.

        Raises:
            RuntimeError: the system gives no thread, or the pool is closed.
        """
        if self._closed:
            raise RuntimeError("the pool of threads is closed")
        call = Call(function, self._loop.create_future())
        if self.running >= len(self._threads):
            self._grow()
        self.running += 1
        with self._lock:
            self._waiting.append(call)
            self._wake()
        return call

    def close(self) -> None:
        """End the threads: the idle ones now, the others when their call is over."""
        with self._lock:
            self._closed = True
            never, self._waiting = self._waiting, deque()
            idle, self._idle = self._idle, []
        for bell in idle:
            bell.release()
        for call in never:
            call.outcome.cancel()

    def join(self) -> None:
        """Wait, after `close`, until all calls have ended; from outside of them."""
        for thread in self._threads:
            thread.join()

    def _grow(self) -> None:
        name = f"tasqueue-job_{len(self._threads)}"
        thread = threading.Thread(target=self._work, name=name, daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            if not self._threads:
                raise
            LOGGER.warning("a job waits for another's thread, as the system gives none: %s", error)
        else:
            self._threads.append(thread)

    def _collect(self) -> None:
        self._told = False
        while self._done:
            self.running -= 1
            self._done.popleft().end()

    # -- in a thread -----------------------------------------------------------------------------

    def _work(self) -> None:
        bell = threading.Lock()
        bell.acquire()
        came = False
        while True:
            call = self._next(bell, came=came)
            came = call is None
            if call is not None:
                call.run()
                self._done.append(call)
                del call  # what it holds is not kept while this thread rests
            elif self._closed:
                return
            else:
                bell.acquire()

    def _next(self, bell: threading.Lock, *, came: bool) -> Call | None:
        """The oldest call; None if there is none: the bell is rung when there is one again.

        The loop learns of what is done before this thread rests, and before it may block. While
        another is on its way that one tells it: it is here as soon as this one blocks.
        """
        call = None
        with self._lock:
            if came:
                self._coming = False
            if self._waiting:
                call = self._waiting.popleft()
                if self._waiting:
                    self._wake()
            elif not self._closed:
                self._idle.append(bell)
            tells = call is None or not self._coming
        if tells and self._done and not self._told:
            self._tell()
        return call

    def _wake(self) -> None:
        """Ring for one thread, if one rests and none is on its way; under the lock."""
        if self._idle and not self._coming:
            self._coming = True
            self._idle.pop().release()

    def _tell(self) -> None:
        self._told = True
        try:
            self._loop.call_soon_threadsafe(self._collect)
        except RuntimeError:
            LOGGER.debug("the thread of a job has outlived its event loop")


os.register_at_fork(after_in_child=_POOLS.clear)  # a child has none of its parent's threads


@atexit.register
def _end() -> None:
    for pool in list(_POOLS):
        pool.close()
        pool.join()
