"""One worker's place in a cluster: as on one server, but for what lies in several slots."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Final

from tasqueue.core.digest import sha1
from tasqueue.core.ports import Answer, Mark, Settlement
from tasqueue.drivers.redis.cluster import settlement
from tasqueue.drivers.redis.cluster.request import Parcel, cluster_keys, put_calls
from tasqueue.drivers.redis.cluster.topology import slot_of
from tasqueue.drivers.redis.command import Steps, ask, command
from tasqueue.drivers.redis.keys import QueueKeys
from tasqueue.drivers.redis.lease import RedisLease
from tasqueue.drivers.redis.upkeep import Promoted

_PORTIONS: Final = 40
_AT_ONCE: Final = 50
"""Due jobs that are moved together, and how often in a row; the rest waits for the next round."""


class ClusterLease(RedisLease):
    """See `tasqueue.core.ports.Lease`."""

    async def promote(self, queue: str) -> float | None:
        """Move due jobs into the queue; returns seconds until the next one, None if unknown."""
        keys = cluster_keys(queue)
        if slot_of(keys.scheduled) == slot_of(queue):
            return await super().promote(queue)
        done = await self._driver.run(_carry(keys))
        if done.silent:
            await self._ring(queue)
        return done.seconds

    async def mark(self, queue: str, marks: Sequence[Mark]) -> None:
        """Write ``processing`` records of jobs that are still held."""
        await self._driver.run(settlement.mark(cluster_keys(queue), self._id, marks))

    async def settle(self, queue: str, settlements: Sequence[Settlement]) -> list[Answer]:
        """Carry settlements out, each in several steps; one answer each. Safe to send again."""
        keys, now_ns = cluster_keys(queue), time.time_ns()
        return await self._driver.run(settlement.settle(keys, self._id, settlements, now_ns=now_ns))


def _carry(keys: QueueKeys) -> Steps[Promoted]:
    """Put due jobs into the queue, once each, and then take them out of the scheduled set."""
    name = keys.scheduled
    seconds: float | None = None
    for _ in range(_PORTIONS):
        (clock,) = yield from ask(command("TIME")._replace(near=name))
        now = int(clock[0]) * 1_000_000_000 + int(clock[1]) * 1000
        (due,) = yield from ask(command("ZRANGEBYSCORE", name, "-inf", now, "LIMIT", 0, _AT_ONCE))
        parcels = [Parcel(keys.queue, _token(raw), "", raw) for raw in due]
        for part, sent in put_calls(parcels, new=False):
            yield from ask(sent)
            yield from ask(command("ZREM", name, *[one.body for one in part]))
        (following,) = yield from ask(command("ZRANGE", name, 0, 0, "WITHSCORES"))
        score = float(following[1]) if following else math.inf
        seconds = max((score - now) / 1e9, 0.0) if math.isfinite(score) else None
        if seconds != 0.0 or not due:
            break
    lengths = yield from ask(command("LLEN", keys.suspects), command("LLEN", keys.convicts))
    return Promoted(seconds, sum(lengths))


def _token(raw: bytes) -> str:
    return "due:" + sha1(raw)
