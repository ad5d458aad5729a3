"""Sends of many coroutines in one script call: what comes while one is in the air is the next."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from weakref import WeakKeyDictionary

from tasqueue.core.ports import Push, Submit
from tasqueue.drivers.redis.command import portions
from tasqueue.drivers.redis.funnel import Funnel

Send = Callable[[Submit], Awaitable[list[bool]]]


class Gathering:
    """Gathers the messages of one event loop for one queue; nobody waits longer for others.

    A batch is one script call, so that it is applied as a whole or not at all: an error is the
    error of each of its messages.
    """

    def __init__(self, send: Send) -> None:
        self._send = send
        self._queues: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, Funnel[Push, bool]]]
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
            name = "tasqueue: gathered sends"
            queue = queues[push.queue] = Funnel(self._submit, _fitting, name=name)
        return [await queue.ask(push)]

    async def _submit(self, pushes: list[Push]) -> list[bool]:
        return await self._send(Submit(pushes))


def _fitting(waiting: list[Push]) -> int:
    """How many of them one script call takes."""
    return len(next(portions(waiting, _weight)))


def _weight(push: Push) -> int:
    return push.size
