"""What a worker does with the jobs that it holds."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from tasqueue.core.ports import Answer, Claim, Mark, Settlement
from tasqueue.drivers.redis import settlement
from tasqueue.drivers.redis.command import Command, Steps, ask, call, command, portions
from tasqueue.drivers.redis.keys import QueueKeys, queue_keys

if TYPE_CHECKING:
    from tasqueue.drivers.redis.aio import AsyncDriver


_AT_ONCE: Final = 16
"""Jobs that one exchange reads; each may have a megabyte."""
GUILTY: Final = "dead: each time that this job ran alone, the process that ran it died"
"""Why a convicted job has failed."""


class Holding:
    """The other half of a lease; see `tasqueue.core.ports.Holding`."""

    _driver: AsyncDriver
    _id: str
    _db: int

    async def adopt(self, queue: str) -> list[Claim]:
        """All jobs that this worker holds according to the server, oldest first."""
        return sorted(
            await self._driver.run(_held(queue_keys(queue).held(self._id))), key=_sequence
        )

    async def release(self, queue: str, tokens: Sequence[str]) -> int:
        """Give unstarted jobs back, oldest first, to the old end; returns how many."""
        keys = queue_keys(queue)
        # The youngest go first, so that the oldest end up at the end.
        calls = [release(keys, self._id, part) for part in portions(tokens, len)][::-1]
        return sum(await self._driver.run(ask(*calls)))

    async def mark(self, queue: str, marks: Sequence[Mark]) -> None:
        """Write ``processing`` records of jobs that are still held."""
        held = queue_keys(queue).held(self._id)
        calls = [
            call("mark", (held,), [arg for mark in part for arg in mark])
            for part in portions(marks, lambda mark: len(mark.record))
        ]
        await self._driver.run(ask(*calls))

    async def settle(self, queue: str, settlements: Sequence[Settlement]) -> list[Answer]:
        """Carry settlements out, each in one step; one answer each. Safe to send again."""
        keys, now_ns = queue_keys(queue), time.time_ns()
        steps = settlement.settle(keys, self._id, settlements, now_ns=now_ns, db=self._db)
        return await self._driver.run(steps)

    async def park(self, queue: str, token: str, task: str) -> None:
        """Set a job aside whose task nobody knows; it is kept and listable."""
        keys = queue_keys(queue)
        names = (keys.held(self._id), keys.parked, keys.parked_jobs(task))
        await self._driver.run(ask(call("park", names, (token, task))))

    async def bury(self, queue: str, token: str, reason: str) -> None:
        """Move bytes that are no message to the dead letters, with the reason."""
        keys = queue_keys(queue)
        names = (keys.held(self._id), keys.dead, keys.reasons)
        await self._driver.run(ask(call("bury", names, (token, time.time_ns(), reason))))

    async def drop(self, queue: str, tokens: Sequence[str]) -> None:
        """Let go of jobs that were settled in another store."""
        if not tokens:
            return
        held = queue_keys(queue).held(self._id)
        await self._driver.run(ask(command("HDEL", held, *tokens)))


def release(keys: QueueKeys, worker_id: str, tokens: Sequence[str]) -> Command:
    """Build the call of RELEASE."""
    names = (keys.queue, keys.held(worker_id), keys.suspects, keys.convicts)
    return call("release", names, tokens)


def _held(name: str) -> Steps[list[Claim]]:
    """Read what is held, a few jobs an exchange: on a slow line each of them gets through."""
    (tokens,) = yield from ask(command("HKEYS", name))
    found: list[Claim] = []
    for start in range(0, len(tokens), _AT_ONCE):
        part = tokens[start : start + _AT_ONCE]
        (bodies,) = yield from ask(command("HMGET", name, *part))
        pairs = zip(part, bodies, strict=True)
        found += [Claim(token.decode("ascii"), body) for token, body in pairs if body is not None]
    return found


def claims(flat: Sequence[bytes]) -> list[Claim]:
    """Read a reply of tokens and bodies in turn."""
    return [
        Claim(token.decode("ascii"), body, GUILTY if token.startswith(b"c") else "")
        for token, body in zip(flat[::2], flat[1::2], strict=True)
    ]


def _sequence(claim: Claim) -> int:
    """The number in ``<kind><seq>:<nonce>``."""
    return int(claim.token.partition(":")[0].lstrip("sc") or 0)
