"""How long a failed job waits for its next attempt."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from tasqueue.core.errors import ConfigurationError
from tasqueue.core.timing.moment import NS_PER_S, span_ns

_DEFAULT_LIMIT: Final = 300.0
_MOST_DOUBLINGS: Final = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Exponential back-off with full jitter.

    Retry n waits a random time from ``first`` to ``first * 2**n`` seconds, and never longer than
    ``limit``: by default 1 to 2 s, 1 to 4 s, 1 to 8 s and so on up to 5 minutes.

    Raises:
        ConfigurationError: ``first`` is negative or above ``limit``, or either is not finite.
    """

    first: float = 1.0
    """Seconds that every retry waits at least; 0 retries at once."""
    limit: float = _DEFAULT_LIMIT
    """Seconds that no retry waits longer than."""

    def __post_init__(self) -> None:
        """Refuse what is not a length of time."""
        if not (math.isfinite(self.limit) and 0 <= self.first <= self.limit):
            raise ConfigurationError(
                f"backoff first={self.first}, limit={self.limit}: allowed are 0 <= first <= limit"
            )

    @staticmethod
    def of(value: Backoff | timedelta | float) -> Backoff:
        """Back-off that a task's ``backoff=`` option means.

        A number of seconds or a timedelta is ``first``, and moves the default ``limit`` up where
        it passes that; 0 is at once.

        Raises:
            ConfigurationError: negative or not finite.
        """
        if isinstance(value, Backoff):
            return value
        first = span_ns(value) / NS_PER_S
        return Backoff(first=first, limit=max(first, _DEFAULT_LIMIT))

    def delay_ns(self, retry: int, jitter: Callable[[], float]) -> int:
        """Nanoseconds to wait before retry number ``retry`` (the first is 1).

        ``jitter`` gives a number of [0, 1), such as ``random.random``; it is called once.
        """
        longest = min(self.limit, self.first * 2.0 ** min(retry, _MOST_DOUBLINGS))
        return span_ns(self.first + jitter() * (longest - self.first))


AT_ONCE: Final = Backoff(first=0.0)
"""No wait at all: what a handler on a bare ``Server`` has, as in Go."""
