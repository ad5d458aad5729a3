"""The driver: ``python -m benchmarks.run`` measures every contestant in interleaved rounds."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from subprocess import TimeoutExpired
from typing import Any

from benchmarks.contest import ENTRIES, Entry
from benchmarks.measure import Failed, round_of
from benchmarks.place import HERE, ROOT, command, versions
from benchmarks.report import publish, write
from benchmarks.server import Server, running

Samples = dict[str, dict[str, list[float]]]


def main() -> None:
    """Measure, and write the results."""
    asked = _arguments()
    entries = [one for one in ENTRIES if _chosen(one, asked.only, asked.without)]
    for entry in entries:
        command(entry, "work")  # makes its environment, so that no round waits for it
    samples: Samples = {entry.name: {} for entry in entries}
    errors: dict[str, str] = {}
    loads = []
    with running() as server:
        about = _about(server, asked)
        for number in range(asked.rounds):
            for entry in entries:
                loads.append(os.getloadavg()[0])
                _measured(entry, server, samples, errors=errors, asked=asked)
            print(f"-- round {number + 1} of {asked.rounds} is over", file=sys.stderr)
    about["load"] = {"least": min(loads), "median": median(loads), "most": max(loads)}
    results = {"about": about, "contestants": {e.name: _line(e, samples[e.name]) for e in entries},
               "errors": errors}  # fmt: skip
    asked.out.mkdir(parents=True, exist_ok=True)
    (asked.out / f"{asked.name}.json").write_text(json.dumps(results, indent=1) + "\n")
    write(results, asked.out, asked.name)
    if asked.publish:
        publish(results)
    print((asked.out / f"{asked.name}.md").read_text())


def _measured(
    entry: Entry, server: Server, samples: Samples, *, errors: dict[str, str], asked: Any
) -> None:
    begun = time.monotonic()
    try:
        found = round_of(entry, server, share=asked.share, pings=asked.pings)
    except (Failed, TimeoutExpired) as error:
        errors[entry.name] = str(error)
        print(f"{entry.name}: FAILED\n{error}", file=sys.stderr)
        return
    for name, value in found.items():
        samples[entry.name].setdefault(name, []).append(value)
    took = time.monotonic() - begun
    print(f"{entry.name}: {found['drain_per_s']:,.0f} jobs/s ({took:.0f} s)", file=sys.stderr)


def _line(entry: Entry, measured: dict[str, list[float]]) -> dict[str, Any]:
    return {
        "setting": entry.setting,
        "versions": versions(entry),
        "library": entry.library,
        "kept": entry.kept,
        "ours": entry.ours,
        "jobs": entry.jobs,
        "median": {name: median(values) for name, values in measured.items()},
        "samples": measured,
    }


def _about(server: Server, asked: argparse.Namespace) -> dict[str, Any]:
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True,
        check=False,
    ).stdout.strip()  # fmt: skip
    return {
        "date": datetime.now(UTC).isoformat(timespec="minutes"),
        "commit": commit,
        "machine": _machine(),
        "python": platform.python_version(),
        "server": server.version(),
        "rounds": asked.rounds,
        "share": asked.share,
        "command": f"python -m benchmarks.run {' '.join(sys.argv[1:])}".strip(),
    }


def _machine() -> str:
    model = "unknown processor"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} × {model}, {memory:.0f} GiB, {platform.system()} {platform.release()}"


def _chosen(entry: Entry, only: list[str], without: list[str]) -> bool:
    wanted = not only or any(word in entry.name for word in only)
    return wanted and not any(word in entry.name for word in without)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="medians are over these")
    parser.add_argument("--share", type=float, default=0.3, help="part of the full job counts")
    parser.add_argument("--pings", type=int, default=100, help="jobs of the idle latency")
    parser.add_argument("--only", action="append", default=[], help="part of a name; repeatable")
    parser.add_argument("--without", action="append", default=[], help="the same, left out")
    parser.add_argument("--out", type=Path, default=HERE / "results")
    parser.add_argument("--publish", action="store_true", help="into the docs too")
    parser.add_argument("--name", default="short", help="of the files that are written")
    return parser.parse_args()


if __name__ == "__main__":
    main()
