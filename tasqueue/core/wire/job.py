"""Job messages: the short way where it goes, the long way else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tasqueue.core.limits import MAX_DECODE
from tasqueue.core.wire.canonical import read_canonical, write_canonical
from tasqueue.core.wire.reading import read_job
from tasqueue.core.wire.writing import encode_job, job_bytes

if TYPE_CHECKING:
    from tasqueue.core.job import JobMessage


def decode_job(body: bytes) -> JobMessage:
    """Read a job message, from a queue or from the results.

    Raises:
        DecodeError: Go's decoder would refuse the bytes too (or they are over 64 MiB, or nest
            deeper than msgpack reads); the error keeps the bytes.
    """
    message = read_canonical(body) if len(body) <= MAX_DECODE else None
    return read_job(body) if message is None else message


def encode_both(message: JobMessage, record: JobMessage) -> tuple[bytes, bytes]:
    """Write a message that was just made, and its record; they share one job, written once.

    Raises:
        EncodeError: as `encode_job`.
    """
    message.wire = record.wire = job_bytes(message.job)
    return encode_record(message), encode_record(record)


def encode_record(message: JobMessage) -> bytes:
    """Write what becomes of a message that was read: its meta anew, its job as it was read.

    For the engine, which changes no job in place: whoever does takes `encode_job`.

    Raises:
        EncodeError: as `encode_job`.
    """
    body = write_canonical(message)
    return encode_job(message) if body is None else body
