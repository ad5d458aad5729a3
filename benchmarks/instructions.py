"""What a job costs the server in instructions: ``python -m benchmarks.instructions``.

The rows of `benchmarks.scale`, with the server under valgrind's callgrind: a number that no busy
neighbour changes, unlike a time, and how much of it misses the caches. It needs ``valgrind``.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from benchmarks.place import HERE
from benchmarks.report import fill
from benchmarks.scale import Case, cases, drained, fill_queue
from benchmarks.server import Count, Server, binary, running

_JOBS: Final = 4_000
_SHOWN: Final = {
    "Ir": "instructions",
    "I1mr": "missed in the instruction cache (32 KiB)",
    "D1mr": "reads missed in the data cache (32 KiB)",
    "DLmr": "reads missed in a cache of 32 MiB",
}
_COMMON: Final = (
    "--tool=callgrind", "--instr-atstart=no", "--cache-sim=yes", "--LL=33554432,16,64",
)  # fmt: skip


def _wrapped(folder: Path) -> Path:
    """A program that runs the server under callgrind, which counts nothing yet."""
    program = folder / "server"
    options = " ".join((*_COMMON, f"--callgrind-out-file={folder}/out.%p"))
    program.write_text(f'#!/bin/sh\nexec valgrind {options} "{binary()}" "$@"\n')
    program.chmod(0o755)
    return program


def _tell(server: Server, *what: str) -> None:
    told = ["callgrind_control", *what, str(server.pid)]
    subprocess.run(told, check=True, stdout=subprocess.DEVNULL)


def counted(case: Case, folder: Path) -> dict[str, float]:
    """Drain a row's jobs, and count; a server of its own each."""
    with running() as server:
        fill_queue(server, case)
        calls = Count(server)
        _tell(server, "-i", "on")
        with drained(server, case):
            _tell(server, "-i", "off")
            done = server.ended()
            commands = calls.per_job(done)["redis_commands"]
        _tell(server, "-d", "drain")
        pid = server.pid
    found = _totals(folder, pid)
    return {"commands": commands} | {name: found[name] / done for name in _SHOWN}


def _totals(folder: Path, pid: int) -> dict[str, int]:
    """The dump that counted most: the server's end writes one more, of nothing."""
    best: dict[str, int] = {}
    for file in folder.glob(f"out.{pid}*"):
        lines = dict(line.split(": ", 1) for line in file.read_text().splitlines() if ": " in line)
        names, totals = lines["events"].split(), lines["totals"].split()
        one = {name: int(total) for name, total in zip(names, totals, strict=False)}
        if one["Ir"] > best.get("Ir", -1):
            best = one
    return best


def markdown(rows: dict[str, dict[str, float]], about: str) -> str:
    """The table."""
    lines = [about, "", f"| a job | commands | {' | '.join(_SHOWN.values())} | against base |"]
    lines.append("|---" + "|--:" * (len(_SHOWN) + 2) + "|")
    for name, row in rows.items():
        misses = " | ".join(f"{row[event]:,.0f}" for event in list(_SHOWN)[1:])
        ratio = row["Ir"] / rows["base"]["Ir"]
        figures = f"{row['commands']:.2f} | {row['Ir']:,.0f} | {misses}"
        lines.append(f"| {name} | {figures} | {ratio:.2f} × |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Count, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--share", type=float, default=1.0, help="part of the full sizes")
    parser.add_argument("--publish", action="store_true", help="into the docs too")
    parser.add_argument("--out", type=Path, default=HERE / "results")
    asked = parser.parse_args()
    if not shutil.which("valgrind"):
        raise SystemExit("no valgrind: install it to count instructions")
    rows: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory(prefix="tasqueue-count-") as name:
        os.environ["BENCH_SERVER"] = str(_wrapped(Path(name)))
        for case in cases(asked.share):
            if case.bytes > 1_000 or case.processes > 1:
                continue
            rows[case.name] = counted(replace(case, jobs=max(_JOBS, case.members)), Path(name))
            print(f"{case.name}: {rows[case.name]['Ir']:,.0f} instructions a job", flush=True)
    command = f"python -m benchmarks.instructions --share {asked.share:g}"
    about = f"{_JOBS:,} jobs a row, or all of a group. Command: `{command}`"
    results: dict[str, Any] = {"about": about, "rows": rows}
    asked.out.mkdir(parents=True, exist_ok=True)
    (asked.out / "instructions.json").write_text(json.dumps(results, indent=1) + "\n")
    text = markdown(rows, about)
    if asked.publish:
        fill("instructions", text)
    print(text)


if __name__ == "__main__":
    main()
