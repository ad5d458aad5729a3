"""What clients ask of a store, as plain data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from tasqueue.core.durability import ACK

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tasqueue.core.group import Membership

JOB_KEY = "job:msg:"
"""Before a job's ID: the name of its record in the results (Go: results keys)."""
GROUP_KEY = "group:msg:"
"""Before a group's ID: the name of its record."""
CHAIN_KEY = "chain:msg:"
"""Before a chain's ID: the name of its record."""


class Push(NamedTuple):
    """A message on its way into a queue, with the status record that goes before it."""

    queue: str
    job_id: str
    record: bytes
    """Empty where records lie in another store."""
    body: bytes
    due_ns: int | None = None
    """Unix nanoseconds; None is at once."""
    call: str = ""
    """The enqueue call's token where the user chose the ID, so that a repeat is known."""
    durability: str = ACK
    """How far it must have come before the store answers; the most of one `Submit` counts."""

    @property
    def size(self) -> int:
        """Bytes that are sent for it."""
        return len(self.record) + len(self.body) + len(self.job_id)


@dataclass(frozen=True, slots=True)
class Submit:
    """Enqueue: records and messages in one step. Answered by a list of bool: pushed now.

    ``again``: this is the same call once more, its first answer was lost.
    """

    pushes: Sequence[Push]
    again: bool = False
    seals: Sequence[str] = ()
    """Open groups that are complete with these messages: from then on they may fire."""


@dataclass(frozen=True, slots=True)
class Read:
    """Read names of the results. Answered by a list of bytes or None."""

    names: Sequence[str]


@dataclass(frozen=True, slots=True)
class Write:
    """Store bytes under a name of the results (with the store's expiry, if it has one)."""

    name: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Pending:
    """A page of a queue's waiting messages, youngest first. Answered by a `PendingPage`."""

    queue: str
    offset: int = 0
    limit: int | None = None
    """None is all; 0 asks for the count alone."""


class PendingPage(NamedTuple):
    """How many wait, and some of them."""

    total: int
    bodies: list[bytes]


@dataclass(frozen=True, slots=True)
class Parked:
    """Whether a job is set aside because nobody knows its task. Answered by a bool."""

    queue: str
    task: str
    job_id: str


@dataclass(frozen=True, slots=True)
class Workers:
    """The workers of a queue that are not known to be dead. Answered by a list of their IDs.

    Go's workers do not register, and so are never among them.
    """

    queue: str


@dataclass(frozen=True, slots=True)
class Listing:
    """The IDs in the list ``"success"`` or ``"failed"``, newest first."""

    name: str


@dataclass(frozen=True, slots=True)
class Forget:
    """Forget a job: record, result, and its place in the lists."""

    job_id: str


@dataclass(frozen=True, slots=True)
class PutTask:
    """Store a task's record, so that other programs list it (Go: ``tq:tasks``)."""

    name: str
    record: bytes


@dataclass(frozen=True, slots=True)
class Tasks:
    """All task records. Answered by a list of bytes."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait at most ``seconds``, or less if the store learns that job ``job_id`` has ended.

    Answered by its record and its result, if the store learned these too: as a `Read` of both
    would have been answered. Else by None.
    """

    job_id: str
    seconds: float


@dataclass(frozen=True, slots=True)
class OpenGroup:
    """Ask a store with fan-in for a callback: pushed once, when every member has ended.

    The group is opened before its members are submitted, and sealed by the last `Submit` of its
    flow: it cannot fire before. One without members is complete as it is opened, and one that is
    not sealed within a day is forgotten. Opening it again changes nothing. The callback's record
    is there at once, and the callback finds the members' results with `GroupResults`.
    """

    group_id: str
    members: Sequence[Sequence[str]]
    """Each member as its path of job IDs: a single job, or the links of a chain."""
    on_success: Push | None
    """Pushed when all members have succeeded. Where they have not, its record says failed."""
    on_error: Push | None
    """Pushed when a member has failed."""
    outer: Membership | None = None
    """The member of another group that this one's ``on_success`` is; it fails with it."""


@dataclass(frozen=True, slots=True)
class GroupResults:
    """The results of a group with a callback, in the members' order.

    Answered by a list: bytes, or None for a member that saved nothing or failed. Answered by None
    once the callback has ended.
    """

    group_id: str


@dataclass(frozen=True, slots=True)
class Sweep:
    """Look at some open groups for members that ended where the store was not told (in Go).

    The next one goes on where this one stopped. Answered by a bool: it found some.
    """


@dataclass(frozen=True, slots=True)
class Decided:
    """Whether messages are decided, by the sha1 of their bytes. Answered by a list of bool."""

    names: Sequence[str]


@dataclass(frozen=True, slots=True)
class TellEnd:
    """Tell a store with fan-in of a job's end, where the job itself lies in another store.

    What it says is done in the order of its fields; a crash in between is mended by sending it
    again, which counts nothing twice. Answered by the queues that callbacks may have gone to.
    """

    job_id: str
    failed: bool
    saved: bytes | None
    """Its result; None if it has failed."""
    member: Membership | None
    once: str = ""
    """sha1 of the message, where copies of it may exist: it is decided now."""
    closes: str = ""
    """The group whose callback this was."""


@dataclass(frozen=True, slots=True)
class Withdraw:
    """Take waiting messages out of a queue, one of each: they have come to where they belong."""

    queue: str
    bodies: Sequence[bytes]


Request = (
    Submit
    | Read
    | Write
    | Pending
    | Parked
    | Workers
    | Listing
    | Forget
    | PutTask
    | Tasks
    | Pause
    | OpenGroup
    | GroupResults
    | Sweep
    | Decided
    | TellEnd
    | Withdraw
)
