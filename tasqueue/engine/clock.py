"""The one clock: all waiting and all reading of the time goes through it."""

from __future__ import annotations

import asyncio
import time
from typing import Final


class Clock:
    """The real time. Tests hand in one that they turn themselves."""

    def now_ns(self) -> int:
        """Unix time in nanoseconds."""
        return time.time_ns()

    def monotonic(self) -> float:
        """Seconds of a clock that never jumps."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait, leaving the event loop to others."""
        await asyncio.sleep(seconds)


SYSTEM: Final = Clock()
"""The clock of everything that was given no other."""
