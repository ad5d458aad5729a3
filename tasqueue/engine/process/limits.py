"""How many worker processes a supervisor keeps, and when it replaces or kills one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

_OVERTIME: Final = 5.0
"""Seconds beyond a job's timeout after which its process, that could not end it, is killed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How many worker processes there are, and when one is replaced."""

    processes: int = 1
    max_jobs: int | None = None
    """Jobs after which a process is replaced."""
    max_rss_mib: float | None = None
    """Resident memory above which a process is replaced."""
    overtime: float = _OVERTIME
    """Seconds beyond a job's timeout after which its process is killed."""
