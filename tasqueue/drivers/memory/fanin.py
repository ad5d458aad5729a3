"""Groups with a callback: which members are still open, and the callback that comes once."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from tasqueue.core.ports import OpenGroup


@dataclass(slots=True)
class _Group:
    """A group with a callback, and what is known of its members."""

    request: OpenGroup
    open: set[int]
    results: list[bytes | None] = field(default_factory=list)
    failed: bool = False
    sealed: bool = False
    fired: bool = False


class FanIn:
    """Counts members by the IDs of their jobs. Not safe from threads by itself."""

    def __init__(self) -> None:
        self._groups: dict[str, _Group] = {}
        self._members: defaultdict[str, list[tuple[str, int]]] = defaultdict(list)
        """Job ID → (group, member): a job before a group belongs to all its members."""
        self._closed: set[str] = set()

    def open(self, request: OpenGroup) -> bool:
        """Know a group; opening it again changes nothing, and is answered by False."""
        if request.group_id in self._groups or request.group_id in self._closed:
            return False
        count = len(request.members)
        self._groups[request.group_id] = _Group(request, set(range(count)), [None] * count)
        for index, path in enumerate(request.members):
            for job_id in path:
                self._members[job_id].append((request.group_id, index))
        return True

    def seal(self, group_ids: Iterable[str]) -> Iterator[_Group]:
        """Let groups fire from now on; gives those that do."""
        for group_id in group_ids:
            if group_id in self._groups:
                self._groups[group_id].sealed = True
                yield from self._fires(group_id)

    def close(self, group_id: str) -> None:
        """Forget a group whose callback has ended."""
        group = self._groups.pop(group_id, None)
        self._closed.add(group_id)
        for job_id in {one for path in group.request.members for one in path} if group else ():
            left = [where for where in self._members.pop(job_id) if where[0] != group_id]
            if left:
                self._members[job_id] = left

    def results(self, group_id: str) -> list[bytes | None] | None:
        """What the members saved, in their order; None once the callback has ended."""
        group = self._groups.get(group_id)
        return list(group.results) if group else None

    def queues(self, group_id: str) -> list[str]:
        """Where the callbacks of a group go, and of those around it: they may fail together."""
        found: list[str] = []
        while group := self._groups.get(group_id):
            request = group.request
            found += [push.queue for push in (request.on_success, request.on_error) if push]
            group_id = request.outer.group_id if request.outer else ""
        return found

    def ended(self, job_id: str, result: bytes | None, *, failed: bool) -> Iterator[_Group]:
        """Take a job's end in; gives the groups that fire by it.

        A chain is one member: it has ended when any link failed, or the last one succeeded.
        """
        for group_id, index in list(self._members.get(job_id, ())):
            group = self._groups.get(group_id)
            if group is None:
                continue
            path: Sequence[str] = group.request.members[index]
            if index not in group.open or (path[-1] != job_id and not failed):
                continue
            group.open.discard(index)
            group.failed |= failed
            group.results[index] = result
            yield from self._fires(group_id)

    def _fires(self, group_id: str) -> Iterator[_Group]:
        group = self._groups[group_id]
        if group.sealed and not group.open and not group.fired:
            group.fired = True
            yield group
