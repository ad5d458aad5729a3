"""The asyncio driver: one connection an event loop, on which waiting commands go out together."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple, TypeVar
from weakref import WeakKeyDictionary

from redis.exceptions import ConnectionError as LostConnectionError
from redis.exceptions import RedisError, ResponseError

from tasqueue.core.errors import BackendError
from tasqueue.drivers.redis.address import CONNECT_TIMEOUT, TIMEOUT, Address
from tasqueue.drivers.redis.calling import Calls
from tasqueue.drivers.redis.command import Arg, Command, Steps, pack, some_lost
from tasqueue.drivers.redis.durability import TAIL, is_confirmed
from tasqueue.drivers.redis.ear import SharedEar
from tasqueue.drivers.redis.error import has_moved, translate
from tasqueue.drivers.redis.funnel import Funnel
from tasqueue.drivers.redis.outage import Outage
from tasqueue.drivers.redis.wire import arrived

T = TypeVar("T")

PATIENCE: Final = 5.0
"""Seconds for one exchange of those who never give up; others have `TIMEOUT`."""
_SLOWEST: Final = 10_000
"""Bytes a second of a line that still counts as one: what is large gets more time to be sent."""
_IDLE: Final = 0.01
"""Seconds after which a connection is looked at before it is used again."""
_TOGETHER: Final = 200
"""Exchanges of different callers that may leave in one packet."""


class Line:
    """One connection. Its user sends one exchange after the other."""

    def __init__(
        self, address: Address, outage: Outage | None = None, calls: Calls | None = None
    ) -> None:
        self._address = address
        self._outage = outage
        self.calls: Calls = calls or Calls()
        self._patience = TIMEOUT if outage is None else PATIENCE
        self._wire = address.async_wire()
        self._used_at = 0.0  # 0 is not connected

    async def is_fresh(self) -> bool:
        """Whether it is connected, still; a connection that the server closed is dropped."""
        if self._used_at and time.monotonic() - self._used_at > _IDLE:
            await self._look()
        return bool(self._used_at)

    async def exchange(
        self, commands: Sequence[Command], *, packet: bytes = b"", patience: float = 0.0
    ) -> list[Any]:
        """Send commands in one packet, and read their replies; errors among them are values.

        A script that the server lost is sent once more, and so runs after the others.
        ``packet`` is the commands where the caller has packed them. Where nobody gives up, a
        server that is away is left alone for a while before it is tried again.

        Raises:
            BackendUnavailable: no connection, or no reply within ``patience`` seconds and those
                that a slow line needs for the packet.
        """
        patience = patience or self._patience
        packet = packet or self.calls.written(commands)
        sent = self._outage.refusals if self._outage else 0
        replies = await self._once(packet, len(commands), patience)
        if some_lost(replies):
            repair = self.calls.repair(commands, replies)
            with suppress(StopIteration):
                again = next(repair)
                while True:
                    again = repair.send(await self._once(pack(again), len(again), patience))
        if has_moved(replies):
            await self.close()
        if self._outage:
            self._outage.answered(commands, replies, sent=sent)
        return replies

    async def close(self) -> None:
        """Close the connection; the next exchange connects again."""
        self._used_at = 0.0
        await self._wire.disconnect(nowait=True)

    async def _once(self, packet: bytes, count: int, patience: float) -> list[Any]:
        sent = whole = False
        try:
            if not await self.is_fresh():
                await self._connect()
            async with asyncio.timeout(patience + len(packet) / _SLOWEST):
                sent = True
                await self._wire.send_packed_command([packet], check_health=False)
                replies = [await self._reply() for _ in range(count)]
            self._used_at = time.monotonic()
            whole = True
        except (RedisError, OSError) as error:
            told = translate(error, self._address.shown, self._address.origin)
            told.in_doubt = sent
            if self._outage:
                self._outage.lost(told)
            raise told from error
        finally:
            # Also when cancelled: replies that nobody reads must not answer the next exchange.
            if not whole:
                await self.close()
        return replies

    async def _connect(self) -> None:
        if self._outage and (pause := self._outage.pause()):
            await asyncio.sleep(pause)
        async with asyncio.timeout(CONNECT_TIMEOUT):
            await self._wire.connect()

    async def _look(self) -> None:
        """Drop a connection that the server has closed meanwhile."""
        try:
            stale = await arrived(self._wire)
        except (RedisError, OSError):
            stale = True
        if stale:
            await self.close()

    async def _reply(self) -> Any:
        try:
            return await self._wire.read_response()
        except LostConnectionError:
            raise
        except ResponseError as error:
            return translate(error, self._address.shown, self._address.origin)


class AsyncDriver:
    """Sends commands from any event loop, each over a connection of its own.

    With an ``outage`` its user never gives up, and the log tells of it.
    """

    def __init__(self, address: Address, outage: Outage | None = None) -> None:
        self._address = address
        self._outage = outage
        self._calls = Calls()
        self._pipes: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Arg, _Pipe]]
        self._pipes = WeakKeyDictionary()
        self._ears: WeakKeyDictionary[asyncio.AbstractEventLoop, SharedEar] = WeakKeyDictionary()

    async def run(self, steps: Steps[T], *, patience: float = 0.0) -> T:
        """Follow steps to their end; ``patience`` is that of `Line.exchange`.

        Raises:
            BackendUnavailable: the server is out of reach, or cannot serve now.
            BackendRejected: it refused a command.
        """
        begun = False
        try:
            commands = next(steps)
            while True:
                commands = steps.send(await self.exchange(commands, patience))
                begun = True
        except StopIteration as end:
            result: T = end.value
            return result
        except BackendError as error:
            error.in_doubt |= begun
            raise

    async def exchange(self, commands: Sequence[Command], patience: float = 0.0) -> list[Any]:
        """Send commands in one packet, and read their replies; errors among them are values.

        What waits until it is safe goes by another connection, so that it holds up nobody else.
        """
        pipes = self._pipes.setdefault(asyncio.get_running_loop(), {})
        waits = commands[-1].args[0] if is_confirmed(commands) else ""
        pipe = pipes.get(waits)
        if pipe is None:
            pipe = pipes[waits] = _Pipe(self.line(), TAIL if waits else 0)
        return await pipe.exchange(commands, patience)

    def line(self, key: str = "") -> Line:
        """Make one more connection, for a caller that blocks it; ``key`` is what it waits at."""
        del key  # one server has them all
        return Line(self._address, self._outage, self._calls)

    def ear(self, key: str) -> SharedEar:
        """This event loop's ear; ``key`` is what is waited for."""
        del key  # one server has them all
        loop = asyncio.get_running_loop()
        ear = self._ears.get(loop)
        if ear is None:
            ear = self._ears[loop] = SharedEar(self._address)
        return ear

    async def close(self) -> None:
        """Close this event loop's connections; the next command makes a new one."""
        loop = asyncio.get_running_loop()
        for pipe in self._pipes.pop(loop, {}).values():
            await pipe.close()
        if ear := self._ears.pop(loop, None):
            await ear.close()


class _Asked(NamedTuple):
    """What one caller wants sent."""

    commands: Sequence[Command]
    tail: Sequence[Command]
    packet: bytes
    patience: float


class _Pipe:
    """Lets callers share a connection: what gathers while it is in use goes out as one packet.

    The last ``tail`` commands of each caller are sent once, after all others: one wait serves all.
    """

    def __init__(self, line: Line, tail: int = 0) -> None:
        self._line = line
        self._tail = tail
        self._funnel = Funnel(self._send, _together, name="tasqueue: redis commands")

    async def exchange(self, commands: Sequence[Command], patience: float) -> list[Any]:
        body = commands[: len(commands) - self._tail]
        packet = self._line.calls.written(body)
        return await self._funnel.ask(_Asked(body, commands[len(body) :], packet, patience))

    async def close(self) -> None:
        await self._funnel.close()
        await self._line.close()

    async def _send(self, batch: list[_Asked]) -> list[list[Any]]:
        commands = [command for asked in batch for command in asked.commands]
        packet = b"".join([asked.packet for asked in batch])
        if tail := batch[-1].tail:
            commands += tail
            packet += pack(tail)
        patience = max(asked.patience for asked in batch)
        replies = await self._line.exchange(commands, packet=packet, patience=patience)
        end, start = replies[len(commands) - len(tail) :], 0
        answers = list[list[Any]]()
        for asked in batch:
            answers.append(replies[start : start + len(asked.commands)] + end)
            start += len(asked.commands)
        return answers


def _together(waiting: list[_Asked]) -> int:
    return min(len(waiting), _TOGETHER)
