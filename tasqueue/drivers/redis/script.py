"""The Lua scripts as texts: each alone with its sha1, and all together as one library.

The library is what a server is given (Redis Functions): it survives SCRIPT FLUSH, a restart and
the promotion of a replica. Each script alone is for servers, and users, that may not have it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

from tasqueue.core.digest import sha1

NAMES: Final = (
    "beat", "bury", "claim", "enqueue", "finish", "group_add", "group_open", "group_sweep", "mark",
    "park", "promote", "reap", "release", "retry", "unpark", "ack", "put", "put_new",
)  # fmt: skip

FILLING: Final = frozenset({"enqueue", "group_add", "group_open", "put_new"})
"""Scripts that a full server refuses: what producers send. The others must drain it: claims and
finishes free memory in the end."""

_SAME: Final = {"put_new": "put"}
"""What producers and workers both call, under two names because of that."""

_GENERATION: Final = "tq1"
_FLAG: Final = "allow-oom"
_NEAR: Final = "local redis, ipairs, tonumber = redis, ipairs, tonumber"
"""A function finds a global more slowly than a script does: 15 % of a batch of 100 (measured)."""


@dataclass(frozen=True, slots=True)
class Script:
    """A script under the names that the server keeps it by."""

    source: str
    """Its text, for EVAL."""
    sha: str
    """Its name for EVALSHA."""
    function: str = ""
    """Its name for FCALL; "" if it is not in the library."""


def assemble(shared: str, body: str, *, filling: bool = False, function: str = "") -> Script:
    """Join a script with what all scripts share."""
    flags = "#!lua" if filling else f"#!lua flags={_FLAG}"
    source = f"{flags}\n{shared}\n{body}"
    return Script(source, sha1(source.encode()), function)


@cache
def script(name: str) -> Script:
    """Return one of `NAMES`."""
    return assemble(_shared(), _text(name), filling=name in FILLING, function=_function(name))


@cache
def library_name() -> str:
    """The library's name, which ends in the hash of its text: versions run side by side."""
    text = "\n".join([_shared(), *[_entry(name, name) for name in NAMES]])
    return f"{_GENERATION}_{sha1(text.encode())[:10]}"


@cache
def library_source() -> str:
    """The library's text, for FUNCTION LOAD.

    Workers and producers load it by themselves where they may. Where they may not, because their
    user has no right to ``FUNCTION LOAD``, an administrator does it once for each version.
    """
    entries = [_entry(name, _function(name)) for name in NAMES]
    return "\n".join([f"#!lua name={library_name()}", _shared(), *entries])


def _function(name: str) -> str:
    """A function's name is unique on its server, not only in its library."""
    return library_name().replace("_", f"_{name}_")


def _entry(name: str, function: str) -> str:
    flags = "" if name in FILLING else f"'{_FLAG}'"
    return (
        f"redis.register_function{{function_name = '{function}', flags = {{{flags}}}, "
        f"callback = function(KEYS, ARGV)\n{_NEAR}\n{_text(name)}\nend}}"
    )


@cache
def _shared() -> str:
    """What stands before all of them."""
    return _text("common") + _text("group_common")


@cache
def _text(name: str) -> str:
    file = f"{_SAME.get(name, name)}.lua"
    return (files("tasqueue.drivers.redis") / "lua" / file).read_text()
