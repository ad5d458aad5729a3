"""One attempt of one job: call, time out, catch, report an outcome."""

from __future__ import annotations

import asyncio
import inspect
import random
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final

from tasqueue.core.errors import (
    Cancel,
    ConfigurationError,
    JobSignal,
    JobTimeout,
    Reject,
    Retry,
    Snooze,
)
from tasqueue.core.job import JobMessage
from tasqueue.core.lifecycle import Failed, Outcome, Postponed, Succeeded
from tasqueue.core.timing import NS_PER_S, span_ns
from tasqueue.engine import journal
from tasqueue.engine.context import LOGGER, JobContext, enter
from tasqueue.engine.registry import Task
from tasqueue.engine.remote import RemoteError
from tasqueue.engine.thread import Call, ThreadPool

MAX_ERROR: Final = 16 << 10
"""Bytes that are kept of an error's text, and of its traceback."""


class Executor:
    """Runs handlers: ``async def`` on the loop, ``def`` in threads of its own.

    ``ending`` says whether the whole program is being cancelled: then a cancelled job has no
    outcome. Otherwise a handler that cancels itself has failed.
    """

    def __init__(self, *, ending: Callable[[], bool] = bool) -> None:
        self._pool = ThreadPool(asyncio.get_running_loop())
        self._calls: dict[JobContext, Call] = {}
        self.ending: Final = ending

    @property
    def threads(self) -> int:
        """Threads that run a handler now, waited for or not."""
        return self._pool.running

    async def attempt(
        self, task: Task, message: JobMessage, ctx: JobContext, *, mine: asyncio.Task[None] | None
    ) -> Outcome:
        """Run the handler and its callbacks once, in the asyncio task ``mine``.

        Raises only CancelledError, when cancelled.
        """
        enter(ctx)
        journal.started(ctx)
        error = await self._call(task, message, ctx, mine=mine)
        if error is None:
            if task.opts.success_cb is not None:
                await _callback(task.opts.success_cb, ctx)
            return Succeeded(ctx.saved)
        if isinstance(error, Snooze) and (delay_ns := _delay_ns(error)) is not None:
            return Postponed(delay_ns)
        outcome = _failure(task, message, error)
        over = outcome.final or message.meta.retried >= message.meta.max_retry
        what = "failed" if over else "retry"
        journal.failed(ctx, error, what=what, text=outcome.error)
        callback = task.opts.failed_cb if over else task.opts.retrying_cb
        if callback is not None:
            await _callback(callback, ctx, error)
        return replace(outcome, result=ctx.saved)

    def when_vacated(self, ctx: JobContext, call: Callable[[], None]) -> bool:
        """Call back when the thread of an attempt that is over has ended; False if it has."""
        thread = self._calls.pop(ctx, None)
        if thread is None or thread.over:
            return False
        thread.when_over(call)
        return True

    def close(self) -> None:
        """Take no more calls; threads that still run are not waited for."""
        self._pool.close()

    async def _call(
        self, task: Task, message: JobMessage, ctx: JobContext, *, mine: asyncio.Task[None] | None
    ) -> BaseException | None:
        """Run the handler within its limit; what it raised is returned."""
        try:
            # Without a limit nothing stands between: each step in between costs a short job.
            limited = self._limited if message.job.opts.timeout_ns else self._handle
            raised = await limited(task, message, ctx)
        except BaseException as error:
            if _is_closed(error, mine):
                raise
            raised = error
        if mine is not None and mine.cancelling():
            await _forgiven(mine)
        if raised is None and not ctx.given_back:
            return None
        stopped = isinstance(raised, asyncio.CancelledError)
        failed_by_us = ctx.lease_lost and not isinstance(raised, JobTimeout | None)
        if ctx.given_back or failed_by_us or (stopped and self.ending()):
            # Whatever the handler made of being stopped: it may have done half of its work.
            ctx.stop("it was cancelled", give_back=True)
            raise asyncio.CancelledError
        return raised

    async def _limited(
        self, task: Task, message: JobMessage, ctx: JobContext
    ) -> BaseException | None:
        seconds = message.job.opts.timeout_ns / NS_PER_S
        limit = asyncio.timeout(seconds)
        try:
            async with limit:
                return await self._handle(task, message, ctx)
        except TimeoutError:
            if not limit.expired():
                raise
        ctx.stop(f"it had {seconds} s")
        return JobTimeout(f"context deadline exceeded: no end within {seconds} s")

    async def _handle(
        self, task: Task, message: JobMessage, ctx: JobContext
    ) -> BaseException | None:
        """Run the handler; what it raised in a thread is returned."""
        payload = message.job.payload or b""
        if task.opts.processing_cb is not None:
            await _callback(task.opts.processing_cb, ctx)
            if ctx.lease_lost:  # meanwhile: others may have the job, and a thread runs on
                raise asyncio.CancelledError
        if task.is_async:
            result = task.handler(payload, ctx)
            if result is not None:
                await result
            return None

        def handle() -> None:
            """Tell the context where it is, then call the handler."""
            ctx.in_this_thread()
            task.handler(payload, ctx)

        call = self._calls[ctx] = self._pool.begin(handle)
        raised = await call.outcome
        del self._calls[ctx]
        return raised


def _is_closed(error: BaseException, mine: asyncio.Task[Any] | None) -> bool:
    """Whether the coroutine is closed from outside, which no handler can answer."""
    if not isinstance(error, GeneratorExit):
        return False
    try:
        return asyncio.current_task() is not mine
    except RuntimeError:
        return True


async def _forgiven(mine: asyncio.Task[None]) -> None:
    """Forget that a task was cancelled, by its handler or from outside, also what is still to come.

    A cancelling that was asked for and did not arrive yet would meet whatever is awaited next.
    """
    while mine.cancelling():
        mine.uncancel()
    with suppress(asyncio.CancelledError):
        await asyncio.sleep(0)


async def _callback(callback: Callable[..., Any], ctx: JobContext, *args: Any) -> None:
    """Call a callback; what it raises is logged, and does not change the job's fate."""
    mine = asyncio.current_task()
    try:
        result = callback(ctx, *args)
        if inspect.isawaitable(result):
            await result
    except BaseException as error:
        if _is_closed(error, mine):
            raise
        if isinstance(error, asyncio.CancelledError) and mine is not None and mine.cancelling():
            raise
        LOGGER.exception("a callback of job %s raised", ctx.id)


def _failure(task: Task, message: JobMessage, error: BaseException) -> Failed:
    text = text_of(error)
    origin = origin_of(error) if task.explains else None
    if isinstance(error, Cancel):
        return Failed(f"cancelled: {text}", final=True, origin=origin)
    if isinstance(error, Reject):
        return Failed(text, final=True, origin=origin)
    if isinstance(error, Snooze) or (isinstance(error, Retry) and error.after is not None):
        delay_ns = _delay_ns(error)
        if delay_ns is None:
            what = f"{type(error).__name__}(after={error.after!r}): not a usable number of seconds"
            return Failed(what, final=True, origin=origin)
        return Failed(text, delay_ns=delay_ns, origin=origin)
    delay_ns = task.retry_backoff.delay_ns(message.meta.retried + 1, random.random)
    return Failed(text, delay_ns=delay_ns, origin=origin)


def _delay_ns(error: Retry | Snooze) -> int | None:
    """How long a handler wants to wait; None if what it said is no usable number of seconds."""
    try:
        return span_ns(error.after)  # type: ignore[arg-type] # user code may say anything
    except (ConfigurationError, ArithmeticError, TypeError, ValueError):
        return None


def text_of(error: BaseException) -> str:
    """What is kept as ``PrevErr``: the error's own text, as Go's ``err.Error()``."""
    try:
        text = str(error)
    except Exception as broken:  # noqa: BLE001 -- user code may raise anything
        text = f"{type(error).__name__}, whose text cannot be read: {type(broken).__name__}"
    return _sound(text)[:MAX_ERROR].decode(errors="ignore") or type(error).__name__


def origin_of(error: BaseException) -> tuple[str, str] | None:
    """An error's class and traceback, without our own frames before the handler's."""
    if isinstance(error, JobSignal | JobTimeout):
        return None
    if isinstance(error, RemoteError):
        return error.origin
    text = "".join(traceback.format_exception(type(error), error, journal.user_frames(error)))
    return type(error).__qualname__, _sound(text)[-MAX_ERROR:].decode(errors="ignore")


def _sound(text: str) -> bytes:
    """A text as bytes that any reader of the wire can take."""
    return text.encode(errors="backslashreplace")
