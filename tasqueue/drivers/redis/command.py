"""Commands and script calls as data: what to send, and how to read the reply.

Pure functions build them; the blocking and the asyncio driver send the same ones.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple, TypeAlias, TypeVar

import hiredis

from tasqueue.core.errors import BackendError
from tasqueue.drivers.redis.error import CallLost
from tasqueue.drivers.redis.script import Script, script

Arg: TypeAlias = str | bytes | int
T = TypeVar("T")
Item = TypeVar("Item")

MAX_ITEMS: Final = 200
"""Jobs in one script call. Nobody should wait 5 ms for another's call (docs/design/faults.md, row
43), and a job costs the server 5 to 20 us; in a call of 500 it costs more than in one of 200."""
MAX_BYTES: Final = 1 << 20
"""Bytes in one script call, but for a single job that is larger by itself."""


def _as_it_is(reply: Any) -> Any:
    return reply


class Command(NamedTuple):
    """One command, and what its reply means."""

    args: tuple[Arg, ...]
    read: Callable[[Any], Any] = _as_it_is
    script: Script | None = None
    """The script that is called: as a function, by its sha1, or in full if the server lost it."""
    near: str | bytes = ""
    """A command without keys goes to the server of this key, where there are several."""

    @property
    def name(self) -> str:
        """What tells it from other commands, whatever it is called with."""
        return str(self.args[0] if self.script is None else self.script.sha)

    def by_sha(self) -> Command:
        """The same script call for a server that runs no function of ours."""
        return self._as("EVALSHA", self._called().sha)

    def in_full(self) -> Command:
        """The same script call with the source, which also teaches it to the server."""
        return self._as("EVAL", self._called().source)

    def _as(self, how: str, what: str) -> Command:
        return Command((how, what, *self.args[2:]), self.read, self.script)

    def _called(self) -> Script:
        if self.script is None:
            raise TypeError("only a script call can be sent in full")
        return self.script


Steps: TypeAlias = Generator[Sequence[Command], list[Any], T]
"""Yields commands that go out together, is sent their raw replies, returns a T.

A reply of the server that is an error arrives as a `BackendError`, not raised.
"""


def command(*args: Arg, read: Callable[[Any], Any] = _as_it_is) -> Command:
    """Build a plain command; the first argument is its name, in one word."""
    return Command(args, read)


def call(
    name: str,
    keys: Sequence[str],
    args: Iterable[Arg],
    *,
    read: Callable[[Any], Any] = _as_it_is,
) -> Command:
    """Build the call of one of our scripts."""
    known = script(name)
    how = ("FCALL", known.function) if known.function else ("EVALSHA", known.sha)
    return Command((*how, len(keys), *keys, *args), read, known)


def pack(commands: Sequence[Command]) -> bytes:
    """Write commands out as the server reads them, to be sent in one piece."""
    return b"".join([_pack(command.args) for command in commands])


def _pack(args: tuple[Any, ...]) -> bytes:
    packed: bytes
    try:
        packed = hiredis.pack_command(args)
    except UnicodeEncodeError:
        # Names that Go wrote in bytes that are no text (`core.wire` reads them so).
        packed = hiredis.pack_command(tuple(map(_plain, args)))
    return packed


def _plain(arg: Any) -> Any:
    return arg.encode("utf-8", "surrogateescape") if isinstance(arg, str) else arg


def text(reply: bytes) -> str:
    """Read a name as `core.wire` does."""
    return reply.decode("utf-8", "surrogateescape")


def sound(command: Command, reply: Any) -> Any:
    """Return what a reply means, or raise the error that it is."""
    if isinstance(reply, BackendError):
        raise reply
    return command.read(reply)


def ask(*commands: Command) -> Steps[list[Any]]:
    """Send commands together; the first error among the replies is raised."""
    if not commands:
        return []
    replies = yield commands
    return [sound(c, reply) for c, reply in zip(commands, replies, strict=True)]


def some_lost(replies: Sequence[Any]) -> bool:
    """Whether the server could not find what some of the calls were to run."""
    return any(isinstance(reply, CallLost) for reply in replies)


def _one(_item: object) -> int:
    return 1


def portions(
    items: Iterable[Item], weigh: Callable[[Item], int], count: Callable[[Item], int] = _one
) -> Iterator[list[Item]]:
    """Cut items into script calls of at most `MAX_ITEMS` and `MAX_BYTES`, in their order.

    ``weigh`` says an item's bytes, and ``count`` for how many jobs it stands. A single item that is
    more by itself is a call of its own.
    """
    portion: list[Item] = []
    size = jobs = 0
    for item in items:
        weight, number = weigh(item), count(item)
        if portion and (jobs + number > MAX_ITEMS or size + weight > MAX_BYTES):
            yield portion
            portion, size, jobs = [], 0, 0
        portion.append(item)
        size, jobs = size + weight, jobs + number
    if portion:
        yield portion
