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

_LOGGER: Final = logging.getLogger("tasqueue")
_SHORTEST: Final = 0.05
_LONGEST: Final = 5.0
"""Seconds between tries to connect: up to as long as the server has been away, within these."""


class Outage:
    """What those who never give up know of one server; safe from many threads.

    A server is out of reach, or it refuses some commands for a while (it is full, loading, or a
    replica now). The latter ends for a command when the same command is taken again.
    """

    def __init__(self, shown: str) -> None:
        self._shown = shown
        self._lock = threading.Lock()
        self._since: float | None = None
        self._kind = ""
        self._refused: set[str] = set()

    def pause(self) -> float:
        """Seconds to wait before one connects, at random; 0 if the last try went well."""
        since = self._since
        if since is None:
            return 0.0
        longest = min(_LONGEST, _SHORTEST + time.monotonic() - since)
        return random.uniform(0.0, longest)  # noqa: S311 -- to spread the load, no secret

    def lost(self, error: BackendError) -> None:
        """Note that an exchange failed as a whole: no way to the server, or no entrance."""
        kind = "denied" if isinstance(error, BackendRejected) else "away"
        with self._lock:
            self._since = self._since or time.monotonic()
            known, self._kind = self._kind == kind, kind
        if not known:
            level = logging.ERROR if kind == "denied" else logging.WARNING
            _LOGGER.log(level, "%s Trying again until it answers.", error)

    def answered(self, commands: Sequence[Command], replies: Sequence[Any]) -> None:
        """Note what a server said that was reached."""
        refused = [
            (command.name, reply)
            for command, reply in zip(commands, replies, strict=True)
            if isinstance(reply, BackendUnavailable)
        ]
        if not (refused or self._refused or self._since):
            return
        names = {name for name, _ in refused}
        with self._lock:
            gone, since = self._since is not None, self._since
            full = bool(self._refused)
            self._since, self._kind = None, ""
            self._refused -= {command.name for command in commands} - names
            self._refused |= names
            still = bool(self._refused)
        if still and not full:
            _LOGGER.warning("%s. Trying again until it is taken.", refused[0][1])
        elif full and not still:
            _LOGGER.info("%s takes everything again", self._shown)
        if gone and since is not None:
            _LOGGER.info("%s is back after %.1f s", self._shown, time.monotonic() - since)
