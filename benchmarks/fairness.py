"""How long quick jobs wait beside slow ones with two workers, and what claiming ahead does."""

from __future__ import annotations

import asyncio
import time
from contextlib import ExitStack
from statistics import median
from typing import Final

from benchmarks.contest import Entry
from benchmarks.measure import worker
from benchmarks.server import Server
from tasqueue import App

_BURST: Final = 100
_EVERY: Final = 0.25
"""Seconds from one burst to the next."""
_SLOW: Final = 20
"""One job of so many is slow: it holds its slot for half a second."""
_CASES: Final[tuple[tuple[str, int, dict[str, str]], ...]] = (
    ("no slow jobs", 0, {}),
    ("5 % slow jobs", _SLOW, {}),
    ("5 % slow jobs, nothing claimed ahead", _SLOW, {"BENCH_AHEAD": "no"}),
)
_WORKER: Final = Entry(
    name="fairness", adapter="mixed_tasqueue", packages=(".",), jobs=0, setting="", ours=True
)


def fair(server: Server, jobs: int, rounds: int) -> dict[str, dict[str, float]]:
    """Medians by case, measured in turn."""
    found: dict[str, list[dict[str, float]]] = {}
    for _ in range(rounds):
        for name, every, env in _CASES:
            values = _measured(server, jobs, every=every, env=env)
            print(f"{name}: p99 {values['p99_ms']:.1f} ms", flush=True)
            found.setdefault(name, []).append(values)
    return {
        name: {key: median(one[key] for one in values) for key in values[0]}
        for name, values in found.items()
    }


def _measured(server: Server, jobs: int, *, every: int, env: dict[str, str]) -> dict[str, float]:
    server.empty()
    with ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(worker(_WORKER, server, 0, **env))
        waits = sorted(asyncio.run(_waits(server, jobs, every=every)))
    return {"p50_ms": median(waits), "p99_ms": waits[int(0.99 * (len(waits) - 1))]}


async def _waits(server: Server, jobs: int, *, every: int) -> list[float]:
    """Milliseconds from the call to the first line of each quick job."""
    async with App(f"redis://127.0.0.1:{server.port}/0") as app:

        @app.task(name="quick")
        async def quick(sent: int) -> int:
            return sent

        @app.task(name="slow")
        async def slow(sent: int) -> int:
            return sent

        # The workers start, and learn how long their jobs run.
        for _ in range(4):
            for handle in await quick.adelay_many([(time.time_ns(),)] * _BURST):
                await handle.aget(timeout=60)
        handles = []
        for _ in range(0, jobs, _BURST):
            for number in range(_BURST):
                task = slow if every and number % every == 0 else quick
                handle = await task.adelay(time.time_ns())
                if task is quick:
                    handles.append(handle)
            await asyncio.sleep(_EVERY)
        return [await handle.aget(timeout=60) / 1e6 for handle in handles]
