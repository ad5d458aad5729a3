"""What a task and a call may be told: the options' names, types and checks, in one place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final, Literal, TypedDict

from tasqueue.core.durability import ACK, Durability, check_durability
from tasqueue.core.errors import ConfigurationError
from tasqueue.core.job import DEFAULT_QUEUE, JobOpts
from tasqueue.core.limits import check_id, check_name
from tasqueue.core.timing import NS_PER_S, Backoff, span_ns, to_ns

Seconds = timedelta | float
"""A span: a timedelta, or a number of seconds."""

_MAX_RETRIES: Final = (1 << 32) - 1


class TaskOptions(TypedDict, total=False):
    """What `App.task` takes. Spans are seconds or timedelta."""

    name: str
    queue: str
    retries: int
    max_retries: int
    backoff: Backoff | timedelta | float
    timeout: timedelta | float | None
    result_ttl: timedelta | float | None
    raw: bool
    executor: Literal["thread", "process"]
    durability: Durability


class CallOptions(TypedDict, total=False):
    """What `using` takes, for one call. Spans are seconds or timedelta; naive datetimes local."""

    queue: str
    retries: int
    timeout: timedelta | float | None
    id: str
    eta: datetime
    countdown: timedelta | float
    durability: Durability
    if_absent: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """A task's options, checked."""

    name: str = ""
    queue: str = DEFAULT_QUEUE
    retries: int = 0
    backoff: Backoff = field(default_factory=Backoff)
    timeout_ns: int = 0
    result_ttl: timedelta | None = None
    raw: bool = False
    executor: str = "thread"
    durability: Durability = ACK
    opts: JobOpts = field(init=False, repr=False, compare=False)
    """What a job is told whose call has no options of its own."""

    def __post_init__(self) -> None:
        opts = JobOpts(
            queue=self.queue,
            max_retries=self.retries,
            timeout_ns=self.timeout_ns,
            durability=self.durability,
        )
        object.__setattr__(self, "opts", opts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """The options of one call, checked; None is "as the task says"."""

    queue: str | None = None
    retries: int | None = None
    timeout_ns: int | None = None
    id: str = ""
    eta_ns: int | None = None
    countdown_ns: int | None = None
    durability: Durability | None = None
    if_absent: bool = False

    def opts(self, settings: Settings, now_ns: int, job_id: str = "") -> JobOpts:
        """What the job is told; ``countdown`` counts from ``now_ns``, its own ID goes first."""
        if self is PLAIN and not job_id:
            return settings.opts
        eta_ns = self.eta_ns
        if self.countdown_ns is not None:
            eta_ns = now_ns + self.countdown_ns
        return JobOpts(
            id=self.id or job_id,
            queue=settings.queue if self.queue is None else self.queue,
            max_retries=settings.retries if self.retries is None else self.retries,
            eta_ns=eta_ns,
            timeout_ns=settings.timeout_ns if self.timeout_ns is None else self.timeout_ns,
            durability=self.durability or settings.durability,
        )

    def shared(self, what: str) -> Wishes:
        """The same wishes for several jobs.

        Raises:
            ConfigurationError: they name an ID.
        """
        if self.id:
            msg = f"id={self.id!r} names one job, and {what} is several: leave id out"
            raise ConfigurationError(msg)
        return self


PLAIN: Final = Wishes()
"""No wishes at all."""


def task_settings(options: Mapping[str, Any], defaults: Settings) -> Settings:
    """Check what a task was declared with.

    Raises:
        ConfigurationError: an option is unknown, given twice, or of no use.
    """
    _refuse_unknown(options, _TASK, "a task")
    values = dict(options)
    if "max_retries" in values:
        if "retries" in values:
            msg = "retries and max_retries are one option: give one of them"
            raise ConfigurationError(msg)
        values["retries"] = values.pop("max_retries")
    return replace(defaults, **_checked(values, _TASK))


def call_wishes(options: Mapping[str, Any], before: Wishes) -> Wishes:
    """Check what a call was told, on top of what it was told before.

    Raises:
        ConfigurationError: an option is unknown or of no use, or two do not go together.
    """
    _refuse_unknown(options, _CALL, "a call")
    wishes = replace(before, **_checked(options, _CALL))
    if wishes.eta_ns is not None and wishes.countdown_ns is not None:
        msg = "eta and countdown both say when the job may start: give one of them"
        raise ConfigurationError(msg)
    if wishes.if_absent and not wishes.id:
        msg = "if_absent=True asks whether a job of that ID is there: give id as well"
        raise ConfigurationError(msg)
    return wishes


def _refuse_unknown(options: Mapping[str, Any], known: Mapping[str, _Option], what: str) -> None:
    unknown = [name for name in options if name not in known]
    if unknown:
        names = ", ".join(known)
        msg = f"{what} has no option {unknown[0]!r}; the options are: {names}"
        raise ConfigurationError(msg)


def _checked(options: Mapping[str, Any], known: Mapping[str, _Option]) -> dict[str, Any]:
    checked: dict[str, Any] = {}
    for name, value in options.items():
        stored, check = known[name]
        try:
            checked[stored] = check(value)
        except ConfigurationError as error:
            msg = f"{name}={value!r}: {error}"
            raise ConfigurationError(msg) from error
    return checked


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    msg = "a text is needed"
    raise ConfigurationError(msg)


def _count(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MAX_RETRIES:
        return value
    msg = "a number of retries is needed, 0 or more"
    raise ConfigurationError(msg)


def _span(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, timedelta | int | float):
        msg = "a span is needed: seconds, or a timedelta"
        raise ConfigurationError(msg)
    ns = span_ns(value)
    if ns < 0:
        msg = "a span is not negative"
        raise ConfigurationError(msg)
    return ns


def _timeout(value: object) -> int:
    if value is None:
        return 0
    ns = _span(value)
    if ns == 0:
        msg = "a job gets more than no time; None is no limit"
        raise ConfigurationError(msg)
    return ns


def _keeping(value: object) -> timedelta | None:
    """How long results are kept; None is for ever.

    Raises:
        ConfigurationError: it is no span, or shorter than a millisecond.
    """
    if value is None:
        return None
    kept = timedelta(microseconds=_span(value) // 1000)
    if kept < timedelta(milliseconds=1):
        msg = "results are kept for a millisecond or more; None is for ever"
        raise ConfigurationError(msg)
    return kept


def _backoff(value: object) -> Backoff:
    if isinstance(value, Backoff):
        return value
    return Backoff.of(_span(value) / NS_PER_S)


def _moment(value: object) -> int:
    if isinstance(value, datetime):
        return to_ns(value)
    msg = "a datetime is needed"
    raise ConfigurationError(msg)


def _flag(value: object) -> bool:
    if isinstance(value, bool):
        return value
    msg = "True or False is needed"
    raise ConfigurationError(msg)


def _executor(value: object) -> str:
    if value in {"thread", "process"}:
        return str(value)
    msg = 'it is "thread" or "process"'
    raise ConfigurationError(msg)


def _queue(value: object) -> str:
    return check_name("queue", _text(value))


_Option = tuple[str, Callable[[object], Any]]

_TASK: Final[dict[str, _Option]] = {
    "name": ("name", lambda value: check_name("task", _text(value))),
    "queue": ("queue", _queue),
    "retries": ("retries", _count),
    "max_retries": ("retries", _count),
    "backoff": ("backoff", _backoff),
    "timeout": ("timeout_ns", _timeout),
    "result_ttl": ("result_ttl", _keeping),
    "raw": ("raw", _flag),
    "executor": ("executor", _executor),
    "durability": ("durability", check_durability),
}
_CALL: Final[dict[str, _Option]] = {
    "queue": ("queue", _queue),
    "retries": ("retries", _count),
    "timeout": ("timeout_ns", _timeout),
    "id": ("id", lambda value: check_id("job", _text(value))),
    "eta": ("eta_ns", _moment),
    "countdown": ("countdown_ns", _span),
    "durability": ("durability", check_durability),
    "if_absent": ("if_absent", _flag),
}
CALL_OPTIONS: Final = frozenset(_CALL)
"""The names of what `using` takes."""
