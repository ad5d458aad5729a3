"""Workers and producers of one server, inside the test's own event loop."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from tasqueue.brokers.redis_broker import RedisBroker
from tasqueue.core.job import Job, JobOpts
from tasqueue.engine.context import JobContext
from tasqueue.engine.registry import Task, TaskOpts
from tasqueue.engine.server import Server, ServerOpts
from tasqueue.results.redis_results import RedisResults

PATIENCE = 60.0


async def until(look: Callable[[], object], what: str) -> None:
    """Wait for something that will be true sooner or later."""
    end = time.monotonic() + PATIENCE
    while not look():
        assert time.monotonic() < end, f"waited in vain for {what}"
        await asyncio.sleep(0.01)


class Fleet:
    """One worker with four slots, and a producer beside it."""

    def __init__(self, url: str, queue: str) -> None:
        self.queue = queue
        self.done: list[str] = []
        self.worker = Server(_opts(url))
        self.producer = Server(_opts(url))
        opts = TaskOpts(queue=queue, concurrency=4)
        self.worker.add_task(Task(name="note", handler=self._note, opts=opts))

    async def send(self, text: str, job_id: str = "") -> str:
        opts = JobOpts(queue=self.queue, id=job_id)
        return await self.producer.enqueue(Job("note", text.encode(), opts))

    async def does(self, text: str) -> None:
        """Send a job, and wait until it was run."""
        await self.send(text)
        await until(lambda: text in self.done, text)

    async def _note(self, payload: bytes, ctx: JobContext) -> None:
        await asyncio.sleep(0)
        self.done.append(payload.decode())
        ctx.save(payload)


def _opts(url: str) -> ServerOpts:
    return ServerOpts(broker=RedisBroker.from_url(url), results=RedisResults.from_url(url))


@asynccontextmanager
async def fleet(url: str, queue: str = "q") -> AsyncIterator[Fleet]:
    """Run a worker for as long as the block lasts; it must end in good order."""
    made = Fleet(url, queue)
    running = asyncio.create_task(made.worker.start())
    try:
        yield made
    finally:
        await made.worker.stop()
        await running
        await (await made.producer.open()).aclose()
