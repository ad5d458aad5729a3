"""What every worker does for all: due jobs, the jobs of the dead, parked jobs."""

from __future__ import annotations

import math
import secrets
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tasqueue.core.blame import Blame
from tasqueue.drivers.redis.command import (
    MAX_BYTES,
    MAX_ITEMS,
    Command,
    Steps,
    ask,
    call,
    command,
    text,
)
from tasqueue.drivers.redis.keys import TASKS, QueueKeys, queue_keys
from tasqueue.drivers.redis.liveness import Watch
from tasqueue.drivers.redis.process import Place, parse
from tasqueue.drivers.redis.request import KeepOpts, trim

if TYPE_CHECKING:
    from tasqueue.drivers.redis.aio import AsyncDriver

_PORTIONS: Final = 40
"""Script calls in a row; what is left waits for the next round."""


class Upkeep:
    """One half of a lease, the half that any worker could do; it needs no leader."""

    def __init__(self, driver: AsyncDriver, keep: KeepOpts, *, place: Place) -> None:
        self._driver = driver
        self._keep = keep
        self._place = place
        self._id = secrets.token_hex(8)
        self._beats = 0
        self._failures = 0
        self._failures_seen = 0
        self._watches: dict[str, Watch] = {}

    async def promote(self, queue: str) -> float | None:
        """Move due jobs into the queue; returns seconds until the next one, None if unknown."""
        done = await self._driver.run(_promote(queue_keys(queue)))
        if done.silent:
            await self._ring(queue)
        return done.seconds

    async def _ring(self, queue: str) -> None:
        """Make a waiting claim of mine look: jobs wait where no doorbell rings."""

    async def rescue(self, queue: str) -> int:
        """Give the jobs of dead workers back; returns how many workers were found dead."""
        if self._failures != self._failures_seen:
            self._failures_seen = self._failures
            for watch in self._watches.values():
                watch.forget()
        watch = self._watches.setdefault(queue, Watch(self._place))
        return await self._driver.run(self._rescue(queue_keys(queue), watch))

    def _rescue(self, keys: QueueKeys, watch: Watch) -> Steps[int]:
        beats, workers, tombs, *_ = yield from ask(
            command("HGETALL", keys.beats, read=_pairs),
            command("HGETALL", keys.workers, read=_pairs),
            command("ZRANGE", keys.tombs, 0, MAX_ITEMS - 1, "REV", read=_names),
            *trim(self._keep),
        )
        places = {worker: parse(text(place)) for worker, place in workers.items()}
        others = {worker: counter for worker, counter in beats.items() if worker != self._id}
        silent = [
            reap(keys, worker, "host", seen=others[worker], whose=_blame(places.get(worker)))
            for worker in watch.dead(others, places, self._beats)
        ]
        # Registered without a beat: somebody deleted the beats.
        lost = [w for w in workers if w not in beats and w != self._id]
        unknown = sorted(set(tombs) - set(lost))
        left = yield from ask(*[_left(keys, worker) for worker in unknown])
        late = [worker for worker, keys_left in zip(unknown, left, strict=True) if keys_left]
        found = yield from ask(*silent, *[reap(keys, w, "orphan") for w in (*lost, *late)])
        return sum(reply >= 0 for reply in found[: len(silent) + len(lost)])

    async def unpark(self, queue: str, known: Sequence[str]) -> int:
        """Put parked jobs of tasks that are known here or elsewhere back; returns how many."""
        return await self._driver.run(_unpark(queue_keys(queue), frozenset(known)))

    async def known_elsewhere(self, task: str) -> bool:
        """Whether some program has registered this task in the store."""
        (known,) = await self._driver.run(ask(command("SISMEMBER", TASKS, task)))
        return bool(known)


def reap(
    keys: QueueKeys,
    worker_id: str,
    why: str,
    *,
    seen: bytes = b"",
    started: Sequence[str] = (),
    whose: Blame = Blame.NOBODY,
) -> Command:
    """Build the call of REAP; ``why`` is ``exit``, ``host``, ``child`` or ``orphan``.

    ``seen`` is for ``host``, ``started`` (what it had begun) for ``child``; ``whose``, for both:
    what a suspect is charged with, if that was the one job that it held.
    """
    names = (
        keys.queue, keys.beats, keys.workers, keys.held(worker_id), keys.landing(worker_id),
        keys.tombs, keys.charges, keys.suspects, keys.convicts,
    )  # fmt: skip
    return call("reap", names, (worker_id, seen, why, int(whose), *started))


def _blame(place: Place | None) -> Blame:
    """Who is to blame for a worker that is gone, or silent for too long."""
    return Blame.NOBODY if place is not None and place.leaving else Blame.ANYBODY


def _left(keys: QueueKeys, worker_id: str) -> Command:
    """Ask whether an ended worker has something again: a doorbell that rang late."""
    return command("EXISTS", keys.held(worker_id), keys.landing(worker_id))


class Promoted(NamedTuple):
    """What a promotion has left."""

    seconds: float | None
    """Until the next job is due; None if unknown."""
    silent: int
    """Suspects and convicts that wait, where no doorbell rings for them."""


def _promote(keys: QueueKeys) -> Steps[Promoted]:
    silent = 0
    for _ in range(_PORTIONS):
        names = (keys.scheduled, keys.queue, keys.suspects, keys.convicts)
        promote = call("promote", names, (MAX_ITEMS, MAX_BYTES))
        ((moved, now, score, silent),) = yield from ask(promote)
        if not score or not math.isfinite(float(score)):
            return Promoted(None, silent)
        seconds = (float(score) - float(now)) / 1e9
        if seconds > 0 or not moved:
            return Promoted(max(seconds, 0.0), silent)
    return Promoted(0.0, silent)


def _unpark(keys: QueueKeys, known: frozenset[str]) -> Steps[int]:
    (names,) = yield from ask(command("SMEMBERS", keys.parked))
    if not names:
        return 0
    (elsewhere,) = yield from ask(command("SMISMEMBER", TASKS, *names))
    total = 0
    for name, somewhere in zip(names, elsewhere, strict=True):
        task = text(name)
        lists = (keys.parked_jobs(task), keys.parked, keys.queue)
        for _ in range(_PORTIONS if somewhere or task in known else 0):
            (moved,) = yield from ask(call("unpark", lists, (task, MAX_ITEMS, MAX_BYTES)))
            total += moved
            if not moved:
                break
    return total


def _pairs(flat: Sequence[bytes]) -> dict[str, bytes]:
    return {text(name): value for name, value in zip(flat[::2], flat[1::2], strict=True)}


def _names(reply: Iterable[Any]) -> list[str]:
    return [text(name) for name in reply]
