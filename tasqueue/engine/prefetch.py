"""How many jobs a worker claims ahead of its free slots: as many as it runs within a moment."""

from __future__ import annotations

from typing import Final

_MOMENT: Final = 0.01
"""Seconds in which what is claimed ahead should have begun."""
_LONG: Final = 0.05
"""Seconds of a mean run from which on nothing is claimed ahead."""
_MOST: Final = 200
"""A larger batch saves nothing more, and hides more jobs from others."""
_WEIGHT: Final = 0.1
"""What one run counts against the mean before it."""
LATEST: Final = 0.1
"""Seconds after which a claimed job that waits behind full slots goes back to the queue."""


class Prefetch:
    """Learns from the runs of one queue. Before it has seen any, and for long runs, it says 0."""

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._mean = 1.0

    @property
    def ahead(self) -> int:
        """Jobs to claim beyond the free slots."""
        if self._mean > _LONG:
            return 0
        return min(_MOST, int(self._slots * _MOMENT / max(self._mean, 1e-6)))

    def ran(self, seconds: float) -> None:
        """A job took so long in its slot."""
        self._mean += _WEIGHT * (seconds - self._mean)

    def misjudged(self) -> None:
        """What was claimed ahead did not begin in time: runs must prove to be short again."""
        self._mean = max(self._mean, LATEST)
