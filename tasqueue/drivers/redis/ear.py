"""How a waiter hears that a job has ended, and how: on a connection of its own, by its channel.

A channel is named as the key of the job's record. On a single server FINISH speaks only while
somebody listens at `EARS` as well: a waiter that dies leaves nothing behind, and jobs that nobody
waits for cost nothing.

What was said before the server began to let a waiter listen is not for it: its job may be another
one of the same ID, which was sent after that word.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final

from redis.exceptions import ConnectionError as LostConnectionError
from redis.exceptions import RedisError, ResponseError

from tasqueue.core.errors import BackendError
from tasqueue.drivers.redis.address import CONNECT_TIMEOUT, Address
from tasqueue.drivers.redis.command import Command, command, pack
from tasqueue.drivers.redis.error import translate
from tasqueue.drivers.redis.word import Outcome, outcome_in

EARS: Final = "tq:ears"
"""Channel on which nothing is said."""
_LISTEN: Final = b"ssubscribe"
_LEFT: Final = b"sunsubscribe"
_MESSAGE: Final = b"smessage"
_LEAVE: Final = command("SUNSUBSCRIBE")


class Ear:
    """One thread's ear."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._wire = address.blocking_wire()
        self.pid: int = os.getpid()
        """The process that made it; no other may use it."""

    def wait(
        self, channels: Sequence[str], look: Callable[[], Outcome | None], seconds: float
    ) -> Outcome | None:
        """Wait for a word on the last channel, unless ``look`` finds that it was spoken before.

        None where no word came, or it does not say what came of the job.

        The look is taken while the server is about to let us listen: should it be answered first,
        and the word be spoken in between, it is missed.

        Raises:
            BackendUnavailable: it cannot listen now.
            BackendRejected: it may not listen.
        """
        over_at, asked = time.monotonic() + seconds, command("SSUBSCRIBE", *channels)
        whole = False
        try:
            self._send(asked)
            outcome = look()
            channel = self._confirm(asked)
            if outcome is None:
                outcome = self._hear(channel, over_at)
            self._send(_LEAVE)
            whole = True
        except (RedisError, OSError) as error:
            raise translate(error, self._address.shown, self._address.origin) from error
        finally:
            if not whole:
                self.close()
        return outcome

    def close(self) -> None:
        """Close the connection; the next wait makes a new one."""
        self._wire.disconnect()

    def _confirm(self, asked: Command) -> bytes:
        """Read what is left of the last wait, and the answers to this one; the last channel."""
        last = _bytes(str(asked.args[-1]))
        while self._wire.read_response()[:2] != [_LISTEN, last]:
            pass
        return last

    def _hear(self, channel: bytes, over_at: float) -> Outcome | None:
        while (left := over_at - time.monotonic()) > 0 and self._wire.can_read(timeout=left):
            kind, spoken_on, word = self._wire.read_response()
            if kind == _MESSAGE and spoken_on == channel:
                return outcome_in(word, self._address.db)
        return None

    def _send(self, sent: Command) -> None:
        self._wire.send_packed_command([pack([sent])], check_health=False)


class Heard(asyncio.Event):
    """Set by a word, and when there will be none."""

    error: BackendError | None = None
    """Why there will be none."""
    listens: bool = False
    """The server has said so: what comes now was spoken since."""
    outcome: Outcome | None = None
    """What the word says came of the job, if it says that."""


class SharedEar:
    """One event loop's ear, for all who wait there. Its task ends soon after the last of them."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._wire = address.async_wire()
        self._waiters: dict[bytes, set[Heard]] = {}
        self._asked: deque[tuple[bytes, Heard]] = deque()
        self._connecting = asyncio.Lock()
        self._reader: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def hearing(self, channels: Sequence[str]) -> AsyncGenerator[Heard, None]:
        """Listen for a word on the last channel, as soon as the server has read that we want to.

        Raises:
            BackendUnavailable: the server is out of reach.
        """
        heard, name = Heard(), _bytes(channels[-1])
        self._waiters.setdefault(name, set()).add(heard)
        try:
            async with self._connecting, asyncio.timeout(CONNECT_TIMEOUT):
                await self._wire.connect()
            if self._reader is None:
                self._reader = asyncio.create_task(self._read(), name="tasqueue: redis ear")
            self._asked.append((name, heard))
            await self._send(command("SSUBSCRIBE", *channels))
            yield heard
        except (RedisError, OSError) as error:
            raise self._told(error) from error
        finally:
            self._waiters[name].discard(heard)
            if not self._waiters[name]:
                del self._waiters[name]
                await self._leave(name)

    async def close(self) -> None:
        """Close the connection; the next wait makes a new one."""
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.wait([self._reader])
        await self._wire.disconnect(nowait=True)

    async def _leave(self, name: bytes) -> None:
        if self._reader is None:
            return
        try:
            await self._send(command("SUNSUBSCRIBE", name) if self._waiters else _LEAVE)
        except (RedisError, OSError):
            await self._wire.disconnect(nowait=True)

    async def _send(self, sent: Command) -> None:
        await self._wire.send_packed_command([pack([sent])], check_health=False)

    async def _read(self) -> None:
        whole = False
        try:
            while not await self._next():
                pass
            whole = True
        except (RedisError, OSError) as error:
            self._lost(self._told(error))
        finally:
            self._reader = None
            if not whole:
                self._asked.clear()
                await self._wire.disconnect(nowait=True)

    async def _next(self) -> bool:
        """Pass one word on; returns whether it was the last one, and nobody waits."""
        try:
            kind, channel, said = await self._wire.read_response()
        except LostConnectionError:
            raise
        except ResponseError as error:
            _, refused = self._asked.popleft()
            refused.error = self._told(error)
            refused.set()
            return False
        if kind == _MESSAGE:
            for heard in self._waiters.get(channel, ()):
                if heard.listens and not heard.is_set():
                    heard.outcome = outcome_in(said, self._address.db)
                heard.set()
        elif kind == _LISTEN and channel == self._asked[0][0]:
            _, heard = self._asked.popleft()
            heard.listens = True
        return bool(kind == _LEFT and said == 0 and not self._waiters)

    def _lost(self, error: BackendError) -> None:
        for waiting in self._waiters.values():
            for heard in waiting:
                heard.error = error
                heard.set()

    def _told(self, error: BaseException) -> BackendError:
        return translate(error, self._address.shown, self._address.origin)


def _bytes(channel: str) -> bytes:
    return channel.encode("utf-8", "surrogateescape")
