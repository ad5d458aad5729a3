"""What every store tells those who only look. A back end gives the fixture ``store``."""

import asyncio
from typing import Any

from tasqueue.core.job import Job, JobMessage, Meta
from tasqueue.core.ports import Parked, Push, Submit, WorkerInfo, Workers
from tasqueue.core.wire import encode_job

Q = "contract"


def _push(job_id: str, task: str) -> Push:
    body = encode_job(JobMessage(Meta(job_id, queue=Q), Job(task)))
    return Push(Q, job_id, body, body)


async def _registered(store: Any) -> Any:
    lease = store.lease(WorkerInfo(queues=(Q,)))

    def beat() -> bool:
        try:
            return bool(lease.beat())
        finally:
            store.close()

    assert await asyncio.to_thread(beat)
    return lease


class StoreContract:
    async def test_a_job_is_parked_until_its_task_is_known(self, store: Any) -> None:
        lease = await _registered(store)
        asked = Parked(Q, "nobodys", "one")
        await store.perform(Submit([_push("one", "nobodys"), _push("on", "nobodys")]))
        assert not await store.perform(asked)
        claim, other = await lease.claim(Q, 2)
        await lease.park(Q, claim.token, "nobodys")
        assert await store.perform(asked)
        assert not await store.perform(Parked(Q, "nobodys", "on"))
        assert not await store.perform(Parked(Q, "another", "one"))
        await lease.release(Q, [other.token])
        assert await lease.unpark(Q, ["nobodys"]) == 1
        assert not await store.perform(asked)
        await lease.end(Q)

    async def test_a_worker_is_listed_while_it_is_registered(self, store: Any) -> None:
        assert await store.perform(Workers(Q)) == []
        lease = await _registered(store)
        assert await store.perform(Workers(Q)) == [lease.worker_id]
        assert await store.perform(Workers("another")) == []
        await lease.end(Q)
        assert await store.perform(Workers(Q)) == []
