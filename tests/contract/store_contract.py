"""What every store answers to clients. A back end gives the fixture ``store``."""

import asyncio
from typing import Any

from tasqueue.core.job import Job, JobMessage, Meta
from tasqueue.core.ports import (
    Forget,
    Listing,
    Parked,
    Pause,
    Pending,
    PendingPage,
    Push,
    PutTask,
    Read,
    Request,
    Submit,
    Tasks,
    WorkerInfo,
    Workers,
    Write,
)
from tasqueue.core.wire import encode_job

Q = "contract"


def _push(job_id: str, task: str) -> Push:
    body = encode_job(JobMessage(Meta(job_id, queue=Q), Job(task)))
    return Push(Q, job_id, body, body)


def _named(name: str) -> Push:
    return Push(Q, name, b"record", name.encode())


SEQUENCE: list[tuple[Request, Any]] = [
    (Submit([_named("a"), _named("b")]), [True, True]),
    (Submit([_named("a"), _named("c")], again=True), [False, True]),
    (Submit([]), []),
    (Pending(Q), PendingPage(3, [b"c", b"b", b"a"])),
    (Pending(Q, offset=1, limit=1), PendingPage(3, [b"b"])),
    (Pending(Q, limit=0), PendingPage(3, [])),
    (Pending(Q, offset=9), PendingPage(3, [])),
    (Pending("none"), PendingPage(0, [])),
    (Write("a", b"result"), None),
    (Read(["a", "job:msg:a", "none"]), [b"result", b"record", None]),
    (Read([]), []),
    (Listing("success"), []),
    (Forget("a"), None),
    (Read(["a", "job:msg:a"]), [None, None]),
    (Tasks(), []),
    (PutTask("t", b"one"), None),
    (PutTask("t", b"two"), None),
    (Tasks(), [b"two"]),
    (Pause("a", 0), None),
]
"""Requests in the order in which they are sent to an empty store, each with its answer."""


async def registered(store: Any) -> Any:
    """Return the lease of a worker that has beaten once, in another thread as the engine does."""
    lease = store.lease(WorkerInfo(queues=(Q,)))

    def beat() -> bool:
        try:
            return bool(lease.beat())
        finally:
            store.close()

    assert await asyncio.to_thread(beat)
    return lease


class StoreContract:
    async def test_each_request_is_performed_awaited(self, store: Any) -> None:
        for request, expected in SEQUENCE:
            assert await store.perform(request) == expected, request

    def test_each_request_is_performed_blocking(self, store: Any) -> None:
        for request, expected in SEQUENCE:
            assert store.perform_blocking(request) == expected, request
        store.close()

    async def test_a_repeat_of_a_call_leaves_what_became_of_its_job_alone(self, store: Any) -> None:
        push = _named("a")._replace(call="call")
        assert await store.perform(Submit([push])) == [True]
        await store.perform(Write("job:msg:a", b"ended"))
        assert await store.perform(Submit([push], again=True)) == [False]
        assert await store.perform(Read(["job:msg:a"])) == [b"ended"]
        assert (await store.perform(Pending(Q))).total == 1

    async def test_a_call_counts_once_though_its_repeat_does_not_say_that_it_is_one(
        self, store: Any
    ) -> None:
        """With a durability a caller repeats a call by the job's ID, from wherever."""
        push = _named("a")._replace(call="call")
        assert await store.perform(Submit([push])) == [True]
        assert await store.perform(Submit([push])) == [False]
        assert (await store.perform(Pending(Q))).total == 1

    async def test_a_job_is_parked_until_its_task_is_known(self, store: Any) -> None:
        lease = await registered(store)
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
        lease = await registered(store)
        assert await store.perform(Workers(Q)) == [lease.worker_id]
        assert await store.perform(Workers("another")) == []
        await lease.end(Q)
        assert await store.perform(Workers(Q)) == []
