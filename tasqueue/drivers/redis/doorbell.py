"""How an idle worker waits: one packet moves a message and claims, when the first one comes."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from tasqueue.core.errors import BackendError, BackendRejected
from tasqueue.drivers.redis.aio import PATIENCE, AsyncDriver
from tasqueue.drivers.redis.command import Command, command, sound
from tasqueue.drivers.redis.keys import QueueKeys

_PARKED: Final = 2
"""Seconds that the server holds an idle claim."""
_POLL_MIN: Final = 0.05
_POLL_MAX: Final = 0.5
"""Seconds between claims while the server refuses to move messages, being full."""


class Doorbell:
    """One queue's waiting connection: it is blocked on the server most of its life."""

    def __init__(self, driver: AsyncDriver, keys: QueueKeys) -> None:
        self._driver = driver
        self.keys: QueueKeys = keys
        self._line = driver.line(keys.queue)
        self._client: int | None = None
        self._pause = 0.0
        self._stirred = asyncio.Event()
        self._one_at_a_time = asyncio.Lock()
        self._round: asyncio.Future[None] | None = None

    async def claim(self, asked: Command, worker_id: str) -> list[bytes]:
        """Send a CLAIM behind a move that waits up to 2 s for a job; returns the script's reply.

        Only that reply says what is owned: what the doorbell moved lies in the landing, where the
        script, this time or the next, takes it.
        """
        async with self._one_at_a_time:
            self._round = asyncio.get_running_loop().create_future()
            try:
                return await self._claim(asked, worker_id)
            finally:
                self._round.set_result(None)
                self._round = None
                self._stirred.clear()

    async def wait(self, seconds: float) -> bool:
        """Do nothing for a while, or until stirred: then True."""
        async with self._one_at_a_time:
            self._stirred.clear()
            await self._sleep(seconds)
            return self._stirred.is_set()

    async def stir(self) -> None:
        """Make the claim that waits now return; returns when it has."""
        self._stirred.set()
        waiting = self._round
        while waiting is not None and not waiting.done():
            if self._client is not None:
                wake = command("CLIENT", "UNBLOCK", self._client)
                await self._driver.exchange([wake._replace(near=self.keys.queue)])
            # The claim may have been on its way to the server: ask again until it is over.
            await asyncio.wait([waiting], timeout=0.02)

    async def close(self) -> None:
        """Close the connection; a claim after this makes a new one."""
        self._client = None
        await self._line.close()

    async def _claim(self, asked: Command, worker_id: str) -> list[bytes]:
        if self._pause:
            await self._sleep(self._pause)
        await self._identify()
        keys = self.keys
        ring = command("BLMOVE", keys.queue, keys.landing(worker_id), "RIGHT", "LEFT", _PARKED)
        if self._stirred.is_set():
            return [b"ok"]
        rung, taken = await self._line.exchange([ring, asked], patience=_PARKED + PATIENCE)
        answer: list[bytes] = sound(asked, taken)
        self._rest(rung, found=answer != [b"ok"])
        return answer

    def _rest(self, rung: Any, *, found: bool) -> None:
        """Poll while the server does not move messages: when full, it only runs our scripts."""
        if not isinstance(rung, BackendError):
            self._pause = 0.0
        elif isinstance(rung, BackendRejected) and not found:
            raise rung
        else:
            self._pause = min(max(2 * self._pause, _POLL_MIN), _POLL_MAX)

    async def _identify(self) -> None:
        """Learn the connection's number on the server, by which it can be woken."""
        if self._client is None or not await self._line.is_fresh():
            self._client = None
            who = command("CLIENT", "ID")
            (client,) = await self._line.exchange([who])
            self._client = sound(who, client)

    async def _sleep(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stirred.wait()
        except TimeoutError:
            return
