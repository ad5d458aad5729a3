"""How large and how named things may be, checked where they enter."""

from __future__ import annotations

import re
from typing import Final

from tasqueue.core.errors import ConfigurationError, LimitExceeded

MAX_MESSAGE: Final = 1 << 20
"""Bytes of one message at enqueue."""
MAX_DECODE: Final = 64 << 20
"""Bytes of one message at decode: a Go producer knows no limit."""
MAX_LINKS: Final = 200
"""Levels of ``on_success``/``on_error`` below one job at enqueue."""
MAX_GROUP_WRITTEN: Final = 10_000
"""Members up to which a group message holds the jobs themselves."""

_NAME: Final = re.compile(r"[\w:.{}-]{1,200}")
_RESERVED: Final = re.compile(r"(success|failed|(job|group|chain):msg:.*)", re.DOTALL)


def check_name(kind: str, name: str) -> str:
    """Return ``name`` if it may name a task or a queue.

    Raises:
        ConfigurationError: it is empty, longer than 200 characters, or has other characters
            than letters, digits and ``_ : . { } -``.
    """
    if not _NAME.fullmatch(name):
        msg = (
            f"{kind} name {name!r} is not usable: take 1 to 200 letters, digits "
            "or any of _ : . { } -"
        )
        raise ConfigurationError(msg)
    return name


def check_id(kind: str, name: str) -> str:
    """Return ``name`` if it may be an ID; Go's keys share one namespace with IDs.

    Raises:
        ConfigurationError: it is longer than 200 characters, or collides with one of Go's keys
            (``success``, ``failed``, ``job:msg:…``).
    """
    if len(name) > 200 or _RESERVED.fullmatch(name):
        msg = (
            f"{kind} ID {name!r} is not usable: at most 200 characters, and not a reserved "
            "name (success, failed, job:msg:…, group:msg:…, chain:msg:…)"
        )
        raise ConfigurationError(msg)
    return name


def check_size(what: str, body: bytes) -> bytes:
    """Return ``body`` if it is small enough to be enqueued.

    Raises:
        LimitExceeded: it is larger than `MAX_MESSAGE` bytes.
    """
    if len(body) > MAX_MESSAGE:
        msg = (
            f"{what} is {len(body):,} bytes, the limit is {MAX_MESSAGE:,}: "
            "store the data elsewhere and pass a reference"
        )
        raise LimitExceeded(msg)
    return body
