"""Groups with a callback: which members are still open, and the callback that comes once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tasqueue.core.ports import OpenGroup, Push


@dataclass(slots=True)
class _Group:
    """A group with a callback, and what is known of its members."""

    request: OpenGroup
    open: set[int]
    failed: bool = False
    results: list[bytes | None] = field(default_factory=list)


class FanIn:
    """Counts members by the IDs of their jobs. Not safe from threads by itself."""

    def __init__(self) -> None:
        self._groups: dict[str, _Group] = {}
        self._member_of: dict[str, tuple[str, int]] = {}

    def open(self, request: OpenGroup) -> Push | None:
        """Know a group; opening it again changes nothing. An empty one comes back at once."""
        if request.group_id in self._groups:
            return None
        count = len(request.members)
        group = _Group(request, set(range(count)), results=[None] * count)
        self._groups[request.group_id] = group
        for index, path in enumerate(request.members):
            for job_id in path:
                self._member_of[job_id] = (request.group_id, index)
        return None if count else request.on_success

    def results(self, group_id: str) -> list[bytes | None]:
        """What the members saved, in their order; None for those that failed or saved nothing."""
        group = self._groups.get(group_id)
        return list(group.results) if group else []

    def ended(self, job_id: str, result: bytes | None, *, failed: bool) -> _Group | None:
        """Take a job's end in. Returns its group if that was the last open member.

        A chain is one member: it has ended when any link failed, or the last one succeeded.
        """
        where = self._member_of.get(job_id)
        if where is None:
            return None
        group, index = self._groups[where[0]], where[1]
        path: Sequence[str] = group.request.members[index]
        if index not in group.open or not (failed or path[-1] == job_id):
            return None
        group.open.discard(index)
        group.failed = group.failed or failed
        if not failed:
            group.results[index] = result
        return None if group.open else group
