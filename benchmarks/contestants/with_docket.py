"""Docket: 100 tasks at once."""

from __future__ import annotations

import time
from datetime import timedelta

import stage
from docket import Docket, Worker

docket = Docket(name="bench", url=f"{stage.URL}?max_connections=1000")


async def add(a: int, b: int) -> int:
    """Add."""
    stage.tick()
    return a + b


async def now() -> int:
    """Say when this body ran."""
    return time.time_ns()


async def opening() -> None:
    """Connect."""
    await docket.__aenter__()
    docket.register(add)
    docket.register(now)


async def closing() -> None:
    """Disconnect."""
    await docket.__aexit__(None, None, None)


async def one(number: int) -> None:
    """Add a task."""
    await docket.add(add)(number, 1)


async def many(count: int) -> None:
    """Add tasks in pipelines."""
    await docket.add_many([docket.call(add)(number, 1) for number in range(count)])


async def ping() -> int:
    """Add, and wait for the result."""
    execution = await docket.add(now)()
    return int(await execution.get_result(timeout=timedelta(seconds=10)))


async def work() -> None:
    """Run tasks."""
    await opening()
    async with Worker(docket, concurrency=100) as worker:
        await worker.run_forever()


if __name__ == "__main__":
    stage.play(
        stage.Contestant(
            work=stage.on_loop(work), one=one, many=many, ping=ping,
            opening=opening, closing=closing,
        )
    )  # fmt: skip
