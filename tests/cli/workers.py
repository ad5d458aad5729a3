"""Real `tasqueue worker` processes for tests: started, watched through what they say, ended."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

PROGRAM = '''
import os, time
import redis
from tasqueue import App

app = App()

def at(gate: str) -> None:
    """Say that the gate was reached, and wait until it is open."""
    with redis.Redis.from_url(app.url) as conn:
        conn.rpush(f"{gate}:pids", os.getpid())
        while conn.get(gate) is None:
            time.sleep(0.02)

@app.task(name="add", queue="cli")
def add(a: int, b: int) -> int:
    return a + b

@app.task(name="wait", queue="cli", retries=0)
def wait(number: int, gate: str) -> int:
    at(gate)
    return number

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
    """A worker and what it has said on stderr so far."""

    def __init__(self, folder: Path, url: str, *options: str) -> None:
        self._said = folder / f"stderr-{time.monotonic_ns()}"
        command = [sys.executable, "-m", "tasqueue", "worker", "working_app:app", *options]
        with self._said.open("wb") as said:
            self._process = subprocess.Popen(
                command, cwd=folder, env=os.environ | {"TASQUEUE_URL": url}, stderr=said
            )
        self.pid = self._process.pid

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

    @property
    def lives(self) -> bool:
        return self._process.poll() is None

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


@contextmanager
def worker(folder: Path, url: str, *options: str) -> Iterator[WorkerProcess]:
    """Run a worker of `PROGRAM`; it does not outlive the block."""
    (folder / "working_app.py").write_text(PROGRAM)
    started = WorkerProcess(folder, url, *options)
    try:
        yield started
    finally:
        started.kill()
