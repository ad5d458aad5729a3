"""Enqueue, and wait until a replica or the disk has it: steps around the steps of a submit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar

from tasqueue.core.errors import BackendError, EnqueueUnconfirmed
from tasqueue.drivers.redis.command import Command, Steps, command

T = TypeVar("T")

CONFIRMS: Final = frozenset({"WAIT", "WAITAOF"})
"""Commands that hold their connection up until what was written before them is safe."""
TAIL: Final = 2
"""Commands at the end of a confirmed exchange: the last write, and the one that waits."""

_PATIENCE: Final = 1000
"""Milliseconds; less than a reply may take."""
_WAITS: Final[Mapping[str, tuple[str | int, ...]]] = {
    "replica": ("WAIT", 1, _PATIENCE),
    "fsync": ("WAITAOF", 1, 0, _PATIENCE),
}
_REASONS: Final[Mapping[str, str]] = {
    "replica": "no replica has confirmed it within 1 s",
    "fsync": "the server has not written it to its disk within 1 s",
}


def confirmed(steps: Steps[T], durability: str, *, key: str, job_id: str) -> Steps[T]:
    """Follow steps that write, and have each exchange confirmed.

    ``key`` is written too, since the server waits for the last write of the connection: in a
    repeat of the call there may be no other.

    Raises:
        EnqueueUnconfirmed: all is written, but not confirmed; it names ``job_id``.
    """
    reason = ""
    try:
        commands = next(steps)
        while True:
            tail = () if reason else _tail(durability, key)
            replies = yield [*commands, *tail]
            reason = reason or _refusal(replies[len(commands) :], durability)
            commands = steps.send(replies[: len(commands)])
    except StopIteration as end:
        if reason:
            raise EnqueueUnconfirmed(job_id, reason) from None
        result: T = end.value
        return result


def is_confirmed(commands: Sequence[Command]) -> bool:
    """Whether an exchange ends with a command that waits."""
    return bool(commands) and commands[-1].args[0] in CONFIRMS


def _tail(durability: str, key: str) -> tuple[Command, ...]:
    wait = command(*_WAITS[durability])._replace(near=key)
    return (command("SET", key, "", "PX", _PATIENCE), wait)


def _refusal(tail: Sequence[Any], durability: str) -> str:
    if not tail:
        return ""
    said = tail[-1]
    if isinstance(said, BackendError):
        return str(said)
    count = said[0] if isinstance(said, list) else said
    return "" if count else _REASONS[durability]
