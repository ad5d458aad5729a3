"""A TCP proxy that does harm on demand: ``python -m tests.faults.proxy TARGET_PORT``.

It prints its port as a line of JSON, and then obeys lines of JSON: fields of `Weather`, or
``{"reset": true}``, which resets every open connection, or ``{"freeze": true}``, which leaves
them open and lets nothing pass on them any more, in neither direction, or ``{"vanish": true}``,
which forgets the clients' ends without telling them. Each line is answered by ``{"ok": true}``.
"""

import asyncio
import json
import random
import socket
import struct
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from tests.parity.program import LineProcess

_REPAIR = 19
"""``TCP_REPAIR`` of Linux, which `socket` does not name."""


@dataclass(slots=True)
class Weather:
    """What happens to the bytes that pass; the same for all connections."""

    latency: float = 0.0
    """Seconds that each piece waits."""
    jitter: float = 0.0
    """Up to so many seconds more, by chance."""
    slice: int = 0
    """Bytes of one piece; 0 is as they come."""
    rate: int = 0
    """Bytes a second in each direction of each connection; 0 is no limit."""
    lose_requests: bool = False
    """Swallow what clients send; the connection stays open."""
    lose_replies: bool = False
    """Swallow what the server sends; the connection stays open."""
    cut_replies: int = 0
    """So many of the next replies are swallowed, and their connections reset."""
    cut_requests: int = 0
    """The same with requests."""
    refuse: bool = False
    """Reset whoever connects."""
    limit: int = 0
    """Reset a connection after so many bytes of replies; 0 is no limit."""


class Proxy:
    """The process's own state: the weather, and the open connections."""

    def __init__(self, target: int) -> None:
        self.weather = Weather()
        self.target = target
        self.writers: set[asyncio.StreamWriter] = set()
        self.clients: set[asyncio.StreamWriter] = set()
        self.frozen: set[asyncio.StreamWriter] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.weather.refuse:
            _reset(writer)
            return
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            _reset(writer)
            return
        self.writers |= {writer, far_writer}
        self.clients.add(writer)
        ends = (writer, far_writer)
        try:
            async with asyncio.TaskGroup() as pumps:
                pumps.create_task(self.pump(reader, ends, replies=False))
                pumps.create_task(self.pump(far_reader, ends[::-1], replies=True))
        except* OSError:
            pass
        finally:
            self.clients.discard(writer)
            for one in ends:
                self.writers.discard(one)
                _reset(one)

    async def pump(
        self,
        reader: asyncio.StreamReader,
        ends: tuple[asyncio.StreamWriter, asyncio.StreamWriter],
        *,
        replies: bool,
    ) -> None:
        passed, out = 0, ends[1]
        while data := await reader.read(1 << 16):
            if self.swallowed(replies=replies):
                raise ConnectionResetError
            lost = self.weather.lose_replies if replies else self.weather.lose_requests
            if lost or out in self.frozen:
                continue
            for piece in _pieces(data, self.weather.slice):
                await self.delay(len(piece))
                out.write(piece)
                await out.drain()
            passed += len(data)
            if replies and 0 < self.weather.limit < passed:
                raise ConnectionResetError
        if out not in self.frozen:
            raise ConnectionResetError  # one end is closed: so is the other

    def swallowed(self, *, replies: bool) -> bool:
        name = "cut_replies" if replies else "cut_requests"
        left: int = getattr(self.weather, name)
        if left:
            setattr(self.weather, name, left - 1)
        return left > 0

    async def delay(self, size: int) -> None:
        weather = self.weather
        seconds = weather.latency + random.random() * weather.jitter
        if weather.rate:
            seconds += size / weather.rate
        if seconds:
            await asyncio.sleep(seconds)

    def obey(self, order: dict[str, Any]) -> dict[str, Any]:
        if order.pop("reset", False):
            for writer in tuple(self.writers):
                _reset(writer)
        if order.pop("freeze", False):
            self.frozen |= self.writers
        if order.pop("vanish", False):
            for writer in tuple(self.clients):
                _vanish(writer)
        for name, value in order.items():
            setattr(self.weather, name, value)
        return {"ok": True, "open": len(self.writers) // 2}


def _pieces(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)] if size else [data]


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST, as a dead host's successor would answer."""
    sock = writer.get_extra_info("socket")
    if sock is not None:
        with suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def _vanish(writer: asyncio.StreamWriter) -> None:
    """Close without a word, as a host that lost its power: needs the right to set `_REPAIR`."""
    sock = writer.get_extra_info("socket")
    # What is not acknowledged yet would be sent again, and answered by an RST.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
    sock.setsockopt(socket.IPPROTO_TCP, _REPAIR, 1)
    writer.transport.abort()


async def _main(target: int) -> None:
    proxy = Proxy(target)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    _say({"port": server.sockets[0].getsockname()[1]})
    lines = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while line := await lines.readline():
        _say(proxy.obey(json.loads(line)))


def _say(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def may_vanish() -> bool:
    """Whether this process may close a connection without telling its peer."""
    with socket.socket() as sock:
        try:
            sock.setsockopt(socket.IPPROTO_TCP, _REPAIR, 1)
        except OSError:
            return False
    return sys.platform == "linux"


class FaultProxy(LineProcess):
    """The proxy, from the side of a test."""

    def __init__(self, target: int, folder: Path) -> None:
        module = ("-m", "tests.faults.proxy", str(target))
        super().__init__(sys.executable, *module, log=folder / "proxy.log")
        self.port: int = self.read()["port"]

    def __enter__(self) -> Self:
        return self

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def weather(self, **fields: Any) -> None:
        """Change fields of `Weather`; the others stay."""
        self.ask(**fields)

    def fair(self) -> None:
        """Let all pass again."""
        fair = Weather()
        self.ask(**{name: getattr(fair, name) for name in Weather.__slots__})

    def reset(self) -> None:
        """Reset every open connection."""
        self.ask(reset=True)

    def vanish(self) -> None:
        """Be gone, for those who are connected, without FIN or RST. See `may_vanish`."""
        self.ask(vanish=True)

    def freeze(self) -> None:
        """Make every open connection half-open: both ends believe in it, nothing passes."""
        self.ask(freeze=True)


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1])))
