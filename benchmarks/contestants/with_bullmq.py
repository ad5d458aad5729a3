"""BullMQ for Python: 100 jobs at once."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import stage
from bullmq import Job, Queue, Worker

OPTIONS = {"connection": stage.URL}
queue: Queue


async def process(job: Any, _: str) -> int:
    """Run a job."""
    if job.name == "now":
        return time.time_ns()
    stage.tick()
    return int(job.data["a"] + job.data["b"])


async def opening() -> None:
    """Connect."""
    global queue  # noqa: PLW0603 -- made on the loop that uses it
    queue = Queue("bench", OPTIONS)


async def closing() -> None:
    """Disconnect."""
    await queue.close()


async def one(number: int) -> None:
    """Add a job."""
    await queue.add("add", {"a": number, "b": 1})


async def many(count: int) -> None:
    """Add in portions of 1,000."""
    for start in range(0, count, 1000):
        numbers = range(start, min(start + 1000, count))
        await queue.addBulk([{"name": "add", "data": {"a": n, "b": 1}} for n in numbers])


async def burst(count: int) -> None:
    """Add from 100 coroutines."""
    await stage.hundred(one, count)


async def ping() -> int:
    """Add, and look for the result every millisecond: sooner here than the queue's events."""
    job = await queue.add("now", {})
    until = time.monotonic() + 10
    while time.monotonic() < until:
        found = await Job.fromId(queue, job.id)
        if found is not None and found.returnvalue is not None:
            return int(found.returnvalue)
        await asyncio.sleep(0.001)
    raise TimeoutError


async def work() -> None:
    """Run jobs."""
    Worker("bench", process, {"concurrency": 100, **OPTIONS})
    await asyncio.Event().wait()


if __name__ == "__main__":
    stage.play(
        stage.Contestant(
            work=stage.on_loop(work), one=one, many=many, burst=burst, ping=ping,
            opening=opening, closing=closing,
        )
    )  # fmt: skip
