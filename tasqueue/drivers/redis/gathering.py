"""Sends of many coroutines in one script call: what comes while one is in the air is the next."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Awaitable, Callable
from typing import NamedTuple
from weakref import WeakKeyDictionary

from tasqueue.core.errors import BackendError
from tasqueue.core.ports import Push, Submit
from tasqueue.drivers.redis.command import portions

Send = Callable[[Submit], Awaitable[list[bool]]]


class Gathering:
    """Gathers the messages of one event loop for one queue; nobody waits longer for others.

    A batch is one script call, so that it is applied as a whole or not at all: an error is the
    error of each of its messages.
    """

    def __init__(self, send: Send) -> None:
        self._send = send
        self._queues: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, _Queue]]
        self._queues = WeakKeyDictionary()

    async def push(self, push: Push) -> list[bool]:
        """As a `Submit` of this message alone.

        Raises:
            BackendUnavailable: the server is out of reach; the message may be there.
            BackendRejected: the server refused it.
        """
        queues = self._queues.setdefault(asyncio.get_running_loop(), {})
        queue = queues.get(push.queue)
        if queue is None:
            queue = queues[push.queue] = _Queue(self._send)
        return await queue.push(push)


class _Waiting(NamedTuple):
    """One caller's message, and where the answer goes."""

    push: Push
    answer: asyncio.Future[list[bool]]


class _Queue:
    def __init__(self, send: Send) -> None:
        self._send = send
        self._waiting: list[_Waiting] = []
        self._pump: asyncio.Task[None] | None = None

    async def push(self, push: Push) -> list[bool]:
        answer: asyncio.Future[list[bool]] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(push, answer))
        if self._pump is None:
            self._pump = asyncio.create_task(self._run(), name="tasqueue: gathered sends")
            self._pump.add_done_callback(self._dropped)
        return await answer

    def _dropped(self, pump: asyncio.Task[None]) -> None:
        """Let nobody wait for a pump that was cancelled before its first step."""
        if pump is self._pump:
            self._pump = None
            for one in self._waiting:
                one.answer.cancel()
            self._waiting = []

    async def _run(self) -> None:
        batch: list[_Waiting] = []
        try:
            while self._waiting:
                batch = next(portions(self._waiting, _weight))
                del self._waiting[: len(batch)]
                await self._exchange(batch)
        finally:
            self._pump = None
            for one in [*batch, *self._waiting]:
                one.answer.cancel()
            self._waiting = []

    async def _exchange(self, batch: list[_Waiting]) -> None:
        try:
            pushed = await self._send(Submit([one.push for one in batch]))
        except BackendError as error:
            for one in batch:
                if not one.answer.done():
                    one.answer.set_exception(copy.copy(error))
            return
        for one, is_new in zip(batch, pushed, strict=True):
            if not one.answer.done():
                one.answer.set_result([is_new])


def _weight(one: _Waiting) -> int:
    return one.push.size
