"""Results in memory: one face of a `MemoryStore`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tasqueue.core.ports import Forget, Listing, Read, Write
from tasqueue.drivers.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Sequence


class MemoryResults:
    """Where outcomes are kept, inside this process (Go: results/in-memory).

    ``store`` is shared with a `MemoryBroker` where each job must end in one step; without it the
    results have a store of their own.
    """

    def __init__(self, store: MemoryStore | None = None) -> None:
        self._store = store or MemoryStore()

    @property
    def store(self) -> MemoryStore:
        """The store behind these results."""
        return self._store

    async def get(self, name: str) -> bytes | None:
        """Return what is stored under a name, or None."""
        found: Sequence[bytes | None] = await self._store.perform(Read((name,)))
        return found[0]

    async def set(self, name: str, data: bytes) -> None:
        """Store bytes under a name."""
        await self._store.perform(Write(name, data))

    async def delete_job(self, job_id: str) -> None:
        """Forget a job's result, its record and its place in the lists."""
        await self._store.perform(Forget(job_id))

    async def set_success(self, job_id: str) -> None:
        """Put a job into the list of the successful."""
        self._store.list_in("success", job_id)

    async def set_failed(self, job_id: str) -> None:
        """Put a job into the list of the failed."""
        self._store.list_in("failed", job_id)

    async def get_success(self) -> list[str]:
        """List the IDs of successful jobs, newest first."""
        found: list[str] = await self._store.perform(Listing("success"))
        return found

    async def get_failed(self) -> list[str]:
        """List the IDs of failed jobs, newest first."""
        found: list[str] = await self._store.perform(Listing("failed"))
        return found

    async def close(self) -> None:
        """Nothing is to be closed."""
