"""What a back end must be able to do, as Protocols; and the plain data that crosses.

Two faces are public and small, `Broker` and `Results`: a third party can write a back end
against them. Back ends that can do more lack no method, they have more types: a `Store` answers
requests of clients, a `Lease` is one worker's place in a store. A broker and a results store
that lie in one server share one `Store`, which then ends a job in one atomic step.

`Request` values are data. A plan (`tasqueue.engine.plan`) yields them, and a store performs
them, awaited or blocking: so `.delay()` and `.adelay()` share every line but the socket.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from datetime import datetime


# -- the public faces ----------------------------------------------------------------------------


class Delivery(Protocol):
    """One message as handed to a consumer; it comes back unless it is acknowledged."""

    @property
    def body(self) -> bytes:
        """The message."""
        ...

    async def ack(self) -> None:
        """Say that the message is done with; it will not come again."""
        ...


@runtime_checkable
class Broker(Protocol):
    """Where messages wait (Go: interfaces.go, Broker)."""

    async def enqueue(self, message: bytes, queue: str) -> None:
        """Put a message at the young end of a queue."""
        ...

    async def enqueue_scheduled(self, message: bytes, queue: str, at: datetime) -> None:
        """Put a message into a queue at ``at`` (aware), or soon after."""
        ...

    def consume(self, queue: str) -> AsyncIterator[Delivery]:
        """Take messages, oldest first, for ever; an unacknowledged one comes back."""
        ...

    async def get_pending(self, queue: str) -> list[bytes]:
        """List the waiting messages, youngest first (Go's order); scheduled ones do not count."""
        ...


@runtime_checkable
class Results(Protocol):
    """Where outcomes are kept (Go: interfaces.go, Results). Names are job IDs or engine keys."""

    async def get(self, name: str) -> bytes | None:
        """Return what is stored under a name, or None."""
        ...

    async def set(self, name: str, data: bytes) -> None:
        """Store bytes under a name."""
        ...

    async def delete_job(self, job_id: str) -> None:
        """Forget a job's result, its record and its place in the lists."""
        ...

    async def set_success(self, job_id: str) -> None:
        """Put a job into the list of the successful."""
        ...

    async def set_failed(self, job_id: str) -> None:
        """Put a job into the list of the failed."""
        ...

    async def get_success(self) -> list[str]:
        """List the IDs of successful jobs, newest first."""
        ...

    async def get_failed(self) -> list[str]:
        """List the IDs of failed jobs, newest first."""
        ...


# -- what clients ask of a store -----------------------------------------------------------------

JOB_KEY = "job:msg:"
"""Before a job's ID: the name of its record in the results (Go: results keys)."""
GROUP_KEY = "group:msg:"
CHAIN_KEY = "chain:msg:"


class Push(NamedTuple):
    """A message on its way into a queue, with the status record that goes before it."""

    queue: str
    job_id: str
    record: bytes
    body: bytes
    due_ns: int | None = None
    """Unix nanoseconds; None is at once."""
    call: str = ""
    """The enqueue call's token where the user chose the ID, so that a repeat is known."""


@dataclass(frozen=True, slots=True)
class Submit:
    """Enqueue: records and messages in one step. Answered by a list of bool: pushed now.

    ``again``: this is the same call once more, its first answer was lost.
    """

    pushes: Sequence[Push]
    again: bool = False


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
    """Wait at most ``seconds``, or less if the store learns that job ``job_id`` has ended."""

    job_id: str
    seconds: float


@dataclass(frozen=True, slots=True)
class OpenGroup:
    """Ask a store with fan-in for a callback: pushed once, when every member has ended.

    The callback finds the members' results with `GroupResults`; it must be opened before its
    members are submitted.
    """

    group_id: str
    members: Sequence[Sequence[str]]
    """Each member as its path of job IDs: a single job, or the links of a chain."""
    on_success: Push | None
    on_error: Push | None


@dataclass(frozen=True, slots=True)
class GroupResults:
    """The results of a group with a callback, in the members' order; None for a failed one."""

    group_id: str


Request = (
    Submit
    | Read
    | Write
    | Pending
    | Listing
    | Forget
    | PutTask
    | Tasks
    | Pause
    | OpenGroup
    | GroupResults
)


@runtime_checkable
class Store(Protocol):
    """A broker and its results as one thing that answers clients, from asyncio."""

    fan_in: bool
    """Whether it performs `OpenGroup` and `GroupResults`."""

    async def perform(self, request: Request) -> Any:
        """Do what the request says.

        Raises:
            BackendUnavailable: the server is out of reach; the request may have been done.
            BackendRejected: the server refused it.
        """
        ...

    async def identity(self) -> str:
        """What tells whether two stores are the same one (a server's run ID and database)."""
        ...

    def lease(self, worker: WorkerInfo) -> Lease:
        """A worker's place in this store; nothing is sent before its first beat."""
        ...

    async def aclose(self) -> None:
        """Close the connections of this event loop."""
        ...


@runtime_checkable
class BlockingStore(Protocol):
    """The same store for code without an event loop; safe from many threads and after a fork."""

    def perform_blocking(self, request: Request) -> Any:
        """As `Store.perform`; fails within 3 s when the server is out of reach."""
        ...

    def close(self) -> None:
        """Close the connections of this thread."""
        ...


@runtime_checkable
class Stored(Protocol):
    """A broker or results store that is one face of a `Store`."""

    @property
    def store(self) -> Store:
        """The store behind this face."""
        ...


# -- what a worker asks of a store ---------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerInfo:
    """Who a worker is."""

    queues: Sequence[str]
    lease_seconds: float = 30.0
    """How long a silent worker keeps its jobs."""


class Claim(NamedTuple):
    """A job in a worker's hands: the token proves it, and ends with it."""

    token: str
    body: bytes


class Mark(NamedTuple):
    """A ``processing`` record for a job that a worker holds."""

    token: str
    job_id: str
    record: bytes


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


class Upkeep(Protocol):
    """What a lease does for all workers of a queue; any of them may do it."""

    async def promote(self, queue: str) -> float | None:
        """Move due jobs into the queue; returns seconds until the next one, None if unknown."""
        ...

    async def rescue(self, queue: str) -> int:
        """Give the jobs of dead workers back; returns how many workers were found dead."""
        ...

    async def unpark(self, queue: str, known: Sequence[str]) -> int:
        """Put parked jobs of tasks that are known here or elsewhere back; returns how many."""
        ...

    async def known_elsewhere(self, task: str) -> bool:
        """Whether some program has registered this task in the store."""
        ...


class Holding(Protocol):
    """What a lease does with the jobs that its worker holds."""

    async def adopt(self, queue: str) -> list[Claim]:
        """All jobs that this worker holds according to the store."""
        ...

    async def mark(self, queue: str, marks: Sequence[Mark]) -> None:
        """Write ``processing`` records of jobs that are still held."""
        ...

    async def settle(self, queue: str, settlements: Sequence[Settlement]) -> list[Answer]:
        """Carry settlements out, each in one step; one answer each. Safe to send again."""
        ...

    async def release(self, queue: str, tokens: Sequence[str]) -> int:
        """Give unstarted jobs back, oldest first, to the old end; returns how many."""
        ...

    async def park(self, queue: str, token: str, task: str) -> None:
        """Set a job aside whose task nobody knows; it is kept and listable."""
        ...

    async def bury(self, queue: str, token: str, reason: str) -> None:
        """Move bytes that are no message to the dead letters, with the reason."""
        ...

    async def drop(self, queue: str, tokens: Sequence[str]) -> None:
        """Let go of jobs that were settled in another store."""
        ...


class Lease(Upkeep, Holding, Protocol):
    """One worker's place in a store: what it registered, and what it holds.

    `beat` is called from a thread of its own, all else from the worker's event loop. After a
    BackendUnavailable anything may have happened: the worker calls `adopt` and goes on.
    """

    @property
    def worker_id(self) -> str:
        """Random at each start, never used again."""
        ...

    @property
    def fenced(self) -> bool:
        """This worker was taken for dead, and its jobs were given to others: call `renew`."""
        ...

    def beat(self) -> bool:
        """Say "I live", blocking; the first call registers. False: fenced."""
        ...

    async def renew(self) -> None:
        """After being fenced: give back what the old self held, and take a new worker ID."""
        ...

    async def claim(self, queue: str, limit: int) -> list[Claim]:
        """Take up to ``limit`` jobs, oldest first; waits a short while if there are none.

        None while the worker is not registered, or fenced.
        """
        ...

    async def wake(self) -> None:
        """Make waiting claims return now."""
        ...

    async def end(self, queue: str) -> None:
        """Leave in good order: give everything still held back, and unregister."""
        ...
