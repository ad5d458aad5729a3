"""How a job came to be completed twice: read in the server's journal, of which copy by whom."""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tasqueue.core.errors import DecodeError
from tasqueue.core.wire import decode_job
from tests.faults.witness import settles, transactions

_ENDED: Final = {b"tq:res:success", b"tq:res:failed"}


@dataclass(slots=True)
class History:
    """One job's."""

    by_us: list[bytes] = field(default_factory=list)
    """The message of each completion of ours."""
    by_go: int = 0
    pushed: Counter[bytes] = field(default_factory=Counter)
    """How often each of its messages was pushed by a command of its own, as Go promotes."""
    promoted: Counter[bytes] = field(default_factory=Counter)
    """The same, by our script that takes it out of the scheduled set."""
    released: int = 0
    """How often one of our workers released it, as the child of a job."""

    def kind(self) -> str:
        """In words: who completed it, and where the second message came from."""
        who = f"Go {self.by_go}, ours {len(self.by_us)}"
        bodies = self.by_us or [*self.pushed, *self.promoted]
        if any(self.pushed[body] + self.promoted[body] > 1 for body in bodies):
            return f"{who}: copies of the same bytes"
        by_go = self.pushed.total()
        if by_go + self.released > 1:
            return f"{who}: a child, released by Go {by_go}, by ours {self.released}"
        return f"{who}: no copy found"


def copies(folder: Path, job_ids: Collection[str]) -> Counter[str]:
    """Of each kind of history, how many of these jobs had it."""
    wanted = {job_id: History() for job_id in job_ids}
    held: dict[tuple[bytes, bytes], bytes] = {}
    for block in transactions(folder) if wanted else ():
        tokens = [(c[1], token) for c in block if settles(c) for token in c[2:]]
        done = {_id(held[token]): held[token] for token in tokens if token in held}
        promotes = any(c[0].upper() == b"ZREM" for c in block)
        for command in block:
            name, key, *rest = (command[0].upper(), *command[1:])
            if name == b"HSET" and key.startswith(b"tq:if:"):
                _hold(held, wanted, key, rest)
            elif name == b"ZADD" and key in _ENDED:
                _complete(wanted, [one.decode() for one in rest[1::2]], done)
            elif name == b"LPUSH" and not key.startswith(b"tq:"):
                _push(wanted, rest, promotes=promotes, releases=bool(tokens))
    return Counter(history.kind() for history in wanted.values())


def _hold(
    held: dict[tuple[bytes, bytes], bytes],
    wanted: Collection[str],
    key: bytes,
    rest: list[bytes],
) -> None:
    for token, body in zip(rest[::2], rest[1::2], strict=True):
        if _id(body) in wanted:
            held[key, token] = body


def _complete(wanted: dict[str, History], job_ids: list[str], done: dict[str, bytes]) -> None:
    for job_id in wanted.keys() & job_ids:
        if job_id in done:
            wanted[job_id].by_us.append(done[job_id])
        else:
            wanted[job_id].by_go += 1


def _push(
    wanted: dict[str, History], bodies: list[bytes], *, promotes: bool, releases: bool
) -> None:
    for body in bodies:
        if history := wanted.get(_id(body)):
            if promotes:
                history.promoted[body] += 1
            elif releases:
                history.released += 1
            else:
                history.pushed[body] += 1


def _id(body: bytes) -> str:
    try:
        return decode_job(body).id
    except DecodeError:
        return ""
