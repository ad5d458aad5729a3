"""The handlers of the fault suite's workers; a payload is a JSON object."""

import asyncio
import ctypes
import faulthandler
import json
import os
import resource
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

from tasqueue import JobContext
from tests.faults.diary import Diary

Handler = Callable[[bytes, JobContext], Awaitable[None]]


def _of(payload: bytes) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(payload or b"{}")
    return found


async def _take(payload: bytes) -> None:
    if ms := _of(payload).get("ms"):
        await asyncio.sleep(ms / 1000)


async def work(payload: bytes, ctx: JobContext) -> None:
    """Take ``ms`` milliseconds."""
    await _take(payload)
    ctx.save(payload)


async def gather(payload: bytes, ctx: JobContext) -> None:
    """Save the places that the members of its group saved."""
    await _take(payload)
    saved = [one for one in ctx.group_results or () if isinstance(one, bytes)]
    ctx.save(json.dumps([json.loads(one)["at"] for one in saved]).encode())


async def flaky(payload: bytes, ctx: JobContext) -> None:
    """Fail the first ``n`` attempts."""
    await _take(payload)
    if ctx.meta.retried < _of(payload)["n"]:
        raise RuntimeError("not yet")
    ctx.save(payload)


async def bad(payload: bytes, ctx: JobContext) -> None:
    """Fail always."""
    await _take(payload)
    raise RuntimeError("never")


async def gated(payload: bytes, ctx: JobContext) -> None:
    """Wait until the file ``gate`` exists."""
    gate = Path(_of(payload)["gate"])
    while not gate.exists():  # noqa: ASYNC110, ASYNC240 -- another process makes the file
        await asyncio.sleep(0.02)
    ctx.save(payload)


async def crash(payload: bytes, ctx: JobContext) -> None:
    """Take the process down, in the way named ``how``."""
    how = _of(payload)["how"]
    if how == "exit":
        os._exit(1)
    elif how == "abort":
        os.abort()
    elif how == "segfault":
        ctypes.string_at(0)
    elif how == "overflow":
        # CPython has this for its own tests: recursion in C until the stack is full.
        overflow: Any = faulthandler
        overflow._stack_overflow()
    elif how == "memory":
        await asyncio.to_thread(_eat)
    else:
        os.kill(os.getpid(), signal.SIGKILL)


def _eat() -> None:
    """What the kernel's OOM killer does, as near as a process can come by itself."""
    resource.setrlimit(resource.RLIMIT_AS, (1 << 30, resource.RLIM_INFINITY))
    try:
        eaten = [bytearray(1 << 26) for _ in range(64)]
        sys.stderr.write(f"{len(eaten)} pieces fit\n")
    except MemoryError:
        os.kill(os.getpid(), signal.SIGKILL)


async def block(payload: bytes, ctx: JobContext) -> None:
    """Hold the event loop, or the GIL, for ``ms`` milliseconds."""
    wanted = _of(payload)
    if wanted["how"] == "gil":
        # PyDLL keeps the GIL while the C function runs.
        ctypes.PyDLL(None).usleep(int(wanted["ms"] * 1000))
    else:
        time.sleep(wanted["ms"] / 1000)  # noqa: ASYNC251 -- the fault itself
    ctx.save(payload)


async def hoard(payload: bytes, ctx: JobContext) -> None:
    """Take every file descriptor there is, for ``ms`` milliseconds."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
    taken: list[int] = []
    try:
        while True:
            taken.append(os.open("/dev/null", os.O_RDONLY))
    except OSError:
        await asyncio.sleep(_of(payload)["ms"] / 1000)
    finally:
        for one in taken:
            os.close(one)
    ctx.save(payload)


TASKS: Final[dict[str, Handler]] = {
    handler.__name__: handler for handler in (work, gather, flaky, bad, gated, crash, block, hoard)
}


def noted(diary: Diary, handler: Handler) -> Handler:
    """Note the start and the end of each run."""

    async def run(payload: bytes, ctx: JobContext) -> None:
        diary.note("start", ctx.id, ctx.meta.retried, os.getpid())
        try:
            await handler(payload, ctx)
        finally:
            diary.note("end", ctx.id, os.getpid())

    return run
