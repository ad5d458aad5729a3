"""Many callers, one call at a time: what gathers while a call is in the air is the next one."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from tasqueue.core.errors import BackendError

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class Funnel(Generic[Item, Answer]):
    """Gathers what the callers of one event loop ask; nobody waits longer for others.

    ``send`` makes one call of items and returns an answer for each, in their order; what it raises
    is the error of each of their callers. ``fit`` says how many of the first items, one at least,
    go into one call. ``name`` is that of the asyncio task that sends.
    """

    def __init__(
        self,
        send: Callable[[list[Item]], Awaitable[list[Answer]]],
        fit: Callable[[list[Item]], int],
        *,
        name: str,
    ) -> None:
        self._send = send
        self._fit = fit
        self._name = name
        self._items: list[Item] = []
        self._answers: list[asyncio.Future[Answer]] = []
        self._pump: asyncio.Task[None] | None = None

    def ask(self, item: Item) -> asyncio.Future[Answer]:
        """Have an item sent with the next call; the future is its answer, or the call's error."""
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._items.append(item)
        self._answers.append(answer)
        if self._pump is None:
            self._pump = asyncio.create_task(self._run(), name=self._name)
            self._pump.add_done_callback(self._ended)
        return answer

    async def close(self) -> None:
        """Cancel the call that is in the air, and whoever waits."""
        if self._pump is not None:
            self._pump.cancel()
            await asyncio.wait([self._pump])

    async def _run(self) -> None:
        answers: list[asyncio.Future[Answer]] = []
        try:
            while self._items:
                count = self._fit(self._items)
                items, self._items = self._items[:count], self._items[count:]
                answers, self._answers = self._answers[:count], self._answers[count:]
                await self._call(items, answers)
        finally:
            self._pump = None
            self._abandon(answers)

    async def _call(self, items: list[Item], answers: list[asyncio.Future[Answer]]) -> None:
        try:
            for answer, one in zip(answers, await self._send(items), strict=True):
                if not answer.done():
                    answer.set_result(one)
        except Exception as error:  # noqa: BLE001 -- whatever it is, it is for those who asked
            for answer in answers:
                if not answer.done():
                    answer.set_exception(_own(error))

    def _ended(self, pump: asyncio.Task[None]) -> None:
        """Let nobody wait for a pump that was cancelled before its first step."""
        if pump is self._pump:
            self._pump = None
            self._abandon([])

    def _abandon(self, sent: list[asyncio.Future[Answer]]) -> None:
        for answer in [*sent, *self._answers]:
            answer.cancel()
        self._items, self._answers = [], []


def _own(error: Exception) -> Exception:
    """A caller's own copy, for its own traceback; who knows whether others can be copied."""
    return copy.copy(error) if isinstance(error, BackendError) else error
