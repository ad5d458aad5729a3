"""Messages to bytes, byte for byte as Go's msgpack.Marshal."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgpack

from tasqueue.core.errors import EncodeError
from tasqueue.core.job import NIL_JOB, Job, JobMessage
from tasqueue.core.timing import NS_PER_S
from tasqueue.core.wire.nothing import RAW_TEXT, NilMap, PresentList

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tasqueue.core.chain import ChainMessage
    from tasqueue.core.group import Group, GroupMessage

_T = TypeVar("_T")

NIL: Final = b"\xc0"
ZERO_TIME: Final = bytes.fromhex("c70cff00000000fffffff1886e0900")
"""Go's zero time, 0001-01-01: "no ETA", "never processed". A nil would kill a Go reader."""

_FIXSTR: Final = tuple(bytes((0xA0 | n,)) for n in range(32))
_UINT32: Final = struct.Struct(">BI").pack
_INT64: Final = struct.Struct(">Bq").pack
_TIME32: Final = struct.Struct(">BBI").pack
_TIME64: Final = struct.Struct(">BBQ").pack
_TIME96: Final = struct.Struct(">BBBIq").pack


def _sized(head: tuple[int, int, int], length: int) -> bytes:
    """Header of a str, bin, array or map of ``length``, as 8, 16 or 32 bits."""
    if length < 0x100 and head[0]:
        return struct.pack(">BB", head[0], length)
    return struct.pack(*(">BH", head[1]) if length < 0x10000 else (">BI", head[2]), length)


def text(value: str) -> bytes:
    """A str of msgpack, as UTF-8; what Go wrote that was none goes back as it was."""
    data = value.encode("utf-8", RAW_TEXT)
    if len(data) < 32:
        return _FIXSTR[len(data)] + data
    return _sized((0xD9, 0xDA, 0xDB), len(data)) + data


def binary(value: bytes | None) -> bytes:
    """A byte slice of Go; None is nil."""
    return NIL if value is None else _sized((0xC4, 0xC5, 0xC6), len(value)) + value


def _array(items: Sequence[_T], one: Callable[[_T], bytes]) -> bytes:
    if not items:
        return b"\x90" if isinstance(items, PresentList) else NIL
    size = len(items)
    head = bytes((0x90 | size,)) if size < 16 else _sized((0, 0xDC, 0xDD), size)
    return head + b"".join(map(one, items))


def time(ns: int | None) -> bytes:
    """Unix nanoseconds as a msgpack timestamp; None is Go's zero time."""
    if ns is None:
        return ZERO_TIME
    seconds, rest = divmod(ns, NS_PER_S)
    if seconds >> 34:
        return _TIME96(0xC7, 12, 0xFF, rest, seconds)
    if rest or seconds >> 32:
        return _TIME64(0xD7, 0xFF, rest << 34 | seconds)
    return _TIME32(0xD6, 0xFF, seconds)


def count(number: int) -> bytes:
    """A uint32 of Go, never shortened."""
    return _UINT32(0xCE, number)


def _keys(names: str) -> tuple[bytes, ...]:
    """Each key of a struct, ready to be followed by its value; the first carries the map's head."""
    keys = [text(name) for name in names.split()]
    return bytes((0x80 | len(keys),)) + keys[0], *keys[1:]


_OPTS: Final = _keys("ID ETA Queue MaxRetries Schedule Timeout")
JOB_KEYS: Final = _keys("OnSuccess Task Payload OnError Opts")
_JOB_EXT_HEAD: Final = b"\x86" + JOB_KEYS[0][1:]
_EXT: Final = text("Ext")
_PACK: Final[Any] = msgpack.packb
MESSAGE_KEYS: Final = _keys(
    "ID OnSuccessIDs Status Queue Schedule MaxRetry Retried PrevErr ProcessedAt PrevJobResult Job"
)
_GROUP_MESSAGE: Final = _keys("ID Status JobStatus Group")
_GROUP: Final = _keys("Jobs Opts")
_GROUP_OPTS: Final = _keys("ID")
_CHAIN_MESSAGE: Final = _keys("ID Status JobID PrevJobs")


def _job(job: Job) -> bytes:
    if job is NIL_JOB:
        return NIL
    opts = job.opts
    parts = (
        _JOB_EXT_HEAD if job.ext else JOB_KEYS[0],
        _array(job.on_success, _job),
        JOB_KEYS[1],
        text(job.task),
        JOB_KEYS[2],
        binary(job.payload),
        JOB_KEYS[3],
        _array(job.on_error, _job),
        JOB_KEYS[4],
        _OPTS[0],
        text(opts.id),
        _OPTS[1],
        time(opts.eta_ns),
        _OPTS[2],
        text(opts.queue),
        _OPTS[3],
        count(opts.max_retries),
        _OPTS[4],
        text(opts.schedule),
        _OPTS[5],
        _INT64(0xD3, opts.timeout_ns),
    )
    body = b"".join(parts)
    if not job.ext:
        return body
    ext: bytes = _PACK(job.ext)
    return body + _EXT + ext


def _message(message: JobMessage) -> bytes:
    meta = message.meta
    return b"".join(
        (
            MESSAGE_KEYS[0],
            text(meta.id),
            MESSAGE_KEYS[1],
            _array(meta.on_success_ids, text),
            MESSAGE_KEYS[2],
            text(meta.status),
            MESSAGE_KEYS[3],
            text(meta.queue),
            MESSAGE_KEYS[4],
            text(meta.schedule),
            MESSAGE_KEYS[5],
            count(meta.max_retry),
            MESSAGE_KEYS[6],
            count(meta.retried),
            MESSAGE_KEYS[7],
            text(meta.prev_err),
            MESSAGE_KEYS[8],
            time(meta.processed_at_ns),
            MESSAGE_KEYS[9],
            binary(meta.prev_job_result),
            MESSAGE_KEYS[10],
            _job(message.job),
        )
    )


def _group(group: Group | None) -> bytes:
    if group is None:
        return NIL
    jobs = _array(group.jobs, _job)
    return _GROUP[0] + jobs + _GROUP[1] + _GROUP_OPTS[0] + text(group.opts.id)


def _states(states: dict[str, str]) -> bytes:
    if not states:
        return NIL if isinstance(states, NilMap) else b"\x80"
    size = len(states)
    head = bytes((0x80 | size,)) if size < 16 else _sized((0, 0xDE, 0xDF), size)
    return head + b"".join(text(job_id) + text(status) for job_id, status in states.items())


def _group_message(message: GroupMessage) -> bytes:
    meta, key = message.meta, _GROUP_MESSAGE
    head = key[0] + text(meta.id) + key[1] + text(meta.status)
    return head + key[2] + _states(meta.job_status) + key[3] + _group(message.group)


def _chain_message(message: ChainMessage) -> bytes:
    meta, key = message.meta, _CHAIN_MESSAGE
    head = key[0] + text(meta.id) + key[1] + text(meta.status)
    return head + key[2] + text(meta.job_id) + key[3] + _array(meta.prev_jobs, text)


def _name(message: object) -> object:
    return getattr(getattr(message, "meta", None), "id", None)


def job_bytes(job: Job) -> bytes | None:
    """A job alone, as it stands in its message; None if it cannot be written."""
    try:
        return _job(job)
    except (TypeError, AttributeError, ValueError, OverflowError, struct.error, RecursionError):
        return None


def _write(what: str, write: Callable[[_T], bytes], message: _T) -> bytes:
    try:
        return write(message)
    except (TypeError, AttributeError, ValueError, OverflowError, struct.error) as error:
        reason = f"{what} {_name(message)!r} cannot be written for Go: {error}"
        raise EncodeError(reason) from error
    except RecursionError:
        reason = f"{what} {_name(message)!r} nests deeper than can be written"
        raise EncodeError(reason) from None


def encode_job(message: JobMessage) -> bytes:
    """Write a job message as Go's ``msgpack.Marshal(JobMessage)`` does.

    Raises:
        EncodeError: a field holds what Go's type cannot (a negative retry count, a number where
            text belongs …), or the children nest too deep.
    """
    return _write("job", _message, message)


def encode_group(message: GroupMessage) -> bytes:
    """Write a group message; its map of states keeps the dict's order (Go's is random).

    Raises:
        EncodeError: as `encode_job`.
    """
    return _write("group", _group_message, message)


def encode_chain(message: ChainMessage) -> bytes:
    """Write a chain message.

    Raises:
        EncodeError: as `encode_job`.
    """
    return _write("chain", _chain_message, message)
