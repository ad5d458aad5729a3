"""Arq: many jobs at once, and a poll every 10 ms in place of every 500."""

from __future__ import annotations

import time
from typing import Any

import stage
from arq import create_pool
from arq.connections import ArqRedis, RedisSettings
from arq.worker import Worker

SETTINGS = RedisSettings(port=stage.PORT)
pool: ArqRedis


async def add(_: dict[str, Any], a: int, b: int) -> int:
    """Add."""
    stage.tick()
    return a + b


async def now(_: dict[str, Any]) -> int:
    """Say when this body ran."""
    return time.time_ns()


async def opening() -> None:
    """Connect."""
    global pool  # noqa: PLW0603 -- made on the loop that uses it
    pool = await create_pool(SETTINGS)


async def one(number: int) -> None:
    """Enqueue a job."""
    await pool.enqueue_job("add", number, 1)


async def burst(count: int) -> None:
    """Enqueue from 100 coroutines."""
    await stage.hundred(one, count)


async def ping() -> int:
    """Enqueue, and wait for the result."""
    job = await pool.enqueue_job("now")
    if job is None:
        raise LookupError("the job was there before")
    return int(await job.result(timeout=10, poll_delay=0.001))


async def work() -> None:
    """Run jobs."""
    worker = Worker([add, now], redis_settings=SETTINGS, max_jobs=500, poll_delay=0.01)
    await worker.async_run()


if __name__ == "__main__":
    stage.play(
        stage.Contestant(work=stage.on_loop(work), one=one, burst=burst, ping=ping, opening=opening)
    )
