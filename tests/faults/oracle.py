"""The common oracle: where every job is at the end, and what must not be left in the store."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

from redis import Redis

from tasqueue.core.errors import DecodeError
from tasqueue.core.wire import decode_job
from tasqueue.drivers.redis.keys import QueueKeys, queue_keys
from tests.faults.load import Fate
from tests.faults.witness import Witness

KEPT: Final = ("tq:task:", "tq:tasks", "tq:sq:", "tq:res:success", "tq:res:failed")
"""What may stay without an expiry when all work is done."""
KEPT_WITH_THE_DEAD: Final = ("tq:dl:", "tq:dx:", "tq:pk:")
"""What may stay as long as there are dead or parked jobs."""
UNDECODABLE: Final = "undecodable "
"""What the oracle calls bytes that are no message; among the dead they are in their place."""
RSS_LIMIT: Final = 400 << 20
"""Bytes of memory of one worker process, far above what any of these loads needs."""


@dataclass(frozen=True, slots=True)
class Places:
    """Which job IDs lie where."""

    completed: set[str]
    failed: set[str]
    dead: set[str]
    parked: set[str]
    pending: Counter[str]
    """Waiting, scheduled, suspected, convicted, landing or in flight; with how often."""

    def where(self, job_id: str) -> list[str]:
        found = ["completed"] if job_id in self.completed else []
        # A dead job has a failed record: it is one of the dead, who are listed as failed too.
        if job_id in self.dead:
            found.append("dead")
        elif job_id in self.failed:
            found.append("failed")
        found += ["parked"] if job_id in self.parked else []
        return found + ["pending"] * self.pending[job_id]


def _texts(names: Iterable[bytes]) -> set[str]:
    return {name.decode() for name in names}


def _ids(bodies: Iterable[bytes]) -> list[str]:
    found: list[str] = []
    for body in bodies:
        try:
            found.append(decode_job(body).id)
        except DecodeError:
            found.append(f"{UNDECODABLE}{body[:20]!r}")
    return found


def _waiting(conn: Any, keys: QueueKeys, tag: str) -> list[bytes]:
    bodies = [*conn.lrange(keys.queue, 0, -1), *conn.zrange(keys.scheduled, 0, -1)]
    for name in ("su", "cv"):
        bodies += conn.lrange(f"tq:{name}:{tag}", 0, -1)
    for key in conn.scan_iter(f"tq:if:{tag}:*", count=1000):
        bodies += conn.hvals(key)
    for key in conn.scan_iter(f"tq:ld:{tag}:*", count=1000):
        bodies += conn.lrange(key, 0, -1)
    return bodies


def places(conn: "Redis", queue: str) -> Places:
    """Look everywhere."""
    keys, any_conn = queue_keys(queue), conn
    store: Any = any_conn
    tag = keys.beats.removeprefix("tq:hb:")
    parked = [
        body
        for task in store.smembers(keys.parked)
        for body in store.lrange(keys.parked_jobs(task.decode()), 0, -1)
    ]
    return Places(
        completed=_texts(store.zrange("tq:res:success", 0, -1)),
        failed=_texts(store.zrange("tq:res:failed", 0, -1)),
        dead=set(_ids(store.zrange(keys.dead, 0, -1))),
        parked=set(_ids(parked)),
        pending=Counter(_ids(_waiting(store, keys, tag))),
    )


@dataclass(slots=True)
class Verdict:
    """What is wrong; all empty is what every fault must end with."""

    lost: list[str] = field(default_factory=list)
    """In no place at all."""
    doubled: dict[str, list[str]] = field(default_factory=dict)
    """In more than one place."""
    misplaced: dict[str, str] = field(default_factory=dict)
    """Not where the job's own outcome puts it."""
    strangers: list[str] = field(default_factory=list)
    """Ended, and never sent."""
    completed_twice: list[str] = field(default_factory=list)
    entered_twice: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    """Keys that should be gone, or should expire."""

    def __bool__(self) -> bool:
        """Whether anything is wrong."""
        return any(getattr(self, name) for name in self.__slots__)


def judge(
    conn: "Redis", queue: str, fates: Mapping[str, Fate], witness: Witness | None = None
) -> Verdict:
    """Hold a store at the end of all work against what was sent."""
    found, verdict = places(conn, queue), Verdict()
    for job_id, fate in fates.items():
        where = found.where(job_id)
        if not where:
            verdict.lost.append(job_id)
        elif len(where) > 1:
            verdict.doubled[job_id] = where
        elif where[0] != fate.value:
            verdict.misplaced[job_id] = where[0]
    known = found.completed | found.failed | found.dead | found.parked | set(found.pending)
    known -= {job_id for job_id in found.dead if job_id.startswith(UNDECODABLE)}
    verdict.strangers = sorted(known - set(fates))
    if witness is not None:
        verdict.completed_twice = witness.completed_twice()
        verdict.entered_twice = witness.entered_twice()
    remains = bool(found.dead or found.parked)
    verdict.left = left_over(conn, unended=found.parked, with_the_dead=remains)
    return verdict


def left_over(conn: "Redis", *, unended: set[str], with_the_dead: bool) -> list[str]:
    """Keys without an expiry outside the short list, and all that in-flight work leaves."""
    kept = KEPT + (KEPT_WITH_THE_DEAD if with_the_dead else ())
    left: list[str] = []
    for key, ttl in _lifetimes(conn):
        if key.startswith(("tq:if:", "tq:ld:", "tq:hb:", "tq:wk:")):
            left.append(key)
        elif key.removeprefix("tq:res:job:msg:") in unended or key.startswith(kept):
            continue
        elif ttl == -1:
            left.append(key)
    return left


def _lifetimes(conn: "Redis") -> Iterator[tuple[str, int]]:
    """Every key, and the seconds that it will live, -1 for ever."""
    store: Any = conn
    found = store.scan_iter(count=5000)
    while names := list(islice(found, 5000)):
        with store.pipeline(transaction=False) as pipe:
            for name in names:
                pipe.ttl(name)
            yield from zip([name.decode() for name in names], pipe.execute(), strict=True)
