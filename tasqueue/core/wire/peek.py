"""Whose message some bytes are, told cheaply."""

from __future__ import annotations

from tasqueue.core.errors import DecodeError
from tasqueue.core.wire.job import decode_job
from tasqueue.core.wire.nothing import RAW_TEXT


def is_message_of(body: bytes, job_id: str) -> bool:
    """Whether these bytes are the message of a job; they are decoded only if they may be."""
    if job_id.encode("utf-8", RAW_TEXT) not in body:
        return False
    try:
        return decode_job(body).meta.id == job_id
    except DecodeError:
        return False
