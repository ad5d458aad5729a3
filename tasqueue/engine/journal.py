"""What a worker says about the jobs that it runs: a line per start, retry and failure."""

from __future__ import annotations

import logging
from types import TracebackType
from typing import Final

from tasqueue.core.errors import JobSignal
from tasqueue.engine.context import LOGGER, JobContext
from tasqueue.engine.remote import RemoteError

_OURS: Final = __name__.partition(".")[0]


def started(ctx: JobContext) -> None:
    """An attempt begins."""
    if LOGGER.isEnabledFor(logging.INFO):
        LOGGER.info("start %s, job %s, try %d of %d", *_which(ctx))


def failed(ctx: JobContext, error: BaseException, *, what: str, text: str) -> None:
    """An attempt failed: ``what`` is ``retry`` or ``failed``. The user's frames come along.

    A handler that says so itself (`Retry`, `Cancel`) needs no traceback.
    """
    LOGGER.log(
        logging.WARNING if what == "retry" else logging.ERROR,
        "%s %s, job %s, try %d of %d: %s: %s",
        what, *_which(ctx), _class(error), text,
        exc_info=None if isinstance(error, JobSignal) else (type(error), error, user_frames(error)),
    )  # fmt: skip


def _class(error: BaseException) -> str:
    return error.origin[0] if isinstance(error, RemoteError) else type(error).__name__


def _which(ctx: JobContext) -> tuple[str, str, int, int]:
    return ctx.task, ctx.id, ctx.attempt, ctx.max_retries + 1


def user_frames(error: BaseException) -> TracebackType | None:
    """The traceback from the user's code on; its last frame, if that is ours as well."""
    frame = error.__traceback__
    while frame and frame.tb_next and _is_ours(frame):
        frame = frame.tb_next
    return frame


def _is_ours(frame: TracebackType) -> bool:
    return str(frame.tb_frame.f_globals.get("__name__")).partition(".")[0] == _OURS
