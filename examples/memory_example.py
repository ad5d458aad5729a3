"""The engine on the memory back end: a job with retries and callbacks, and a group.

Run it: python examples/memory_example.py
"""

import asyncio
import json

from tasqueue import Group, GroupOpts, Job, JobContext, JobOpts, Server, ServerOpts, TaskOpts
from tasqueue.brokers import MemoryBroker
from tasqueue.results import MemoryResults

FINAL = {"successful", "failed"}


async def divide(payload: bytes, ctx: JobContext) -> None:
    """Divide `a` by `b`; fails for 0."""
    data = json.loads(payload)
    await ctx.save(json.dumps(data["a"] / data["b"]).encode())


async def on_retry(ctx: JobContext, error: BaseException) -> None:
    """Say that another attempt follows."""
    print(f"  attempt {ctx.meta.retried + 1} of {ctx.meta.id} failed: {error}")


def job(a: float, b: float, job_id: str) -> Job:
    """A division to be done."""
    payload = json.dumps({"a": a, "b": b}).encode()
    return Job.create("divide", payload, JobOpts(id=job_id, max_retries=2))


async def until_final(server: Server, job_id: str) -> str:
    """Wait for a job to end; its last status."""
    while (message := await server.get_job(job_id)).meta.status not in FINAL:
        await asyncio.sleep(0.02)
    return str(message.meta.status)


async def main() -> None:
    server = Server(ServerOpts(broker=MemoryBroker(), results=MemoryResults()))
    options = TaskOpts(concurrency=4, retrying_cb=on_retry)
    await server.register_task("divide", divide, options)
    running = asyncio.create_task(server.start())

    for name, divisor in (("good", 4), ("bad", 0)):
        job_id = await server.enqueue(job(6, divisor, name))
        print(f"{name}: {await until_final(server, job_id)}")
    print(f"6 / 4 = {json.loads(await server.get_result('good'))}")

    jobs = [job(6, divisor, f"by-{divisor}") for divisor in (1, 2, 3)]
    group_id = await server.enqueue_group(Group.create(jobs, GroupOpts()))
    while (group := await server.get_group(group_id)).meta.status not in FINAL:
        await asyncio.sleep(0.02)
    print(f"group: {group.meta.status}")

    await server.stop()
    await running


if __name__ == "__main__":
    asyncio.run(main())
