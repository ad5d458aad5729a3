"""The cron dialect of Go: the text of a schedule to the schedule it means."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from typing import Final
from zoneinfo import ZoneInfo

from tasqueue.core.errors import ScheduleError
from tasqueue.core.timing.duration import parse_duration
from tasqueue.core.timing.schedule import CronSchedule, EverySchedule, Schedule

# Go's unicode.IsSpace; str.split() would also split at U+001C to U+001F.
_SPACES: Final = (
    "\t\n\v\f\r \x85\xa0\u1680"
    + "".join(map(chr, range(0x2000, 0x200B)))
    + "\u2028\u2029\u202f\u205f\u3000"
)
_WORD: Final = re.compile(f"[^{_SPACES}]+")
_NUMBER: Final = re.compile(r"\+?0*([0-9]{1,19})")
_ZONE_NAME: Final = re.compile(r"[A-Za-z0-9_+-]+(?:/[A-Za-z0-9_+-]+)*")
_LARGEST: Final = 2**63 - 1
_SHOWN: Final = 60
_EVERY: Final = "@every "
_DESCRIPTORS: Final = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}


@dataclass(frozen=True, slots=True)
class _Field:
    """One of the five columns: its name, its bounds and the names of its values."""

    name: str
    low: int
    high: int
    names: Mapping[str, int] = field(default_factory=dict)


_MONTHS: Final = (
    "jan",
    "feb",
    "mar",
    "apr",
    "may",
    "jun",
    "jul",
    "aug",
    "sep",
    "oct",
    "nov",
    "dec",
)
_WEEKDAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_FIELDS: Final = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of month", 1, 31),
    _Field("month", 1, 12, {name: number for number, name in enumerate(_MONTHS, 1)}),
    _Field("day of week", 0, 6, {name: number for number, name in enumerate(_WEEKDAYS)}),
)


def parse_schedule(text: str, *, zone: tzinfo | None = None) -> Schedule:
    """Schedule of a text in the dialect of robfig/cron v3, ``ParseStandard``, that Go Tasqueue speaks.

    Five fields (minute, hour, day of month, month, day of week), ``@hourly`` and the like, or ``@every 1h30m``.
    ``CRON_TZ=Europe/Berlin`` or ``TZ=`` in front gives the zone; without one ``zone`` counts, and None is the
    system's local zone.

    Raises:
        ScheduleError: not in the dialect; the message names the field, the value and what is allowed.
    """
    if text.startswith(("TZ=", "CRON_TZ=")):
        prefix, space, rest = text.partition(" ")
        if not space:
            raise _refusal("schedule", text, "a space and five fields after the zone")
        zone = _zone(prefix.partition("=")[2], zone)
        text = rest.strip(_SPACES)
    if text.startswith(_EVERY):
        return EverySchedule.of_ns(parse_duration(text.removeprefix(_EVERY)))
    if text.startswith("@"):
        allowed = ", ".join([*_DESCRIPTORS, "@every 1h30m"])
        if text not in _DESCRIPTORS:
            raise _refusal("schedule", text, allowed)
        text = _DESCRIPTORS[text]
    return _parse_fields(text, zone)


def _parse_fields(text: str, zone: tzinfo | None) -> CronSchedule:
    """Schedule of five fields."""
    words = _WORD.findall(text)
    if len(words) != len(_FIELDS):
        raise _refusal("schedule", text, f"exactly 5 fields ({len(words)} found)")
    columns = [_parse_field(word, column) for word, column in zip(words, _FIELDS, strict=True)]
    (minutes, _), (hours, _), (days, any_day), (months, _), (weekdays, any_weekday) = columns
    return CronSchedule(
        minutes=minutes,
        hours=hours,
        days=days,
        months=months,
        weekdays=weekdays,
        both_days=any_day or any_weekday,
        zone=zone,
    )


def _parse_field(text: str, column: _Field) -> tuple[frozenset[int], bool]:
    """Values of a comma list, and whether an unstepped star is among them. Empty items count for nothing, as in Go."""
    values: set[int] = set()
    any_value = False
    for item in filter(None, text.split(",")):
        allowed, star = _parse_range(item, column)
        values.update(allowed)
        any_value = any_value or star
    return frozenset(values), any_value


def _parse_range(item: str, column: _Field) -> tuple[range, bool]:
    """Values of ``*``, ``a`` or ``a-b``, each with an optional ``/step``, and whether it is a star of step 1."""
    head, *steps = item.split("/")
    low, *highs = head.split("-")
    star = low in {"*", "?"}
    # Go ignores whatever follows the hyphen of a star: robfig parser.go, getRange.
    if len(steps) > 1 or (len(highs) > 1 and not star):
        raise _refusal(column.name, item, "a, a-b, */n, a/n or a-b/n, in a list with commas")
    start, end = column.low, column.high
    if not star:
        start = _value(low, item, column)
        if highs:
            end = _value(highs[0], item, column)
        elif not steps:
            end = start
    step = _number(steps[0]) if steps else 1
    if not step:
        raise _refusal(f"{column.name} step", item, "whole numbers from 1")
    if not column.low <= start <= end <= column.high:
        names = f" or {min(column.names, key=column.names.__getitem__)}" if column.names else ""
        raise _refusal(column.name, item, f"{column.low} to {column.high}{names}, rising")
    return range(start, end + 1, step), star and step == 1


def _value(word: str, item: str, column: _Field) -> int:
    """Number or name."""
    value = column.names.get(word.lower(), _number(word))
    if value is None:
        names = f" or {' '.join(column.names)}" if column.names else ""
        raise _refusal(column.name, item, f"{column.low} to {column.high}{names}")
    return value


def _number(word: str) -> int | None:
    """Number that Go's strconv.Atoi would read, if it is one and not negative."""
    match = _NUMBER.fullmatch(word)
    value = int(match[1]) if match else _LARGEST + 1
    return value if value <= _LARGEST else None


def _zone(name: str, local: tzinfo | None) -> tzinfo | None:
    """Zone of an IANA name. Go: time.LoadLocation, where no name is UTC and Local is the local zone."""
    if name in {"", "UTC"}:
        return UTC
    if name == "Local":
        return local
    if not _ZONE_NAME.fullmatch(name):
        raise _refusal("time zone", name, "IANA names such as Europe/Berlin")
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        allowed = "IANA names such as Europe/Berlin (this machine may need the tzdata package)"
        raise _refusal("time zone", name, allowed) from error


def _refusal(what: str, value: str, allowed: str) -> ScheduleError:
    """Say what is wrong and what would be right."""
    shown = value if len(value) <= _SHOWN else f"{value[:_SHOWN]}…"
    return ScheduleError(f"{what} {shown!r}: allowed are {allowed}")
