"""What a worker process writes down for the test: one line an event, kept through kill -9.

A line is ``<event> <unix ns> <words …>``; one ``write`` each, so no line is torn.
"""

import os
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from tasqueue.core.ports import Answer, Settlement
from tasqueue.drivers.redis.lease import RedisLease


class Note(NamedTuple):
    """One event of one worker."""

    event: str
    """``start`` and ``end`` of a run, ``answer`` to a settlement, ``fenced``, ``rescued``."""
    at_ns: int
    words: tuple[str, ...]


class Diary:
    """A worker's file of notes."""

    def __init__(self, path: Path) -> None:
        self._file: Final = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def note(self, event: str, *words: object) -> None:
        line = " ".join([event, str(time.time_ns()), *map(str, words)])
        os.write(self._file, line.encode() + b"\n")

    def listen(self) -> None:
        """Note what the store answers to this process's settlements, and its fences."""
        settle, rescue, renew = RedisLease.settle, RedisLease.rescue, RedisLease.renew
        diary = self

        async def settled(
            self: RedisLease, queue: str, settlements: Sequence[Settlement]
        ) -> list[Answer]:
            answers = await settle(self, queue, settlements)
            for one, said in zip(settlements, answers, strict=True):
                diary.note("answer", one.job_id, int(said))
            return answers

        async def rescued(self: RedisLease, queue: str) -> int:
            found = await rescue(self, queue)
            if found:
                diary.note("rescued", queue, found)
            return found

        async def renewed(self: RedisLease) -> None:
            diary.note("fenced", self.worker_id)
            await renew(self)

        changed: Any = RedisLease
        changed.settle, changed.rescue, changed.renew = settled, rescued, renewed


def read(paths: Sequence[Path]) -> Iterator[Note]:
    """All notes of some workers, file by file."""
    for path in paths:
        for line in path.read_text().splitlines() if path.exists() else ():
            event, at, *words = line.split(" ")
            yield Note(event, int(at), tuple(words))


def runs(notes: Sequence[Note]) -> Counter[str]:
    """How often each job was started."""
    return Counter(note.words[0] for note in notes if note.event == "start")


def answers(notes: Sequence[Note], answer: Answer) -> Counter[str]:
    """How often each job's settlement got this answer."""
    said = str(int(answer))
    return Counter(n.words[0] for n in notes if n.event == "answer" and n.words[1] == said)
