"""Bytes to messages, as lenient as Go's decoder and no more surprising."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgpack

from tasqueue.core.chain import ChainMessage, ChainMeta
from tasqueue.core.errors import DecodeError
from tasqueue.core.group import Group, GroupMessage, GroupMeta, GroupOpts
from tasqueue.core.job import NIL_JOB, Job, JobMessage, JobOpts, Meta
from tasqueue.core.limits import MAX_DECODE
from tasqueue.core.timing import NS_PER_S
from tasqueue.core.wire.nothing import RAW_TEXT, NilMap, PresentList

if TYPE_CHECKING:
    from collections.abc import Callable

_T = TypeVar("_T")

_ZERO_TIME_NS: Final = -62_135_596_800 * NS_PER_S
_ONLY_TEXT: Final = {str}
_NAMES: Final = {
    "message": (
        "ID",
        "OnSuccessIDs",
        "Status",
        "Queue",
        "Schedule",
        "MaxRetry",
        "Retried",
        "PrevErr",
        "ProcessedAt",
        "PrevJobResult",
        "Job",
    ),
    "job": ("OnSuccess", "Task", "Payload", "OnError", "Opts"),
    "opts": ("ID", "ETA", "Queue", "MaxRetries", "Schedule", "Timeout"),
    "group message": ("ID", "Status", "JobStatus", "Group"),
    "group": ("Jobs", "Opts"),
    "group opts": ("ID",),
    "chain message": ("ID", "Status", "JobID", "PrevJobs"),
}


class _Skipped:
    """Stands for a value that Go passes over and no Python type holds."""


class MalformedError(Exception):
    """A value is not of the kind that Go's decoder would take there."""


def _fields(value: Any, kind: str) -> dict[Any, Any]:
    """A struct's fields by name, from a map, from an array of all or of none, or from nil."""
    if type(value) is dict:
        if value and set(map(type, value)) != _ONLY_TEXT:
            return {_string(key) if type(key) is bytes else key: v for key, v in value.items()}
        return value
    if value is None or value == []:
        return {}
    if type(value) is list and len(value) == len(_NAMES[kind]):
        return dict(zip(_NAMES[kind], value, strict=True))
    msg = f"a {kind} is a map, not {type(value).__name__}"
    raise MalformedError(msg)


def _string(value: object) -> str:
    if type(value) is str:
        return value
    if value is None:
        return ""
    if type(value) is bytes:
        return value.decode("utf-8", RAW_TEXT)
    msg = f"text was expected, not {type(value).__name__}"
    raise MalformedError(msg)


def _blob(value: object) -> bytes | None:
    if value is None or type(value) is bytes:
        return value
    if type(value) is str:
        return value.encode("utf-8", RAW_TEXT)
    msg = f"bytes were expected, not {type(value).__name__}"
    raise MalformedError(msg)


def _integer(value: object) -> int:
    if type(value) is int:
        return value
    if value is None:
        return 0
    msg = f"an integer was expected, not {type(value).__name__}"
    raise MalformedError(msg)


def _count(value: object) -> int:
    return _integer(value) & 0xFFFF_FFFF


def _signed(value: object) -> int:
    number = _integer(value)
    return number - (1 << 64) if number >> 63 > 0 else number


def instant(value: object) -> int | None:
    """A timestamp in unix nanoseconds; None for Go's zero time.

    Raises:
        MalformedError: it is none.
    """
    if value is None:
        return None
    if not isinstance(value, msgpack.Timestamp):
        msg = f"a msgpack timestamp was expected, not {type(value).__name__}"
        raise MalformedError(msg)
    ns: int = value.seconds * NS_PER_S + value.nanoseconds
    return None if ns == _ZERO_TIME_NS else ns


def _list(value: object, one: Callable[[Any], _T]) -> list[_T]:
    if value is None:
        return []
    if type(value) is not list:
        msg = f"a list was expected, not {type(value).__name__}"
        raise MalformedError(msg)
    return [one(item) for item in value] if value else PresentList()


def _read_job(value: object) -> Job:
    if value is None:
        return NIL_JOB
    get = _fields(value, "job").get
    ext = get("Ext")
    job = Job(
        _string(get("Task")),
        _blob(get("Payload")),
        _read_opts(get("Opts")),
        ext=ext if type(ext) is dict else {},
    )
    for name, key in (("on_success", "OnSuccess"), ("on_error", "OnError")):
        children = get(key)
        if children is not None:
            setattr(job, name, _list(children, _read_job))
    return job


def _read_opts(value: object) -> JobOpts:
    get = _fields(value, "opts").get
    return JobOpts(
        id=_string(get("ID")),
        queue=_string(get("Queue")),
        max_retries=_count(get("MaxRetries")),
        schedule=_string(get("Schedule")),
        eta_ns=instant(get("ETA")),
        timeout_ns=_signed(get("Timeout")),
    )


def _read_message(value: object) -> JobMessage:
    get = _fields(value, "message").get
    meta = Meta(
        _string(get("ID")),
        _string(get("Status")),
        _string(get("Queue")),
        _string(get("Schedule")),
        _count(get("MaxRetry")),
        _count(get("Retried")),
        _string(get("PrevErr")),
        instant(get("ProcessedAt")),
        _blob(get("PrevJobResult")),
        _list(get("OnSuccessIDs"), _string),
    )
    return JobMessage(meta, _read_job(get("Job")))


def _read_group(value: object) -> Group | None:
    if value is None:
        return None
    get = _fields(value, "group").get
    opts = GroupOpts(id=_string(_fields(get("Opts"), "group opts").get("ID")))
    # Go keeps a group's jobs by value, so that nil is an empty job and not NIL_JOB.
    return Group(_list(get("Jobs"), lambda job: _read_job({} if job is None else job)), opts)


def _read_states(value: object) -> dict[str, str]:
    if value is None:
        return NilMap()
    if type(value) is not dict:
        msg = f"JobStatus is a map, not {type(value).__name__}"
        raise MalformedError(msg)
    return {_string(job_id): _string(status) for job_id, status in value.items()}


def _read_group_message(value: object) -> GroupMessage:
    get = _fields(value, "group message").get
    states = _read_states(get("JobStatus"))
    meta = GroupMeta(_string(get("ID")), _string(get("Status")), states)
    return GroupMessage(meta, _read_group(get("Group")))


def _read_chain_message(value: object) -> ChainMessage:
    get = _fields(value, "chain message").get
    previous = _list(get("PrevJobs"), _string)
    meta = ChainMeta(_string(get("ID")), _string(get("Status")), _string(get("JobID")), previous)
    return ChainMessage(meta)


def _extension(code: int, data: bytes) -> object:
    """An extension type that Go skips; ``ExtType`` itself refuses the codes of msgpack's own."""
    return msgpack.ExtType(code, data) if code >= 0 else _Skipped()


def _hashable(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
    """A map without the pairs that Python cannot hold: only in what Go skips are keys maps."""
    return {key: value for key, value in pairs if type(key) not in {dict, list}}


def unpacked(body: bytes) -> object:
    """What some bytes hold, before it is known what it should be.

    Raises:
        Exception: as msgpack has it; bytes after the value are passed over.
    """
    unpack = partial(
        msgpack.unpackb,
        body,
        strict_map_key=False,
        unicode_errors=RAW_TEXT,
        ext_hook=_extension,
    )
    try:
        try:
            return unpack()
        except TypeError:
            return unpack(object_pairs_hook=_hashable)
    except msgpack.ExtraData as extra:
        return extra.unpacked


def _read(what: str, read: Callable[[object], _T], body: bytes) -> _T:
    if len(body) > MAX_DECODE:
        msg = f"no {what} message: {len(body):,} bytes, the limit is {MAX_DECODE:,}"
        raise DecodeError(msg, body)
    try:
        return read(unpacked(body))
    except MalformedError as error:
        reason = str(error)
    except (RecursionError, msgpack.StackError):
        reason = "it nests deeper than can be read"
    except (ValueError, TypeError, OverflowError, msgpack.UnpackException) as error:
        reason = str(error) or type(error).__name__
    msg = f"no {what} message: {reason}"
    raise DecodeError(msg, body)


def read_job(body: bytes) -> JobMessage:
    """Read a job message in any form that Go takes.

    Raises:
        DecodeError: as `decode_job`.
    """
    return _read("job", _read_message, body)


def decode_group(body: bytes) -> GroupMessage:
    """Read a group message.

    Raises:
        DecodeError: as `decode_job`.
    """
    return _read("group", _read_group_message, body)


def decode_chain(body: bytes) -> ChainMessage:
    """Read a chain message.

    Raises:
        DecodeError: as `decode_job`.
    """
    return _read("chain", _read_chain_message, body)
