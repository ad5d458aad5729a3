"""The short way for job messages in the form that Go and we write; `reading` takes all others.

One pass in C instead of a walk in Python. What is not read as a matter of course (text that is no
UTF-8, a struct as an array, a number beyond its type, bytes after the message) is left to the long
way, and so is what cannot be written as a matter of course.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Final

import msgspec

from tasqueue.core.job import NIL_JOB, Job, JobMessage, JobOpts, Meta
from tasqueue.core.wire.nothing import PresentList
from tasqueue.core.wire.reading import MalformedError, instant, unpacked
from tasqueue.core.wire.writing import ZERO_TIME, count, time

_Count = Annotated[int, msgspec.Meta(ge=0, lt=1 << 32)]
_Span = Annotated[int, msgspec.Meta(ge=-(1 << 63), le=(1 << 63) - 1)]

_NIL: Final = b"\xc0"
_NOTHING: Final = msgspec.Raw(_NIL)
_EMPTY: Final = msgspec.Raw(b"\x80")
_OTHERS: Final = (MalformedError, msgspec.MsgspecError, ValueError, TypeError, RecursionError)
"""What the long way is there for."""


class _Opts(msgspec.Struct, gc=False):
    """Attributes have Go's names, since they are the keys."""

    ID: str = ""
    ETA: msgspec.Raw = _NOTHING
    Queue: str = ""
    MaxRetries: _Count = 0
    Schedule: str = ""
    Timeout: _Span = 0


class _Job(msgspec.Struct, gc=False):
    OnSuccess: list[_Job | None] | None = None
    Task: str = ""
    Payload: bytes | None = None
    OnError: list[_Job | None] | None = None
    Opts: msgspec.Raw = _EMPTY
    Ext: msgspec.Raw = _NOTHING


class _Message(msgspec.Struct, gc=False):
    ID: str = ""
    OnSuccessIDs: list[str] | None = None
    Status: str = ""
    Queue: str = ""
    Schedule: str = ""
    MaxRetry: _Count = 0
    Retried: _Count = 0
    PrevErr: str = ""
    ProcessedAt: msgspec.Raw = _NOTHING
    PrevJobResult: bytes | None = None
    Job: msgspec.Raw = _NOTHING


class _Record(msgspec.Struct, gc=False):
    """A message to be written: in Go's order, and its integers as long as Go's."""

    ID: str
    OnSuccessIDs: list[str] | None
    Status: str
    Queue: str
    Schedule: str
    MaxRetry: msgspec.Raw
    Retried: msgspec.Raw
    PrevErr: str
    ProcessedAt: msgspec.Raw
    PrevJobResult: bytes | None
    Job: msgspec.Raw


_MESSAGE: Final = msgspec.msgpack.Decoder(_Message).decode
_JOB: Final = msgspec.msgpack.Decoder(_Job | None).decode
_OPTS: Final = msgspec.msgpack.Decoder(_Opts).decode
_WRITE: Final = msgspec.msgpack.Encoder().encode


def read_canonical(body: bytes) -> JobMessage | None:
    """Read a job message; None leaves it to the long way, which also says what is wrong with it."""
    try:
        read = _MESSAGE(body)
        meta = Meta(
            read.ID,
            read.Status,
            read.Queue,
            read.Schedule,
            read.MaxRetry,
            read.Retried,
            read.PrevErr,
            _instant(read.ProcessedAt),
            read.PrevJobResult,
            _list(read.OnSuccessIDs),
        )
        wire = bytes(read.Job)
        return JobMessage(meta, _made(_JOB(wire)), wire)
    except _OTHERS:
        return None


def write_canonical(message: JobMessage) -> bytes | None:
    """Write a message with its job's own bytes; None leaves it to the long way."""
    wire, meta = message.wire, message.meta
    if wire is None:
        return None
    ids = meta.on_success_ids
    try:
        return _WRITE(
            _Record(
                meta.id,
                ids if ids or isinstance(ids, PresentList) else None,
                meta.status,
                meta.queue,
                meta.schedule,
                _count(meta.max_retry),
                _count(meta.retried),
                meta.prev_err,
                msgspec.Raw(time(meta.processed_at_ns)),
                meta.prev_job_result,
                msgspec.Raw(wire),
            )
        )
    except UnicodeEncodeError:
        return None


@lru_cache(maxsize=64)
def _count(number: int) -> msgspec.Raw:
    return msgspec.Raw(count(number))


def _instant(raw: msgspec.Raw) -> int | None:
    value = bytes(raw)
    return None if value == ZERO_TIME else instant(unpacked(value))


def _list(items: list[str] | None) -> list[str]:
    return [] if items is None else items or PresentList()


def _jobs(items: list[_Job | None] | None) -> list[Job]:
    if items is None:
        return []
    return [_made(item) for item in items] if items else PresentList()


def _made(read: _Job | None) -> Job:
    if read is None:
        return NIL_JOB
    ext = bytes(read.Ext)
    extra = {} if ext == _NIL else unpacked(ext)
    return Job(
        read.Task,
        read.Payload,
        _options(bytes(read.Opts)),
        _jobs(read.OnSuccess),
        _jobs(read.OnError),
        extra if type(extra) is dict else {},
    )


@lru_cache(maxsize=256)
def _options(body: bytes) -> JobOpts:
    """Read the options, which most jobs of a task have in common: one object serves them all."""
    read = _OPTS(body)
    return JobOpts(
        id=read.ID,
        queue=read.Queue,
        max_retries=read.MaxRetries,
        schedule=read.Schedule,
        eta_ns=_instant(read.ETA),
        timeout_ns=read.Timeout,
    )
