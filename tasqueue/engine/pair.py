"""Broker and results as one store: the same one, or two that are written in a safe order."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from tasqueue.core.ports import (
    JOB_KEY,
    Advising,
    Answer,
    Broker,
    Lease,
    Mark,
    Parked,
    Pending,
    Placed,
    Request,
    Results,
    Settlement,
    Store,
    Stored,
    Submit,
    WorkerInfo,
    Workers,
)
from tasqueue.engine.plain import PlainBroker, PlainResults

_PROMISES_LESS: Final = (
    "broker and results lie in two stores: a crash may release a job's followers twice, and groups "
    "have no callback; put both into one server to have it all"
)


async def join(broker: Broker, results: Results) -> Store:
    """One store of a pair: where both lie in the same server, a job ends in one atomic step.

    A back end that keeps the public Protocols only is wrapped into half a store.

    Raises:
        BackendUnavailable: a server is out of reach.
    """
    left = broker.store if isinstance(broker, Stored) else PlainBroker(broker, results)
    right = results.store if isinstance(results, Stored) else PlainResults(results)
    if left is right:
        return right
    if await _are_one(left, right):
        await left.aclose()
        return right
    return PairStore(left, right, results)


async def _are_one(left: Store, right: Store) -> bool:
    """Whether both are the same store: by what they were given, or else by who answers.

    One that restarts meanwhile has a new identity after. In a failover the two may even speak to
    two servers, both of which say that they are the primary: who was given the same place is one.
    """
    before = await left.identity()
    if isinstance(left, Placed) and left.shares_place(right):
        return True
    while True:
        other, after = await right.identity(), await left.identity()
        if before == after:
            return other == after
        before = after


async def close(broker: Broker, results: Results) -> None:
    """Close this event loop's connections of both, joined or not."""
    for face in (broker, results):
        if isinstance(face, Stored):
            await face.store.aclose()


class PairStore:
    """Two stores as one. A crash between two writes runs a job again; it loses none.

    The order is: children, record and result, acknowledgement last. Records lie in the results
    alone; in the broker each push leaves its call token for a while, by which a repeat is known.
    """

    fan_in: bool = False

    def __init__(self, broker: Store, results: Store, face: Results) -> None:
        self._broker = broker
        self._results = results
        self._face = face

    async def perform(self, request: Request) -> Any:
        """Messages go to the broker, all else to the results; records before their messages."""
        if isinstance(request, Pending | Parked | Workers):
            return await self._broker.perform(request)
        if isinstance(request, Submit):
            return await submit(request, self._broker, self._face)
        return await self._results.perform(request)

    async def identity(self) -> str:
        """Both identities."""
        return f"{await self._broker.identity()} + {await self._results.identity()}"

    async def advice(self) -> list[str]:
        """What either of them says, and what the two cannot do together."""
        both = [store for store in (self._broker, self._results) if isinstance(store, Advising)]
        return [_PROMISES_LESS, *[line for store in both for line in await store.advice()]]

    def lease(self, worker: WorkerInfo) -> Lease:
        """A place in the broker, whose settlements go to the results too."""
        made: Any = PairLease(self._broker.lease(worker), self._broker, self._face)
        lease: Lease = made
        return lease

    async def aclose(self) -> None:
        """Close both."""
        await asyncio.gather(self._broker.aclose(), self._results.aclose())


async def submit(request: Submit, broker: Store, results: Results) -> Any:
    """Write the ``queued`` records into the results, then push the bare messages."""
    for push in request.pushes:
        await results.set(JOB_KEY + push.job_id, push.record)
    bare = [one._replace(record=b"", call=one.call or one.job_id) for one in request.pushes]
    return await broker.perform(Submit(bare, request.again))


class PairLease:
    """A lease on the broker; settlements and marks go to the results as well."""

    def __init__(self, lease: Lease, broker: Store, results: Results) -> None:
        self._lease = lease
        self._broker = broker
        self._results = results

    def __getattr__(self, name: str) -> Any:
        return getattr(self._lease, name)

    async def mark(self, queue: str, marks: Sequence[Mark]) -> None:
        """Write ``processing`` records of jobs that are still held."""
        held = await self._held(queue)
        for mark in marks:
            if mark.token in held:
                await self._results.set(JOB_KEY + mark.job_id, mark.record)

    async def settle(self, queue: str, settlements: Sequence[Settlement]) -> list[Answer]:
        """Carry settlements out in the safe order."""
        held, done = await self._held(queue), list[str]()
        try:
            for one in settlements:
                if one.token in held:
                    await self._carry_out(queue, one)
                    done.append(one.token)
        finally:
            await self._lease.drop(queue, done)
        return [Answer.APPLIED if one.token in held else Answer.DECIDED for one in settlements]

    async def _held(self, queue: str) -> set[str]:
        return {claim.token for claim in await self._lease.adopt(queue)}

    async def _carry_out(self, queue: str, one: Settlement) -> None:
        pushes = [*one.pushes, *((one.again,) if one.again else ())]
        if pushes:
            # By these names they are known, should this settlement be sent again after an error.
            named = [push._replace(call=f"{one.token}:{push.job_id}") for push in pushes]
            await submit(Submit(named, again=True), self._broker, self._results)
        if one.result is not None:
            await self._results.set(one.job_id, one.result)
        if one.again is None:  # else it was written before the message, whose end may follow soon
            await self._results.set(JOB_KEY + one.job_id, one.record)
        if one.listing == "success":
            await self._results.set_success(one.job_id)
        elif one.listing:
            await self._results.set_failed(one.job_id)
        if one.dead:
            await self._lease.bury(queue, one.token, one.dead)
