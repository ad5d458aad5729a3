"""The worker inside a memory app's process: a thread with an event loop of its own."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import threading

from tasqueue.engine.server import Server


class InProcessWorker:
    """Runs a server in a daemon thread; `stop` drains it, and may be called twice."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._pid = os.getpid()
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ending: asyncio.Future[None] | None = None
        self._thread = threading.Thread(target=self._main, name="tasqueue-memory", daemon=True)

    def start(self) -> None:
        """Start the thread; returns when its loop runs. At the end of the process it is stopped.

        Not in a forked child of `multiprocessing`, where Python (3.11) runs no exit handlers.
        """
        self._thread.start()
        self._ready.wait()
        atexit.register(self.stop)

    def retire(self) -> None:
        """Take no more jobs, and end when those that run have ended; returns at once."""
        if self._loop is not None and self._pid == os.getpid() and self._thread.is_alive():
            with contextlib.suppress(RuntimeError):  # the loop has closed meanwhile
                self._loop.call_soon_threadsafe(self._end)

    def stop(self) -> None:
        """As `retire`, and wait for the end; from inside a job of its own it does not wait."""
        atexit.unregister(self.stop)
        self.retire()
        if self._pid == os.getpid() and self._thread is not threading.current_thread():
            self._thread.join()

    def _main(self) -> None:
        asyncio.run(self._run())

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._loop.call_soon(self._ready.set)
        await self._server.start()

    def _end(self) -> None:
        if self._ending is None:  # a second stop would hurry the running jobs
            self._ending = asyncio.ensure_future(self._server.stop())
