"""Settings of a server, and clocks, that endanger jobs: what they are and what to do."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from typing import Any, Final

from tasqueue.core.errors import BackendError, BackendUnavailable
from tasqueue.drivers.redis.command import Steps, command

_LOGGER: Final = logging.getLogger("tasqueue")
_SETTINGS: Final = ("appendonly", "appendfsync", "maxmemory-policy", "min-replicas-to-write")
_SKEW: Final = 2.0
"""Seconds that two clocks may differ before it is worth a line."""


def examine(shown: str) -> Steps[list[str]]:
    """Look at a server: one sentence for each danger, with the setting, its value, and one action.

    A user who may not read the settings is told nothing about them.

    Raises:
        BackendUnavailable: the server is out of reach, or cannot serve now.
    """
    before = time.time()
    replies = yield (
        command("TIME"), command("INFO", "replication"), command("CONFIG", "GET", *_SETTINGS),
    )  # fmt: skip
    after = time.time()
    found: list[str] = []
    for reply in replies:
        if isinstance(reply, BackendUnavailable):
            raise reply
        if isinstance(reply, BackendError):
            _LOGGER.debug("the settings of %s are not looked at: %s", shown, reply)
    clock, replication, settings = replies
    if not isinstance(clock, BackendError):
        found += _of_clock(int(clock[0]) + int(clock[1]) / 1e6, before, after)
    if not isinstance(settings, BackendError):
        replicas = 0 if isinstance(replication, BackendError) else _replicas(replication)
        found += _of_settings(_pairs(settings), replicas)
    return [f"{shown}: {line}" for line in found]


def _of_settings(settings: Mapping[str, str], replicas: int) -> Iterator[str]:
    append, sync = settings.get("appendonly"), settings.get("appendfsync")
    policy, minimum = settings.get("maxmemory-policy"), settings.get("min-replicas-to-write")
    if append == "no":
        yield (
            "appendonly is no, so a restart loses the jobs since the last snapshot: "
            "CONFIG SET appendonly yes"
        )
    elif sync == "no":
        yield (
            "appendfsync is no, so a loss of power may lose half a minute of jobs: "
            "CONFIG SET appendfsync everysec"
        )
    if policy not in {None, "noeviction"}:
        yield (
            f"maxmemory-policy is {policy}, so a full server throws jobs away: "
            "CONFIG SET maxmemory-policy noeviction"
        )
    if replicas and minimum == "0":
        yield (
            f"min-replicas-to-write is 0 with {replicas} connected, so a primary that was cut off "
            "goes on taking jobs that a failover loses: CONFIG SET min-replicas-to-write 1"
        )


def _of_clock(theirs: float, before: float, after: float) -> Iterator[str]:
    ahead = theirs - after if theirs > after else min(0.0, theirs - before)
    if abs(ahead) > _SKEW:
        side = "ahead of" if ahead > 0 else "behind"
        yield (
            f"the server's clock is {abs(ahead):.0f} s {side} this host's, so scheduled jobs start "
            "at another time than was asked for: set both by NTP"
        )


def _replicas(info: bytes) -> int:
    for line in info.splitlines():
        name, _, value = line.partition(b":")
        if name == b"connected_slaves":
            return int(value)
    return 0


def _pairs(flat: Any) -> dict[str, str]:
    texts = [part.decode("utf-8", "replace") for part in flat]
    return dict(zip(texts[::2], texts[1::2], strict=True))
