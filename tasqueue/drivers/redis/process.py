"""Which process a worker is, so that a peer on the same host can tell that it is gone."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, NamedTuple

_PROC: Final = Path("/proc")


class Place(NamedTuple):
    """Where a worker runs. Empty fields where the system does not say: then nobody judges."""

    boot: str
    """The host's boot ID."""
    namespace: str
    """The PID namespace: two containers of one host count as two hosts."""
    pid: int
    started: str
    """The process's start time: a PID is used again, the pair is not."""
    lease: float
    """Seconds of silence after which others may take the worker for dead."""

    def text(self) -> str:
        """Write it as it is stored with the worker."""
        return f"{self.boot}|{self.namespace}|{self.pid}|{self.started}|{self.lease:g}"


def here(lease: float) -> Place:
    """Describe this process."""
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        namespace = (_PROC / "self/ns/pid").readlink().name
    except OSError:
        return Place("", "", os.getpid(), "", lease)
    return Place(boot, namespace, os.getpid(), _started(os.getpid()), lease)


def parse(text: str) -> Place | None:
    """Read a stored place; fields that a later version appends are left alone."""
    try:
        boot, namespace, pid, started, lease, *_ = text.split("|")
        return Place(boot, namespace, int(pid), started, float(lease))
    except ValueError:
        return None


def vanished(place: Place, mine: Place) -> bool:
    """Tell whether a process is gone for certain; only one of this host can be."""
    if not place.boot or (place.boot, place.namespace) != (mine.boot, mine.namespace):
        return False
    try:
        os.kill(place.pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    started = _started(place.pid)
    return bool(started) and started != place.started


def _started(pid: int) -> str:
    """Field 22 of stat; "zombie" for a process that runs nothing any more, "" if hidden."""
    try:
        fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "zombie" if fields[0] in "ZX" else fields[19]
