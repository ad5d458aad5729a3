"""A supervisor as a process of its own; its children are this same program, started anew."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Sequence

from tasqueue.cli.loading import NOT_LOADED, USAGE, UsageError
from tasqueue.core.ports import Reaper, Supervised
from tasqueue.engine.process import Limits, Supervisor
from tasqueue.sdk.opening import open_backend, scheme


def supervise(arguments: Sequence[str], limits: Limits) -> int:
    """Keep worker processes with these arguments running until SIGTERM or SIGINT.

    A second signal skips the wait for their jobs. Returns the exit code.
    """

    def command(ledger: int, channel: int) -> list[str]:
        program = [sys.executable, "-m", "tasqueue", "worker", *arguments]
        return [*program, "--supervised", str(ledger), str(channel)]

    supervisor = Supervisor(command, _reaper, limits=limits, fatal=(USAGE, NOT_LOADED))
    return asyncio.run(_supervised(supervisor))


async def _supervised(supervisor: Supervisor) -> int:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, supervisor.stop)
    return await supervisor.run()


def _reaper(url: str) -> Reaper:
    store = open_backend(url, None).store
    if not isinstance(store, Supervised):
        text = f"{scheme(url)}:// has no supervised workers: start one `tasqueue worker` a process."
        raise UsageError(text, USAGE)
    return store.reaper()
