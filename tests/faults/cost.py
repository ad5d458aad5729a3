"""What the server itself counts of our scripts: calls, microseconds, and which steps were long."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from redis import Redis

LONG_STEP: Final = 5_000
"""Microseconds that no step of a script should take; told, and never asserted."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Of each of some jobs."""

    calls: float
    """Calls of scripts."""
    us: float
    """Microseconds in them."""

    def __str__(self) -> str:
        return f"{self.us:.1f} us in {self.calls:.3f} calls a job"


def cost_of(conn: Redis, work: Callable[[], object], done: Callable[[], int]) -> Cost:
    """Have work done, and divide what the server counted by the jobs that ``done`` counts."""
    store: Any = conn
    before = done()
    store.config_resetstat()
    work()
    spent = store.info("commandstats")["cmdstat_fcall"]
    jobs = done() - before
    return Cost(spent["calls"] / jobs, spent["usec"] / jobs)


def watch_steps(conn: Redis) -> None:
    """Have the server remember every step above `LONG_STEP`."""
    store: Any = conn
    store.config_set("slowlog-log-slower-than", LONG_STEP)
    store.config_set("slowlog-max-len", 10_000)
    store.slowlog_reset()
    store.config_resetstat()


def long_steps(conn: Redis) -> str:
    """How many steps of scripts were longer, of how many, and the longest of all."""
    store: Any = conn
    calls = store.info("commandstats")["cmdstat_fcall"]["calls"]
    steps = [
        (entry["duration"], entry["command"].split(b" ")[1].decode())
        for entry in store.slowlog_get(10_000)
        if entry["command"].startswith(b"FCALL")
    ]
    worst = max(steps, default=(0, "none"))
    longer = f"{len(steps)} of {calls:,} script calls above {LONG_STEP / 1000:.0f} ms"
    return f"{longer}, the longest {worst[0] / 1000:.1f} ms ({worst[1]})"
