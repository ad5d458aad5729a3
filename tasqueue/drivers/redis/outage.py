"""Whether a server serves: one line in the log at each change, and how long it is left alone."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Sequence
from typing import Any, Final

from tasqueue.core.errors import BackendError, BackendRejected, BackendUnavailable
from tasqueue.drivers.redis.command import Command
from tasqueue.drivers.redis.error import Moved

_LOGGER: Final = logging.getLogger("tasqueue")
_SHORTEST: Final = 0.05
_LONGEST: Final = 5.0
"""Seconds between tries to connect: up to as long as the server has been away, within these."""


_DOORBELL: Final = "BLMOVE"
"""What an idle worker sends all the time; a server that takes it takes all."""


class Outage:
    """What those who never give up know of one server; safe from many threads.

    A server is out of reach, or it refuses commands for a while. A full one still runs our
    scripts: that has ended when a refused command is taken again. A server that is loading, or a
    replica now, refuses all that writes: that has ended when any script runs.
    """

    def __init__(self, shown: str) -> None:
        self._shown = shown
        self._lock = threading.Lock()
        self._since: float | None = None
        self._kind = ""
        self._refused: dict[str, str] = {}  # name of a command -> the server's word
        self.refusals: int = 0
        """Packets so far in which something was refused."""

    def pause(self) -> float:
        """Seconds to wait before one connects, at random; 0 if the last try went well."""
        since = self._since
        if since is None:
            return 0.0
        longest = min(_LONGEST, _SHORTEST + time.monotonic() - since)
        return random.uniform(0.0, longest)  # noqa: S311 -- to spread the load, no secret

    def lost(self, error: BackendError) -> None:
        """Note that an exchange failed as a whole: no way to the server, or no entrance."""
        error.logged = True
        kind = "denied" if isinstance(error, BackendRejected) else "away"
        with self._lock:
            self._since = self._since or time.monotonic()
            known, self._kind = self._kind == kind, kind
        if not known:
            level = logging.ERROR if kind == "denied" else logging.WARNING
            _LOGGER.log(level, "%s Trying again until it answers.", error)

    def answered(self, commands: Sequence[Command], replies: Sequence[Any], *, sent: int) -> None:
        """Note what a server said that was reached.

        ``sent``: the refusals when the packet left. What was on its way when another was refused
        may have been taken before that, and proves nothing.
        """
        refused = {
            command.name: reply
            for command, reply in zip(commands, replies, strict=True)
            if isinstance(reply, BackendUnavailable) and not isinstance(reply, Moved)
        }
        if not (refused or self._refused or self._since):
            return
        taken = [command for command in commands if command.name not in refused]
        with self._lock:
            since, before = self._since, bool(self._refused)
            self._since, self._kind = None, ""
            self._forget(taken if sent == self.refusals else [])
            self.refusals += bool(refused)
            self._refused |= {name: reply.word for name, reply in refused.items()}
            now = bool(self._refused)
        if now and not before:
            _LOGGER.warning("%s. Trying again until it is taken.", next(iter(refused.values())))
        elif before and not now:
            _LOGGER.info("%s takes everything again", self._shown)
        if since is not None:
            _LOGGER.info("%s is back after %.1f s", self._shown, time.monotonic() - since)

    def _forget(self, taken: Sequence[Command]) -> None:
        if any(command.name == _DOORBELL for command in taken):
            self._refused = {}
        elif any(command.script for command in taken):
            self._refused = {name: word for name, word in self._refused.items() if word == "OOM"}
        for command in taken:
            self._refused.pop(command.name, None)
