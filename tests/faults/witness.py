"""The server's own journal (AOF) as the witness: every write that took effect, in its order.

What a worker believes may be wrong: it may have died before it read an answer. The journal has
exactly what the server did, scripts included, whoever asked and whoever heard the reply.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import hiredis

from tasqueue.core.errors import DecodeError
from tasqueue.core.lifecycle import TURN
from tasqueue.core.wire import decode_job

AOF: Final = {
    "auto-aof-rewrite-percentage": "0",
    "aof-use-rdb-preamble": "no",
}
"""Options of a server whose journal is kept whole."""

_SCHEDULED: Final = b"tasqueue:ss:"
_TAKE_AWAY: Final = {b"ZREM", b"LTRIM", b"LREM"}
"""A script that takes messages from a place only moves what it pushes elsewhere."""
_PUSHES: Final = {b"LPUSH", b"RPUSH"}
_LISTS: Final = {b"tq:res:success", b"tq:res:failed"}
_CHUNK: Final = 1 << 20


@dataclass(slots=True)
class Witness:
    """What happened in a server."""

    completions: Counter[str] = field(default_factory=Counter)
    """By job ID: how often it was put among the successful or the failed."""
    entries: Counter[str] = field(default_factory=Counter)
    """By job ID: how often it was enqueued anew, by a client or by its parent."""
    our_completions: Counter[str] = field(default_factory=Counter)
    """Those in one step with the deletion of a token: a Go worker knows no tokens."""
    our_children: Counter[str] = field(default_factory=Counter)
    """Of the entries, those that one of our workers released in such a step."""
    bodies: dict[str, bytes] = field(default_factory=dict)
    """By job ID: the message that entered."""

    def completed_twice(self) -> list[str]:
        return [job_id for job_id, count in self.completions.items() if count > 1]

    def entered_twice(self) -> list[str]:
        return [job_id for job_id, count in self.entries.items() if count > 1]

    def ours_twice(self) -> set[str]:
        """What no Go worker is to blame for: released twice, or completed beyond its entries.

        The child of a job of which Go completed a copy, and ours the other, entered twice.
        """
        released = {job_id for job_id, count in self.our_children.items() if count > 1}
        return released | {
            job_id
            for job_id, count in self.our_completions.items()
            if count > max(1, self.entries[job_id])
        }


def commands(folder: Path) -> Iterator[Sequence[bytes]]:
    """Every command of a server's journal."""
    parts = sorted(
        (folder / "appendonlydir").glob("*.incr.aof"), key=lambda path: int(path.name.split(".")[2])
    )
    for part in parts:
        reader = hiredis.Reader()
        with part.open("rb") as file:
            while chunk := file.read(_CHUNK):
                reader.feed(chunk)
                while (found := reader.gets()) is not False:
                    yield found


def transactions(folder: Path) -> Iterator[list[Sequence[bytes]]]:
    """The same, those together that took effect together: a script's, or one alone."""
    block: list[Sequence[bytes]] | None = None
    for command in commands(folder):
        name = command[0].upper()
        if name == b"MULTI":
            block = []
        elif name == b"EXEC":
            yield block or []
            block = None
        elif block is None:
            yield [command]
        else:
            block.append(command)


def listen(folder: Path) -> Witness:
    """Read a server's journal from its start."""
    seen = Witness()
    for block in transactions(folder):
        moved = any(command[0].upper() in _TAKE_AWAY for command in block)
        ours = any(settles(command) for command in block)
        for command in block:
            name, key = command[0].upper(), command[1]
            if name == b"ZADD" and key in _LISTS:
                done = [one.decode() for one in command[3::2]]
                seen.completions.update(done)
                seen.our_completions.update(done if ours else ())
            elif name == b"ZADD" and key.startswith(_SCHEDULED):
                _enter(seen, command[-1], scheduled=True, ours=ours)
            elif name == b"LPUSH" and not key.startswith(b"tq:") and not moved:
                for body in command[2:]:
                    _enter(seen, body, scheduled=False, ours=ours)
    return seen


def suspected(folder: Path) -> Counter[str]:
    """By job ID: how often a worker claimed it as a suspect, to run it alone."""
    found: Counter[str] = Counter()
    for command in commands(folder):
        if command[0].upper() == b"HSET" and command[1].startswith(b"tq:if:"):
            fields = zip(command[2::2], command[3::2], strict=True)
            found.update(decode_job(body).id for token, body in fields if token[:1] == b"s")
    return found


def acknowledged(folders: Sequence[Path]) -> Counter[tuple[str, int]]:
    """By job ID and number of retries: how often a worker let go of it because it had ended.

    Then its token is deleted in a step that puts the message nowhere. The journals are those of
    all servers: what one of them handed out, another may have when its slot has moved.
    """
    bodies: dict[bytes, bytes] = {}
    done: list[bytes] = []
    for folder in folders:
        for block in transactions(folder):
            given_back = any(command[0].upper() in _PUSHES for command in block)
            for command in block:
                if command[0].upper() == b"HSET" and command[1].startswith(b"tq:if:"):
                    bodies |= dict(zip(command[2::2], command[3::2], strict=True))
                elif settles(command) and not given_back:
                    done += command[2:]
    metas = [decode_job(bodies[token]).meta for token in done]
    return Counter((meta.id, meta.retried) for meta in metas)


def settles(command: Sequence[bytes]) -> bool:
    """Whether it deletes a token, as the end of a job does on our side."""
    return command[0].upper() == b"HDEL" and command[1].startswith(b"tq:if:")


def _enter(seen: Witness, body: bytes, *, scheduled: bool, ours: bool) -> None:
    """Count a message that enters; one that comes back says by which token, or is a retry.

    A message with an ETA enters the scheduled set; who moves it from there is another matter,
    and Go's workers may leave a copy there.
    """
    try:
        message = decode_job(body)
    except DecodeError:
        return
    came_back = message.meta.retried or ":" in str(message.job.ext.get(TURN, ""))
    if not came_back and scheduled == (message.job.opts.eta_ns is not None):
        seen.entries[message.id] += 1
        seen.our_children[message.id] += ours
        seen.bodies.setdefault(message.id, body)
