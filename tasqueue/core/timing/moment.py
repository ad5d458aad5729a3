"""Instants and spans: between Python's datetime types and the wire's integer nanoseconds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from tasqueue.core.errors import ConfigurationError

NS_PER_S: Final = 1_000_000_000
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST: Final = datetime.min.replace(tzinfo=UTC)
_LAST: Final = datetime.max.replace(tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_LIMIT_NS: Final = 2**63


def to_ns(moment: datetime) -> int:
    """Unix nanoseconds of a moment, exactly; a naive one is in the system's local zone.

    Raises:
        ConfigurationError: naive, and so close to year 1 or 9999 that it has no local offset.
    """
    if moment.tzinfo is None:
        try:
            moment = moment.astimezone()
        except (OverflowError, ValueError, OSError) as error:
            raise ConfigurationError(f"moment {moment}: give it a time zone, as UTC") from error
    return (moment - EPOCH) // _MICROSECOND * 1000


def from_ns(ns: int) -> datetime:
    """Aware UTC moment of unix nanoseconds, rounded down to a microsecond.

    What lies outside the years 1 to 9999 becomes the nearest moment inside.
    """
    if ns <= to_ns(_FIRST):
        return _FIRST
    if ns >= to_ns(_LAST):
        return _LAST
    return EPOCH + timedelta(microseconds=ns // 1000)


def span_ns(value: timedelta | float) -> int:
    """Nanoseconds of a timedelta or of a number of seconds; either may be negative.

    Raises:
        ConfigurationError: not a number, or more than Go's time.Duration holds, about 292 years.
    """
    if isinstance(value, timedelta):
        ns = value // _MICROSECOND * 1000
    elif abs(value) <= _LIMIT_NS // NS_PER_S:
        whole, fraction = divmod(value, 1)
        ns = int(whole) * NS_PER_S + round(fraction * NS_PER_S)
    else:
        ns = _LIMIT_NS
    if not -_LIMIT_NS <= ns < _LIMIT_NS:
        raise ConfigurationError(f"span {value}: allowed are seconds or a timedelta, to 292 years")
    return ns


def span_from_ns(ns: int) -> timedelta:
    """Span of so many nanoseconds, rounded down to a microsecond; ns within Go's time.Duration."""
    return timedelta(microseconds=ns // 1000)
