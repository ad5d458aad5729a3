"""One round of one contestant: enqueue, drain, idle latency, with one worker process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any, Final

from benchmarks.contest import Entry
from benchmarks.place import command, environment
from benchmarks.server import Count, Server, process_rss_mb

_DRAINS_WITHIN: Final = 180.0
_CALL_WITHIN: Final = 120.0


class Failed(Exception):
    """A contestant did not do what it was asked to; the text is the end of what it said."""


def round_of(entry: Entry, server: Server, *, share: float, pings: int) -> dict[str, float]:
    """Measure a contestant once, with ``share`` of its jobs."""
    jobs = max(200, int(entry.jobs * share))
    found: dict[str, float] = {}
    for measure, count in _enqueues(entry, jobs):
        server.empty()
        report = _call(entry, server, measure, count=count)
        if report:
            found[f"{measure}_per_s"] = report["jobs"] / report["seconds"]
            found[f"{measure}_cpu_us"] = 1e6 * report["cpu"] / report["jobs"]
    server.empty()
    _call(entry, server, "fill", count=jobs)
    found |= _drain(entry, server, jobs, pings=pings)
    server.empty()
    return found


def _enqueues(entry: Entry, jobs: int) -> Iterator[tuple[str, int]]:
    """Ours enqueues the same way in most modes: it is measured once."""
    mode = entry.env.get("BENCH_MODE")
    if not entry.ours or mode == "async":
        yield "one", min(jobs, 5_000)
        yield "burst", min(jobs, 10_000)
    if not entry.ours or mode in {"async", "group", "chain"}:
        yield "many", min(jobs, 20_000)


def _drain(entry: Entry, server: Server, jobs: int, *, pings: int) -> dict[str, float]:
    counted = Count(server)
    with worker(entry, server, jobs) as running:
        report = running.report()
        per_job = counted.per_job(report["jobs"])
        found = {
            "drain_per_s": report["jobs"] / report["seconds"],
            "worker_cpu_us": 1e6 * report["cpu"] / report["jobs"],
            **per_job,
        }
        if pings and entry.env.get("BENCH_MODE") not in {"group", "chain", "batch"}:
            found |= _latency(entry, _call(entry, server, "ping", count=pings))
        found["worker_rss_mb"] = running.rss_mb()
    return found


def _latency(entry: Entry, report: dict[str, Any]) -> dict[str, float]:
    found: dict[str, float] = {}
    for name in ("start", "result") if entry.kept else ("start",):
        sample = sorted(report[f"{name}_us"])
        if sample:
            found[f"{name}_p50_ms"] = median(sample) / 1000
            found[f"{name}_p99_ms"] = sample[int(0.99 * (len(sample) - 1))] / 1000
    return found


class Running:
    """A contestant's worker."""

    def __init__(self, process: subprocess.Popen[bytes], folder: Path) -> None:
        self._process = process
        self._folder = folder
        self.pid: int = process.pid

    def rss_mb(self) -> float:
        """Its memory."""
        return process_rss_mb(self.pid)

    def report(self) -> dict[str, Any]:
        """What it says when it has run all jobs.

        Raises:
            Failed: it ended, or took too long.
        """
        target = self._folder / "report"
        until = time.monotonic() + _DRAINS_WITHIN
        while not target.exists():
            if self._process.poll() is not None or time.monotonic() > until:
                raise Failed(_tail((self._folder / "log").read_text()))
            time.sleep(0.01)
        said: dict[str, Any] = json.loads(target.read_text())
        return said


@contextmanager
def worker(entry: Entry, server: Server, jobs: int, **more: str) -> Iterator[Running]:
    """A worker that notes its first and its last of ``jobs`` jobs."""
    with tempfile.TemporaryDirectory(prefix="tasqueue-bench-") as name:
        folder = Path(name)
        env = environment(
            entry, server.port, BENCH_JOBS=str(jobs), BENCH_REPORT=str(folder / "report"), **more
        )
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                command(entry, "work"), env=env, stdout=log, stderr=log, start_new_session=True,
                cwd=folder,
            )  # fmt: skip
        try:
            yield Running(process, folder)
        finally:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=5)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=5)


def _call(entry: Entry, server: Server, measure: str, *, count: int) -> dict[str, Any]:
    """Have a contestant do something in a process of its own; what it reports."""
    done = subprocess.run(
        command(entry, measure, str(count)),
        env=environment(entry, server.port),
        capture_output=True,
        text=True,
        timeout=_CALL_WITHIN,
        check=False,
    )
    if done.returncode != 0 or not done.stdout.strip():
        raise Failed(_tail(done.stderr))
    report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return report


def _tail(text: str) -> str:
    return "\n".join(text.splitlines()[-6:]) or "it said nothing"
