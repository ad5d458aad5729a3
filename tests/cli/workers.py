"""Real `tasqueue worker` processes for tests: started, watched through what they say, ended."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Self

from redis import Redis

PROGRAM = '''
import asyncio, ctypes, os, time
import redis
from tasqueue import App

app = App()

def at(gate: str) -> None:
    """Say that the gate was reached, and wait until it is open."""
    with redis.Redis.from_url(app.url) as conn:
        conn.rpush(f"{gate}:pids", os.getpid())
        while conn.get(gate) is None:
            time.sleep(0.02)

@app.task(name="apart", queue="cli", executor="process")
def apart(number: int, gate: str) -> int:
    at(gate)
    return number

@app.task(name="add", queue="cli")
def add(a: int, b: int) -> int:
    return a + b

@app.task(name="wait", queue="cli", retries=0)
def wait(number: int, gate: str) -> int:
    at(gate)
    return number

@app.task(name="hold_the_gil", queue="cli")
def hold_the_gil(seconds: int) -> int:
    with redis.Redis.from_url(app.url) as conn:
        conn.rpush("gil:pids", os.getpid())
    ctypes.PyDLL(None).sleep(seconds)
    return seconds

@app.task(name="kill_the_process", queue="cli")
def kill_the_process() -> None:
    os._exit(9)

@app.task(name="block_the_loop", queue="cli")
async def block_the_loop(gate: str) -> None:
    at(gate)

@app.task(name="deaf", queue="cli")
async def deaf(gate: str) -> None:
    with redis.Redis.from_url(app.url) as conn:
        conn.rpush(f"{gate}:pids", os.getpid())
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            continue

@app.task(name="fail", queue="cli", retries=1, backoff=0)
def fail() -> None:
    raise ValueError("no such order")
'''
_PATIENCE = 25.0


def wait_until(look: Callable[[], object], what: str) -> None:
    until = time.monotonic() + _PATIENCE
    while not look():
        assert time.monotonic() < until, f"waited in vain for {what}"
        time.sleep(0.02)


class WorkerProcess:
    """A worker and what it has said on stderr so far; it does not outlive the block."""

    def __init__(self, folder: Path, url: str, *options: str, program: str = PROGRAM) -> None:
        (folder / "working_app.py").write_text(program)
        self._said = folder / f"stderr-{time.monotonic_ns()}"
        command = [sys.executable, "-m", "tasqueue", "worker", "working_app:app", *options]
        with self._said.open("wb") as said:
            self._process = subprocess.Popen(
                command, cwd=folder, env=os.environ | {"TASQUEUE_URL": url}, stderr=said
            )
        self.pid = self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for pid in [*children(self.pid), self.pid]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait()

    @property
    def said(self) -> str:
        return self._said.read_text()

    def says(self, words: str, times: int = 1) -> None:
        """Wait until it has said something this often."""
        try:
            wait_until(lambda: self.said.count(words) >= times, repr(words))
        except AssertionError as error:
            raise AssertionError(f"{error}; it said:\n{self.said}") from None

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def ended(self) -> int:
        """Wait for its end; returns the exit code, negative for a signal."""
        return self._process.wait(timeout=_PATIENCE)

    def kill(self) -> None:
        """End it alone, as `kill -9` does."""
        self._process.kill()
        self._process.wait()


worker = WorkerProcess
"""`PROGRAM` as a worker."""


def children(pid: int) -> list[int]:
    """The processes that a process has started, oldest first."""
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in path.read_text().split()] if path.exists() else []


def gone(pid: int) -> bool:
    """Whether a process runs no more; whoever started it may not have taken note yet."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return True
    return state in "ZX"


def in_flight(conn: Redis) -> list[object]:
    """The keys of workers that are not signed off."""
    return [key for name in ("if", "ld", "hb") for key in conn.keys(f"tq:{name}:*")]
