"""Huey: blocking reads, results announced, four threads."""

from __future__ import annotations

import time

import stage
from huey import RedisHuey

huey = RedisHuey("bench", url=stage.URL, blocking=True, notify_result=True)


@huey.task(name="add")
def add(a: int, b: int) -> int:
    """Add."""
    stage.tick()
    return a + b


@huey.task(name="now")
def now() -> int:
    """Say when this body ran."""
    return time.time_ns()


def one(number: int) -> None:
    """Enqueue a task."""
    add(number, 1)


def ping() -> int:
    """Enqueue, and wait for the result."""
    return int(now().get(blocking=True, timeout=10))


if __name__ == "__main__":
    import with_huey as me  # its tasks are known by their module, which is not __main__ to a worker

    worker = stage.become(
        "huey.bin.huey_consumer", "with_huey.huey", "-k", "thread", "-w", "4", "-q"
    )
    stage.play(stage.Contestant(work=worker, one=me.one, ping=me.ping))
