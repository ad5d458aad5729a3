"""Dramatiq: one process with threads, and a large prefetch (``dramatiq_queue_prefetch``)."""

from __future__ import annotations

import os
import time

import stage

os.environ.setdefault("dramatiq_queue_prefetch", "1000")

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend

broker = RedisBroker(url=stage.URL)
broker.add_middleware(Results(backend=RedisBackend(url=stage.URL), store_results=True))
dramatiq.set_broker(broker)


@dramatiq.actor(actor_name="add")
def add(a: int, b: int) -> int:
    """Add."""
    stage.tick()
    return a + b


@dramatiq.actor(actor_name="now")
def now() -> int:
    """Say when this body ran."""
    return time.time_ns()


def one(number: int) -> None:
    """Send a message."""
    add.send(number, 1)


def many(count: int) -> None:
    """Send a group."""
    dramatiq.group(add.message(number, 1) for number in range(count)).run()


def ping() -> int:
    """Send, and wait for the result."""
    return int(now.send().get_result(block=True))


if __name__ == "__main__":
    worker = stage.become("dramatiq", "with_dramatiq", "--processes", "1", "--threads", "8")
    stage.play(stage.Contestant(work=worker, one=one, many=many, ping=ping))
