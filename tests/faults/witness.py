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
from tasqueue.core.job import JobStatus
from tasqueue.core.lifecycle import TURN
from tasqueue.core.wire import decode_job

AOF: Final = {
    "auto-aof-rewrite-percentage": "0",
    "aof-use-rdb-preamble": "no",
}
"""Options of a server whose journal is kept whole."""

_RECORD: Final = b"tq:res:job:msg:"
_LISTS: Final = {b"tq:res:success", b"tq:res:failed"}
_CHUNK: Final = 1 << 20


@dataclass(slots=True)
class Witness:
    """What happened in a server."""

    completions: Counter[str] = field(default_factory=Counter)
    """By job ID: how often it was put among the successful or the failed."""
    entries: Counter[str] = field(default_factory=Counter)
    """By job ID: how often it was enqueued anew, by a client or by its parent."""
    bodies: dict[str, bytes] = field(default_factory=dict)
    """By job ID: the record that it was enqueued with."""

    def completed_twice(self) -> list[str]:
        return [job_id for job_id, count in self.completions.items() if count > 1]

    def entered_twice(self) -> list[str]:
        return [job_id for job_id, count in self.entries.items() if count > 1]


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


def listen(folder: Path) -> Witness:
    """Read a server's journal from its start."""
    seen = Witness()
    for command in commands(folder):
        name = command[0].upper()
        if name == b"ZADD" and command[1] in _LISTS:
            seen.completions.update(one.decode() for one in command[3::2])
        elif name == b"SET" and command[1].startswith(_RECORD):
            _entered(seen, command[1].removeprefix(_RECORD).decode(), command[2])
    return seen


def _entered(seen: Witness, job_id: str, record: bytes) -> None:
    """A record says ``queued`` as its job enters; one that was sent back says by which token."""
    try:
        message = decode_job(record)
    except DecodeError:
        return
    turn = message.job.ext.get(TURN, "")
    if message.status == JobStatus.QUEUED and ":" not in str(turn):
        seen.entries[job_id] += 1
        seen.bodies.setdefault(job_id, record)
