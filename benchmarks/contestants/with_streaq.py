"""StreaQ: 100 tasks at once, as many fetched ahead, uvloop as its worker command does."""

from __future__ import annotations

import time

import stage
from streaq import Worker

worker = Worker(redis_url=stage.URL, concurrency=100, prefetch=100)


@worker.task(name="add")
async def add(a: int, b: int) -> int:
    """Add."""
    stage.tick()
    return a + b


@worker.task(name="now")
async def now() -> int:
    """Say when this body ran."""
    return time.time_ns()


async def opening() -> None:
    """Connect; the end of the process disconnects (its scopes may not be left in another task)."""
    await worker.__aenter__()


async def one(number: int) -> None:
    """Enqueue a task."""
    await add.enqueue(number, 1)


async def many(count: int) -> None:
    """Enqueue in portions of 1,000."""
    for start in range(0, count, 1000):
        numbers = range(start, min(start + 1000, count))
        await worker.enqueue_many([add.enqueue(number, 1) for number in numbers])


async def burst(count: int) -> None:
    """Enqueue from 100 coroutines."""
    await stage.hundred(one, count)


async def ping() -> int:
    """Enqueue, and wait for the result."""
    task = await now.enqueue()
    return int((await task.result(timeout=10)).result)


if __name__ == "__main__":
    stage.play(
        stage.Contestant(
            work=stage.become("streaq", "run", "with_streaq:worker"), one=one, many=many,
            burst=burst, ping=ping, opening=opening,
        )
    )  # fmt: skip
