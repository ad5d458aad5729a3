"""Ours alone at scale, and how fair it is: ``python -m benchmarks.scale``.

Each row is measured right after the plain one (``base``), on a server of their own, and is shown
as a ratio to that: what a job costs with a long queue, many scheduled jobs, more processes, larger
payloads. A machine that is shared has slow and quick seconds, which such a pair has in common. The
long run watches the memory of one worker; fairness is the time that a job waits beside slow ones.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any, Final

from benchmarks.chart import figure
from benchmarks.contest import ENTRIES
from benchmarks.fairness import fair
from benchmarks.measure import Failed, Running, worker
from benchmarks.place import HERE
from benchmarks.report import fill
from benchmarks.server import Count, Server, running
from tasqueue import App

_BASE: Final = next(entry for entry in ENTRIES if entry.env.get("BENCH_MODE") == "async")
_PORTION: Final = 5_000
_LATER: Final = timedelta(days=3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One row."""

    name: str
    jobs: int = 10_000
    """Jobs whose cost is measured."""
    backlog: int = 0
    """Jobs behind them in the queue, which nobody runs."""
    scheduled: int = 0
    processes: int = 1
    bytes: int = 0
    """Size of the argument, and of the result."""
    members: int = 0
    """Jobs of a group that is followed by one more; 0: there are no groups."""
    env: dict[str, str] = field(default_factory=dict)


def cases(share: float) -> list[Case]:
    """The rows, with a part of their size."""
    many, later = int(1_000_000 * share), int(100_000 * share)
    jobs = max(1_000, int(20_000 * min(1.0, 4 * share)))
    small = min(1_000, later)
    return [
        Case(name="base", jobs=jobs),
        Case(name=f"{many:,} more jobs in the queue", jobs=jobs, backlog=many),
        Case(name=f"{later:,} jobs scheduled", jobs=jobs, scheduled=later),
        Case(name="2 worker processes", jobs=jobs, processes=2, backlog=jobs),
        Case(name="4 worker processes", jobs=jobs, processes=4, backlog=jobs),
        Case(name=f"groups of {small:,}, each with a callback", jobs=jobs, members=small),
        Case(name=f"a group of {later:,} with a callback", jobs=later, members=later),
        Case(name="1 kB argument and result", jobs=jobs, bytes=1_000),
        Case(name="64 kB argument and result", jobs=max(200, jobs // 20), bytes=64_000),
        Case(name="1 MB argument and result", jobs=max(20, jobs // 200), bytes=1_000_000),
    ]


def _app(server: Server) -> App:
    app = App(f"redis://127.0.0.1:{server.port}/0")

    @app.task(name="add")
    def add(a: int, b: int) -> int:
        return a + b

    @app.task(name="echo")
    def echo(data: str) -> str:
        return data

    @app.task(name="total")
    def total(numbers: list[int]) -> int:
        return sum(numbers)

    return app


def fill_queue(server: Server, case: Case) -> None:
    """The measured jobs first: they are older, and so come first."""
    server.empty()
    with _app(server) as app:
        add, echo = app.tasks["add"], app.tasks["echo"]
        if case.bytes:
            data = "x" * case.bytes
            for start in range(0, case.jobs, 50):
                echo.delay_many([(data,)] * min(50, case.jobs - start))
        elif case.members:
            for _ in range(case.jobs // case.members):
                rows = [(number, 1) for number in range(case.members)]
                add.group(rows).then(app.tasks["total"]).delay()
        else:
            _send(add.delay_many, case.jobs)
        _send(add.delay_many, case.backlog)
        at = datetime.now(UTC) + _LATER
        _send(add.using(eta=at).delay_many, case.scheduled)


def _send(many: Callable[[list[tuple[int, int]]], Any], count: int) -> None:
    for start in range(0, count, _PORTION):
        many([(number, 1) for number in range(start, min(start + _PORTION, count))])


def measured(server: Server, case: Case) -> dict[str, float]:
    """Run a row once."""
    fill_queue(server, case)
    counted = Count(server)
    with drained(server, case) as report:
        done = server.ended()
        redis_cpu_us = counted.per_job(done)["redis_cpu_us"]
    return {
        "drain_per_s": done / report["seconds"],
        "worker_cpu_us": 1e6 * report["cpu"] / report["jobs"],
        "redis_cpu_us": redis_cpu_us,
    }


@contextmanager
def drained(server: Server, case: Case) -> Generator[dict[str, Any]]:
    """What the first worker reports when the jobs have run; all workers are still there."""
    share = case.jobs // case.processes
    if case.members:
        share = case.jobs // case.members * (case.members + 1)  # the callbacks too
    with ExitStack() as stack:
        workers = [
            stack.enter_context(worker(_BASE, server, share, **case.env))
            for _ in range(case.processes)
        ]
        yield workers[0].report()


def rows(share: float, rounds: int) -> dict[str, dict[str, float]]:
    """Medians by row; ``ratio`` is that of the pairs, of all CPU a job takes."""
    base, *others = cases(share)
    found: dict[str, dict[str, list[float]]] = {}
    for _ in range(rounds):
        for case in others:
            try:
                with running() as server:
                    plain, values = measured(server, base), measured(server, case)
            except Failed as error:
                print(f"{case.name}: FAILED\n{error}", flush=True)
                continue
            values["ratio"] = _cpu(values) / _cpu(plain)
            print(f"{case.name}: {values['drain_per_s']:,.0f} jobs/s", flush=True)
            for row, one in ((base.name, plain | {"ratio": 1.0}), (case.name, values)):
                for name, value in one.items():
                    found.setdefault(row, {}).setdefault(name, []).append(value)
    return {
        row: {name: median(sample) for name, sample in values.items()}
        | {"ratio_low": min(values["ratio"]), "ratio_high": max(values["ratio"])}
        for row, values in found.items()
    }


def _cpu(values: dict[str, float]) -> float:
    return values["worker_cpu_us"] + values["redis_cpu_us"]


# -- a long run ----------------------------------------------------------------------------------


def long_run(server: Server, jobs: int) -> dict[str, float]:
    """Feed one worker until it has run so many jobs; its memory after a tenth and at the end."""
    server.empty()
    sizes: list[float] = []
    begun = time.perf_counter()
    with _app(server) as app, worker(_BASE, server, jobs) as busy:
        for start in range(0, jobs, _PORTION):
            _send(app.tasks["add"].delay_many, min(_PORTION, jobs - start))
            while int(server.client.llen("tasqueue:tasks")) > _PORTION:
                time.sleep(0.02)
            _forget(server)
            sizes.append(busy.rss_mb())
        seconds = _until_done(busy, begun)
        sizes.append(busy.rss_mb())
    tenth = sizes[max(1, len(sizes) // 10)]
    return {"jobs": jobs, "seconds": seconds, "rss_at_a_tenth_mb": tenth, "rss_mb": sizes[-1]}


def _until_done(busy: Running, begun: float) -> float:
    busy.report()
    return time.perf_counter() - begun


def _forget(server: Server) -> None:
    """Drop what has ended: a million results would fill the server, and are not looked at here."""
    client: Any = server.client
    names = [one.decode() for one in client.zrange("tq:res:success", 0, -1_000)]
    for start in range(0, len(names), 1_000):
        part = names[start : start + 1_000]
        client.unlink(*[f"tq:res:{kind}{one}" for one in part for kind in ("", "job:msg:")])
        client.zrem("tq:res:success", *part)


def markdown(results: dict[str, Any]) -> str:
    """The tables."""
    about = results["about"]
    how = (
        f"{about['date']}, {about['server']}, load average {about['load']:.1f}; medians of "
        f"{about['rounds']} pairs with the plain row (lowest and highest). "
        f"Command: `{about['command']}`"
    )
    lines = [
        how,
        "",
        "| | jobs/s | worker CPU µs/job | Redis CPU µs/job | both, against base |",
        "|---|--:|--:|--:|--:|",
    ]
    for name, row in results["rows"].items():
        costs = [row["worker_cpu_us"], row["redis_cpu_us"]]
        figures = " | ".join(map(figure, [row["drain_per_s"], *costs]))
        spread = f" ({row['ratio_low']:.2f}–{row['ratio_high']:.2f})" if name != "base" else ""
        lines.append(f"| {name} | {figures} | {row['ratio']:.2f} ×{spread} |")
    if long := results.get("long"):
        before, after = long["rss_at_a_tenth_mb"], long["rss_mb"]
        took = f"One worker, {long['jobs']:,} jobs in {long['seconds']:.0f} s"
        lines += ["", f"{took}: {before:.1f} MB after a tenth of them, {after:.1f} MB at the end."]
    lines += ["", "| two workers of 16 slots | wait p50, ms | wait p99, ms |", "|---|--:|--:|"]
    for name, values in results["fairness"].items():
        lines.append(f"| {name} | {figure(values['p50_ms'])} | {figure(values['p99_ms'])} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--share", type=float, default=1.0, help="part of the full sizes")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pings", type=int, default=2_000, help="jobs of the fairness run")
    parser.add_argument("--long", type=int, default=1_000_000, help="jobs of the long run; 0: none")
    parser.add_argument("--publish", action="store_true", help="into the docs too")
    parser.add_argument("--out", type=Path, default=HERE / "results")
    asked = parser.parse_args()
    said = f"--share {asked.share:g} --rounds {asked.rounds} --pings {asked.pings}"
    about = {
        "date": datetime.now(UTC).isoformat(timespec="minutes"),
        "rounds": asked.rounds,
        "command": f"python -m benchmarks.scale {said} --long {asked.long}",
    }
    with running() as server:
        about["server"] = server.version()
        results = {
            "about": about,
            "rows": rows(asked.share, asked.rounds),
            "fairness": fair(server, asked.pings, asked.rounds),
            "long": long_run(server, asked.long) if asked.long else None,
        }
    about["load"] = os.getloadavg()[1]
    asked.out.mkdir(parents=True, exist_ok=True)
    (asked.out / "scale.json").write_text(json.dumps(results, indent=1) + "\n")
    text = markdown(results)
    (asked.out / "scale.md").write_text(text)
    if asked.publish:
        fill("scale", text)
    print(text)


if __name__ == "__main__":
    main()
