"""Two stores as one that answers clients and gives workers their leases."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from tasqueue.core.errors import BackendError
from tasqueue.core.outbox import OUTBOX
from tasqueue.core.ports import Advising, Lease, Request, Results, Store, WorkerInfo
from tasqueue.engine.pair.lease import PairLease
from tasqueue.engine.pair.step import Pair, follow

_PROMISES_LESS: Final = (
    "broker and results lie in two stores: a crash may release a job's followers twice; put both "
    "into one server to have it all"
)
_NO_CALLBACKS: Final = "and groups have no callback, since these results cannot count members"


class PairStore:
    """Two stores as one. A crash between two writes runs a job again; it loses none.

    The order is: children, record and result, group, acknowledgement last.
    """

    def __init__(self, broker: Store, results: Store, face: Results) -> None:
        self._pair = Pair(broker, results)
        self._broker = broker
        self._results = results
        self._face = face
        self.fan_in: bool = results.fan_in

    async def perform(self, request: Request) -> Any:
        """Messages go to the broker, all else to the results; records before their messages."""
        return await follow(self._pair.answer(request))

    def perform_blocking(self, request: Request) -> Any:
        """As `perform`, where both stores can answer without an event loop."""
        steps = self._pair.answer(request)
        try:
            store, asked = next(steps)
            while True:
                half: Any = store
                try:
                    answer = half.perform_blocking(asked)
                except BackendError as error:
                    store, asked = steps.throw(error)
                else:
                    store, asked = steps.send(answer)
        except StopIteration as end:
            return end.value

    async def identity(self) -> str:
        """Both identities."""
        return f"{await self._broker.identity()} + {await self._results.identity()}"

    async def advice(self) -> list[str]:
        """What either of them says, and what the two cannot do together."""
        both = [store for store in (self._broker, self._results) if isinstance(store, Advising)]
        less = _PROMISES_LESS if self.fan_in else f"{_PROMISES_LESS}; {_NO_CALLBACKS}"
        return [less, *[line for store in both for line in await store.advice()]]

    def lease(self, worker: WorkerInfo) -> Lease:
        """A place in the broker, whose settlements go to the results too."""
        self._pair.outboxes.update(OUTBOX + queue for queue in worker.queues)
        made: Any = PairLease(self._broker.lease(worker), self._pair, self._face)
        lease: Lease = made
        return lease

    async def aclose(self) -> None:
        """Close both."""
        await asyncio.gather(self._broker.aclose(), self._results.aclose())

    def close(self) -> None:
        """Close this thread's connections of both."""
        for store in (self._broker, self._results):
            half: Any = store
            half.close()
