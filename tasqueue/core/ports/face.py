"""The small public faces that a third party can write a back end against."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import datetime


class Delivery(Protocol):
    """One message as handed to a consumer; it comes back unless it is acknowledged."""

    @property
    def body(self) -> bytes:
        """The message."""
        ...

    async def ack(self) -> None:
        """Say that the message is done with; it will not come again."""
        ...


@runtime_checkable
class Broker(Protocol):
    """Where messages wait (Go: interfaces.go, Broker).

    Every method raises BackendUnavailable while the server is out of reach: callers try again.
    """

    async def enqueue(self, message: bytes, queue: str) -> None:
        """Put a message at the young end of a queue."""
        ...

    async def enqueue_scheduled(self, message: bytes, queue: str, at: datetime) -> None:
        """Put a message into a queue at ``at`` (aware), or soon after."""
        ...

    def consume(self, queue: str) -> AsyncIterator[Delivery]:
        """Take messages, oldest first, for ever; an unacknowledged one comes back."""
        ...

    async def get_pending(self, queue: str) -> list[bytes]:
        """List the waiting messages, youngest first (Go's order); scheduled ones do not count."""
        ...


@runtime_checkable
class Results(Protocol):
    """Where outcomes are kept (Go: interfaces.go, Results). Names are job IDs or engine keys.

    Every method raises BackendUnavailable while the server is out of reach: callers try again.
    """

    async def get(self, name: str) -> bytes | None:
        """Return what is stored under a name, or None."""
        ...

    async def set(self, name: str, data: bytes) -> None:
        """Store bytes under a name."""
        ...

    async def delete_job(self, job_id: str) -> None:
        """Forget a job's result, its record and its place in the lists."""
        ...

    async def set_success(self, job_id: str) -> None:
        """Put a job into the list of the successful."""
        ...

    async def set_failed(self, job_id: str) -> None:
        """Put a job into the list of the failed."""
        ...

    async def get_success(self) -> list[str]:
        """List the IDs of successful jobs, newest first."""
        ...

    async def get_failed(self) -> list[str]:
        """List the IDs of failed jobs, newest first."""
        ...
