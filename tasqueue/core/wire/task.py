"""A task's record, as it lies in the store for programs of any language to list."""

from __future__ import annotations

import struct
from typing import Any, Final, NamedTuple

import msgpack

from tasqueue.core.errors import DecodeError

_CONCURRENCY: Final = struct.Struct(">BI").pack


class TaskRecord(NamedTuple):
    """A registered task (Go v2.3.0: TaskInfo)."""

    name: str
    queue: str
    concurrency: int


def encode_task(record: TaskRecord) -> bytes:
    """Write a task's record as Go does: lower-case keys, a full uint32."""
    pack: Any = msgpack.packb
    head = b"\x83" + pack("name") + pack(record.name) + pack("queue") + pack(record.queue)
    written: bytes = head + pack("concurrency") + _CONCURRENCY(0xCE, record.concurrency)
    return written


def decode_task(body: bytes) -> TaskRecord:
    """Read a task's record.

    Raises:
        DecodeError: the bytes are none.
    """
    try:
        fields = msgpack.unpackb(body)
        return TaskRecord(
            str(fields["name"]), str(fields["queue"]), int(fields.get("concurrency", 0))
        )
    except (ValueError, TypeError, KeyError, AttributeError, msgpack.UnpackException) as error:
        raise DecodeError(f"no task record: {error}", body) from error
