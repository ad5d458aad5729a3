"""A suspect is the one job that its process holds, on all its queues: what its claims heed."""

from __future__ import annotations

import secrets
import time
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
_FORSAKEN: Final = 2.0
"""Seconds without a question after which another queue looks whether it may go on."""


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
        self._asked_at = 0.0

    def __bool__(self) -> bool:
        return self._queue is not None

    def is_for(self, queue: str) -> bool:
        """Whether this is the queue that is still asked."""
        return self._queue == queue

    @property
    def pause(self) -> float:
        """Seconds until the next question."""
        return self._pause

    def begin(self, queue: str) -> None:
        """Ask this queue alone from now on; the first one stays."""
        if self._queue is None:
            self._queue, self._pause, self._asked_at = queue, _POLL_MIN, time.monotonic()

    def learn(self, queue: str, claims: Sequence[Claim] | None) -> None:
        """Take note of a queue's answer; None is "drain"."""
        if claims is None or any(map(is_suspect, claims)):
            self.begin(queue)
        if self._queue == queue:
            self._asked_at = time.monotonic()
            self._pause = min(2 * self._pause, _POLL_MAX)
            if claims is not None and not any(map(is_suspect, claims)):
                self._queue = None

    def forsaken(self) -> str | None:
        """Name the queue if nobody has asked it for a while: its slots are full, or it rests."""
        return self._queue if time.monotonic() - self._asked_at > _FORSAKEN else None

    def forget(self) -> None:
        """Start anew."""
        self._queue = None


def is_suspect(claim: Claim) -> bool:
    """Whether a job was claimed as a suspect."""
    return claim.token.startswith("s")


def nothing_held(queues: Sequence[QueueKeys], worker_id: str) -> Steps[bool]:
    """Ask whether a worker holds no job on any of these queues."""
    counts = yield from ask(*[command("HLEN", keys.held(worker_id)) for keys in queues])
    return not any(counts)
