"""The outbox of a group whose callback is to run in another store than the one that counts it.

The store that counts releases a letter instead of the message, in the step in which the group
fires. Whoever works on the message's queue carries it over, by a call token: once, however often.
"""

from __future__ import annotations

from typing import Final

import msgspec

from tasqueue.core.errors import DecodeError
from tasqueue.core.ports import Push

OUTBOX: Final = "tq:out:"
"""Before a queue's name: the queue of letters for it, in the results."""


class _Letter(msgspec.Struct, array_like=True):
    job_id: str
    call: str
    due_ns: int | None
    body: bytes


def posted(push: Push, group_id: str) -> Push:
    """A callback as the letter that is released in its place; its record stays beside it."""
    letter = _Letter(push.job_id, f"group:{group_id}", push.due_ns, push.body)
    body = msgspec.msgpack.encode(letter)
    return push._replace(queue=OUTBOX + push.queue, body=body, due_ns=None)


def opened(outbox: str, body: bytes) -> Push:
    """The callback in a letter; its record was written when it was posted.

    Its queue is that of the outbox: who may write there may send to that queue and no other.

    Raises:
        DecodeError: these bytes are no letter.
    """
    try:
        one = msgspec.msgpack.decode(body, type=_Letter)
    except msgspec.DecodeError as error:
        raise DecodeError(f"no letter of an outbox: {error}", body) from error
    return Push(outbox.removeprefix(OUTBOX), one.job_id, b"", one.body, one.due_ns, one.call)
