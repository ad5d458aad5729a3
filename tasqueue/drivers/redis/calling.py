"""How a server is made to run a script: as a function of our library, or as a script by itself."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any, Final

from tasqueue.core.errors import BackendRejected
from tasqueue.drivers.redis.command import Command, command, pack
from tasqueue.drivers.redis.durability import TAIL, is_confirmed
from tasqueue.drivers.redis.error import (
    CallLost,
    Denied,
    FunctionMissing,
    FunctionsRefused,
    ScriptMissing,
)
from tasqueue.drivers.redis.script import library_name, library_source

_ALREADY: Final = "already exists"

Repair = Generator[Sequence[Command], list[Any], None]
"""Yields commands that go out together, and is sent their raw replies."""


class Calls:
    """What is known of one server: whether it lets us call functions."""

    def __init__(self) -> None:
        self.by_function: bool = True

    def written(self, commands: Sequence[Command]) -> bytes:
        """Write commands out as this server wants them."""
        if not self.by_function:
            commands = [one.by_sha() if one.script else one for one in commands]
        return pack(commands)

    def repair(self, commands: Sequence[Command], replies: list[Any]) -> Repair:
        """Send what the server could not find again, in another way, and put the replies in place.

        Functions are loaded, and called again in their order; where that is refused they go as
        scripts by their sha1, and those that it does not know, in full. So a call that is
        repaired runs after the others of its exchange.
        """
        # What waits for the writes before it waits for the repaired ones too.
        waits = range(len(commands) - TAIL, len(commands)) if is_confirmed(commands) else ()

        def places(*kinds: type[CallLost]) -> list[int]:
            told = enumerate(replies)
            return [i for i, one in told if isinstance(one, kinds) and commands[i].script]

        load: Any = None
        if lost := places(FunctionMissing):
            (load,) = yield (command("FUNCTION", "LOAD", library_source()),)
            if not isinstance(load, Exception) or _ALREADY in str(load):
                _put(replies, [*lost, *waits], (yield [commands[i] for i in (*lost, *waits)]))
        if places(FunctionsRefused):
            self.by_function = False
        if lost := places(FunctionMissing, FunctionsRefused):
            again = [commands[i].by_sha() for i in lost] + [commands[i] for i in waits]
            _put(replies, [*lost, *waits], (yield again))
        if unknown := places(ScriptMissing):
            again = [commands[i].in_full() for i in unknown] + [commands[i] for i in waits]
            _put(replies, [*unknown, *waits], (yield again))
        if isinstance(load, Denied):
            _explain(replies, lost)


def _put(replies: list[Any], places: Sequence[int], late: Sequence[Any]) -> None:
    for i, reply in zip(places, late, strict=True):
        replies[i] = reply


def _explain(replies: list[Any], places: Sequence[int]) -> None:
    """Say what is really the matter with calls that may not be made in any way."""
    for i in places:
        if isinstance(replies[i], Denied):
            replies[i] = BackendRejected(
                f"{replies[i]} The function library {library_name()} is not on this server, and "
                "this user may not load it: an administrator loads the text of "
                "tasqueue.drivers.redis.library_source() with FUNCTION LOAD"
            )
