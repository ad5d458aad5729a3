"""A coroutine inside the task that awaits it, in a context of its own."""

from __future__ import annotations

import types
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context
from functools import partial
from typing import Any


@types.coroutine
def in_context(
    context: Context, work: Coroutine[Any, Any, None], waits: Callable[[], object]
) -> Generator[Any, Any, None]:
    """Run a coroutine to its end; call back once, when it waits for something for the first time.

    A task of its own would give it a context too, and costs a short coroutine more than all its
    work does: it is created, scheduled, called back. Here the task that awaits it does for it; that
    it has begun to wait is when its caller should leave this task to it.
    """
    run = context.run
    try:
        waiting = run(work.send, None)
    except StopIteration:
        return
    waits()
    while True:
        try:
            sent = yield waiting
        except GeneratorExit:
            run(work.close)
            raise
        except BaseException as error:  # noqa: BLE001 -- thrown into it, whatever it is
            # Without this frame, where it did not come from: it would also keep what it holds.
            came = error.__traceback__ and error.__traceback__.tb_next
            step: Callable[[], Any] = partial(work.throw, error.with_traceback(came))
        else:
            step = partial(work.send, sent)
        try:
            waiting = run(step)
        except StopIteration:
            return
