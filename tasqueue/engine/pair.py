"""Broker and results as one store: the same one, or two that are written in a safe order."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from tasqueue.core.errors import Unsupported
from tasqueue.core.ports import (
    JOB_KEY,
    Advising,
    Answer,
    Broker,
    Lease,
    Mark,
    Parked,
    Pending,
    Push,
    Request,
    Results,
    Settlement,
    Store,
    Stored,
    Submit,
    WorkerInfo,
    Workers,
)

_FORWARD: Final = (
    "worker_id", "fenced", "beat", "renew", "claim", "wake", "adopt", "release", "park", "bury",
    "drop", "promote", "rescue", "unpark", "known_elsewhere", "end",
)  # fmt: skip


async def join(broker: Broker, results: Results) -> Store:
    """One store of a pair: where both lie in the same server, a job ends in one atomic step.

    Raises:
        Unsupported: one of them has no store behind it.
        BackendUnavailable: a server is out of reach.
    """
    if not isinstance(broker, Stored) or not isinstance(results, Stored):
        msg = "a worker needs a broker and results with a store behind them (`store` property)"
        raise Unsupported(msg)
    if broker.store is results.store:
        return results.store
    if await broker.store.identity() == await results.store.identity():
        await broker.store.aclose()
        return results.store
    return PairStore(broker.store, results.store, results)


async def close(broker: Broker, results: Results) -> None:
    """Close this event loop's connections of both, joined or not."""
    for face in (broker, results):
        if isinstance(face, Stored):
            await face.store.aclose()


class PairStore:
    """Two stores as one. A crash between two writes runs a job again; it loses none.

    The order is: children, record and result, acknowledgement last.
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
            await put_records(self._face, request.pushes)
            return await self._broker.perform(request)
        return await self._results.perform(request)

    async def identity(self) -> str:
        """Both identities."""
        return f"{await self._broker.identity()} + {await self._results.identity()}"

    async def advice(self) -> list[str]:
        """What either of them says."""
        both = [store for store in (self._broker, self._results) if isinstance(store, Advising)]
        return [line for store in both for line in await store.advice()]

    def lease(self, worker: WorkerInfo) -> Lease:
        """A place in the broker, whose settlements go to the results too."""
        made: Any = PairLease(self._broker.lease(worker), self._broker, self._face)
        lease: Lease = made
        return lease

    async def aclose(self) -> None:
        """Close both."""
        await asyncio.gather(self._broker.aclose(), self._results.aclose())


async def put_records(results: Results, pushes: Sequence[Push]) -> None:
    """Write the ``queued`` records of messages that are about to be pushed."""
    for push in pushes:
        await results.set(JOB_KEY + push.job_id, push.record)


class PairLease:
    """A lease on the broker; see `tasqueue.core.ports.Lease` for what it forwards."""

    def __init__(self, lease: Lease, broker: Store, results: Results) -> None:
        self._lease = lease
        self._broker = broker
        self._results = results

    def __getattr__(self, name: str) -> Any:
        if name in _FORWARD:
            return getattr(self._lease, name)
        raise AttributeError(name)

    async def mark(self, queue: str, marks: Sequence[Mark]) -> None:
        """Write ``processing`` records of jobs that are still held."""
        held = {claim.token for claim in await self._lease.adopt(queue)}
        for mark in marks:
            if mark.token in held:
                await self._results.set(JOB_KEY + mark.job_id, mark.record)

    async def settle(self, queue: str, settlements: Sequence[Settlement]) -> list[Answer]:
        """Carry settlements out in the safe order."""
        held = {claim.token for claim in await self._lease.adopt(queue)}
        answers: list[Answer] = []
        for one in settlements:
            if one.token not in held:
                answers.append(Answer.DECIDED)
                continue
            pushes = [*one.pushes, *((one.again,) if one.again else ())]
            await put_records(self._results, pushes)
            if pushes:
                await self._broker.perform(Submit(pushes))
            await self._keep(one)
            if one.dead:
                await self._lease.bury(queue, one.token, one.dead)
            await self._lease.drop(queue, (one.token,))
            answers.append(Answer.APPLIED)
        return answers

    async def _keep(self, one: Settlement) -> None:
        if one.result is not None:
            await self._results.set(one.job_id, one.result)
        await self._results.set(JOB_KEY + one.job_id, one.record)
        if one.listing == "success":
            await self._results.set_success(one.job_id)
        elif one.listing:
            await self._results.set_failed(one.job_id)
