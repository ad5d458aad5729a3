"""The plain data that crosses between a worker and a store."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple

from tasqueue.core.limits import LEASE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tasqueue.core.group import Membership
    from tasqueue.core.ports.request import Push


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerInfo:
    """Who a worker is."""

    queues: Sequence[str]
    lease_seconds: float = LEASE
    """How long a silent worker keeps its jobs."""
    supervisor_pid: int | None = None
    """The process on this host that beats and reaps for this one; peers leave it to that."""


class Claim(NamedTuple):
    """A job in a worker's hands: the token proves it, and ends with it."""

    token: str
    body: bytes
    convicted: str = ""
    """Why this job must not run, but fail, and be kept among the dead letters; else ""."""


class Mark(NamedTuple):
    """A ``processing`` record for a job that a worker holds."""

    token: str
    job_id: str
    record: bytes
    once: str = ""
    """As that of a `Settlement`: where the message was decided before, nothing is written."""


class Answer(IntEnum):
    """What became of a settlement."""

    BAD_KEY = -1
    """Nothing was written: a key has the wrong type; the job is still held. Try again, loudly."""
    FENCED = 0
    """Refused: this worker was taken for dead, and its jobs were given to others."""
    APPLIED = 1
    DECIDED = 2
    """Refused: this job was decided before (an earlier try arrived, or a copy was first)."""


@dataclass(slots=True)
class Settlement:
    """What a worker wants done with a job it holds, in one step, ending with its token."""

    token: str
    job_id: str
    record: bytes
    """The job's record after this step."""
    once: str = ""
    """sha1 of the message's bytes where copies of it may exist; decided once by that name."""
    listing: str = ""
    """``"success"``, ``"failed"``, or "" for a job that goes on."""
    result: bytes | None = None
    pushes: Sequence[Push] = ()
    """Jobs that this one releases."""
    again: Push | None = None
    """This job's own next attempt; then there is no listing."""
    dead: str = ""
    """Why the message itself is kept among the dead letters; "" if it is not."""
    ttl_ms: int = 0
    """How long record and result are kept from now; 0 is for ever."""
    member: Membership | None = None
    """Which group is to be told of this job's end."""
    closes: str = ""
    """The group whose callback this is: with its end nobody needs the members' results any more."""
