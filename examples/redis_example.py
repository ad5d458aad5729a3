"""The engine on Redis: a chain in which each job gets the result of the one before.

Run it: python examples/redis_example.py

Needs a Redis (7.0 or newer) or Valkey (7.2 or newer) on localhost:6379. Go workers that share it
can run these jobs too, if they register the tasks.
"""

import asyncio
import json

from tasqueue import Chain, ChainOpts, Job, JobContext, JobOpts, Server, ServerOpts, TaskOpts
from tasqueue.brokers.redis_broker import RedisBroker
from tasqueue.results.redis_results import RedisResults

FINAL = {"successful", "failed"}


async def fetch(payload: bytes, ctx: JobContext) -> None:
    """The first link: its payload is all it has."""
    await ctx.save(json.dumps({"words": payload.decode().split()}).encode())


async def count(payload: bytes, ctx: JobContext) -> None:
    """The second link: reads what the first one saved."""
    words = json.loads(ctx.meta.prev_job_result or b"{}")["words"]
    await ctx.save(json.dumps({"count": len(words)}).encode())


async def report(payload: bytes, ctx: JobContext) -> None:
    """The last link: its result is the chain's."""
    counted = json.loads(ctx.meta.prev_job_result or b"{}")["count"]
    await ctx.save(f"{counted} words".encode())


async def main() -> None:
    broker = RedisBroker(host="localhost", port=6379)
    results = RedisResults(host="localhost", port=6379)
    server = Server(ServerOpts(broker=broker, results=results))
    for name, handler in (("fetch", fetch), ("count", count), ("report", report)):
        await server.register_task(name, handler, TaskOpts(queue="words"))
    running = asyncio.create_task(server.start())

    options = JobOpts(queue="words")
    links = [
        Job.create("fetch", b"run functions later elsewhere safely", options),
        Job.create("count", b"", options),
        Job.create("report", b"", options),
    ]
    chain_id = await server.enqueue_chain(Chain.create(links, ChainOpts()))
    while (chain := await server.get_chain(chain_id)).meta.status not in FINAL:
        await asyncio.sleep(0.05)
    print(f"chain: {chain.meta.status}, finished links: {len(chain.meta.prev_jobs)}")
    print((await server.get_result(chain.meta.prev_jobs[-1])).decode())

    await server.stop()
    await running
    await broker.close()
    await results.close()


if __name__ == "__main__":
    asyncio.run(main())
