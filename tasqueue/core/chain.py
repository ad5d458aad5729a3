"""A chain: jobs that run one after the other, and how far it has come."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tasqueue.core.job import Job, JobMessage, JobStatus

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainOpts:
    """How a chain is kept."""

    id: str = ""
    """The chain's ID; empty means a new UUID at each enqueue."""


@dataclass(slots=True)
class Chain:
    """Jobs in a row: each starts when the one before has succeeded, and gets its result."""

    jobs: list[Job]
    """The first job, with the others nested in ``on_success`` (the wire's form)."""
    opts: ChainOpts = field(default_factory=ChainOpts)

    @classmethod
    def create(cls, jobs: Iterable[Job], opts: ChainOpts | None = None) -> Chain:
        """Build a chain; nothing is sent, and the given jobs are not changed (Go: NewChain).

        The next job becomes the *first* ``on_success`` of the one before it, since readers of a
        chain follow the first (Go appends, and then follows the wrong one).

        Raises:
            ValueError: fewer than two jobs.
        """
        links = list(jobs)
        if len(links) < 2:
            msg = "minimum 2 tasks required to form chain"
            raise ValueError(msg)
        linked = links[-1:]
        for job in reversed(links[:-1]):
            linked.append(dataclasses.replace(job, on_success=[linked[-1], *job.on_success]))
        return cls(linked[::-1], opts or ChainOpts())

    @property
    def root(self) -> Job:
        """The job that starts the chain."""
        return self.jobs[0]


@dataclass(slots=True)
class ChainMeta:
    """How far a chain has come."""

    id: str
    status: str = JobStatus.PROCESSING
    job_id: str = ""
    """The ID of the first job, for ever."""
    prev_jobs: list[str] = field(default_factory=list)
    """The IDs of the jobs that have ended, in order, each once."""


@dataclass(slots=True)
class ChainMessage:
    """A chain as it lies in the results (Go: ChainMessage)."""

    meta: ChainMeta


@dataclass(slots=True)
class Walk:
    """A walk along a chain from its first job: tell it each job, it says which to read next."""

    meta: ChainMeta
    """The chain as far as the walk has come; ``prev_jobs`` is made anew, so each is listed once."""

    @classmethod
    def along(cls, meta: ChainMeta) -> Walk:
        """Start at the root."""
        return cls(dataclasses.replace(meta, prev_jobs=[]))

    def step(self, message: JobMessage) -> str:
        """Take one job in; return the ID of the next, or "" where the walk ends.

        (Go: chains.go, GetChain.)
        """
        status, following = message.status, message.meta.on_success_ids
        if status == JobStatus.FAILED:
            self.meta.prev_jobs.append(message.id)
            self.meta.status = JobStatus.FAILED
            return ""
        if status != JobStatus.SUCCESSFUL:
            self.meta.status = JobStatus.PROCESSING
            return ""
        self.meta.prev_jobs.append(message.id)
        if following:
            return following[0]
        self.meta.status = JobStatus.SUCCESSFUL
        return ""
