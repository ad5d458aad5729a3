"""Go's spelling of a length of time, such as 1h30m."""

from __future__ import annotations

import re
from typing import Final

from tasqueue.core.errors import ScheduleError
from tasqueue.core.timing.moment import NS_PER_S

_UNITS: Final = {
    "ns": 1,
    "us": 1_000,
    "\N{MICRO SIGN}s": 1_000,
    "\N{GREEK SMALL LETTER MU}s": 1_000,
    "ms": 1_000_000,
    "s": NS_PER_S,
    "m": 60 * NS_PER_S,
    "h": 3600 * NS_PER_S,
}
_PART: Final = re.compile(r"([0-9]*)(?:\.([0-9]*))?([^.0-9]+)")
_LIMIT: Final = 2**63
_LIMIT_DIGITS: Final = 19
_SHOWN: Final = 60


def parse_duration(text: str) -> int:
    """Nanoseconds of a Go duration: an optional sign, then numbers with units. Go: ParseDuration.

    Raises:
        ScheduleError: not such a text, or longer than about 292 years.
    """
    sign, digits = (-1, text[1:]) if text.startswith("-") else (1, text.removeprefix("+"))
    if digits == "0":
        return 0
    total = at = 0
    while at < len(digits):
        part = _PART.match(digits, at)
        if part is None:
            raise _refusal(text)
        total += _part_ns(text, part)
        at = part.end()
    if at == 0 or total > _LIMIT or sign * total >= _LIMIT:
        raise _refusal(text)
    return sign * total


def _part_ns(text: str, part: re.Match[str]) -> int:
    """One number with its unit, in nanoseconds."""
    whole, fraction, unit_name = part.groups()
    unit = _UNITS.get(unit_name)
    digits = whole.lstrip("0")
    if unit is None or not (whole or fraction) or len(digits) > _LIMIT_DIGITS:
        raise _refusal(text)
    value = int(digits or "0") * unit
    if value > _LIMIT:
        raise _refusal(text)
    return value + _fraction_ns(fraction or "", unit)


def _fraction_ns(digits: str, unit: int) -> int:
    """What stands behind the point, in the float arithmetic and to the digits that Go counts."""
    value, scale = 0, 1.0
    for digit in digits:
        longer = value * 10 + int(digit)
        if longer > _LIMIT:
            break
        value, scale = longer, scale * 10
    return int(value * (unit / scale))


def _refusal(text: str) -> ScheduleError:
    """Say what a duration may look like."""
    shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
    allowed = "numbers with a unit of ns, us, ms, s, m or h, such as 1h30m or 1.5s, to 292 years"
    return ScheduleError(f"duration {shown!r}: allowed are {allowed}")
