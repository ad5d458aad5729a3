"""What FINISH says on a job's channel: record and result, so that a waiter need not ask."""

from __future__ import annotations

from typing import NamedTuple


class Outcome(NamedTuple):
    """A job's record and its result, as one `Read` of both gives them."""

    record: bytes | None
    result: bytes | None


def outcome_in(word: bytes, db: int) -> Outcome | None:
    """Read ``<db> <bytes of the record> <record><result>``; None says: go and read.

    That is what an empty word says, any that is not understood, and one from another database:
    channels are common to all of them, where each may have a job of the same ID.
    """
    where, _, rest = word.partition(b" ")
    length, _, both = rest.partition(b" ")
    if where != b"%d" % db or not length.isdigit() or int(length) > len(both):
        return None
    return Outcome(both[: int(length)], both[int(length) :])
