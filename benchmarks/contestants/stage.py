"""What every contestant does on the driver's word: enqueue, ping, or work; standard library only.

A contestant runs inside its own virtual environment, so nothing but the standard library may be
imported here. It prints one JSON line on stdout; the driver reads the last line.
"""

from __future__ import annotations

import asyncio
import inspect
import itertools
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

PORT: Final = int(os.environ.get("BENCH_PORT", "6379"))
URL: Final = f"redis://127.0.0.1:{PORT}/0"
FOLDER: Final = Path(__file__).parent
_WARM: Final = 10
"""Calls before a measurement: connecting and loading scripts is not what is measured."""
_PAUSE: Final = 0.003
"""Seconds between two pings."""


class Tally:
    """Counts task bodies in the worker; the first and the last one of a drain are noted."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._jobs = int(os.environ.get("BENCH_JOBS", "0"))
        self._begun = self._cpu = 0.0

    def __call__(self) -> None:
        """Say that a body runs. Safe from threads: the counter's step is atomic."""
        number = next(self._numbers)
        if number == 1:
            self._begun, self._cpu = time.perf_counter(), cpu_seconds()
        elif number == self._jobs:
            seconds = time.perf_counter() - self._begun
            _note({"seconds": seconds, "cpu": cpu_seconds() - self._cpu, "jobs": number - 1})


def _note(report: dict[str, Any]) -> None:
    target = Path(os.environ["BENCH_REPORT"])
    part = target.with_suffix(".part")
    part.write_text(json.dumps(report))
    part.rename(target)


tick: Final = Tally()


def cpu_seconds() -> float:
    """User and system time of this process so far."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


@dataclass(frozen=True, kw_only=True)
class Contestant:
    """What a library can do; async callables are run on one event loop, kept for the run."""

    work: Callable[[], None]
    """Become a worker, until SIGTERM."""
    one: Callable[[int], Any]
    """Enqueue ``add(n, 1)``; returns when the broker has it."""
    many: Callable[[int], Any] | None = None
    """Enqueue that many jobs the library's own bulk way."""
    burst: Callable[[int], Any] | None = None
    """Enqueue that many jobs from 100 coroutines at once."""
    ping: Callable[[], Any] | None = None
    """Enqueue ``now()`` and wait for its result, the ``time.time_ns()`` of its body."""
    opening: Callable[[], Any] | None = None
    closing: Callable[[], Any] | None = None


def become(*command: str) -> Callable[[], None]:
    """Work by becoming the library's own command line, ``python -m`` in front."""

    def work() -> None:
        os.chdir(FOLDER)
        os.execv(sys.executable, [sys.executable, "-m", *command])

    return work


def runner() -> asyncio.Runner:
    """An event loop on uvloop if this environment has it, else asyncio's own."""
    try:
        import uvloop  # noqa: PLC0415 -- only in environments whose library profits from it
    except ImportError:
        return asyncio.Runner()
    return asyncio.Runner(loop_factory=uvloop.new_event_loop)


def on_loop(work: Callable[[], Any]) -> Callable[[], None]:
    """Work as a coroutine, until the worker's own signal handling ends it."""

    def run() -> None:
        with runner() as loop:
            loop.run(work())

    return run


def play(contestant: Contestant) -> None:
    """Do what the command line says: ``work``, or a measure and its count."""
    measure = sys.argv[1]
    if measure == "work":
        contestant.work()
        return
    with runner() as loop:
        stage = _Stage(contestant, loop)
        stage.call(contestant.opening)
        report = getattr(stage, measure)(int(sys.argv[2]))
        stage.call(contestant.closing)
    sys.stdout.write(json.dumps(report) + "\n")


class _Stage:
    """The measures, by the names that the driver calls them."""

    def __init__(self, contestant: Contestant, loop: asyncio.Runner) -> None:
        self._of = contestant
        self._loop = loop

    def call(self, step: Callable[..., Any] | None, *arguments: Any) -> Any:
        """Call a step, blocking or async; blocking ones run outside of the loop."""
        if step is None:
            return None
        found = step(*arguments)
        return self._loop.run(found) if inspect.iscoroutine(found) else found

    def one(self, count: int) -> dict[str, float]:
        """Enqueue one by one."""
        for number in range(_WARM):
            self.call(self._of.one, number)
        return self._timed(lambda: self._each(count), count)

    def many(self, count: int) -> dict[str, float]:
        """Enqueue in bulk."""
        return self._bulk(self._of.many, count)

    def burst(self, count: int) -> dict[str, float]:
        """Enqueue from 100 coroutines."""
        return self._bulk(self._of.burst, count)

    def fill(self, count: int) -> dict[str, float]:
        """Enqueue the fastest way; nobody looks at the time."""
        self.call(self._of.many or self._each, count)
        return {}

    def ping(self, count: int) -> dict[str, list[float]]:
        """Enqueue and wait, one after the other, with pauses in which the worker goes idle."""
        start: list[float] = []
        result: list[float] = []

        def note(sent: int, body: int) -> None:
            start.append((body - sent) / 1000)
            result.append((time.time_ns() - body) / 1000)

        self.call(lambda: _pings(self._of.ping, count + _WARM, note))
        return {"start_us": start[_WARM:], "result_us": result[_WARM:]}

    def _each(self, count: int) -> Any:
        one = self._of.one
        if inspect.iscoroutinefunction(one):
            return _awaited(one, count)
        for number in range(count):
            one(number)
        return None

    def _bulk(self, step: Callable[[int], Any] | None, count: int) -> dict[str, float]:
        if step is None:
            return {}
        self.call(step, _WARM)
        return self._timed(lambda: step(count), count)

    def _timed(self, step: Callable[[], Any], count: int) -> dict[str, float]:
        cpu, begun = cpu_seconds(), time.perf_counter()
        self.call(step)
        seconds = time.perf_counter() - begun
        return {"seconds": seconds, "cpu": cpu_seconds() - cpu, "jobs": count}


async def _awaited(one: Callable[[int], Any], count: int) -> None:
    for number in range(count):
        await one(number)


def _pings(ping: Callable[[], Any] | None, count: int, note: Callable[[int, int], None]) -> Any:
    if ping is None:
        return None
    if inspect.iscoroutinefunction(ping):
        return _awaited_pings(ping, count, note)
    for _ in range(count):
        time.sleep(_PAUSE)
        sent = time.time_ns()
        note(sent, ping())
    return None


async def _awaited_pings(
    ping: Callable[[], Any], count: int, note: Callable[[int, int], None]
) -> None:
    for _ in range(count):
        await asyncio.sleep(_PAUSE)
        sent = time.time_ns()
        note(sent, await ping())


async def hundred(step: Callable[[int], Any], count: int) -> None:
    """Call an async step ``count`` times from 100 coroutines that share the work."""
    numbers = iter(range(count))

    async def drain() -> None:
        for number in numbers:
            await step(number)

    await asyncio.gather(*[drain() for _ in range(100)])
