"""The worker inside a memory app's process: a thread with an event loop of its own."""

from __future__ import annotations

import asyncio
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
        self._thread = threading.Thread(target=self._main, name="tasqueue-memory", daemon=True)

    def start(self) -> None:
        """Start the thread; returns when its loop runs."""
        self._thread.start()
        self._ready.wait()

    def stop(self) -> None:
        """Let running jobs finish within the server's grace, then end the thread."""
        if self._loop is None or self._pid != os.getpid() or not self._thread.is_alive():
            return
        if self._thread is threading.current_thread():
            return
        asyncio.run_coroutine_threadsafe(self._end(), self._loop)
        self._thread.join()

    def _main(self) -> None:
        asyncio.run(self._run())

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._loop.call_soon(self._ready.set)
        await self._server.start()

    async def _end(self) -> None:
        await self._server.stop()
