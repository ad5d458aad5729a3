"""Ours, over its SDK; ``BENCH_MODE`` is async, thread, group or chain."""

from __future__ import annotations

import logging
import os
import time

import stage

from tasqueue import App

MODE = os.environ.get("BENCH_MODE", "async")
SLOTS = os.environ.get("BENCH_SLOTS", "")
LINKS = 5
"""Jobs in a chain."""
MEMBERS = 1000
"""Jobs in a group."""
PORTION = 10_000
"""Calls that one ``delay_many`` gets."""

app = App(stage.URL)
if "BENCH_LOG" not in os.environ:
    # As the others are run: no line in the log for each job that starts.
    logging.getLogger("tasqueue").setLevel(logging.WARNING)

if MODE == "thread":

    @app.task(name="add")
    def add(a: int, b: int) -> int:
        """Add in a thread."""
        stage.tick()
        return a + b

    @app.task(name="now")
    def now() -> int:
        """Say when this body ran."""
        return time.time_ns()

else:

    @app.task(name="add")
    async def add(a: int, b: int) -> int:
        """Add on the loop."""
        stage.tick()
        return a + b

    @app.task(name="now")
    async def now() -> int:
        """Say when this body ran."""
        return time.time_ns()


@app.task(name="total")
async def total(numbers: list[int]) -> int:
    """What a group is followed by."""
    stage.tick()
    return sum(numbers)


@app.task(name="echo")
async def echo(data: str) -> str:
    """Give back a large argument."""
    stage.tick()
    return data


def one(number: int) -> None:
    """Send a job, blocking."""
    add.delay(number, 1)


def many(count: int) -> None:
    """Send jobs in bulk; as groups or chains in those modes."""
    if MODE == "chain":
        for start in range(0, count, LINKS):
            links = [add.partial(1) for _ in range(min(LINKS, count - start) - 1)]
            (app.chain(add.s(start, 1), *links) if links else add.s(start, 1)).delay()
        return
    size = MEMBERS if MODE == "group" else PORTION
    for start in range(0, count, size):
        rows = [(number, 1) for number in range(start, min(start + size, count))]
        if MODE == "group":
            add.group(rows).delay()
        else:
            add.delay_many(rows)


async def burst(count: int) -> None:
    """Send jobs from 100 coroutines."""
    await stage.hundred(_one, count)


async def _one(number: int) -> None:
    await add.adelay(number, 1)


def ping() -> int:
    """Send, and wait for the result."""
    return now.delay().get(timeout=10)


async def closing() -> None:
    """End the connections."""
    await app.aclose()


if __name__ == "__main__":
    slots = ["--concurrency", SLOTS] if SLOTS else []
    stage.play(
        stage.Contestant(
            work=stage.become("tasqueue", "worker", "with_tasqueue:app", *slots),
            one=one,
            many=many,
            burst=burst,
            ping=ping,
            closing=closing,
        )
    )
