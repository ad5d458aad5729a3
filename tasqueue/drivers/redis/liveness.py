"""Who is dead: a worker whose counter stands still while I beat, never by anybody's clock."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from tasqueue.drivers.redis.process import Place, vanished

BEATS: Final = 5
"""Beats of mine without one of the other, if both have the same lease."""


class Watch:
    """What one worker has seen of the others' beats on one queue."""

    def __init__(self, mine: Place) -> None:
        self._mine = mine
        self._seen: dict[str, tuple[bytes, int]] = {}

    def forget(self) -> None:
        """Start anew: my own beat failed, so I may not judge the others by it."""
        self._seen.clear()

    def dead(
        self, alive: Mapping[str, bytes], places: Mapping[str, Place | None], my_beats: int
    ) -> list[str]:
        """Name the workers that are gone, or silent for longer than their lease.

        ``alive``: counter by worker. ``my_beats``: how often I have beaten, successfully.
        """
        self._seen = {worker: look for worker, look in self._seen.items() if worker in alive}
        dead: list[str] = []
        for worker, counter in alive.items():
            place = places.get(worker)
            if place is not None and vanished(place, self._mine):
                dead.append(worker)
                continue
            seen, since = self._seen.get(worker, (b"", 0))
            if seen != counter:
                self._seen[worker] = (counter, my_beats)
            elif my_beats - since >= self._needed(place):
                dead.append(worker)
        return dead

    def _needed(self, place: Place | None) -> int:
        """Beats of mine that cover the other's lease, should it be longer than mine."""
        if place is None or self._mine.lease <= 0:
            return BEATS
        return max(BEATS, math.ceil(BEATS * place.lease / self._mine.lease))
