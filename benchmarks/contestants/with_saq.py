"""SAQ: 100 jobs at once; its results are looked for every millisecond."""

from __future__ import annotations

import time
from typing import Any

import stage
from saq import Queue, Worker

queue = Queue.from_url(f"{stage.URL}?max_connections=1000", max_concurrent_ops=100)


async def add(_: dict[str, Any], *, a: int, b: int) -> int:
    """Add."""
    stage.tick()
    return a + b


async def now(_: dict[str, Any]) -> int:
    """Say when this body ran."""
    return time.time_ns()


async def opening() -> None:
    """Connect."""
    await queue.connect()


async def one(number: int) -> None:
    """Enqueue a job."""
    await queue.enqueue("add", a=number, b=1)


async def burst(count: int) -> None:
    """Enqueue from 100 coroutines."""
    await stage.hundred(one, count)


async def ping() -> int:
    """Enqueue, and wait for the result."""
    return int(await queue.apply("now", timeout=10, poll_interval=0.001))


async def closing() -> None:
    """Disconnect."""
    await queue.disconnect()


async def work() -> None:
    """Run jobs."""
    await queue.connect()
    await Worker(queue, [add, now], concurrency=100).start()


if __name__ == "__main__":
    stage.play(
        stage.Contestant(
            work=stage.on_loop(work), one=one, burst=burst, ping=ping,
            opening=opening, closing=closing,
        )
    )  # fmt: skip
