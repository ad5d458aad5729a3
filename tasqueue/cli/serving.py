"""A server as a process of its own: signals and orders in, an exit code out."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from tasqueue.engine.context import LOGGER
from tasqueue.engine.drain import Leftover
from tasqueue.engine.notes import Notes
from tasqueue.engine.process import UNFINISHED, Channel, Order
from tasqueue.engine.server import Server
from tasqueue.sdk.app import App


class Supervision(NamedTuple):
    """What a process under a supervisor works with."""

    notes: Notes
    channel: Channel
    grace: float
    """Seconds that running jobs get at a stop; the server's own grace is without end."""


def serve(app: App, supervision: Supervision | None = None) -> int:
    """Run an app's server until SIGTERM or SIGINT; a second signal skips the wait for its jobs.

    Under supervision it is the supervisor that says when to wait no longer: whoever signals a
    whole group of processes means it once.

    Returns the exit code. Does not return while jobs that outlasted the grace run on: these are
    given back, and the process ends under them.
    """
    return _code(asyncio.run(_served(app, supervision)))


def _code(left: Leftover) -> int:
    return UNFINISHED if left.held else 0


def _end_under(left: Leftover) -> None:
    """End the process at once: Python's own end, and the loop's, would wait for what runs on."""
    LOGGER.warning("%d jobs that are over still run: ending under them", left.running)
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(_code(left))


async def _served(app: App, supervision: Supervision | None) -> Leftover:
    loop, stops = asyncio.get_running_loop(), _Stops(app.server)
    told: Callable[[], None] = stops.signalled
    if supervision:
        obey = partial(stops.obey, grace=supervision.grace)
        told = partial(obey, Order.STOP)
        supervision.channel.listen(partial(_in_loop, loop, obey), supervision.grace)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told)
    await app.server.start(supervision.notes if supervision else None)
    await app.aclose()
    await stops.returned()
    if app.server.leftover.running:
        _end_under(app.server.leftover)
    return app.server.leftover


class _Stops:
    """The ways in which a server is told to stop."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._calls: list[asyncio.Task[None]] = []
        self._limited = False

    def signalled(self) -> None:
        """The first time running jobs may end, the second time there is no wait."""
        self._stop(now=bool(self._calls))

    def obey(self, order: Order, *, grace: float) -> None:
        """Do what the supervisor says; a repeated STOP changes nothing."""
        if order is Order.NOW:
            self._stop(now=True)
        elif not self._calls:
            self._stop(now=False)
        if order is Order.STOP and not self._limited:
            self._limited = True
            asyncio.get_running_loop().call_later(grace, partial(self._stop, now=True))

    async def returned(self) -> None:
        """Wait until all calls have returned."""
        await asyncio.gather(*self._calls)

    def _stop(self, *, now: bool) -> None:
        LOGGER.info("stopping: %s", "now" if now else "running jobs may end first")
        self._calls.append(asyncio.ensure_future(self._server.stop(now=now)))


def _in_loop(
    loop: asyncio.AbstractEventLoop, obey: Callable[[Order], object], order: Order
) -> None:
    with contextlib.suppress(RuntimeError):  # the loop is closed: the process ends already
        loop.call_soon_threadsafe(obey, order)
