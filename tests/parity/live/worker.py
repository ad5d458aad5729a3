"""A Python worker of the parity tests: ``python -m tests.parity.live.worker --addr …``.

The same kinds of task as the Go worker (go/worker.go), on the engine's public API.
"""

import argparse
import asyncio
import json
import signal
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress

import redis.asyncio as redis

from tasqueue import JobContext, Server, ServerOpts, TaskOpts
from tasqueue.brokers.redis_broker import RedisBroker
from tasqueue.results.redis_results import RedisResults

Handler = Callable[[bytes, JobContext], Awaitable[None]]


async def add(payload: bytes, ctx: JobContext) -> None:
    terms = json.loads(payload)
    if "a" in terms:
        await ctx.save(str(terms["a"] + terms["b"]).encode())
    else:
        await ctx.save(b'{"result":%d}' % (terms["arg1"] + terms["arg2"]))


async def echo(payload: bytes, ctx: JobContext) -> None:
    await ctx.save(payload)


async def fail(payload: bytes, ctx: JobContext) -> None:
    raise RuntimeError("boom: ünïcode")


async def flaky(payload: bytes, ctx: JobContext) -> None:
    wanted: int = json.loads(payload)["n"]
    if ctx.meta.retried < wanted:
        raise RuntimeError(f"attempt {ctx.meta.retried + 1} of {wanted} fails")
    await ctx.save(payload)


async def nosave(payload: bytes, ctx: JobContext) -> None:
    pass


async def prev(payload: bytes, ctx: JobContext) -> None:
    await ctx.save(ctx.meta.prev_job_result or b"")


async def slow(payload: bytes, ctx: JobContext) -> None:
    await asyncio.sleep(json.loads(payload)["ms"] / 1000)
    await ctx.save(payload)


async def total(payload: bytes, ctx: JobContext) -> None:
    before = json.loads(ctx.meta.prev_job_result or b"0")
    await ctx.save(str(before + json.loads(payload)["n"]).encode())


KINDS: dict[str, Handler] = {
    handler.__name__: handler for handler in (add, echo, fail, flaky, nosave, prev, slow, total)
}


def counted(conn: "redis.Redis", handler: Handler) -> Handler:
    """Note each run in the hash ``python-runs:<queue>``."""

    async def run(payload: bytes, ctx: JobContext) -> None:
        await conn.hincrby(f"python-runs:{ctx.meta.queue}", ctx.meta.id, 1)
        await handler(payload, ctx)

    return run


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--addr", required=True)
    parser.add_argument("--queues", required=True)
    parser.add_argument("--tasks", required=True)
    parser.add_argument("--concurrency", type=int, required=True)
    flags = parser.parse_args()
    host, _, port = flags.addr.partition(":")
    conn = redis.Redis(host=host, port=int(port))
    broker = RedisBroker(host=host, port=int(port))
    results = RedisResults(host=host, port=int(port))
    server = Server(ServerOpts(broker=broker, results=results))

    first, *others = flags.queues.split(",")
    for task in flags.tasks.split(","):
        name, _, kind = task.partition("=")
        opts = TaskOpts(queue=first, concurrency=flags.concurrency)
        await server.register_task(name, counted(conn, KINDS[kind or name]), opts)
    for queue in others:  # a queue is consumed once a task names it; handlers go by name alone
        opts = TaskOpts(queue=queue, concurrency=flags.concurrency)
        await server.register_task(f"nosave:{queue}", nosave, opts)

    running = asyncio.create_task(server.start())
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running.cancel)
    sys.stdout.write('{"ready": true}\n')
    sys.stdout.flush()
    with suppress(asyncio.CancelledError):
        await running
    for back_end in (broker, results):
        await back_end.close()
    await conn.aclose()


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
