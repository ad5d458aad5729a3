"""One face for a client of either language, so that a test is written once and run both ways."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Protocol, TypeVar

from tasqueue import Chain, ChainOpts, Group, GroupOpts, Job, JobOpts, Server, ServerOpts
from tasqueue.brokers.redis_broker import RedisBroker
from tasqueue.core.errors import NotFound
from tasqueue.core.job import DEFAULT_QUEUE
from tasqueue.core.wire import encode_chain, encode_group, encode_job
from tasqueue.results.redis_results import RedisResults
from tests.parity.live.fleet import GoProducer, JobSpec
from tests.parity.program import GoDecoder, GoRefusedError

Message = dict[str, Any]
"""A message in Go's JSON: Go's field names, bytes in base64, times in RFC 3339."""

_T = TypeVar("_T")

_POLL = 0.02  # seconds
_PATIENCE = 30.0  # seconds; far more than any rule needs, so that only a hang ends here


async def wait_until(
    look: Callable[[], Awaitable[_T | None]], what: str, *, within: float = _PATIENCE
) -> _T:
    """What ``look`` returns once it returns something."""
    for _ in range(int(within / _POLL)):
        if (seen := await look()) is not None:
            return seen
        await asyncio.sleep(_POLL)
    raise AssertionError(f"waited {within:.0f} s in vain for {what}")


class Client(Protocol):
    """Enqueues work and reads what became of it."""

    async def enqueue(self, job: JobSpec) -> str: ...
    async def group(self, jobs: Sequence[JobSpec], group_id: str) -> str: ...
    async def chain(self, jobs: Sequence[JobSpec], chain_id: str) -> str: ...
    async def get_job(self, job_id: str) -> Message | None: ...
    async def get_group(self, group_id: str) -> Message: ...
    async def get_chain(self, chain_id: str) -> Message: ...
    async def get_result(self, job_id: str) -> bytes | None: ...


async def ended(client: Client, job_id: str) -> Message:
    """The message of a job once it has succeeded or failed."""

    async def look() -> Message | None:
        message = await client.get_job(job_id)
        final = message is not None and message["Status"] in {"successful", "failed"}
        return message if final else None

    return await wait_until(look, f"the end of job {job_id}")


class GoClient:
    """A client of Go Tasqueue."""

    def __init__(self, producer: GoProducer) -> None:
        self.producer = producer

    async def enqueue(self, job: JobSpec) -> str:
        return self.producer.enqueue(job)

    async def group(self, jobs: Sequence[JobSpec], group_id: str) -> str:
        return self.producer.group(jobs, group_id=group_id)

    async def chain(self, jobs: Sequence[JobSpec], chain_id: str) -> str:
        return self.producer.chain(jobs, chain_id=chain_id)

    async def get_job(self, job_id: str) -> Message | None:
        try:
            return self.producer.get_job(job_id)
        except GoRefusedError as refused:
            if refused.not_found:
                return None
            raise

    async def get_group(self, group_id: str) -> Message:
        return self.producer.get_group(group_id)

    async def get_chain(self, chain_id: str) -> Message:
        return self.producer.get_chain(chain_id)

    async def get_result(self, job_id: str) -> bytes | None:
        try:
            return self.producer.get_result(job_id)
        except GoRefusedError as refused:
            if refused.not_found:
                return None
            raise


def our_job(spec: JobSpec) -> Job:
    """``spec`` as a job of ours."""
    opts = JobOpts(
        id=spec.id,
        queue=spec.queue or DEFAULT_QUEUE,
        max_retries=spec.max_retries,
        eta_ns=spec.eta_ns or None,
        schedule=spec.schedule,
        timeout_ns=spec.timeout_ns,
    )
    job = Job.create(spec.task, spec.payload, opts)
    job.on_success = [our_job(child) for child in spec.on_success]
    job.on_error = [our_job(child) for child in spec.on_error]
    return job


class PythonClient:
    """A client of ours; Go's decoder puts what we read into Go's JSON."""

    def __init__(self, server: Server, go_decoder: GoDecoder) -> None:
        self.server = server
        self._go = go_decoder

    async def enqueue(self, job: JobSpec) -> str:
        return await self.server.enqueue(our_job(job))

    async def group(self, jobs: Sequence[JobSpec], group_id: str) -> str:
        group = Group.create([our_job(job) for job in jobs], GroupOpts(id=group_id))
        return await self.server.enqueue_group(group)

    async def chain(self, jobs: Sequence[JobSpec], chain_id: str) -> str:
        chain = Chain.create([our_job(job) for job in jobs], ChainOpts(id=chain_id))
        return await self.server.enqueue_chain(chain)

    async def get_job(self, job_id: str) -> Message | None:
        try:
            message = await self.server.get_job(job_id)
        except NotFound:
            return None
        return self._go.decode("job", encode_job(message)).value

    async def get_group(self, group_id: str) -> Message:
        body = encode_group(await self.server.get_group(group_id))
        return self._go.decode("group", body).value

    async def get_chain(self, chain_id: str) -> Message:
        body = encode_chain(await self.server.get_chain(chain_id))
        return self._go.decode("chain", body).value

    async def get_result(self, job_id: str) -> bytes | None:
        try:
            return await self.server.get_result(job_id)
        except NotFound:
            return None


@asynccontextmanager
async def our_server(port: int) -> AsyncIterator[Server]:
    """A server of ours that is not started: a producer and reader."""
    broker, results = RedisBroker(port=port), RedisResults(port=port)
    try:
        yield Server(ServerOpts(broker=broker, results=results))
    finally:
        await broker.close()
        await results.close()
