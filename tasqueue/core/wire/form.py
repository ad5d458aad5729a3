"""Messages that are alike but for ID and payload: what they share is written once.

A producer sends one task with the same options again and again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tasqueue.core.wire.writing import (
    JOB_KEYS,
    MESSAGE_KEYS,
    NIL,
    ZERO_TIME,
    binary,
    encode_job,
    text,
    time,
)

if TYPE_CHECKING:
    from tasqueue.core.job import JobMessage


class Form(NamedTuple):
    """A message that waits for its first run, and its record, with three gaps."""

    head: bytes
    """Up to the ID."""
    middle: bytes
    """From there to the time of the status."""
    bridge: bytes
    """From there to the payload."""
    tail: bytes

    def filled(self, job_id: str, payload: bytes, now_ns: int) -> tuple[bytes, bytes]:
        """The message for the queue, and its record as of ``now_ns``: what `encode_job` writes."""
        start = self.head + text(job_id) + self.middle
        end = self.bridge + binary(payload) + self.tail
        return start + ZERO_TIME + end, start + time(now_ns) + end


def form_of(message: JobMessage) -> Form:
    """Cut a message without ID and payload where these, and the time, have their place.

    Raises:
        EncodeError: as `encode_job`.
    """
    head, to_job = MESSAGE_KEYS[0], MESSAGE_KEYS[9] + NIL + MESSAGE_KEYS[10]
    to_payload = JOB_KEYS[0] + NIL + JOB_KEYS[1] + text(message.job.task) + JOB_KEYS[2]
    rest = encode_job(message).removeprefix(head + text(""))
    middle, bridge, tail = rest.partition(ZERO_TIME + to_job + to_payload + NIL)
    return Form(head, middle, bridge[len(ZERO_TIME) : -len(NIL)], tail)
