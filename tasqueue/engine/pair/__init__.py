"""Broker and results as one store: the same one, or two that are written in a safe order."""

from __future__ import annotations

from tasqueue.core.ports import Broker, Placed, Results, Store, Stored
from tasqueue.engine.pair.store import PairStore
from tasqueue.engine.plain import PlainBroker, PlainResults

__all__ = ["PairStore", "close", "join"]


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
