"""Connections to whichever server is the primary now: sentinels are asked at each connect."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from redis.exceptions import ConnectionError as LostConnectionError
from redis.exceptions import NoPermissionError, RedisError

from tasqueue.drivers.redis.command import command, pack
from tasqueue.drivers.redis.wire import AsyncWire, BlockingWire, arrived

Host = tuple[str, int]
W = TypeVar("W")

_ROLE: Final = pack([command("ROLE")])


@dataclass(frozen=True, slots=True)
class Sentinels:
    """Who knows the primary, and the name that it goes by there."""

    hosts: Sequence[Host]
    service: str

    def question(self) -> bytes:
        """What each of them is asked."""
        return pack([command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.service)])

    def search(self) -> Generator[Host, Any, Host]:
        """Yield sentinels to ask, be sent their answers or errors, and return the primary.

        Raises:
            LostConnectionError: redis-py's: none answered, or none knows the name.
        """
        answered = False
        for host in self.hosts:
            reply = yield host
            answered = answered or not isinstance(reply, Exception)
            if isinstance(reply, list):
                return reply[0].decode(), int(reply[1])
        if answered:
            raise LostConnectionError(f"no sentinel knows a primary called {self.service!r}")
        raise LostConnectionError("no sentinel answers")


@dataclass(frozen=True, slots=True)
class Ways(Generic[W]):
    """How to connect to a sentinel, and to a server."""

    sentinel: Callable[[Host], W]
    server: Callable[[Host], W]


def _must_be_primary(host: Host, role: Any) -> None:
    """A sentinel may not know yet that a server has come back as a replica."""
    if role[0] != b"master":
        raise LostConnectionError(f"{host[0]}:{host[1]} is not the primary any more")


class BlockingSentinelWire:
    """See `BlockingWire`."""

    def __init__(self, sentinels: Sentinels, ways: Ways[BlockingWire]) -> None:
        self._sentinels = sentinels
        self._ways = ways
        self._wire: BlockingWire | None = None

    def connect(self) -> None:
        """Find the primary and be let in; does nothing if connected."""
        if self._wire is None:
            self._wire = self._found()

    def send_packed_command(self, command: list[bytes], *, check_health: bool) -> None:
        """Connect if needed, and send."""
        self.connect()
        self._connected().send_packed_command(command, check_health=check_health)

    def read_response(self) -> Any:
        """Return the next reply, or raise the error that it is."""
        return self._connected().read_response()

    def can_read(self, timeout: float = 0) -> bool:
        """Whether something arrived unasked."""
        return self._connected().can_read(timeout)

    def disconnect(self) -> None:
        """Close the socket; the next command looks for the primary again."""
        wire, self._wire = self._wire, None
        if wire is not None:
            wire.disconnect()

    def _connected(self) -> BlockingWire:
        if self._wire is None:
            raise LostConnectionError("not connected")
        return self._wire

    def _found(self) -> BlockingWire:
        search = self._sentinels.search()
        try:
            host = next(search)
            while True:
                host = search.send(self._asked(self._ways.sentinel(host)))
        except StopIteration as end:
            host = end.value
        wire = self._ways.server(host)
        try:
            _must_be_primary(host, _said(wire, _ROLE))
        except NoPermissionError:
            pass
        except BaseException:
            wire.disconnect()
            raise
        return wire

    def _asked(self, wire: BlockingWire) -> Any:
        try:
            return _said(wire, self._sentinels.question())
        except (RedisError, OSError) as error:
            return error
        finally:
            wire.disconnect()


def _said(wire: BlockingWire, packet: bytes) -> Any:
    wire.send_packed_command([packet], check_health=False)
    return wire.read_response()


class AsyncSentinelWire:
    """See `AsyncWire`."""

    def __init__(self, sentinels: Sentinels, ways: Ways[AsyncWire]) -> None:
        self._sentinels = sentinels
        self._ways = ways
        self._wire: AsyncWire | None = None

    async def connect(self) -> None:
        """Find the primary and be let in; does nothing if connected."""
        if self._wire is None:
            self._wire = await self._found()

    async def send_packed_command(self, command: list[bytes], *, check_health: bool) -> None:
        """Send; `connect` comes first."""
        await self._connected().send_packed_command(command, check_health=check_health)

    async def read_response(self) -> Any:
        """Return the next reply, or raise the error that it is."""
        return await self._connected().read_response()

    async def can_read_destructive(self) -> bool:
        """Whether something arrived unasked."""
        return await arrived(self._connected())

    async def disconnect(self, *, nowait: bool) -> None:
        """Close the socket; the next `connect` looks for the primary again."""
        wire, self._wire = self._wire, None
        if wire is not None:
            await wire.disconnect(nowait=nowait)

    def _connected(self) -> AsyncWire:
        if self._wire is None:
            raise LostConnectionError("not connected")
        return self._wire

    async def _found(self) -> AsyncWire:
        search = self._sentinels.search()
        try:
            host = next(search)
            while True:
                host = search.send(await self._asked(self._ways.sentinel(host)))
        except StopIteration as end:
            host = end.value
        wire = self._ways.server(host)
        try:
            _must_be_primary(host, await _told(wire, _ROLE))
        except NoPermissionError:
            pass
        except BaseException:
            await wire.disconnect(nowait=True)
            raise
        return wire

    async def _asked(self, wire: AsyncWire) -> Any:
        try:
            return await _told(wire, self._sentinels.question())
        except (RedisError, OSError) as error:
            return error
        finally:
            await wire.disconnect(nowait=True)


async def _told(wire: AsyncWire, packet: bytes) -> Any:
    await wire.connect()
    await wire.send_packed_command([packet], check_health=False)
    return await wire.read_response()
