"""Schedules, and the instant at which one comes due next.

The answers are those of Go's robfig/cron v3 ``Next``, oddities included, so that a Go and a Python
worker on one queue agree on every firing. cronsim cannot give them, so fields are matched here: it
follows Debian cron, where a job of a skipped hour runs as soon as the clock has jumped and one of
a repeated hour runs once, and where ``*/2`` is a star to the rule that joins the two day fields.

When clocks change, the wall clock decides. A time that is skipped does not fire: ``30 2 * * *``
waits for the next day that has a 02:30. A time that is shown twice fires twice. Where midnight is
skipped, Go may miss more of that day: in Asia/Beirut ``0 12 * * 0`` missed 2024-03-31. Who wants
none of this takes ``CRON_TZ=UTC`` or ``@every``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from typing import Final

from tasqueue.core.timing.moment import EPOCH, NS_PER_S

_SECOND: Final = timedelta(seconds=1)
_HOUR_S: Final = 3_600
_DAY_S: Final = 86_400
_YEARS: Final = 5
# Room for the five years of a search inside what datetime can say.
_EARLIEST_S: Final = (EPOCH.replace(year=2) - EPOCH) // _SECOND
_LATEST_S: Final = (EPOCH.replace(year=9990) - EPOCH) // _SECOND


class Schedule(ABC):
    """When a job comes round again."""

    __slots__ = ()

    @abstractmethod
    def next(self, after_ns: int) -> int | None:
        """First firing after ``after_ns``, in unix nanoseconds; None if five years hold none."""


@dataclass(frozen=True, slots=True)
class EverySchedule(Schedule):
    """A firing on the whole second, every so many seconds."""

    seconds: int
    """Whole seconds between two firings, at least 1."""

    @staticmethod
    def of_ns(span: int) -> EverySchedule:
        """Schedule of a span, rounded down to whole seconds but not below one. Go: Every."""
        return EverySchedule(max(1, span // NS_PER_S))

    def next(self, after_ns: int) -> int:
        """Firing that follows ``after_ns``, the fraction of whose second is dropped first."""
        return (after_ns // NS_PER_S + self.seconds) * NS_PER_S


@dataclass(frozen=True, slots=True, kw_only=True)
class CronSchedule(Schedule):
    """A firing at second 0 of each minute that all fields allow, on the wall clock of a zone."""

    minutes: frozenset[int]
    """0 to 59."""
    hours: frozenset[int]
    """0 to 23."""
    days: frozenset[int]
    """Days of the month, 1 to 31."""
    months: frozenset[int]
    """1 to 12."""
    weekdays: frozenset[int]
    """0 is Sunday, 6 Saturday."""
    both_days: bool
    """Whether a date must suit days and weekdays (one of them is a star), or one is enough."""
    zone: tzinfo | None
    """Zone of the wall clock; None is the system's local zone."""

    def next(self, after_ns: int) -> int | None:
        """First firing after ``after_ns``. Go: robfig spec.go, Next."""
        start = after_ns // NS_PER_S + 1
        if not (self.minutes and self.hours and _EARLIEST_S <= start <= _LATEST_S):
            return None
        hand = _Hand(start, self.zone)
        last_year = hand.wall.year + _YEARS
        while hand.wall.year <= last_year:
            if (
                self._reach_month(hand)
                and self._reach_day(hand)
                and self._reach_hour(hand)
                and self._reach_minute(hand)
                and hand.reach_whole_minute()
            ):
                return hand.seconds * NS_PER_S
        return None

    # Each step turns the hand until its field fits. It gives False as soon as the field above has
    # turned over, for then that one must be looked at again.

    def _reach_month(self, hand: _Hand) -> bool:
        while hand.wall.month not in self.months:
            if hand.first_move():
                hand.set(hand.wall.replace(day=1, hour=0, minute=0, second=0))
            hand.set(_month_later(hand.wall))
            if hand.wall.month == 1:
                return False
        return True

    def _reach_day(self, hand: _Hand) -> bool:
        while not self._allows_date(hand.wall):
            if hand.first_move():
                hand.set(hand.wall.replace(hour=0, minute=0, second=0))
            hand.set_next_day()
            if hand.wall.day == 1:
                return False
        return True

    def _allows_date(self, wall: datetime) -> bool:
        by_day, by_weekday = wall.day in self.days, wall.isoweekday() % 7 in self.weekdays
        return by_day and by_weekday if self.both_days else by_day or by_weekday

    def _reach_hour(self, hand: _Hand) -> bool:
        while hand.wall.hour not in self.hours:
            if hand.first_move():
                hand.set(hand.wall.replace(minute=0, second=0))
            hand.turn(_HOUR_S)
            if hand.wall.hour == 0:
                return False
        return True

    def _reach_minute(self, hand: _Hand) -> bool:
        while hand.wall.minute not in self.minutes:
            if hand.first_move():
                hand.turn(-(hand.seconds % 60))
            minute = hand.wall.minute
            hand.turn_minutes(min((m for m in self.minutes if m > minute), default=60) - minute)
            if hand.wall.minute == 0:
                return False
        return True


def _month_later(wall: datetime) -> datetime:
    """Same day and time a month on; a day too many runs over into the month after. Go: AddDate."""
    first = (wall.replace(day=1) + timedelta(days=31)).replace(day=1)
    return first + timedelta(days=wall.day - 1)


class _Hand:
    """Hand of a wall clock: an instant in unix seconds, and what the clock shows then.

    ``wall`` holds what the clock shows as if it were UTC, so that it can be reckoned with.
    """

    __slots__ = ("_moved", "_zone", "seconds", "wall")

    def __init__(self, seconds: int, zone: tzinfo | None) -> None:
        self._zone = zone
        self._moved = False
        self.seconds = seconds
        self.wall = EPOCH
        self.turn(0)

    def first_move(self) -> bool:
        """Whether nothing has moved yet: the smaller fields still show the start and go to 0."""
        first, self._moved = not self._moved, True
        return first

    def turn(self, seconds: int) -> None:
        """Let so much time pass."""
        self.seconds += seconds
        self.wall = EPOCH + timedelta(seconds=self.seconds + self._offset(self.seconds))

    def turn_minutes(self, count: int) -> None:
        """Let so many minutes pass, but only one if clocks change on the way."""
        steady = self._offset(self.seconds + 60 * count) == self._offset(self.seconds)
        self.turn(60 * count if steady else 60)

    def reach_whole_minute(self) -> bool:
        """Turn to second 0; False when that was a move."""
        if self.wall.second == 0:
            return True
        self._moved = True
        self.turn(60 - self.wall.second)
        return False

    def set(self, wall: datetime) -> None:
        """Turn to where the clock shows ``wall``.

        Where it does so twice or never, the choice is that of Go's time.Date.
        """
        shown = (wall - EPOCH) // _SECOND
        offset = self._offset(shown)
        self.seconds = shown - (self._offset(shown - offset) if offset else 0)
        self.turn(0)

    def set_next_day(self) -> None:
        """Turn to the next midnight; where it is skipped, to an hour near it, as Go does."""
        before = self.seconds
        self.set(self.wall + timedelta(days=1))
        hour = self.wall.hour
        self.turn((24 - hour if hour > 12 else -hour) * _HOUR_S)
        if self.seconds <= before:
            # A whole day is missing (Pacific/Apia, 2011-12-30): Go's Next would never return.
            self.turn(_DAY_S)

    def _offset(self, seconds: int) -> int:
        """Seconds by which the clock is ahead of UTC at an instant."""
        utc = EPOCH + timedelta(seconds=seconds)
        return (utc.astimezone(self._zone).replace(tzinfo=utc.tzinfo) - utc) // _SECOND
