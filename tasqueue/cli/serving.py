"""A server as a process of its own: signals in, an exit code out."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from typing import Final

from tasqueue.engine.context import LOGGER
from tasqueue.engine.server import Leftover, Server
from tasqueue.sdk.app import App

UNFINISHED: Final = 1
"""Exit code: jobs are left in hand, for others to find."""


def serve(app: App) -> int:
    """Run an app's server until SIGTERM or SIGINT; a second signal skips the wait for its jobs.

    Returns the exit code. Does not return while threads of jobs that outlasted the grace run on:
    these jobs are given back, and the process ends under them.
    """
    left = asyncio.run(_served(app.server, app))
    code = UNFINISHED if left.queues else 0
    if left.threads:
        LOGGER.warning("%d threads of jobs that were given back still run: ending", left.threads)
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code


async def _served(server: Server, app: App) -> Leftover:
    loop, stops = asyncio.get_running_loop(), list[asyncio.Task[None]]()

    def stop() -> None:
        stops.append(loop.create_task(server.stop(grace=0 if stops else None)))
        LOGGER.info("stopping: %s", "now" if len(stops) > 1 else "running jobs may end first")

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    await server.start()
    await app.aclose()
    await asyncio.gather(*stops)
    return server.leftover
