"""A supervisor's view of one of its worker processes."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from tasqueue.engine.process import ledger
from tasqueue.engine.process.channel import Hello, Order

_MIB: Final = 1 << 20


class Child:
    """A process that was started, until its end has been seen. Make it with `started`."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        *,
        fd: int,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._process = process
        self._fd = fd
        self._reader = reader
        self._writer = writer
        self._since = time.monotonic()
        self.pid: int = process.pid
        self.hello: Hello | None = None
        """What the process says of itself; None until it has loaded its app."""
        self.ordered: bool = False
        """It was told to stop, or to make room for another."""
        self.leaving: bool = False
        """It was told to stop for good: it may be killed any time, by whoever stops us all."""
        self.killed_for: list[ledger.Begun] = []
        """It was killed for the sake of these jobs, whose time was over."""

    @classmethod
    async def started(cls, command: Callable[[int, int], Sequence[str]]) -> Child:
        """Start a process; ``command`` takes the descriptors of its ledger and of its channel.

        Raises:
            OSError: the system has no room for a process.
        """
        memory = ledger.blank()
        ours, theirs = socket.socketpair()
        fds = (memory, theirs.fileno())
        try:
            process = await asyncio.create_subprocess_exec(
                *command(*fds), pass_fds=fds, stdin=asyncio.subprocess.DEVNULL,
                start_new_session=True,  # a terminal's Ctrl-C is for the supervisor alone
            )  # fmt: skip
        except OSError:
            os.close(memory)
            ours.close()
            raise
        finally:
            theirs.close()
        reader, writer = await asyncio.open_unix_connection(sock=ours)
        return cls(process, fd=memory, reader=reader, writer=writer)

    @property
    def age(self) -> float:
        """Seconds since it was started."""
        return time.monotonic() - self._since

    @property
    def alive(self) -> bool:
        """Whether its end has not been seen yet."""
        return self._process.returncode is None

    @property
    def stopped(self) -> bool:
        """Whether a signal has stopped it (SIGSTOP) and none has let it go on.

        False where nobody can ask without taking the answer away: on macOS before Python 3.13.
        """
        if not hasattr(os, "waitid"):
            return False
        options = os.WSTOPPED | os.WNOHANG | os.WNOWAIT
        try:
            return os.waitid(os.P_PID, self.pid, options) is not None
        except ChildProcessError:
            return False  # it has ended, and that has been seen

    async def greeted(self) -> Hello | None:
        """Wait until it has loaded its app; None if it ended before that."""
        self.hello = Hello.parse(await self._reader.readline())
        return self.hello

    async def ended(self) -> int:
        """Wait for its end; the exit code, negative for a signal."""
        return await self._process.wait()

    def page(self) -> ledger.Page:
        """What it has noted."""
        return ledger.read(self._fd, self.hello.queues if self.hello else ())

    def order(self, order: Order) -> None:
        """Tell it to stop. One that has not greeted yet holds nothing: it is ended at once."""
        self.ordered = True
        self.leaving = self.leaving or order is not Order.RETIRE
        if self.hello is None:
            self.kill()
        else:
            self._writer.write(order.value)

    def kill(self, late: Sequence[ledger.Begun] = ()) -> None:
        """End it at once; for the sake of jobs that run on after their time, if there are any."""
        if self.alive:
            self.killed_for = list(late)
            os.kill(self.pid, signal.SIGKILL)

    def rss_mib(self) -> float:
        """Its resident memory in MiB; 0 where the system does not say."""
        try:
            pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        except (OSError, IndexError):
            return 0.0
        return pages * os.sysconf("SC_PAGE_SIZE") / _MIB

    def close(self) -> None:
        """Let go of what was shared with it."""
        self._writer.close()
        os.close(self._fd)
