"""Results on Redis or Valkey, under Go's keys."""

from __future__ import annotations

import time
from datetime import timedelta

from tasqueue.core.ports import Forget, Listing, Read, Write
from tasqueue.drivers.redis import Address, KeepOpts, RedisStore, store_at
from tasqueue.drivers.redis.command import ask, command
from tasqueue.drivers.redis.keys import RESULT


class RedisResults:
    """Where outcomes are kept (Go: results/redis); connects at its first use.

    ``expiry`` is how long results and records are kept (a `timedelta`, or seconds; None is for
    ever), ``meta_expiry`` how long a job stays in the lists of the successful and the failed.
    """

    def __init__(
        self,
        host: str = "localhost",
        port: int = 6379,
        db: int = 0,
        *,
        username: str | None = None,
        password: str | None = None,
        tls: bool = False,
        expiry: timedelta | float | None = None,
        meta_expiry: timedelta | float | None = None,
    ) -> None:
        options = {
            "host": host, "port": port, "db": db, "username": username, "password": password,
        }  # fmt: skip
        address = Address.from_parts(options, tls=tls, origin="RedisResults(…)")
        self._store = RedisStore(address, _keep(expiry, meta_expiry))

    @classmethod
    def from_url(
        cls,
        url: str,
        *,
        expiry: timedelta | float | None = None,
        meta_expiry: timedelta | float | None = None,
        origin: str = "",
    ) -> RedisResults:
        """As `RedisBroker.from_url`."""
        results = cls.__new__(cls)
        results._store = store_at(  # noqa: SLF001 -- ours
            Address.from_url(url, origin=origin), _keep(expiry, meta_expiry)
        )
        return results

    def __repr__(self) -> str:
        return f"RedisResults({self._store.address.shown!r})"

    @property
    def store(self) -> RedisStore:
        """The store behind these results."""
        return self._store

    @property
    def expiry_ms(self) -> int:
        """How long results and records are kept, in milliseconds; 0 is for ever."""
        return self._store.keep.expiry_ms

    async def get(self, name: str) -> bytes | None:
        """Return what is stored under a name, or None."""
        found: list[bytes | None] = await self._store.perform(Read((name,)))
        return found[0]

    async def set(self, name: str, data: bytes) -> None:
        """Store bytes under a name, for as long as ``expiry`` says."""
        await self._store.perform(Write(name, data))

    async def delete_job(self, job_id: str) -> None:
        """Forget a job's result, its record and its place in the lists.

        Go leaves the record, and takes a job ``1`` out of the lists as well; we do not.
        """
        await self._store.perform(Forget(job_id))

    async def set_success(self, job_id: str) -> None:
        """Put a job into the list of the successful."""
        await self._list("success", job_id)

    async def set_failed(self, job_id: str) -> None:
        """Put a job into the list of the failed."""
        await self._list("failed", job_id)

    async def get_success(self) -> list[str]:
        """List the IDs of successful jobs, newest first."""
        names: list[str] = await self._store.perform(Listing("success"))
        return names

    async def get_failed(self) -> list[str]:
        """List the IDs of failed jobs, newest first."""
        names: list[str] = await self._store.perform(Listing("failed"))
        return names

    async def close(self) -> None:
        """Close the connections of this event loop and of this thread."""
        await self._store.aclose()
        self._store.close()

    async def _list(self, name: str, job_id: str) -> None:
        await self._store.run(ask(command("ZADD", RESULT + name, time.time_ns(), job_id)))


def _keep(expiry: timedelta | float | None, meta_expiry: timedelta | float | None) -> KeepOpts:
    return KeepOpts(expiry_ms=_milliseconds(expiry), meta_expiry_ms=_milliseconds(meta_expiry))


def _milliseconds(span: timedelta | float | None) -> int:
    """Whole milliseconds, at least one where any time at all was asked for."""
    if span is None:
        return 0
    seconds = span.total_seconds() if isinstance(span, timedelta) else span
    return max(round(seconds * 1000), 1) if seconds > 0 else 0
