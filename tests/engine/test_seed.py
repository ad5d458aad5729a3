"""The owner's starting point: the code of the seed README, on memory and on Redis."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest

from tasqueue import (
    Chain,
    ChainOpts,
    Group,
    GroupOpts,
    Job,
    JobContext,
    JobOpts,
    ResultNotFound,
    Server,
    ServerOpts,
    TaskOpts,
)
from tasqueue.brokers import MemoryBroker
from tasqueue.brokers.redis_broker import RedisBroker
from tasqueue.results import MemoryResults
from tasqueue.results.redis_results import RedisResults


async def sum_handler(payload: bytes, ctx: JobContext) -> None:
    data = json.loads(payload)
    result = data["arg1"] + data["arg2"]
    await ctx.save(json.dumps({"result": result}).encode())


async def add_previous(payload: bytes, ctx: JobContext) -> None:
    before = json.loads(ctx.meta.prev_job_result or b'{"result": 0}')["result"]
    await ctx.save(json.dumps({"result": before + json.loads(payload)["n"]}).encode())


async def silent(payload: bytes, ctx: JobContext) -> None:
    pass


async def failing(payload: bytes, ctx: JobContext) -> None:
    raise ValueError("no luck")


async def cancelling(payload: bytes, ctx: JobContext) -> None:
    raise asyncio.CancelledError


def exiting(payload: bytes, ctx: JobContext) -> None:
    raise SystemExit(3)


HANDLERS = (sum_handler, add_previous, silent, failing, cancelling, exiting)


@pytest.fixture(params=["memory", "redis", "mixed"])
async def server(request: pytest.FixtureRequest) -> AsyncIterator[Server]:
    """A running server over one back end, or over a pair of two."""
    broker: MemoryBroker | RedisBroker = MemoryBroker()
    results: MemoryResults | RedisResults = MemoryResults()
    if request.param != "memory":
        port = urlsplit(request.getfixturevalue("redis_url")).port or 6379
        broker = RedisBroker(host="localhost", port=port)
        if request.param == "redis":
            results = RedisResults(host="localhost", port=port)
    made = Server(ServerOpts(broker=broker, results=results))
    for handler in HANDLERS:
        await made.register_task(handler.__name__.removesuffix("_handler"), handler, TaskOpts())
    running = asyncio.create_task(made.start())
    yield made
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    await broker.close()
    await results.close()


async def ended(ask: Callable[[], Awaitable[Any]]) -> Any:
    """The meta of a group or chain once it has ended."""
    while True:
        meta = (await ask()).meta
        if meta.status != "processing":
            return meta
        await asyncio.sleep(0.005)


async def end_of(server: Server, job_id: str) -> str:
    while True:
        message = await server.get_job(job_id)
        if message.status in {"successful", "failed"}:
            return message.status
        await asyncio.sleep(0.005)


async def test_a_job_saves_its_result(server: Server) -> None:
    job = Job.create("sum", json.dumps({"arg1": 5, "arg2": 3}).encode())
    job_id = await server.enqueue(job)
    assert await end_of(server, job_id) == "successful"
    assert json.loads(await server.get_result(job_id)) == {"result": 8}
    assert await server.get_success() == [job_id]


async def test_a_group_is_successful_when_all_its_jobs_are(server: Server) -> None:
    payload = json.dumps({"arg1": 1, "arg2": 2}).encode()
    jobs = [Job.create("sum", payload), Job.create("sum", payload), Job.create("silent", payload)]
    group_id = await server.enqueue_group(Group.create(jobs, GroupOpts()))
    meta = await ended(lambda: server.get_group(group_id))
    message = await server.get_group(group_id)
    assert meta.status == "successful"
    assert set(message.meta.job_status.values()) == {"successful"}


async def test_each_link_of_a_chain_gets_the_result_before_it(server: Server) -> None:
    jobs = [Job.create("add_previous", json.dumps({"n": n}).encode()) for n in (1, 2, 3)]
    chain_id = await server.enqueue_chain(Chain.create(jobs, ChainOpts()))
    meta = await ended(lambda: server.get_chain(chain_id))
    assert meta.status == "successful"
    assert json.loads(await server.get_result(meta.prev_jobs[-1])) == {"result": 6}


@pytest.mark.parametrize(
    ("task", "error"),
    [("failing", "no luck"), ("cancelling", "CancelledError"), ("exiting", "3")],
)
async def test_whatever_a_handler_raises_fails_the_job_alone(
    server: Server, task: str, error: str
) -> None:
    """QUIRK: a cancelled job is not a success; a panic does not kill the worker."""
    job = Job.create(task, b"", JobOpts(max_retries=1, timeout=timedelta(seconds=20)))
    job.on_error.append(Job.create("silent", b"", JobOpts(id="after")))
    job_id = await server.enqueue(job)
    assert await end_of(server, job_id) == "failed"
    message = await server.get_job(job_id)
    assert (message.meta.prev_err, message.meta.retried) == (error, 1)
    assert await server.get_failed() == [job_id]
    assert await end_of(server, "after") == "successful"


async def test_a_job_that_saved_nothing_has_no_result(server: Server) -> None:
    job_id = await server.enqueue(Job.create("silent"))
    assert await end_of(server, job_id) == "successful"
    with pytest.raises(ResultNotFound):
        await server.get_result(job_id)


async def test_a_burst_longer_than_all_slots_runs_to_its_end(server: Server) -> None:
    jobs = [Job.create("silent") for _ in range(300)]
    assert (await ended_group(server, jobs)) == {"successful": 300}


async def ended_group(server: Server, jobs: list[Job]) -> dict[str, int]:
    group_id = await server.enqueue_group(Group.create(jobs))
    meta = await ended(lambda: server.get_group(group_id))
    return dict(Counter(meta.job_status.values()))
