"""A group: jobs that run side by side, and how their states add up."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from tasqueue.core.job import FINAL_STATUSES, Job, JobStatus

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupOpts:
    """How a group is kept."""

    id: str = ""
    """The group's ID; empty means a new UUID at each enqueue."""


@dataclass(slots=True)
class Group:
    """Jobs that may all run at once (Go: groups.go, Group)."""

    jobs: list[Job] = field(default_factory=list)
    opts: GroupOpts = field(default_factory=GroupOpts)

    @classmethod
    def create(cls, jobs: Iterable[Job], opts: GroupOpts | None = None) -> Group:
        """Build a group; nothing is sent (Go: NewGroup)."""
        return cls(list(jobs), opts or GroupOpts())


@dataclass(slots=True)
class GroupMeta:
    """Where a group and its members stand."""

    id: str
    status: str = JobStatus.PROCESSING
    job_status: dict[str, str] = field(default_factory=dict)
    """Job ID → status, for each member."""


@dataclass(slots=True)
class GroupMessage:
    """A group as it lies in the results (Go: GroupMessage)."""

    meta: GroupMeta
    group: Group | None
    """None where the group was too large to be written out."""


ARROW: Final = ">"
"""Between the job IDs of a member's path."""


class Membership(NamedTuple):
    """Which member of which group a job belongs to."""

    group_id: str
    place: int | None = None
    """The member's place among all, from 0; None where the job is the member by itself."""


def roll_up(job_status: Mapping[str, str]) -> JobStatus:
    """Add the members' states up: one failure fails, else one unfinished keeps processing.

    Every other member state than ``successful`` and ``failed`` counts as unfinished; an empty
    group is successful (Go: groups.go, GetGroup).
    """
    states = set(job_status.values())
    if JobStatus.FAILED in states:
        return JobStatus.FAILED
    return JobStatus.SUCCESSFUL if states <= {JobStatus.SUCCESSFUL} else JobStatus.PROCESSING


def unfinished(meta: GroupMeta) -> list[str]:
    """The members whose state may still change, in order."""
    return [job_id for job_id, status in meta.job_status.items() if status not in FINAL_STATUSES]
