"""Who may be to blame for the end of a worker process: the job that ran alone in it, or anybody."""

from __future__ import annotations

import signal
from enum import IntEnum
from typing import Final

_OWN_SIGNALS: Final = {
    "SIGABRT", "SIGALRM", "SIGBUS", "SIGFPE", "SIGILL", "SIGPROF",
    "SIGSEGV", "SIGSYS", "SIGTRAP", "SIGVTALRM", "SIGXCPU", "SIGXFSZ",
}  # fmt: skip
"""What a program brings upon itself: faults, aborts, its own timers and limits."""


class Blame(IntEnum):
    """Points that a suspect is charged with when it was the one job of a process that ended.

    At 12 the store convicts it, and does not run it again: after three ends of its own doing, or
    twelve that anybody may have brought about. So an innocent survives eleven kills while it runs
    alone, and what takes its process or its host down each time does not go on for ever.
    """

    NOBODY = 0
    """The process was told to stop: what it ran is no suspect."""
    ANYBODY = 1
    """It was killed, or its host was lost. An operator's ``kill -9`` and the kernel's, when memory
    runs out, look alike; and the kernel kills the largest process, not the one that grows."""
    JOB = 4
    """It crashed or exited, or was killed since the job ran on after its time."""


def blame(exit_code: int, *, overtime: bool, leaving: bool) -> Blame:
    """Judge the end of a process of which a supervisor was told.

    Args:
        exit_code: as `subprocess` has it, negative for a signal.
        overtime: the supervisor killed it, since a job ran on after its time.
        leaving: it was told to stop, for good: whatever ends it then may be the stop.
    """
    if overtime:
        return Blame.JOB
    if leaving:
        return Blame.NOBODY
    return Blame.JOB if exit_code >= 0 or _by_itself(-exit_code) else Blame.ANYBODY


def _by_itself(number: int) -> bool:
    try:
        return signal.Signals(number).name in _OWN_SIGNALS
    except ValueError:
        return False  # a real-time signal: nobody knows
