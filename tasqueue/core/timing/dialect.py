"""The cron dialect of Go: from the text of a schedule to the schedule it means."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, tzinfo
from typing import Final
from zoneinfo import ZoneInfo

from tasqueue.core.errors import ScheduleError
from tasqueue.core.timing.duration import parse_duration
from tasqueue.core.timing.schedule import CronSchedule, EverySchedule, Schedule

# Go's unicode.IsSpace; str.split and str.strip would also take U+001C to U+001F.
_SPACES: Final = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)
_WORD: Final = re.compile(f"[^{_SPACES}]+")
_NUMBER: Final = re.compile(r"\+?0*([0-9]{1,19})")
# As deep as posix/America/Argentina/Salta: zoneinfo looks names up by recursion.
_ZONE_NAME: Final = re.compile(r"[A-Za-z0-9_+-]+(?:/[A-Za-z0-9_+-]+){0,3}")
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
    """One of the five fields: its name, its bounds, and the names of its values from ``low`` up."""

    name: str
    low: int
    high: int
    names: Sequence[str] = ()

    @property
    def allowed(self) -> str:
        """Bounds in words."""
        names = f" or {self.names[0]} to {self.names[-1]}" if self.names else ""
        return f"{self.low} to {self.high}{names}"


_FIELDS: Final = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of month", 1, 31),
    _Field(
        "month",
        1,
        12,
        ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
    ),
    _Field("day of week", 0, 6, ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]),
)


def parse_schedule(text: str, *, zone: tzinfo | None = None) -> Schedule:
    """Schedule of a text in the dialect that Go Tasqueue speaks: robfig/cron v3, ParseStandard.

    Five fields (minute, hour, day of month, month, day of week), a word such as ``@hourly``, or
    ``@every 1h30m``. ``CRON_TZ=Europe/Berlin`` or ``TZ=`` in front gives the zone; without one
    ``zone`` counts, and None is the system's local zone.

    Raises:
        ScheduleError: Go would refuse it; says which field, what it holds and what is allowed.
    """
    if text.startswith(("TZ=", "CRON_TZ=")):
        prefix, space, rest = text.partition(" ")
        if not space:
            raise _refusal("schedule", text, "a zone, a space and five fields")
        zone = _zone(prefix.partition("=")[2], zone)
        text = rest.strip(_SPACES)
    if text.startswith(_EVERY):
        return EverySchedule.of_ns(parse_duration(text.removeprefix(_EVERY)))
    if text.startswith("@") and text not in _DESCRIPTORS:
        raise _refusal("schedule", text, f"{', '.join(_DESCRIPTORS)}, @every 1h30m")
    return _parse_fields(_DESCRIPTORS.get(text, text), zone)


def _parse_fields(text: str, zone: tzinfo | None) -> CronSchedule:
    """Schedule of five fields."""
    words = _WORD.findall(text)
    if len(words) != len(_FIELDS):
        raise _refusal("schedule", text, f"exactly 5 fields, and these are {len(words)}")
    fields = [_parse_field(word, field) for word, field in zip(words, _FIELDS, strict=True)]
    (minutes, _), (hours, _), (days, any_day), (months, _), (weekdays, any_weekday) = fields
    return CronSchedule(
        minutes=minutes,
        hours=hours,
        days=days,
        months=months,
        weekdays=weekdays,
        both_days=any_day or any_weekday,
        zone=zone,
    )


def _parse_field(text: str, field: _Field) -> tuple[frozenset[int], bool]:
    """Values of a list with commas, and whether it has a star. As in Go, empty items pass."""
    values: set[int] = set()
    any_value = False
    for item in filter(None, text.split(",")):
        allowed, star = _parse_range(item, field)
        values.update(allowed)
        any_value = any_value or star
    return frozenset(values), any_value


def _parse_range(item: str, field: _Field) -> tuple[range, bool]:
    """Values of ``*``, ``a`` or ``a-b``, maybe with a ``/step``; and whether it is a plain star."""
    head, *steps = item.split("/")
    low, *highs = head.split("-")
    star = low in {"*", "?"}
    # Go looks at nothing that follows the hyphen of a star: robfig parser.go, getRange.
    if len(steps) > 1 or (len(highs) > 1 and not star):
        raise _refusal(field.name, item, "a, a-b, */n, a/n and a-b/n, with commas between")
    start, end = field.low, field.high
    if not star:
        start = _parse_value(low, item, field)
        if highs:
            end = _parse_value(highs[0], item, field)
        elif not steps:
            end = start
    step = _parse_number(steps[0]) if steps else 1
    if not step:
        raise _refusal(f"step of {field.name}", item, "whole numbers from 1")
    if not field.low <= start <= end <= field.high:
        raise _refusal(field.name, item, f"{field.allowed}, the lower first")
    return range(start, end + 1, step), star and step == 1


def _parse_value(word: str, item: str, field: _Field) -> int:
    """Name or number."""
    name = word.lower()
    value = field.low + field.names.index(name) if name in field.names else _parse_number(word)
    if value is None:
        raise _refusal(field.name, item, field.allowed)
    return value


def _parse_number(word: str) -> int | None:
    """Number that Go's strconv.Atoi reads, unless it is negative."""
    match = _NUMBER.fullmatch(word)
    value = int(match[1]) if match else _LARGEST + 1
    return value if value <= _LARGEST else None


def _zone(name: str, local: tzinfo | None) -> tzinfo | None:
    """Zone of an IANA name. No name is UTC, and Local the local zone. Go: time.LoadLocation."""
    if name in {"", "UTC"}:
        return UTC
    if name == "Local":
        return local
    if not _ZONE_NAME.fullmatch(name):
        raise _refusal("time zone", name, "IANA names such as Europe/Berlin")
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise _refusal("time zone", name, "IANA names such as Europe/Berlin") from error


def _refusal(what: str, value: str, allowed: str) -> ScheduleError:
    """Say what is wrong and what would be right."""
    shown = value if len(value) <= _SHOWN else f"{value[:_SHOWN]}…"
    return ScheduleError(f"{what} {shown!r}: allowed are {allowed}")
