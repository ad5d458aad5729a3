"""Celery: the solo pool is its fastest single process for short tasks."""

from __future__ import annotations

import time

import stage
from celery import Celery, group

app = Celery("with_celery", broker=stage.URL, backend=stage.URL)
app.conf.update(
    worker_prefetch_multiplier=100,
    task_send_sent_event=False,
    worker_send_task_events=False,
    broker_connection_retry_on_startup=True,
)


@app.task(name="add")
def add(a: int, b: int) -> int:
    """Add."""
    stage.tick()
    return a + b


@app.task(name="now")
def now() -> int:
    """Say when this body ran."""
    return time.time_ns()


def one(number: int) -> None:
    """Send a task."""
    add.delay(number, 1)


def many(count: int) -> None:
    """Send a group."""
    group(add.s(number, 1) for number in range(count)).delay()


def ping() -> int:
    """Send, and wait for the result."""
    return int(now.delay().get(timeout=10, interval=0.001))


if __name__ == "__main__":
    worker = stage.become(
        "celery", "-A", "with_celery", "worker", "--pool", "solo", "--without-gossip",
        "--without-mingle", "--without-heartbeat", "--loglevel", "ERROR",
    )  # fmt: skip
    stage.play(stage.Contestant(work=worker, one=one, many=many, ping=ping))
