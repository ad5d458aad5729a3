"""How far a job must have come before an enqueue returns."""

from __future__ import annotations

from typing import Final, Literal, cast, get_args

from tasqueue.core.errors import ConfigurationError

Durability = Literal["ack", "replica", "fsync"]
"""``ack``: the server has it; ``replica``: one replica too; ``fsync``: the server's disk too."""

ACK: Final = "ack"
_KNOWN: Final = get_args(Durability)


def check_durability(value: object) -> Durability:
    """Return one of the known words.

    Raises:
        ConfigurationError: it is another value, which the text names.
    """
    if value not in _KNOWN:
        words = ", ".join(repr(word) for word in _KNOWN)
        msg = f"durability is one of {words}, not {value!r}"
        raise ConfigurationError(msg)
    return cast("Durability", value)


def strongest(given: set[str]) -> str:
    """The most that is asked for; ``fsync`` counts for more than ``replica``."""
    return max(given, key=_KNOWN.index, default=ACK)
