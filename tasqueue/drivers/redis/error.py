"""redis-py's exceptions in our words: to be tried again, or refused. No secret gets into a text."""

from __future__ import annotations

import errno
import os
import re
import ssl
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from redis.exceptions import (
    AuthenticationError,
    AuthenticationWrongNumberOfArgsError,
    AuthorizationError,
    NoPermissionError,
    NoScriptError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)
from redis.exceptions import ConnectionError as LostConnectionError

from tasqueue.core.errors import BackendError, BackendRejected, BackendUnavailable, WrongType

_PASSING: Final = frozenset(
    {
        "LOADING", "READONLY", "CLUSTERDOWN", "NOREPLICAS", "MISCONF", "OOM", "UNBLOCKED",
        "MASTERDOWN", "TRYAGAIN", "NOQUORUM", "BUSY",
    }
)  # fmt: skip
"""First words of error replies of a server that cannot serve now."""

_DEMOTED: Final = frozenset({"READONLY", "MASTERDOWN", "UNBLOCKED"})
_PASSING_KINDS: Final = {
    "BusyLoadingError": "LOADING",
    "ReadOnlyError": "READONLY",
    "ClusterDownError": "CLUSTERDOWN",
    "MasterDownError": "MASTERDOWN",
    "TryAgainError": "TRYAGAIN",
    "OutOfMemoryError": "OOM",
    "MovedError": "MOVED",
    "AskError": "ASK",
}
"""redis-py cuts the first word off the replies that it has a class for."""

_DENIED: Final = (
    AuthenticationError,
    AuthenticationWrongNumberOfArgsError,
    AuthorizationError,
    NoPermissionError,
)

_ERRNO: Final = re.compile(r"\bErr(?:no|or) (\d+)")

_NO_FUNCTIONS: Final = re.compile(r"unknown command .?fcall|'fcall' command", re.IGNORECASE)


class CallLost(BackendRejected):
    """A script did not run, since the server could not find it; there are other ways to call it."""


class ScriptMissing(CallLost):
    """The server does not know a script by its sha1: it was flushed, or started anew."""


class FunctionMissing(CallLost):
    """The server does not have our function library: it is new there, or was flushed."""


class FunctionsRefused(CallLost):
    """The server has no functions at all, or this user may not call any."""


class Denied(BackendRejected):
    """The credentials were refused, or this user may not run that command."""


class Moved(BackendUnavailable):
    """A server of a cluster does not have a key, or not any more."""

    def __init__(self, reason: str, slot: int = 0, host: tuple[str, int] = ("", 0)) -> None:
        super().__init__(reason, "MOVED")
        self.slot = slot
        self.host = host
        self.asking = False
        """Only this command goes there: the slot is on its way."""


def translate(error: BaseException, address: str, origin: str) -> BackendError:
    """Put what redis-py or the socket raised into our words; the caller raises it ``from`` it."""
    if isinstance(error, NoScriptError):
        return ScriptMissing(f"{address} does not know a script: {error}")
    word = _PASSING_KINDS.get(type(error).__name__)
    if word is not None:
        return _from_reply(f"{word} {error}", address)
    if isinstance(error, _DENIED):
        kind = FunctionsRefused if _NO_FUNCTIONS.search(str(error)) else Denied
        return kind(f"{address} refused the credentials or the command: {error}. {_hint(origin)}")
    if isinstance(error, ResponseError) and not isinstance(error, ReadOnlyError):
        return _from_reply(str(error), address)
    if distrust := _distrust(error):
        return BackendUnavailable(
            f"Cannot trust the certificate of the server at {address}: {distrust}. "
            f"{_hint(origin)}Name the authority that signed it with ?ssl_ca_certs=FILE in the URL."
        )
    return BackendUnavailable(
        f"Cannot reach the broker at {address} ({_reason(error)}). {_hint(origin)}"
        "Start Redis, correct the address, or use memory://."
    )


def _distrust(error: BaseException | None) -> str:
    """Why a certificate was refused; redis-py gives that error a number and no name."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return error.verify_message.rstrip(".")
        error = error.__cause__ or error.__context__
    return ""


def has_moved(replies: Sequence[Any]) -> bool:
    """Whether a server says that it is not the primary any more: one connects anew to the next."""
    return any(isinstance(one, BackendUnavailable) and one.word in _DEMOTED for one in replies)


def _from_reply(text: str, address: str) -> BackendError:
    word = text.partition(" ")[0]
    if word in {"MOVED", "ASK"}:
        return _moved(text, address)
    if word in _PASSING:
        return BackendUnavailable(f"{address} cannot serve now: {text}", word)
    if "Function not found" in text:
        return FunctionMissing(f"{address} does not have our function library")
    if _NO_FUNCTIONS.search(text):
        return FunctionsRefused(f"{address} refused: {text}")
    if word in {"BADKEY", "WRONGTYPE"}:
        return WrongType(f"{address}: {text}")
    return BackendRejected(f"{address} refused: {text}")


def _moved(text: str, address: str) -> Moved:
    """Read ``MOVED slot host:port``; without a host it is the one that was asked."""
    word, slot, where, *_ = text.split(" ")
    host, _, port = where.rpartition(":")
    asked = urlsplit(address).hostname or ""
    moved = Moved(
        f"{address} is one of a cluster: write redis+cluster:// ({text})",
        int(slot),
        (host.strip("[]") or asked, int(port)),
    )
    moved.asking = word == "ASK"
    return moved


def _hint(origin: str) -> str:
    return f"The address comes from {origin}. " if origin else ""


def _reason(error: BaseException) -> str:
    """What went wrong in the words of the system: "connection refused", "timed out"."""
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno).lower()
    text = str(error)
    number = _ERRNO.search(text)
    if number and int(number[1]) in errno.errorcode:
        return os.strerror(int(number[1])).lower()
    if isinstance(error, TimeoutError) or "imeout" in type(error).__name__:
        return "timed out"
    if isinstance(error, RedisError | LostConnectionError | OSError) and text:
        return text[0].lower() + text[1:].rstrip(".")
    return type(error).__name__
