"""Repid on Redis streams: it keeps no results, so ``now`` answers through a list of our own."""

from __future__ import annotations

import time
from typing import Any

import redis.asyncio
import stage
from repid import RedisServer, Repid, Router

app = Repid(title="bench", version="1")
app.servers.register_server("default", RedisServer(stage.URL), is_default=True)
router = Router()
client: Any = redis.asyncio.Redis(port=stage.PORT)
connection = app.servers.default.connection()


@router.actor
async def add(a: int, b: int) -> int:
    """Add."""
    stage.tick()
    return a + b


@router.actor
async def now() -> None:
    """Say when this body ran."""
    await client.rpush("answer", time.time_ns())


app.include_router(router)


async def opening() -> None:
    """Connect."""
    await connection.__aenter__()


async def closing() -> None:
    """Disconnect."""
    await connection.__aexit__(None, None, None)


async def one(number: int) -> None:
    """Send a message."""
    await app.send_message_json(
        channel="default", payload={"a": number, "b": 1}, headers={"topic": "add"}
    )


async def burst(count: int) -> None:
    """Send from 100 coroutines."""
    await stage.hundred(one, count)


async def ping() -> int:
    """Send, and wait for the answer."""
    await app.send_message_json(channel="default", payload={}, headers={"topic": "now"})
    return int((await client.blpop(["answer"]))[1])


async def work() -> None:
    """Run actors."""
    async with connection:
        await app.run_worker(tasks_limit=1000)


if __name__ == "__main__":
    stage.play(
        stage.Contestant(
            work=stage.on_loop(work), one=one, burst=burst, ping=ping,
            opening=opening, closing=closing,
        )
    )  # fmt: skip
