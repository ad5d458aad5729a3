"""What a newcomer waits for: the import, the first result, a worker's start and stop, the install.

Run it: python -m benchmarks.first_contact [--install]

Each figure is the best and the median of several tries, with the interpreter's own start in it. The
best says what the program needs, the median what the machine had left. ``--install`` also makes an
empty environment, installs this tree into it with pip, and runs the first example there.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from benchmarks.server import Server, running

ROOT: Final = Path(__file__).parent.parent
QUICKSTART: Final = ROOT / "examples" / "quickstart.py"
SHOP: Final = """
from tasqueue import App
app = App({url!r})
@app.task
def add(a: int, b: int) -> int:
    return a + b
"""


def environment(**more: str) -> dict[str, str]:
    """What the measured programs see; they may write compiled modules, as after an install."""
    left_out = {"PYTHONDONTWRITEBYTECODE", "TASQUEUE_URL"}
    inherited = {name: value for name, value in os.environ.items() if name not in left_out}
    return inherited | {"PYTHONPATH": str(ROOT)} | more


def seconds(code: str) -> float:
    """How long an interpreter runs some code, from its start to its end."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True, env=environment())
    return time.perf_counter() - started


def first_result() -> float:
    """From the start of the first example to its first result."""
    command = [sys.executable, "-u", str(QUICKSTART)]
    started = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment()) as program:
        lines = iter(program.stdout or ())
        next(lines)
        took = time.perf_counter() - started
        list(lines)
    return took


def worker(folder: Path, server: Server) -> tuple[float, float]:
    """From a worker's start until it is registered, and from SIGTERM to its end."""
    command = [sys.executable, "-m", "tasqueue", "worker", "shop:app"]
    started = time.perf_counter()
    with subprocess.Popen(
        command, cwd=folder, env=environment(), stderr=subprocess.DEVNULL
    ) as process:
        while not server.client.exists("tq:hb:{tasqueue:tasks}"):
            time.sleep(0.002)
        up = time.perf_counter() - started
        time.sleep(0.5)  # idle
        started = time.perf_counter()
        process.send_signal(signal.SIGTERM)
        process.wait()
    return up, time.perf_counter() - started


def installed(folder: Path) -> float:
    """From an empty environment to the first example's end: pip and all."""
    subprocess.run([sys.executable, "-m", "venv", str(folder / "v")], check=True)
    python = str(folder / "v" / "bin" / "python")
    started = time.perf_counter()
    subprocess.run([python, "-m", "pip", "install", "-q", str(ROOT)], check=True)
    inside = {name: value for name, value in environment().items() if name != "PYTHONPATH"}
    subprocess.run(
        [python, str(QUICKSTART)], check=True, cwd=folder, env=inside, stdout=subprocess.DEVNULL
    )
    return time.perf_counter() - started


def line(what: str, taken: list[float]) -> None:
    """Print one row."""
    best, middle = min(taken) * 1000, statistics.median(taken) * 1000
    print(f"{what:<44} best {best:6.0f} ms   median {middle:6.0f} ms   of {len(taken)}")


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tries", type=int, default=9)
    parser.add_argument("--install", action="store_true")
    given = parser.parse_args()
    tries = range(given.tries)
    load, version = os.getloadavg()[0], sys.version.split()[0]
    print(f"load {load:.1f} on {os.cpu_count()} processors, Python {version}")
    seconds("import tasqueue")  # compiles, once
    line("python -c pass", [seconds("pass") for _ in tries])
    line("python -c 'import tasqueue'", [seconds("import tasqueue") for _ in tries])
    line("examples/quickstart.py: to its first result", [first_result() for _ in tries])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with running() as server:
            url = f"redis://127.0.0.1:{server.port}/0"
            (folder / "shop.py").write_text(SHOP.format(url=url))
            runs = [worker(folder, server) for _ in tries]
        line("tasqueue worker: until it is registered", [up for up, _ in runs])
        line("tasqueue worker: from SIGTERM, idle, to its end", [down for _, down in runs])
        if given.install:
            line("pip install . in an empty venv, quickstart", [installed(folder)])


if __name__ == "__main__":
    main()
