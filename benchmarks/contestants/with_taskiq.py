"""TaskIQ on Redis streams, which acknowledge; its results are looked for every millisecond."""

from __future__ import annotations

import time

import stage
from taskiq_redis import RedisAsyncResultBackend, RedisStreamBroker

broker = RedisStreamBroker(stage.URL, xread_count=100).with_result_backend(
    RedisAsyncResultBackend(stage.URL, result_ex_time=3600)
)


@broker.task(task_name="add")
async def add(a: int, b: int) -> int:
    """Add."""
    stage.tick()
    return a + b


@broker.task(task_name="now")
async def now() -> int:
    """Say when this body ran."""
    return time.time_ns()


async def one(number: int) -> None:
    """Kick a task."""
    await add.kiq(number, 1)


async def burst(count: int) -> None:
    """Kick from 100 coroutines."""
    await stage.hundred(one, count)


async def ping() -> int:
    """Kick, and wait for the result."""
    sent = await now.kiq()
    return int((await sent.wait_result(check_interval=0.001, timeout=10)).return_value)


if __name__ == "__main__":
    worker = stage.become(
        "taskiq", "worker", "with_taskiq:broker", "--workers", "1", "--max-async-tasks", "100",
        "--max-prefetch", "100", "--log-level", "ERROR",
    )  # fmt: skip
    stage.play(
        stage.Contestant(
            work=worker, one=one, burst=burst, ping=ping,
            opening=broker.startup, closing=broker.shutdown,
        )
    )  # fmt: skip
