"""When something runs next: laws of the cron dialect, durations, back-off, instants and spans."""

import dataclasses
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tasqueue.core.errors import ConfigurationError, ScheduleError
from tasqueue.core.timing import (
    AT_ONCE,
    Backoff,
    CronSchedule,
    EverySchedule,
    Schedule,
    from_ns,
    parse_duration,
    parse_schedule,
    span_from_ns,
    span_ns,
    to_ns,
)

SECOND = 1_000_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
INT64 = st.integers(-(2**63), 2**63 - 1)
# Unix nanoseconds of the years 1970 to 2100, mostly off the whole second.
INSTANTS = st.integers(0, 4_102_444_800 * SECOND)
MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
WEEKDAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]

# What robfig/cron v3.0.1 answered under Go 1.26: expression, zone, after, next.
GO_SAID = [
    # A skipped time waits for the next day that shows it; a repeated one fires twice.
    ("30 2 * * *", "Europe/Berlin", "2024-03-30T12:00+01:00", "2024-04-01T02:30+02:00"),
    ("30 2 * * *", "Europe/Berlin", "2024-10-26T12:00+02:00", "2024-10-27T02:30+02:00"),
    ("30 2 * * *", "Europe/Berlin", "2024-10-27T02:30+02:00", "2024-10-27T02:30+01:00"),
    ("30 2 * * *", "Europe/Berlin", "2024-10-27T02:30+01:00", "2024-10-28T02:30+01:00"),
    ("0 * * * *", "Europe/Berlin", "2024-03-31T01:00+01:00", "2024-03-31T03:00+02:00"),
    ("0 */2 * * *", "Europe/Berlin", "2024-03-31T00:30+01:00", "2024-03-31T04:00+02:00"),
    ("30 1 * * *", "Europe/London", "2024-03-30T12:00+00:00", "2024-04-01T01:30+01:00"),
    ("30 2 * * *", "America/New_York", "2024-03-09T12:00-05:00", "2024-03-11T02:30-04:00"),
    ("30 1 * * *", "America/New_York", "2024-11-03T01:30-04:00", "2024-11-03T01:30-05:00"),
    # Clocks that change by half an hour.
    ("15 2 * * *", "Australia/Lord_Howe", "2024-10-05T12:00+10:30", "2024-10-07T02:15+11:00"),
    ("45 1 * * *", "Australia/Lord_Howe", "2024-04-07T01:45+11:00", "2024-04-07T01:45+10:30"),
    ("0 2 * * *", "Australia/Lord_Howe", "2024-04-07T01:40+10:30", "2024-04-08T02:00+10:30"),
    # Midnight is skipped; west of Greenwich 01:00 takes its place, east of it the day is lost.
    ("0 0 * * sun", "America/Sao_Paulo", "2018-11-03T12:00-03:00", "2018-11-11T00:00-02:00"),
    ("0 0 4 11 *", "America/Sao_Paulo", "2018-10-20T12:00-03:00", "2019-11-04T00:00-03:00"),
    ("0 1 * * sun", "America/Sao_Paulo", "2018-11-03T12:00-03:00", "2018-11-04T01:00-02:00"),
    ("0 12 * * 0", "Asia/Beirut", "2024-03-30T12:00+02:00", "2024-04-07T12:00+03:00"),
    # At 00:01 the clock falls back to 23:01, and Go looks at the hour no more.
    ("1 0 * * *", "America/St_Johns", "2006-10-29T00:00-02:30", "2006-10-28T23:01-03:30"),
    ("0 9 * * *", "Asia/Kathmandu", "2024-01-01T09:00+05:45", "2024-01-02T09:00+05:45"),
    # Two day fields: either is enough, unless one of them is a star; a stepped star is none.
    ("0 0 1,15 * mon", "UTC", "2024-01-02T00:00+00:00", "2024-01-08T00:00+00:00"),
    ("0 0 1,15 * */2", "UTC", "2024-01-02T00:00+00:00", "2024-01-04T00:00+00:00"),
    ("0 0 */2 * mon", "UTC", "2024-01-01T00:00+00:00", "2024-01-03T00:00+00:00"),
    ("0 0 * * */1", "UTC", "2024-01-01T00:00+00:00", "2024-01-02T00:00+00:00"),
    ("0 0 13 * ?", "UTC", "2024-01-13T00:00+00:00", "2024-02-13T00:00+00:00"),
    # Five years hold no such date, or nothing ever does.
    ("0 0 29 2 *", "UTC", "2024-03-01T00:00+00:00", "2028-02-29T00:00+00:00"),
    ("0 0 29 2 *", "UTC", "1896-02-29T12:00+00:00", None),
    ("0 0 31 2 *", "UTC", "2024-01-01T00:00+00:00", None),
    ("* * * , *", "UTC", "2024-01-01T00:00+00:00", None),
    (", * * * *", "UTC", "2024-01-01T00:00+00:00", None),
    ("5/15 * * * *", "UTC", "2024-01-01T00:20+00:00", "2024-01-01T00:35+00:00"),
    # Zones in front.
    ("TZ=Asia/Kathmandu 0 9 * * *", "UTC", "2024-01-01T05:00+00:00", "2024-01-02T09:00+05:45"),
    ("CRON_TZ=UTC 0 9 * * *", "Asia/Tokyo", "2024-01-01T00:00+00:00", "2024-01-01T09:00+00:00"),
    ("CRON_TZ= 0 9 * * *", "Asia/Tokyo", "2024-01-01T00:00+00:00", "2024-01-01T09:00+00:00"),
    ("TZ=Local  @daily ", "Asia/Tokyo", "2024-01-01T00:00+09:00", "2024-01-02T00:00+09:00"),
    ("@weekly", "Europe/Berlin", "2024-01-01T00:00+01:00", "2024-01-07T00:00+01:00"),
    ("@every 1h30m1.9s", "UTC", "2024-01-01T00:00:00.750+00:00", "2024-01-01T01:30:01+00:00"),
    ("@every -5m", "UTC", "2024-01-01T00:00:00.750+00:00", "2024-01-01T00:00:01+00:00"),
]

GO_REFUSES = [
    "",
    " ",
    "nonsense",
    "* * * *",
    "* * * * * *",
    "60 * * * *",
    "* 24 * * *",
    "* * 0 * *",
    "* * 32 * *",
    "* * * 0 *",
    "* * * 13 *",
    "* * * * 7",
    "* * * * 5-7",
    "-1 * * * *",
    "1- * * * *",
    "1-2-3 * * * *",
    "5-1 * * * *",
    "*/0 * * * *",
    "*/-2 * * * *",
    "*/x * * * *",
    "*/ * * * *",
    "*/2/2 * * * *",
    f"*/{2**63} * * * *",
    "1_0 * * * *",
    "\N{ARABIC-INDIC DIGIT FIVE} * * * *",
    "+ * * * *",
    "jan * * * *",
    "* * L * *",
    "* * 15W * *",
    "* * * * 5#2",
    "* * * * sunday",
    "*\x1c* * * * *",
    "@Daily",
    "@daily ",
    " @daily",
    "@reboot",
    "@every",
    "@every ",
    "@every  5s",
    "@every 5",
    "@every s",
    "@every 5d",
    "TZ=UTC",
    "TZ=UTC\t* * * * *",
    "TZ=Nowhere/City * * * * *",
    "TZ=Europe * * * * *",
    "TZ=../../etc/passwd * * * * *",
    "TZ=/etc/localtime * * * * *",
    "TZ=europe.Berlin * * * * *",
    "TZ=UTC CRON_TZ=UTC * * * * *",
    "tz=UTC * * * * *",
]

# Text, and the text it means the same as.
GO_ALLOWS = [
    ("? ? ? ? ?", "* * * * *"),
    ("\t*\u3000* *  * *\n", "* * * * *"),
    ("+5 007 * * *", "5 7 * * *"),
    (",5,,6, * * * *", "5,6 * * * *"),
    ("* * * JAN-Mar SuN,1-2", "* * * 1-3 0,1,2"),
    ("50/3 * * * *", "50,53,56,59 * * * *"),
    ("10-20/5 * * * *", "10,15,20 * * * *"),
    (f"*/{2**63 - 1} * * * *", "0 * * * *"),
    ("*-7-x * * * *", "* * * * *"),
    ("@yearly", "@annually"),
    ("@yearly", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@daily", "@midnight"),
    ("@hourly", "0 * * * *"),
    ("@every 0", "@every 1s"),
    ("@every 999ms", "@every 1s"),
    ("@every 1999ms", "@every 1s"),
    ("TZ=Asia/Tokyo @every 1m", "@every 60s"),
    ("TZ=America/Argentina/Salta @every 1m", "@every 60s"),
]


def ns(text: str) -> int:
    return to_ns(datetime.fromisoformat(text))


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The system's local zone is Europe/Berlin."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Europe/Berlin")
        time.tzset()
        yield
    time.tzset()


# The dialect


@pytest.mark.parametrize(("text", "zone", "after", "due"), GO_SAID)
def test_the_next_firing_is_the_one_that_go_gives(
    text: str, zone: str, after: str, due: str | None
) -> None:
    found = parse_schedule(text, zone=ZoneInfo(zone)).next(ns(after))
    assert found == (None if due is None else ns(due))


@pytest.mark.parametrize("text", GO_REFUSES)
def test_what_go_refuses_is_refused(text: str) -> None:
    with pytest.raises(ScheduleError, match="allowed are"):
        parse_schedule(text)


@pytest.mark.parametrize(("text", "same"), GO_ALLOWS)
def test_what_go_allows_is_allowed(text: str, same: str) -> None:
    assert parse_schedule(text) == parse_schedule(same)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("* 25 * * *", "hour '25': allowed are 0 to 23, the lower first"),
        ("* * * * 1,x", "day of week 'x': allowed are 0 to 6 or sun to sat"),
        ("* * * */0 *", "step of month '*/0': allowed are whole numbers from 1"),
        ("* * * *", "schedule '* * * *': allowed are exactly 5 fields, and these are 4"),
        (
            "TZ=Mars/City @daily",
            "time zone 'Mars/City': allowed are IANA names such as Europe/Berlin",
        ),
        ("*" * 1000, f"schedule '{'*' * 60}…': allowed are exactly 5 fields, and these are 1"),
    ],
)
def test_a_refusal_names_the_field_the_value_and_what_is_allowed(text: str, message: str) -> None:
    with pytest.raises(ScheduleError) as caught:
        parse_schedule(text)
    assert str(caught.value) == message


@given(st.text() | st.text("0123456789*/,-?@ TZ=Lsun\t", max_size=30).map("CRON_TZ=".__add__))
@example("9" * 5000 + " * * * *")
@example("@every " + "9" * 5000 + "h")
@example("@every 0." + "0" * 5000 + "1h")
@example("TZ=\ud800 * * * * *")
@example("TZ=a\x00b * * * * *")
@example("TZ=" + "a/" * 3000 + "b * * * * *")
def test_any_text_is_a_schedule_or_a_schedule_error(text: str) -> None:
    try:
        schedule = parse_schedule(text, zone=UTC)
    except ScheduleError:
        return
    assert isinstance(schedule, Schedule)


def items(low: int, high: int, names: list[str]) -> st.SearchStrategy[tuple[str, set[int]]]:
    """Item of a field, and the values it means."""
    numbers = st.integers(low, high)
    steps = st.integers(1, 70)

    def spelled(value: int) -> str:
        return names[value - low].title() if names and value % 2 else str(value)

    return st.one_of(
        st.sampled_from("*?").map(lambda star: (star, set(range(low, high + 1)))),
        numbers.map(lambda value: (spelled(value), {value})),
        steps.map(lambda step: (f"*/{step}", set(range(low, high + 1, step)))),
        st.tuples(numbers, steps).map(
            lambda it: (f"{spelled(it[0])}/{it[1]}", set(range(it[0], high + 1, it[1])))
        ),
        st.tuples(numbers, numbers, steps).map(
            lambda it: (
                f"{spelled(min(it[:2]))}-{spelled(max(it[:2]))}/{it[2]}",
                set(range(min(it[:2]), max(it[:2]) + 1, it[2])),
            )
        ),
    )


def fields(low: int, high: int, names: list[str]) -> st.SearchStrategy[tuple[str, set[int]]]:
    """Field, and the values it means."""
    return st.lists(items(low, high, names), min_size=1, max_size=3).map(
        lambda parts: (
            ",".join(text for text, _ in parts),
            set().union(*(values for _, values in parts)),
        )
    )


FIELDS = st.tuples(
    fields(0, 59, []),
    fields(0, 23, []),
    fields(1, 31, []),
    fields(1, 12, MONTHS),
    fields(0, 6, WEEKDAYS),
)
EXPRESSIONS = FIELDS.map(lambda columns: " ".join(text for text, _ in columns))


def allows(schedule: CronSchedule, wall: datetime) -> bool:
    """The rule of the dialect, in one sentence each."""
    by_day, by_weekday = wall.day in schedule.days, wall.isoweekday() % 7 in schedule.weekdays
    suits = by_day and by_weekday if schedule.both_days else by_day or by_weekday
    in_year = wall.month in schedule.months and suits
    return in_year and wall.hour in schedule.hours and wall.minute in schedule.minutes


def cron(text: str) -> CronSchedule:
    schedule = parse_schedule(text, zone=UTC)
    assert isinstance(schedule, CronSchedule)
    return schedule


@given(FIELDS)
def test_each_field_means_the_values_it_spells(columns: tuple[tuple[str, set[int]], ...]) -> None:
    schedule = cron(" ".join(text for text, _ in columns))
    assert [
        schedule.minutes,
        schedule.hours,
        schedule.days,
        schedule.months,
        schedule.weekdays,
    ] == [values for _, values in columns]


# The next firing


@given(EXPRESSIONS, INSTANTS)
def test_the_next_firing_is_later_on_the_minute_and_fits_all_fields(text: str, after: int) -> None:
    schedule = cron(text)
    due = schedule.next(after)
    if due is not None:
        assert due > after
        assert due % MINUTE == 0
        assert allows(schedule, from_ns(due))


@given(EXPRESSIONS, INSTANTS)
def test_no_minute_before_the_next_firing_fits(text: str, after: int) -> None:
    schedule = cron(text)
    due = schedule.next(after)
    end = after + 36 * HOUR if due is None else min(due, after + 36 * HOUR)
    minutes = range((after // MINUTE + 1) * MINUTE, end, MINUTE)
    assert not any(allows(schedule, from_ns(minute)) for minute in minutes)


ZONES = ["Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Europe/London", "Pacific/Auckland"]


@given(EXPRESSIONS, INSTANTS, st.sampled_from(ZONES))
def test_a_zone_decides_by_its_own_wall_clock(text: str, after: int, name: str) -> None:
    zone = ZoneInfo(name)
    schedule = cron(f"CRON_TZ={name} {text}")
    assert schedule == dataclasses.replace(cron(text), zone=zone)
    due = schedule.next(after)
    if due is not None:
        assert due > after
        assert allows(schedule, from_ns(due).astimezone(zone))


@given(EXPRESSIONS, INSTANTS, st.integers(0, 400 * 24 * HOUR), st.sampled_from(["UTC", *ZONES]))
def test_starting_later_never_fires_earlier(text: str, after: int, wait: int, name: str) -> None:
    schedule = cron(f"TZ={name} {text}")
    first, second = schedule.next(after), schedule.next(after + wait)
    if first is not None and second is not None:
        assert first <= second


@given(st.integers())
@example(-(10**30))
@example(10**30)
def test_beyond_the_calendar_nothing_fires(after: int) -> None:
    due = cron("* * * * *").next(after)
    assert due is None or due // MINUTE == after // MINUTE + 1


def test_a_day_that_a_zone_left_out_is_stepped_over_where_go_would_hang() -> None:
    schedule = parse_schedule("0 0 31 * *", zone=ZoneInfo("Pacific/Apia"))
    assert schedule.next(ns("2011-12-29T12:00-10:00")) == ns("2011-12-31T00:00+14:00")


@pytest.mark.usefixtures("berlin")
@pytest.mark.parametrize("text", ["0 9 * * *", "TZ=Local 0 9 * * *"])
def test_without_a_zone_the_systems_own_counts(text: str) -> None:
    assert parse_schedule(text).next(ns("2024-07-01T00:00Z")) == ns("2024-07-01T09:00+02:00")
    assert parse_schedule(text).next(ns("2024-01-01T00:00Z")) == ns("2024-01-01T09:00+01:00")


@given(INT64, INT64)
def test_every_counts_whole_seconds_from_the_whole_second(span: int, after: int) -> None:
    schedule = EverySchedule.of_ns(span)
    due = schedule.next(after)
    assert schedule.seconds == max(1, span // SECOND)
    assert due % SECOND == 0
    assert after < due <= after + schedule.seconds * SECOND
    assert parse_schedule(f"@every {span}ns") == schedule


def test_a_schedule_cannot_be_changed() -> None:
    for schedule, name in ((EverySchedule(60), "seconds"), (cron("@daily"), "zone")):
        assert not hasattr(schedule, "__dict__")
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(schedule, name, None)


# Durations


def written(ns: int) -> str:
    """A duration in hours, minutes and seconds, that is read back as ``ns``."""
    seconds, rest = divmod(abs(ns), SECOND)
    hours, minutes, seconds = seconds // 3600, seconds // 60 % 60, seconds % 60
    tail = f"{seconds}.{rest:09}".rstrip("0").rstrip(".") if rest else str(seconds)
    parts = [(hours, f"{hours}h"), (minutes, f"{minutes}m"), (seconds or rest, f"{tail}s")]
    return ("-" if ns < 0 else "") + ("".join(text for value, text in parts if value) or "0s")


@given(INT64)
@example(-(2**63))
@example(2**63 - 1)
def test_a_duration_that_is_written_reads_back(span: int) -> None:
    assert parse_duration(written(span)) == span


UNITS = {
    "ns": 1,
    "us": 1000,
    "µs": 1000,
    "μs": 1000,
    "ms": 10**6,
    "s": SECOND,
    "m": MINUTE,
    "h": HOUR,
}


@given(
    st.lists(st.tuples(st.integers(0, 10**5), st.sampled_from(sorted(UNITS))), min_size=1),
    st.sampled_from(["", "+", "-"]),
)
def test_a_duration_is_the_sum_of_its_parts(parts: list[tuple[int, str]], sign: str) -> None:
    total = sum(number * UNITS[unit] for number, unit in parts)
    text = "".join(f"{number}{unit}" for number, unit in parts)
    assert parse_duration(sign + text) == (-total if sign == "-" else total)


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("0", 0),
        ("-0", 0),
        (".5s", 500_000_000),
        ("1.s", SECOND),
        ("0.3333333333333333333h", 20 * MINUTE),
        ("0.9223372036854775807s", 922_337_203),
        ("0.9223372036854775809s", 922_337_203),
        ("0.100000000000000000000h", 6 * MINUTE),
        ("9223372036854775807ns", 2**63 - 1),
        ("-9223372036854775808ns", -(2**63)),
        pytest.param("0" * 5000 + "1s", SECOND, id="many zeros"),
    ],
)
def test_go_reads_fractions_signs_and_the_largest_duration(text: str, span: int) -> None:
    assert parse_duration(text) == span


@pytest.mark.parametrize(
    "text",
    [
        *("", "+", "-", "1", ".s", ".", "s", "1..5s", "1.5.5s", "--1s", "1s ", " 1s", "1 s", "1S"),
        *("9223372036854775808ns", "-9223372036854775809ns", "2562048h", "99999999999999999999ns"),
        "9223372036854775807ns1ns",
    ],
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ScheduleError, match="such as 1h30m"):
        parse_duration(text)


# Back-off

JITTERS = st.floats(0, 1, exclude_max=True)


@given(st.integers(1, 2**32), JITTERS)
def test_a_retry_waits_from_one_second_to_five_minutes(retry: int, jitter: float) -> None:
    delay = Backoff().delay_ns(retry, lambda: jitter)
    assert SECOND <= delay <= min(300, 2 ** min(retry, 10)) * SECOND


@given(st.floats(0, 1e6), st.floats(0, 1e6), st.integers(1, 100), JITTERS)
def test_the_wait_grows_with_the_jitter_and_with_the_retry(
    first: float, more: float, retry: int, jitter: float
) -> None:
    backoff = Backoff(first=first, limit=first + more)
    delay = backoff.delay_ns(retry, lambda: jitter)
    assert backoff.delay_ns(retry, lambda: 0.0) == span_ns(first) <= delay
    assert delay <= backoff.delay_ns(retry + 1, lambda: jitter) <= span_ns(first + more)


@given(st.integers(1, 2**32), JITTERS)
def test_a_backoff_of_zero_is_at_once(retry: int, jitter: float) -> None:
    assert Backoff.of(0) == Backoff.of(0.0) == Backoff.of(timedelta(0)) == AT_ONCE
    assert AT_ONCE.delay_ns(retry, lambda: jitter) == 0


def test_a_tasks_backoff_option_is_a_first_wait_or_a_backoff() -> None:
    assert Backoff.of(5) == Backoff.of(timedelta(seconds=5)) == Backoff(first=5.0)
    assert Backoff.of(900) == Backoff(first=900.0, limit=900.0)
    assert Backoff.of(Backoff(first=2, limit=3)) == Backoff(first=2, limit=3)


@pytest.mark.parametrize(
    ("first", "limit"), [(-1.0, 5.0), (6.0, 5.0), (1.0, float("inf")), (float("nan"), 5.0)]
)
def test_a_backoff_that_is_no_length_of_time_is_refused(first: float, limit: float) -> None:
    with pytest.raises(ConfigurationError, match="0 <= first <= limit"):
        Backoff(first=first, limit=limit)


@pytest.mark.parametrize("value", [-1, -0.5, float("nan"), float("inf"), timedelta(seconds=-1)])
def test_a_backoff_option_below_zero_is_refused(value: float | timedelta) -> None:
    with pytest.raises(ConfigurationError, match="allowed are"):
        Backoff.of(value)


# Instants and spans


@given(st.datetimes(timezones=st.just(UTC)))
def test_a_moment_survives_the_way_to_nanoseconds_and_back(moment: datetime) -> None:
    assert from_ns(to_ns(moment)) == moment


@given(st.datetimes(timezones=st.timezones()))
def test_a_zone_does_not_change_the_moment(moment: datetime) -> None:
    assert (
        to_ns(moment) == (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta.resolution * 1000
    )


@given(INT64)
def test_nanoseconds_become_the_microsecond_they_lie_in(instant: int) -> None:
    moment = from_ns(instant)
    assert moment.tzinfo is UTC
    assert 0 <= instant - to_ns(moment) < 1000


def test_an_instant_outside_the_calendar_becomes_its_edge() -> None:
    assert from_ns(-(10**30)) == datetime.min.replace(tzinfo=UTC)
    assert from_ns(10**30) == datetime.max.replace(tzinfo=UTC)


@pytest.mark.usefixtures("berlin")
def test_a_naive_moment_is_local_time() -> None:
    assert to_ns(datetime.fromisoformat("2024-07-01T09:00")) == ns("2024-07-01T07:00Z")
    assert to_ns(datetime.fromisoformat("2024-01-01T09:00")) == ns("2024-01-01T08:00Z")


@pytest.mark.usefixtures("berlin")
def test_a_naive_moment_without_a_local_offset_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="give it a time zone"):
        to_ns(datetime.min)  # noqa: DTZ901 -- the naive end of the calendar is what is refused


def test_an_aware_moment_at_the_edge_of_the_calendar_has_nanoseconds() -> None:
    east = timezone(timedelta(hours=14))
    assert to_ns(datetime.min.replace(tzinfo=UTC)) - to_ns(datetime.min.replace(tzinfo=east)) == (
        14 * HOUR
    )


@given(st.timedeltas(min_value=timedelta(days=-106_000), max_value=timedelta(days=106_000)))
def test_a_span_survives_the_way_to_nanoseconds_and_back(span: timedelta) -> None:
    assert span_from_ns(span_ns(span)) == span


@given(st.integers(-9_223_372_036, 9_223_372_036))
def test_whole_seconds_are_exact(seconds: int) -> None:
    assert span_ns(seconds) == seconds * SECOND


@given(st.integers(-(10**15), 10**15))
def test_seconds_of_a_float_keep_their_microseconds(microseconds: int) -> None:
    assert abs(span_ns(microseconds / 10**6) - microseconds * 1000) < 100


@pytest.mark.parametrize(
    ("value", "span"),
    [(0.1, 100_000_000), (-0.1, -100_000_000), (1e-9, 1), (timedelta(microseconds=-1), -1000)],
)
def test_a_span_is_rounded_to_the_nanosecond(value: float | timedelta, span: int) -> None:
    assert span_ns(value) == span


@pytest.mark.parametrize(
    "value",
    [float("nan"), float("inf"), -1e300, 10**400, 9_223_372_037, timedelta.max, timedelta.min],
)
def test_a_span_that_go_cannot_hold_is_refused(value: float | timedelta) -> None:
    with pytest.raises(ConfigurationError, match="allowed are"):
        span_ns(value)
