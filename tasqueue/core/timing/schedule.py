"""Schedules, and the instant at which one comes due next.

The answers are those of Go's robfig/cron v3 ``Next``, oddities included, so that a Go and a Python worker that
share a queue agree on every firing. cronsim follows Debian cron instead: it fires a job of a skipped hour when the
clock has jumped and a repeated hour once, and it reads a stepped star as a star when it joins the two day fields.
So the fields are matched here.

When clocks change, wall time decides. A time that is skipped does not fire on that day: ``30 2 * * *`` waits for
the next day that has a 02:30. A time that is repeated fires each time it is shown. A schedule that wants neither
takes ``CRON_TZ=UTC`` or ``@every``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from typing import Final

from tasqueue.core.timing.moment import EPOCH, NS_PER_S

_SECOND: Final = timedelta(seconds=1)
_DAY_S: Final = 86_400
_HOUR_S: Final = 3_600
_NOON: Final = 12
_YEARS: Final = 5
# Room for the five years of the search inside what datetime can say.
_EARLIEST_S: Final = (EPOCH.replace(year=2) - EPOCH) // _SECOND
_LATEST_S: Final = (EPOCH.replace(year=9990) - EPOCH) // _SECOND


class Schedule(ABC):
    """When a job comes round again."""

    __slots__ = ()

    @abstractmethod
    def next(self, after_ns: int) -> int | None:
        """First firing later than ``after_ns``, in unix nanoseconds; None when there is none within five years."""


@dataclass(frozen=True, slots=True)
class EverySchedule(Schedule):
    """A firing on the whole second, every so many seconds."""

    seconds: int
    """Whole seconds between two firings, at least 1."""

    @staticmethod
    def of_ns(span: int) -> EverySchedule:
        """Schedule of a span, rounded down to whole seconds but to no less than one. Go: robfig, Every."""
        return EverySchedule(max(1, span // NS_PER_S))

    def next(self, after_ns: int) -> int:
        """Firing that follows ``after_ns``: the fraction of its second is dropped, as in Go."""
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
    """Whether days and weekdays must both allow a date (one of them is a star), or one is enough."""
    zone: tzinfo | None
    """Zone of the wall clock; None is the system's local zone."""

    def next(self, after_ns: int) -> int | None:
        """First firing later than ``after_ns``. Go: robfig spec.go, Next."""
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

    # Each step turns the hand until its field fits. It gives False when the field above has turned over,
    # so that all must be looked at again.

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
    """Same day and time of the next month; a day that it has not runs over into the one after. Go: AddDate."""
    first = (wall.replace(day=1) + timedelta(days=31)).replace(day=1)
    return first + timedelta(days=wall.day - 1)


class _Hand:
    """Hand of a wall clock: an instant in whole unix seconds, and what the clock shows then.

    ``wall`` carries the fields of the wall clock as if they were UTC, so that they can be reckoned with.
    """

    __slots__ = ("_moved", "_zone", "seconds", "wall")

    def __init__(self, seconds: int, zone: tzinfo | None) -> None:
        self._zone = zone
        self._moved = False
        self.seconds = seconds
        self.wall = EPOCH
        self.turn(0)

    def first_move(self) -> bool:
        """Whether no field has moved yet, so that the smaller ones still hold the start's and must be reset."""
        first, self._moved = not self._moved, True
        return first

    def turn(self, seconds: int) -> None:
        """Let so much time pass."""
        self.seconds += seconds
        self.wall = EPOCH + timedelta(seconds=self.seconds + self._offset(self.seconds))

    def turn_minutes(self, count: int) -> None:
        """Let so many minutes pass, but only one when clocks change on the way."""
        target = self.seconds + 60 * count
        steady = self._offset(target) == self._offset(self.seconds)
        self.turn(60 * count if steady else 60)

    def reach_whole_minute(self) -> bool:
        """Turn to second 0; False when that was a move."""
        if self.wall.second == 0:
            return True
        self.turn(60 - self.wall.second)
        return False

    def set(self, wall: datetime) -> None:
        """Turn to where the clock shows ``wall``.

        Of two such instants, or when there is none, it is the one that Go picks. Go: time.Date.
        """
        shown = (wall - EPOCH) // _SECOND
        offset = self._offset(shown)
        self.seconds = shown - (self._offset(shown - offset) if offset else 0)
        self.turn(0)

    def set_next_day(self) -> None:
        """Turn to the next midnight. One that is skipped sends the hand to an hour nearby, as in Go."""
        before = self.seconds
        self.set(self.wall + timedelta(days=1))
        if self.wall.hour > _NOON:
            self.turn((24 - self.wall.hour) * _HOUR_S)
        else:
            self.turn(-self.wall.hour * _HOUR_S)
        if self.seconds <= before:
            # A whole day is missing (Pacific/Apia, 2011-12-30): here Go's Next never returns.
            self.turn(_DAY_S)

    def _offset(self, seconds: int) -> int:
        """Seconds that the clock is ahead of UTC at an instant."""
        utc = EPOCH + timedelta(seconds=seconds)
        return (utc.astimezone(self._zone).replace(tzinfo=utc.tzinfo) - utc) // _SECOND
