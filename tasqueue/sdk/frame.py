"""What a worker and the process of one of its jobs say to each other, over a socket."""

from __future__ import annotations

import socket
import threading
from typing import Final, Literal

import msgspec

_LENGTH: Final = 8
APART: Final = threading.Event()
"""Set in a process that runs jobs for a worker."""


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """Run a task of this module, of which the asking worker knows that it is registered."""

    module: str
    qualname: str
    task: str
    payload: bytes
    message: bytes
    """The job's message without its payload: for the context."""
    group_results: list[bytes | None] | None
    deadline: float | None
    path: list[str]
    """The asking process's ``sys.path``."""


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """How it went."""

    kind: Literal["done", "failed", "retry", "snooze", "cancel", "reject"] = "done"
    saved: bytes | None = None
    text: str = ""
    origin: tuple[str, str] = ("", "")
    """The error's class and traceback."""
    after: float | None = None
    """Seconds, of a retry or a snooze."""


def send(line: socket.socket, said: Ask | Told) -> None:
    """Send it whole.

    Raises:
        OSError: nobody is at the other end.
    """
    body = msgspec.msgpack.encode(said)
    line.sendall(len(body).to_bytes(_LENGTH, "big") + body)


def receive(line: socket.socket) -> bytes | None:
    """What was sent, to be decoded; None once nobody is at the other end."""
    try:
        length = _exactly(line, _LENGTH)
        return _exactly(line, int.from_bytes(length, "big"))
    except (OSError, EOFError):
        return None


def _exactly(line: socket.socket, size: int) -> bytes:
    parts: list[bytes] = []
    while size:
        part = line.recv(min(size, 1 << 20))
        if not part:
            raise EOFError
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
