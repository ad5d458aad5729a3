"""What we use of redis-py: its connections, one command at a time, without its retries."""

from __future__ import annotations

from typing import Any, Protocol


class BlockingWire(Protocol):
    """A connection for threads."""

    def connect(self) -> None:
        """Connect and be let in; does nothing if connected."""
        ...

    def send_packed_command(self, command: list[bytes], *, check_health: bool) -> None:
        """Connect if needed, and send."""
        ...

    def read_response(self) -> Any:
        """Return the next reply, or raise the error that it is."""
        ...

    def can_read(self, timeout: float = 0) -> bool:
        """Whether something arrived unasked, such as the end of the connection."""
        ...

    def disconnect(self) -> None:
        """Close the socket."""
        ...


class AsyncWire(Protocol):
    """A connection of an event loop."""

    async def connect(self) -> None:
        """Connect and be let in; does nothing if connected."""
        ...

    async def send_packed_command(self, command: list[bytes], *, check_health: bool) -> None:
        """Connect if needed, and send."""
        ...

    async def read_response(self) -> Any:
        """Return the next reply, or raise the error that it is."""
        ...

    async def can_read_destructive(self) -> bool:
        """Whether something arrived unasked, such as the end of the connection."""
        ...

    async def disconnect(self, *, nowait: bool) -> None:
        """Close the socket."""
        ...


async def arrived(wire: AsyncWire) -> bool:
    """Whether something arrived unasked; redis-py 8 renamed the method."""
    look = getattr(wire, "can_read", None) or wire.can_read_destructive
    return bool(await look())
