"""What the server itself counts of our scripts: calls, microseconds, and which steps were long."""

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from redis import Redis

from tests.servers import Valkey

LONG_STEP: Final = 5_000
"""Microseconds that no step of a script should take; told, and never asserted."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Of each of some jobs."""

    calls: float
    """Calls of scripts."""
    commands: float
    """Commands, those inside of scripts too."""
    us: float
    """Microseconds on the wall in the scripts; told, and never asserted."""

    def __str__(self) -> str:
        return f"{self.us:.1f} us in {self.calls:.3f} calls, {self.commands:.2f} commands a job"


def cost_of(conn: Redis, work: Callable[[], object], done: Callable[[], int]) -> Cost:
    """Have work done, and divide what the server counted by the jobs that ``done`` counts."""
    store: Any = conn
    before = done()
    store.config_resetstat()
    work()
    spent = store.info("commandstats")
    scripts, commands = spent["cmdstat_fcall"], sum(one["calls"] for one in spent.values())
    jobs = done() - before
    return Cost(scripts["calls"] / jobs, commands / jobs, scripts["usec"] / jobs)


class Steps:
    """Every step of a script from now on, as the server sees it.

    Its slow log and its percentiles count the time on the wall, in which others may have had the
    cores. So it is given a core whenever it wants one, where this process may ask for that; how
    long it had to wait for one is told by the kernel.
    """

    def __init__(self, server: Valkey) -> None:
        self._server = server
        with suppress(PermissionError):
            os.sched_setscheduler(server.pid, os.SCHED_FIFO, os.sched_param(1))
        with server.client() as client:
            store: Any = client
            store.config_set("slowlog-log-slower-than", LONG_STEP)
            store.config_set("slowlog-max-len", 10_000)
            store.config_set("latency-tracking-info-percentiles", "50 99 100")
            store.slowlog_reset()
            store.config_resetstat()
        self._before = self._run_and_waited()

    def __str__(self) -> str:
        with self._server.client() as client:
            store: Any = client
            calls = store.info("commandstats")["cmdstat_fcall"]["calls"]
            usual = store.info("latencystats")["latency_percentiles_usec_fcall"]
            found = store.slowlog_get(10_000)
        long = sum(entry["command"].startswith(b"FCALL") for entry in found)
        ran, waited = (
            after - before
            for before, after in zip(self._before, self._run_and_waited(), strict=True)
        )
        return (
            f"{long} of {calls:,} script calls above {LONG_STEP / 1000:.0f} ms; "
            f"p50 {usual['p50'] / 1000:.1f}, p99 {usual['p99'] / 1000:.1f}, "
            f"the longest {usual['p100'] / 1000:.1f} ms; "
            f"the server ran for {ran:.1f} s and waited {waited:.1f} s for a core"
        )

    def _run_and_waited(self) -> tuple[float, float]:
        """Seconds that the server's main thread has had a core, and waited for one."""
        pid = self._server.pid
        ran, waited, _ = Path(f"/proc/{pid}/task/{pid}/schedstat").read_text().split()
        return int(ran) / 1e9, int(waited) / 1e9
