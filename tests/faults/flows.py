"""Flows of the SDK: the tasks that run them, what is sent, and what each must give."""

import asyncio
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from tasqueue import App, JobContext, JobHandle
from tests.faults.load import QUEUE

_MS: Final = 50
"""Milliseconds that each job takes."""
JOBS: Final = 15
"""How many jobs one round of `send` comes to."""
EXTRA_RUNS: Final = 2
"""Runs beyond one a job that a round asks for: those of its two unsteady jobs."""


class Tasks(NamedTuple):
    """The tasks, for whoever sends."""

    part: Any
    unsteady: Any
    double: Any
    gather: Any


def unheard(*words: object) -> None:
    """Note nothing: for an app that only sends."""


def tasks_of(app: App, note: Callable[..., None] = unheard) -> Tasks:
    """Register the tasks; ``note`` is told of each run, as `tests.faults.task.noted` does."""

    async def run(ctx: JobContext) -> None:
        note("start", ctx.id, ctx.meta.retried)
        await asyncio.sleep(_MS / 1000)

    @app.task(name="flows.part", queue=QUEUE)
    async def part(ctx: JobContext, number: int) -> int:
        await run(ctx)
        return number

    @app.task(name="flows.unsteady", queue=QUEUE, retries=1, backoff=0.2)
    async def unsteady(ctx: JobContext, number: int) -> int:
        await run(ctx)
        if ctx.attempt == 1:
            raise RuntimeError("not yet")
        return number

    @app.task(name="flows.double", queue=QUEUE)
    async def double(ctx: JobContext, number: int) -> int:
        await run(ctx)
        return 2 * number

    @app.task(name="flows.gather", queue=QUEUE)
    async def gather(ctx: JobContext, values: list[Any], more: int) -> list[Any]:
        await run(ctx)
        return [more, *values]

    return Tasks(part, unsteady, double, gather)


def send(app: App, tasks: Tasks, rounds: int) -> list[tuple[JobHandle[Any], Any]]:
    """Send jobs, retries, chains, groups with a callback and groups in groups; with their results.

    Each round is `JOBS` jobs.
    """
    part, unsteady, double, gather = tasks
    sent: list[tuple[JobHandle[Any], Any]] = []
    for n in range(rounds):
        inner = app.group(part.s(n), part.s(n + 1)).then(gather, n)
        group = app.group(part.s(n).then(double), part.s(n + 1), unsteady.s(n + 2))
        sent += [
            (part.delay(n), n),
            (unsteady.delay(n), n),
            (part.s(n).then(double).then(double).delay(), 4 * n),
            (group.then(gather, n).delay(), [n, 2 * n, n + 1, n + 2]),
            (app.group(inner, part.s(n)).then(gather, -n).delay(), [-n, [n, n, n + 1], n]),
        ]
    return sent
