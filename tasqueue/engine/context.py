"""What a handler is told about its job, and where it saves its result."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Generator
from contextvars import ContextVar
from typing import Final

from tasqueue.core.errors import Cancel, ConfigurationError
from tasqueue.core.job import JobMessage, Meta

LOGGER: Final = logging.getLogger("tasqueue")


class _Saved:
    """Awaitable and already done, so that ``save`` works in ``async def`` and in ``def``."""

    def __await__(self) -> Generator[None, None, None]:
        yield from ()


_SAVED: Final = _Saved()


class JobContext:
    """One attempt of one job, as its handler and its callbacks see it (Go: JobCtx)."""

    def __init__(self, message: JobMessage, *, deadline: float | None = None) -> None:
        self.meta: Final[Meta] = message.meta
        """The queue message's meta: retries and errors of the attempts before this one."""
        self.task: Final = message.job.task
        self.deadline: Final = deadline
        """The event loop's time at which this attempt is over; None if it has no limit."""
        self.group_results: list[bytes | None] | None = None
        """For a group's callback: what each member saved, in order."""
        self.saved: bytes | None = None
        """What was saved so far."""
        self.lease_lost: bool = False
        """The worker was cut off for so long that others may run this job by now."""
        self.given_back: bool = False
        """The worker cancelled this attempt: it has no outcome, the job runs again elsewhere."""
        self._interrupt: Callable[[], None] | None = None
        self._over = ""
        self._thread = 0

    @property
    def id(self) -> str:
        """The job's ID."""
        return self.meta.id

    @property
    def queue(self) -> str:
        """The queue that the job came from."""
        return self.meta.queue

    @property
    def attempt(self) -> int:
        """1 for the first run."""
        return self.meta.retried + 1

    @property
    def max_retries(self) -> int:
        """Attempts after the first."""
        return self.meta.max_retry

    @property
    def cancelled(self) -> bool:
        """This attempt is over: it ran out of time, or its worker stops. Leave the handler.

        An ``async def`` handler is told by CancelledError. One in a thread cannot be interrupted:
        it asks here, or is told by its next `save`. Its slot is taken until it returns.
        """
        return bool(self._over)

    @property
    def logger(self) -> logging.LoggerAdapter[logging.Logger]:
        """A logger whose records carry ``job_id`` and ``task``."""
        return logging.LoggerAdapter(LOGGER, {"job_id": self.id, "task": self.task})

    def save(self, data: bytes) -> _Saved:
        """Save the job's result; it is stored with the attempt's outcome, the last call counts.

        May be awaited, and need not be (Go: JobCtx.Save).

        Raises:
            Cancel: in a thread, when the attempt is over.
            TypeError: ``data`` is no bytes.
        """
        if self._over and threading.get_ident() == self._thread:
            raise Cancel(f"this attempt is over: {self._over}")
        self.saved = _as_bytes(data)
        return _SAVED

    # -- for the engine --------------------------------------------------------------------------

    def stop(self, why: str, *, give_back: bool = False, lost: bool = False) -> None:
        """Say that the attempt is over; with ``give_back`` it has no outcome."""
        self._over = self._over or why
        self.given_back |= give_back
        self.lease_lost |= lost
        if self._interrupt is not None:
            self._interrupt()

    def returned(self, data: bytes) -> None:
        """Save what the handler returned, unless its time was over.

        A lost lease does not hinder that: a job that the store finds still held here has ended.
        """
        if self.lease_lost or not self._over:
            self.saved = data

    def interrupted_by(self, interrupt: Callable[[], None]) -> None:
        """Name what ends this attempt when it is stopped; called at once if it already is."""
        self._interrupt = interrupt
        if self._over:
            interrupt()

    def in_this_thread(self) -> None:
        """Say that the handler runs in the calling thread, and not on the event loop."""
        self._thread = threading.get_ident()


def _as_bytes(data: object) -> bytes:
    if not isinstance(data, bytes | bytearray | memoryview):
        raise TypeError(f"a result is saved as bytes, not as {type(data).__qualname__}")
    return bytes(data)


_CURRENT: Final[ContextVar[JobContext]] = ContextVar("tasqueue_job")


def current_job() -> JobContext:
    """The context of the job that this code runs in.

    Raises:
        ConfigurationError: no job runs here.
    """
    try:
        return _CURRENT.get()
    except LookupError:
        msg = (
            "no job runs here: a job's context is there while a worker runs its task; to call such "
            "a function elsewhere, pass it a JobContext as its first argument"
        )
        raise ConfigurationError(msg) from None


def enter(ctx: JobContext) -> None:
    """Make a context the current one, for what runs in this `contextvars` context."""
    _CURRENT.set(ctx)
