"""The line between a supervisor and one of its worker processes: a greeting up, orders down.

Secrets (the URL's password) go over it, never through a command line. When the supervisor dies
the line ends, which is an order too.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import Callable
from enum import Enum
from typing import Final, NamedTuple

_FUSE: Final = 10.0
"""Seconds beyond the grace that a process without supervisor gets, should its loop stand still."""


class Hello(NamedTuple):
    """What a worker process says of itself, once its app is loaded."""

    url: str
    queues: tuple[str, ...]
    lease_seconds: float
    grace: float
    """Seconds that running jobs get when it is told to stop."""

    def __repr__(self) -> str:
        return f"<Hello of queues {', '.join(self.queues)}>"  # the URL may hold a password

    def line(self) -> bytes:
        """Write it as one line."""
        return json.dumps(self).encode() + b"\n"

    @classmethod
    def parse(cls, line: bytes) -> Hello | None:
        """Read a line; None if the process ended before it was whole."""
        if not line.endswith(b"\n"):
            return None
        url, queues, lease_seconds, grace = json.loads(line)
        return cls(url, tuple(queues), lease_seconds, grace)


class Order(Enum):
    """What a supervisor tells a worker process: one byte each."""

    STOP = b"s"
    """Take no more jobs, let the running ones end within the grace, and exit."""
    NOW = b"n"
    """The same without the wait."""
    RETIRE = b"r"
    """The same with all the time that running jobs need."""


class Channel:
    """The worker process's end of the line."""

    def __init__(self, fd: int) -> None:
        self._socket = socket.socket(fileno=fd)
        self._socket.set_inheritable(False)

    def greet(self, hello: Hello) -> None:
        """Tell the supervisor who this process is; one that is gone is found out by `listen`."""
        with contextlib.suppress(OSError):
            self._socket.sendall(hello.line())

    def listen(self, obey: Callable[[Order], object], grace: float) -> None:
        """Have orders obeyed, from a thread of its own that ends with the process.

        When the supervisor is gone the order is STOP; a process that is still there well after
        the grace ends without further ado, and its jobs are found by others.
        """
        thread = threading.Thread(target=self._listen, args=(obey, grace), daemon=True)
        thread.name = "tasqueue-orders"
        thread.start()

    def _listen(self, obey: Callable[[Order], object], grace: float) -> None:
        while byte := self._byte():
            obey(Order(byte))
        obey(Order.STOP)
        time.sleep(grace + _FUSE)
        os._exit(1)

    def _byte(self) -> bytes:
        try:
            return self._socket.recv(1)
        except OSError:
            return b""
