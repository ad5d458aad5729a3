"""Our cron dialect against robfig's own parser and its Next, asked through the Go program."""

from datetime import UTC, datetime, timedelta
from itertools import product
from zoneinfo import ZoneInfo

import pytest
from hypothesis import event, example, given, settings
from hypothesis import strategies as st

from tasqueue.core.timing import Schedule, parse_schedule
from tests.parity.program import GoCron, GoRefusedError

_SECOND = 1_000_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

EXAMPLES = max(600, settings().max_examples)

ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",  # its clocks change by half an hour
    "Asia/Kathmandu",  # UTC+5:45
    "America/Sao_Paulo",  # its clocks changed at midnight, until 2019
)

# A day on which the clocks of some zone change, or which only some years have.
DAYS = (
    datetime(2018, 2, 17, tzinfo=UTC),  # Sao Paulo, autumn
    datetime(2018, 11, 4, tzinfo=UTC),  # Sao Paulo, spring
    datetime(2024, 2, 29, tzinfo=UTC),
    datetime(2024, 3, 10, tzinfo=UTC),  # New York, spring
    datetime(2024, 3, 31, tzinfo=UTC),  # Berlin, spring
    datetime(2024, 4, 6, tzinfo=UTC),  # Lord Howe, autumn
    datetime(2024, 10, 5, tzinfo=UTC),  # Lord Howe, spring
    datetime(2024, 10, 27, tzinfo=UTC),  # Berlin, autumn
    datetime(2024, 11, 3, tzinfo=UTC),  # New York, autumn
    datetime(2024, 12, 31, tzinfo=UTC),
    datetime(2028, 2, 28, tzinfo=UTC),
    datetime(2097, 3, 1, tzinfo=UTC),  # the next 29 February is more than five years away
)


def unix_ns(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(microseconds=1) * 1000


def said(ns: int | None, zone: str) -> str:
    """A moment as a person reads it, for the message of a failed test."""
    return "never" if ns is None else str(datetime.fromtimestamp(ns // _SECOND, ZoneInfo(zone)))


def go_runs(cron: GoCron, expr: str, from_ns: int, zone: str, steps: int) -> list[int | None] | str:
    """The next runs by robfig; the text of its refusal if it refuses."""
    try:
        return cron.runs(expr, from_ns, zone=zone, steps=steps)
    except GoRefusedError as refused:
        return str(refused)


def our_schedule(expr: str, zone: str) -> Schedule | None:
    try:
        return parse_schedule(expr, zone=ZoneInfo(zone))
    except ValueError:
        return None


def assert_same_runs(cron: GoCron, expr: str, from_ns: int, zone: str, *, steps: int) -> None:
    theirs = go_runs(cron, expr, from_ns, zone, steps)
    ours = our_schedule(expr, zone)
    if isinstance(theirs, str):
        assert ours is None, f"Go refuses {expr!r}: {theirs}"
        return
    assert ours is not None, f"Go accepts {expr!r}"
    at = from_ns
    for run in theirs:
        mine = ours.next(at)
        assert mine == run, (
            f"{expr!r} after {said(at, zone)} in {zone}: "
            f"ours {said(mine, zone)}, robfig {said(run, zone)}"
        )
        if run is not None:
            at = run


# -- what is asked --------------------------------------------------------------------------------

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS_OF_WEEK = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")


def _value(low: int, high: int, names: tuple[str, ...]) -> st.SearchStrategy[str]:
    numbers = st.integers(low, high).map(str)
    padded = st.integers(low, high).map(lambda number: f"{number:02}")
    options = [numbers, numbers, padded]
    if names:
        named = st.sampled_from(names)
        options += [named, named.map(str.upper), named.map(str.title)]
    return st.one_of(options)


def _range(low: int, high: int) -> st.SearchStrategy[str]:
    ends = st.tuples(st.integers(low, high), st.integers(low, high))
    return ends.map(lambda pair: f"{min(pair)}-{max(pair)}")


def _field(low: int, high: int, names: tuple[str, ...] = ()) -> st.SearchStrategy[str]:
    value, step = _value(low, high, names), st.integers(1, high + 2).map(str)
    star, ranges = st.sampled_from(["*", "*", "*", "?"]), _range(low, high)
    part = st.one_of(
        star,
        value,
        ranges,
        st.builds("{}/{}".format, st.one_of(star, value, ranges), step),
    )
    lists = st.lists(part, min_size=1, max_size=4).map(",".join)
    return st.one_of(star, value, part, lists)


FIVE_FIELDS = st.tuples(
    _field(0, 59),
    _field(0, 23),
    _field(1, 31),
    _field(1, 12, _MONTHS),
    _field(0, 6, _DAYS_OF_WEEK),
).map(" ".join)

# Mostly open days, so that many examples fall into the hours in which the clocks change.
NIGHTLY = st.tuples(
    _field(0, 59), _field(0, 4), st.just("*"), st.just("*"), st.sampled_from(["*", "sun"])
).map(" ".join)

DESCRIPTORS = st.sampled_from(
    ["@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"]
)

_DURATION_PART = st.tuples(
    st.one_of(
        st.integers(0, 10**6).map(str),
        st.decimals(0, 1000, places=3).map(str),
        st.sampled_from([".5", "1.", "0.0000000001", "1.99999999999999999999", "007"]),
    ),
    st.sampled_from(["ns", "us", "µs", "μs", "ms", "s", "m", "h"]),
).map("".join)
EVERY = st.tuples(
    st.sampled_from(["", "", "", "-", "+"]),
    st.lists(_DURATION_PART, min_size=1, max_size=3).map("".join),
).map(lambda parts: "@every " + "".join(parts))

_PREFIX = st.one_of(
    st.just(""),
    st.just(""),
    st.tuples(st.sampled_from(["TZ=", "CRON_TZ="]), st.sampled_from([*ZONES, "", "Local"])).map(
        lambda parts: "".join(parts) + " "
    ),
)
EXPRESSIONS = st.tuples(
    _PREFIX, st.one_of(FIVE_FIELDS, FIVE_FIELDS, NIGHTLY, NIGHTLY, DESCRIPTORS, EVERY)
).map("".join)

_SHIFT = st.integers(-36 * 3600 * _SECOND, 36 * 3600 * _SECOND)
MOMENTS = st.one_of(
    st.builds(lambda day, shift: unix_ns(day) + shift, st.sampled_from(DAYS), _SHIFT),
    st.builds(
        lambda day, shift: unix_ns(day) + shift // _SECOND * _SECOND,
        st.sampled_from(DAYS),
        _SHIFT,
    ),
    st.datetimes(datetime(1960, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)).map(unix_ns),  # noqa: DTZ001 -- bounds are naive
)


def _marred(text: str, cuts: list[tuple[int, str]]) -> str:
    """``text`` with, at some places, one character replaced by other text."""
    for place, new in cuts:
        at = place % (len(text) + 1)
        text = text[:at] + new + text[at + 1 :]
    return text


_CHARACTERS = "*?,-/ +_L#W@=0179ahmsxXé\t\n\x1c\xa0\u2003٣"
_SCRAPS = [
    "1-2-3",
    "1/2/3",
    "5-1",
    "-1",
    "*/0",
    ",,",
    "mon",
    "7",
    "60",
    "TZ=",
    "99999999999999999999",
]
_DIRT = st.one_of(st.sampled_from(_CHARACTERS), st.just(""), st.sampled_from(_SCRAPS))
MARRED = st.builds(
    _marred,
    EXPRESSIONS,
    st.lists(st.tuples(st.integers(0, 60), _DIRT), min_size=1, max_size=3),
)

# -- the rules ------------------------------------------------------------------------------------


@settings(max_examples=EXAMPLES)
@given(expr=EXPRESSIONS, from_ns=MOMENTS, zone=st.sampled_from(ZONES))
@example(expr="0 0 29 2 *", from_ns=unix_ns(DAYS[-1]), zone="UTC")
@example(expr="0 0 30 2 *", from_ns=0, zone="UTC")
@example(expr="0 0 13 * fri", from_ns=0, zone="Europe/Berlin")
@example(expr="0 0 */2 * mon", from_ns=0, zone="Europe/Berlin")
@example(expr="59 1 * * sun", from_ns=1130630340 * _SECOND, zone="Antarctica/Troll")
@example(expr="0,45 0 * * *", from_ns=1130639400 * _SECOND, zone="America/St_Johns")
def test_the_next_runs_are_those_of_robfig(
    go_cron: GoCron, expr: str, from_ns: int, zone: str
) -> None:
    assert_same_runs(go_cron, expr, from_ns, zone, steps=4)


@settings(max_examples=EXAMPLES)
@given(expr=MARRED, from_ns=MOMENTS, zone=st.sampled_from(ZONES))
@example(expr="", from_ns=0, zone="UTC")
@example(expr="TZ=UTC", from_ns=0, zone="UTC")
@example(expr="0 0 * * 7", from_ns=0, zone="UTC")
@example(expr=", * * * *", from_ns=0, zone="UTC")
@example(expr="@every 1h ", from_ns=0, zone="UTC")
@example(expr="TZ=UTC @every 1h ", from_ns=0, zone="UTC")
@example(expr="TZ=Europe 0 0 * * *", from_ns=0, zone="UTC")
@example(expr="TZ=../UTC 0 0 * * *", from_ns=0, zone="UTC")
@example(expr="TZ=/etc/localtime 0 0 * * *", from_ns=0, zone="UTC")
@example(expr="@every 2562047h47m16.854775807s", from_ns=0, zone="UTC")
@example(expr="@every 2562047h47m16.854775808s", from_ns=0, zone="UTC")
def test_what_robfig_refuses_is_refused_and_nothing_else(
    go_cron: GoCron, expr: str, from_ns: int, zone: str
) -> None:
    refused = isinstance(go_runs(go_cron, expr, from_ns, zone, 1), str)
    event("refused by robfig" if refused else "accepted by robfig")
    assert_same_runs(go_cron, expr, from_ns, zone, steps=1)


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("day", DAYS, ids=lambda day: f"{day:%Y-%m-%d}")
def test_every_tick_around_a_change_of_the_clocks_is_robfigs(
    go_cron: GoCron, day: datetime, zone: str
) -> None:
    minutes, hours = ("0", "15", "30", "59", "*/20"), ("*", "0", "1", "2", "3", "*/2", "23")
    for minute, hour in product(minutes, hours):
        from_ns = unix_ns(day - timedelta(hours=26))
        assert_same_runs(go_cron, f"{minute} {hour} * * *", from_ns, zone, steps=12)
