"""A worker of quick and slow jobs; each says how long it waited, in nanoseconds."""

from __future__ import annotations

import asyncio
import logging
import os
import time

import stage

from tasqueue import App
from tasqueue.engine.prefetch import Prefetch

if "BENCH_AHEAD" in os.environ:
    setattr(Prefetch, "ahead", 0)  # noqa: B010 -- in place of a property, for comparison only

app = App(stage.URL)
logging.getLogger("tasqueue").setLevel(logging.WARNING)


@app.task(name="quick")
async def quick(sent: int) -> int:
    """Say how long it took to get here."""
    return time.time_ns() - sent


@app.task(name="slow")
async def slow(sent: int) -> int:
    """Hold a slot for half a second."""
    waited = time.time_ns() - sent
    await asyncio.sleep(0.5)
    return waited


if __name__ == "__main__":
    worker = stage.become("tasqueue", "worker", "mixed_tasqueue:app")
    stage.play(stage.Contestant(work=worker, one=lambda _: None))
