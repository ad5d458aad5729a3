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
    supervisor: int = 0
    """PID of the process that reaps this one as soon as it ends; 0 if there is none."""
    supervisor_started: str = ""
    leaving: bool = False
    """It was told to stop, as one of its beats has said."""

    def text(self) -> str:
        """Write it as a worker stores it that begins."""
        process = f"{self.boot}|{self.namespace}|{self.pid}|{self.started}|{self.lease:g}"
        return f"{process}|{self.supervisor}|{self.supervisor_started}"


def here(lease: float, *, supervisor: int | None = None) -> Place:
    """Describe this process, and the one that supervises it (by PID)."""
    pid, above = os.getpid(), supervisor or 0
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        namespace = (_PROC / "self/ns/pid").readlink().name
    except OSError:
        return Place("", "", pid, "", lease, above)
    since = _started(above) if above else ""
    return Place(boot, namespace, pid, _started(pid), lease, above, since)


def parse(text: str) -> Place | None:
    """Read a stored place; fields that a later version appends are left alone."""
    try:
        boot, namespace, pid, started, lease, *more = text.split("|")
        above, since, *later = more if len(more) > 1 else ("0", "")
        told = "leaving" in later
        return Place(boot, namespace, int(pid), started, float(lease), int(above or 0), since, told)
    except ValueError:
        return None


def vanished(place: Place, mine: Place) -> bool:
    """Tell whether a worker is gone for certain; only one of this host can be.

    While its supervisor lives the answer is no: that one knows which jobs had begun.
    """
    if not place.boot or (place.boot, place.namespace) != (mine.boot, mine.namespace):
        return False
    if place.supervisor and not _gone(place.supervisor, place.supervisor_started):
        return False
    return _gone(place.pid, place.started)


def _gone(pid: int, since: str) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    started = _started(pid)
    return bool(started) and started != since


def _started(pid: int) -> str:
    """Field 22 of stat; "zombie" for a process that runs nothing any more, "" if hidden."""
    try:
        fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "zombie" if fields[0] in "ZX" else fields[19]
