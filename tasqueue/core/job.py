"""A job: what to run, with which bytes, how often; and the message that carries it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from tasqueue.core.durability import ACK, Durability, check_durability
from tasqueue.core.timing import from_ns, span_from_ns, span_ns, to_ns

if TYPE_CHECKING:
    from datetime import datetime, timedelta

DEFAULT_QUEUE: Final = "tasqueue:tasks"
"""The queue of jobs that name none (Go: DefaultQueue)."""


class JobStatus(StrEnum):
    """Where a job stands. The last three exist in Python only and never travel on the wire."""

    QUEUED = "queued"
    PROCESSING = "processing"
    RETRYING = "retrying"
    SUCCESSFUL = "successful"
    FAILED = "failed"
    CANCELLED = "cancelled"
    PARKED = "parked"
    DEAD = "dead"


STATUS_QUEUED: Final = JobStatus.QUEUED
STATUS_PROCESSING: Final = JobStatus.PROCESSING
STATUS_RETRYING: Final = JobStatus.RETRYING
STATUS_DONE: Final = JobStatus.SUCCESSFUL
STATUS_FAILED: Final = JobStatus.FAILED

FINAL_STATUSES: Final = frozenset({JobStatus.SUCCESSFUL, JobStatus.FAILED})
"""The statuses, on the wire, that a job does not leave by itself."""


@dataclass(init=False, frozen=True, slots=True)
class JobOpts:
    """How one job is run (Go: jobs.go, JobOpts). Spans and instants are kept in nanoseconds."""

    id: str
    """The job's ID; empty means a new UUID at each enqueue."""
    queue: str
    max_retries: int
    """Attempts after the first; 3 means at most four runs."""
    schedule: str
    """A cron text in robfig's dialect: the job comes back at each tick."""
    eta_ns: int | None
    """Not before this moment, in unix nanoseconds; None is at once."""
    timeout_ns: int
    """The limit of one attempt in nanoseconds; 0 is none."""
    durability: Durability = field(compare=False, repr=False)
    """How far the job must have come before its enqueue returns; it is not written with the job."""

    def __init__(
        self,
        *,
        id: str = "",  # noqa: A002 -- the owner's spelling
        queue: str = DEFAULT_QUEUE,
        max_retries: int = 0,
        timeout: timedelta | None = None,
        eta: datetime | None = None,
        schedule: str = "",
        eta_ns: int | None = None,
        timeout_ns: int = 0,
        durability: Durability = ACK,
    ) -> None:
        """Take ``eta`` and ``timeout`` as datetime and timedelta, or exactly as nanoseconds.

        A naive ``eta`` is local time.

        Raises:
            ConfigurationError: ``durability`` is no known word, or ``timeout`` is above 292 years.
        """
        keep = object.__setattr__
        keep(self, "id", id)
        keep(self, "queue", queue)
        keep(self, "max_retries", max_retries)
        keep(self, "schedule", schedule)
        keep(self, "eta_ns", to_ns(eta) if eta is not None else eta_ns)
        keep(self, "timeout_ns", span_ns(timeout) if timeout is not None else timeout_ns)
        keep(self, "durability", durability if durability == ACK else check_durability(durability))

    @property
    def eta(self) -> datetime | None:
        """``eta_ns`` as an aware UTC datetime, cut to microseconds and to datetime's range."""
        return None if self.eta_ns is None else from_ns(self.eta_ns)

    @property
    def timeout(self) -> timedelta | None:
        """``timeout_ns`` as a timedelta, cut to microseconds; None if there is no limit."""
        return span_from_ns(self.timeout_ns) if self.timeout_ns else None


@dataclass(slots=True)
class Job:
    """A piece of work: a task's name, the bytes it gets, and the jobs that follow it.

    (Go: jobs.go, Job.)
    """

    task: str
    payload: bytes | None = None
    opts: JobOpts = field(default_factory=JobOpts)
    on_success: list[Job] = field(default_factory=list)
    """Enqueued when this job succeeds; each gets the saved result as ``prev_job_result``."""
    on_error: list[Job] = field(default_factory=list)
    """Enqueued when this job has failed for good."""
    ext: dict[str, object] = field(default_factory=dict)
    """Facts that only Python knows; absent on the wire when empty, dropped by a Go retry."""

    @classmethod
    def create(cls, task: str, payload: bytes | None = None, opts: JobOpts | None = None) -> Job:
        """Build a job; nothing is sent (Go: NewJob)."""
        return cls(task, payload, opts or JobOpts())


NIL_JOB: Final = Job("")
"""What a nil ``*Job`` of Go decodes to; it encodes to nil again. No worker runs it."""


@dataclass(slots=True)
class Meta:
    """What is known of a job besides its work (Go: jobs.go, Meta). Treat it as read-only."""

    id: str
    status: str = JobStatus.QUEUED
    """A `JobStatus`, or what another version wrote."""
    queue: str = DEFAULT_QUEUE
    schedule: str = ""
    max_retry: int = 0
    retried: int = 0
    """Retries so far: 0 on the first attempt."""
    prev_err: str = ""
    """The text of the last error; it stays after a later success."""
    processed_at_ns: int | None = None
    """The last status write in unix nanoseconds; None in queue messages."""
    prev_job_result: bytes | None = None
    """What the parent saved, for jobs that were released by one."""
    on_success_ids: list[str] = field(default_factory=list)
    """The IDs of the released children, in order, once the job has succeeded."""

    @property
    def processed_at(self) -> datetime | None:
        """``processed_at_ns`` as an aware UTC datetime."""
        return None if self.processed_at_ns is None else from_ns(self.processed_at_ns)


@dataclass(slots=True)
class JobMessage:
    """A job and its meta, as it lies in a queue or in the results (Go: JobMessage)."""

    meta: Meta
    job: Job
    wire: bytes | None = field(default=None, compare=False, repr=False)
    """The job's own bytes, where it was read: a record of it has them again (`encode_record`)."""

    @property
    def id(self) -> str:
        """The job's ID, generated or given."""
        return self.meta.id

    @property
    def status(self) -> str:
        """The job's status at the time of the message."""
        return self.meta.status
