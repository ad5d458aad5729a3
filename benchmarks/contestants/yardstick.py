"""No library at all: redis-py and a LIST, the least that a job can cost; ``BENCH_MODE`` says how.

``async``: awaited LPUSH, BLPOP + SET. ``blocking``: the same without a loop. ``batch``: LPOP 50 +
50 SETs in a pipeline, which loses jobs in a crash as the others of these do.
"""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any

import redis
import redis.asyncio
import stage

MODE = os.environ.get("BENCH_MODE", "async")
client: Any = redis.Redis(port=stage.PORT)
loop_client: Any = redis.asyncio.Redis(port=stage.PORT)


def one(number: int) -> None:
    """LPUSH, blocking."""
    client.lpush("queue", b"add %d 1" % number)


async def one_async(number: int) -> None:
    """LPUSH, awaited."""
    await loop_client.lpush("queue", b"add %d 1" % number)


def many(count: int) -> None:
    """LPUSHes in pipelines of 1,000."""
    for start in range(0, count, 1000):
        with client.pipeline(transaction=False) as pipe:
            for number in range(start, min(start + 1000, count)):
                pipe.lpush("queue", b"add %d 1" % number)
            pipe.execute()


def ping() -> int:
    """LPUSH, and BLPOP of the answer."""
    client.lpush("queue", b"now 0 0")
    return int(client.blpop(["answer"])[1])


def perform(body: bytes) -> tuple[str, bytes]:
    """Run a job: the key and the value of its result."""
    name, a, b = body.split()
    if name == b"now":
        return "", b"%d" % time.time_ns()
    stage.tick()
    return f"result:{a.decode()}", b"%d" % (int(a) + int(b))


def work() -> None:
    """Take jobs, blocking."""
    while True:
        key, value = perform(client.blpop(["queue"])[1])
        if key:
            client.set(key, value)
        else:
            client.rpush("answer", value)


async def work_async() -> None:
    """Take jobs, awaited."""
    while True:
        _, body = await loop_client.blpop(["queue"])
        key, value = perform(body)
        await (loop_client.set(key, value) if key else loop_client.rpush("answer", value))


async def work_batches() -> None:
    """Take 50 jobs at once."""
    while True:
        bodies = await loop_client.rpop("queue", 50)
        if not bodies:
            await asyncio.sleep(0.001)
            continue
        async with loop_client.pipeline(transaction=False) as pipe:
            for key, value in map(perform, bodies):
                pipe.set(key, value)
            await pipe.execute()


if __name__ == "__main__":
    asynchronous = stage.on_loop(work_batches if MODE == "batch" else work_async)
    stage.play(
        stage.Contestant(
            work=work if MODE == "blocking" else asynchronous,
            one=one if MODE == "blocking" else one_async,
            many=many,
            ping=None if MODE == "batch" else ping,
        )
    )
