"""A suspect is the one job that its process holds, on all its queues: what its claims heed."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Final

from tasqueue.core.ports import Claim
from tasqueue.drivers.redis.command import MAX_ITEMS, Command, Steps, ask, call, command
from tasqueue.drivers.redis.keys import QueueKeys

BUDGET: Final = 1 << 19
"""Bytes after which a claim takes no further message."""
_POLL_MIN: Final = 0.02
_POLL_MAX: Final = 0.25
"""Seconds between claims while they wait for the process to be empty."""


def claim(
    keys: QueueKeys, worker_id: str, *, limit: int, alone: bool, budget: int = BUDGET
) -> Command:
    """Build the call of CLAIM; ``alone`` says that no other queue gives this worker jobs."""
    names = (
        keys.queue, keys.landing(worker_id), keys.held(worker_id), keys.beats, keys.sequence,
        keys.suspects, keys.convicts, keys.drainer,
    )  # fmt: skip
    args = (worker_id, secrets.token_hex(6), min(limit, MAX_ITEMS), budget, int(alone))
    return call("claim", names, args)


class Solitude:
    """One lease's: from the first time that a queue says "drain" until it gives jobs again.

    Meanwhile only that queue is asked, and no doorbell is parked; a suspect that is held keeps
    that queue saying "drain".
    """

    def __init__(self) -> None:
        self._queue: str | None = None
        self._pause = _POLL_MIN

    def __bool__(self) -> bool:
        return self._queue is not None

    def is_for(self, queue: str) -> bool:
        """Whether this is the queue that is still asked."""
        return self._queue == queue

    @property
    def pause(self) -> float:
        """Seconds until the next question."""
        return self._pause

    def learn(self, queue: str, claims: Sequence[Claim] | None) -> None:
        """Take note of a queue's answer; None is "drain"."""
        if claims is None or any(claim.token.startswith("s") for claim in claims):
            self._pause = _POLL_MIN if self._queue is None else min(2 * self._pause, _POLL_MAX)
            self._queue = self._queue or queue
        elif self._queue == queue:
            self._queue = None

    def forget(self) -> None:
        """Start anew, under a new worker ID."""
        self._queue = None


def nothing_held(queues: Sequence[QueueKeys], worker_id: str) -> Steps[bool]:
    """Ask whether a worker holds no job on any of these queues."""
    counts = yield from ask(*[command("HLEN", keys.held(worker_id)) for keys in queues])
    return not any(counts)
