"""Shared memory in which a worker process notes what it runs; it is read when the process is dead.

The head holds the worker's ID and a count of ended jobs, then come slots of a fixed size. A slot
counts once its first byte is set, which is written last; so a reader never sees half a token.
"""

from __future__ import annotations

import mmap
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from struct import Struct
from typing import Final, NamedTuple

from tasqueue.engine.notes import Notes

_HEAD: Final = Struct("=Q64s")
_SLOT: Final = Struct("=xxHd116s")
"""Behind the first byte: the queue's number, the instant when the attempt is over, the token."""
_TEXT: Final = "ascii"
NEVER: Final = float("inf")


class Begun(NamedTuple):
    """A job whose handler began and did not end."""

    queue: str
    token: str
    over_at: float
    """Instant of `time.monotonic`, which all processes of a host share; `NEVER` for no limit."""


class Page(NamedTuple):
    """What a ledger says."""

    worker_id: str
    ended: int
    """Jobs that have ended in this process so far."""
    begun: list[Begun]


class Ledger(Notes):
    """A worker process's notes, in the shared memory that its supervisor made."""

    def __init__(self, fd: int, queues: Sequence[str], slots: int) -> None:
        size = _HEAD.size + slots * _SLOT.size
        os.ftruncate(fd, size)
        self.supervisor_pid: int | None = os.getppid()
        self._memory = mmap.mmap(fd, size)
        self._numbers = {queue: number for number, queue in enumerate(queues)}
        self._free = [_HEAD.size + slot * _SLOT.size for slot in reversed(range(slots))]
        self._places: dict[str, int] = {}
        self._worker_id = b""
        self._ended = 0

    def named(self, worker_id: str) -> None:
        """This process goes by a worker ID now."""
        self._worker_id = worker_id.encode(_TEXT)
        self._write_head()

    def begun(self, queue: str, token: str, seconds: float | None) -> None:
        """A job's handler begins. More jobs at once than slots are not noted."""
        if not self._free or token in self._places:
            return
        place = self._places[token] = self._free.pop()
        over_at = NEVER if seconds is None else time.monotonic() + seconds
        _SLOT.pack_into(self._memory, place, self._numbers[queue], over_at, token.encode(_TEXT))
        self._memory[place] = 1

    def ended(self, token: str) -> None:
        """A job's handler ended."""
        place = self._places.pop(token, None)
        if place is not None:
            self._memory[place] = 0
            self._free.append(place)
            self._ended += 1
            self._write_head()

    def close(self) -> None:
        """Let go of the memory; what was written stays, for who else has it."""
        self._memory.close()

    def _write_head(self) -> None:
        _HEAD.pack_into(self._memory, 0, self._ended, self._worker_id)


def blank() -> int:
    """Make the memory of a ledger; returns a descriptor, to hand to the process that writes it."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("tasqueue-ledger")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def read(fd: int, queues: Sequence[str]) -> Page:
    """Read a ledger, of a process that may be dead; ``queues`` in the order it was made with."""
    data = os.pread(fd, os.fstat(fd).st_size, 0)
    if len(data) < _HEAD.size:
        return Page("", 0, [])
    ended, worker_id = _HEAD.unpack_from(data)
    return Page(_text(worker_id), ended, list(_begun(data, queues)))


def _begun(data: bytes, queues: Sequence[str]) -> Iterator[Begun]:
    for place in range(_HEAD.size, len(data) - _SLOT.size + 1, _SLOT.size):
        number: int
        number, over_at, token = _SLOT.unpack_from(data, place)
        if data[place] and number < len(queues):
            yield Begun(queues[number], _text(token), over_at)


def _text(padded: bytes) -> str:
    return padded.rstrip(b"\0").decode(_TEXT, "replace")
