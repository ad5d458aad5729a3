"""The Lua scripts as texts to send: each with the shared part before it, and its sha1."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

NAMES: Final = (
    "beat", "bury", "claim", "enqueue", "finish", "mark", "park", "promote", "reap", "release",
    "retry", "unpark",
)  # fmt: skip

FLAGS: Final = "#!lua flags=allow-oom"
"""A full server must still be drained: claims and finishes free memory in the end."""
FILLING: Final = frozenset({"enqueue"})
"""Scripts that a full server refuses: what producers send."""


@dataclass(frozen=True, slots=True)
class Script:
    """A script under the name that the server keeps it by."""

    source: str
    sha: str


def assemble(shared: str, body: str, flags: str = FLAGS) -> Script:
    """Join a script with what all scripts share."""
    source = f"{flags}\n{shared}\n{body}"
    # SHA-1 is the server's name for a script, no protection.
    return Script(source, hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest())


@cache
def script(name: str) -> Script:
    """Read one of `NAMES` from the package, once."""
    folder = files("tasqueue.drivers.redis") / "lua"
    shared = (folder / "common.lua").read_text()
    flags = "#!lua" if name in FILLING else FLAGS
    return assemble(shared, (folder / f"{name}.lua").read_text(), flags)
