"""One call of a task's function in a worker: bytes in, the function, bytes out."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from types import CoroutineType
from typing import Any

from tasqueue.core.errors import Reject
from tasqueue.engine.context import JobContext
from tasqueue.sdk.conversion import Misfit, to_json
from tasqueue.sdk.definition import Spec
from tasqueue.sdk.payload import Given, unpack


def sync_handler(spec: Spec, function: Callable[..., Any]) -> Callable[[bytes, JobContext], None]:
    """The engine's handler for a ``def`` function."""

    def handle(payload: bytes, ctx: JobContext) -> None:
        args, kwargs = _given(spec, payload, ctx)
        _save(spec, function(*args, **kwargs), ctx)

    return handle


def async_handler(spec: Spec, function: Callable[..., Any]) -> Callable[[bytes, JobContext], Any]:
    """The engine's handler for an ``async def`` function."""

    async def handle(payload: bytes, ctx: JobContext) -> None:
        args, kwargs = _given(spec, payload, ctx)
        result = function(*args, **kwargs)
        # A wrapper around an async function may have awaited it already.
        if type(result) is CoroutineType or inspect.isawaitable(result):
            result = await result
        _save(spec, result, ctx)

    return handle


def _given(spec: Spec, payload: bytes | None, ctx: JobContext) -> Given:
    """What the function is called with."""
    previous = _previous(ctx)
    shape = spec.shape
    if spec.settings.raw or shape is None:
        given = Given([payload or previous or b""], {})
    else:
        given = unpack(shape, payload or b"", previous)
    if shape is not None and shape.wants_context:
        given.args.insert(0, ctx)
    return given


def _previous(ctx: JobContext) -> bytes | None:
    """The result of what came before: a job, or a whole group as a list."""
    if ctx.group_results is not None:
        return b"[" + b",".join(result or b"null" for result in ctx.group_results) + b"]"
    return ctx.meta.prev_job_result


def _save(spec: Spec, result: Any, ctx: JobContext) -> None:
    """Save what the function returned; None does not hide what the function saved itself."""
    if result is None and ctx.saved is not None:
        return
    if spec.settings.raw:
        if not isinstance(result, bytes | bytearray | memoryview | None):
            msg = f"{spec.name} is raw: it returns bytes or None, not {type(result).__qualname__}"
            raise Reject(msg)
        ctx.returned(bytes(result or b""))
        return
    try:
        ctx.returned(to_json(result))
    except Misfit as error:
        at = f" (at {error.path})" if error.path else ""
        msg = f"what {spec.name} returned does not fit: {error.reason}{at}"
        raise Reject(msg) from error
