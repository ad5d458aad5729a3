"""Groups with a callback: opened and sealed, read by their callback, and swept for Go's members."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from tasqueue.core import lifecycle
from tasqueue.core.errors import DecodeError
from tasqueue.core.group import ARROW
from tasqueue.core.job import FINAL_STATUSES, JobStatus
from tasqueue.core.ports import JOB_KEY, GroupResults, OpenGroup, Push
from tasqueue.core.wire import decode_job, encode_job
from tasqueue.drivers.redis.command import (
    MAX_ITEMS,
    Arg,
    Command,
    Steps,
    ask,
    call,
    command,
    portions,
    text,
)
from tasqueue.drivers.redis.keys import OPEN_GROUPS, RESULT, group_key

_LOOK: Final = 2_000
"""Jobs that one sweep looks at; what is left waits for the next."""


class Member(NamedTuple):
    """A member that has ended, as the store is told of it."""

    name: str
    failed: bool
    saved: bytes | None


# -- opening -------------------------------------------------------------------------------------


def open_group(request: OpenGroup, ttl_ms: int) -> Steps[None]:
    """Make a group known, a call after the other; its last `Submit` seals it."""
    names = [ARROW.join(path) for path in request.members]
    start, fields = 0, group_fields(request, ttl_ms)
    for portion in list(portions(names, len, links)) or [[]]:
        args = (request.group_id, start, len(names), len(fields), *fields, *portion)
        yield from ask(call("group_open", (group_key(request.group_id),), args))
        start, fields = start + len(portion), ()


def links(name: str) -> int:
    """How many jobs a member has, each of which is looked at when it becomes known."""
    return name.count(ARROW) + 1


def group_fields(request: OpenGroup, ttl_ms: int) -> Sequence[Arg]:
    """What the HASH of a group says, fields and values in turn."""
    fields: list[Arg] = ["size", len(request.members), "ttl", ttl_ms]
    if request.on_success is not None:
        fields += _push("ok", request.on_success)
        fields += ("never", never(request.on_success, request.group_id))
    if request.on_error is not None:
        fields += _push("bad", request.on_error)
    if request.outer is not None:
        place = request.outer.place
        fields += ("up:gid", request.outer.group_id, "up:place", "" if place is None else place)
    return fields


def _push(side: str, push: Push) -> Iterator[Arg]:
    due = "" if push.due_ns is None else push.due_ns
    parts = {
        "queue": push.queue, "due": due, "id": push.job_id, "record": push.record,
        "raw": push.body,
    }  # fmt: skip
    for name, value in parts.items():
        yield from (f"{side}:{name}", value)


def never(push: Push, group_id: str) -> bytes:
    """The record of a callback that will not come."""
    return encode_job(lifecycle.never(decode_job(push.record), group_id))


# -- its callback reads it -----------------------------------------------------------------------


def group_results(request: GroupResults) -> Steps[list[bytes | None] | None]:
    """What the members saved, in their order."""
    key = group_key(request.group_id)
    (size,) = yield from ask(command("HGET", key, "size"))
    if size is None:
        return None
    found: list[bytes | None] = []
    for start in range(0, int(size), MAX_ITEMS):
        end = start + MAX_ITEMS - 1
        (names,) = yield from ask(command("LRANGE", f"{key}:m", start, end))
        if not names:  # closed meanwhile
            return None
        (saved,) = yield from ask(command("HMGET", f"{key}:r", *names))
        found += saved
    return found


# -- the sweep -----------------------------------------------------------------------------------


class Sweeper:
    """Reads the records of open members, where Go workers write, and takes the ended ones out.

    It goes on where the last look stopped. Looks from many threads share the work.
    """

    def __init__(self) -> None:
        self._groups: deque[tuple[str, bytes]] = deque()
        """Groups to be looked at, each with the SSCAN cursor where to go on."""
        self._cursor = b"0"

    def look(self) -> Steps[bool]:
        """Look at some members; whether any of them, or a callback, had ended."""
        if not self._groups:
            yield from self._refill()
        looked, found = 0, 0
        while self._groups and looked < _LOOK:
            group_id, cursor = self._groups.popleft()
            cursor, links, taken = yield from self._look_at(group_id, cursor)
            if cursor != b"0":
                self._groups.append((group_id, cursor))
            looked, found = looked + links, found + taken
        return found > 0

    def _refill(self) -> Steps[None]:
        scan = command("SSCAN", OPEN_GROUPS, self._cursor, "COUNT", MAX_ITEMS)
        ((self._cursor, group_ids),) = yield from ask(scan)
        self._groups.extend((text(group_id), b"0") for group_id in group_ids)

    def _look_at(self, group_id: str, cursor: bytes) -> Steps[tuple[bytes, int, int]]:
        """One step along a group; returns the next cursor, the jobs seen, the members taken."""
        key = group_key(group_id)
        (fired, good, bad), has_failed, (following, names) = yield from ask(
            command("HMGET", key, "fired", "ok:id", "bad:id"),
            command("EXISTS", f"{key}:f"),
            command("SSCAN", f"{key}:p", cursor, "COUNT", MAX_ITEMS),
        )
        if fired is not None:
            return b"0", 1, (yield from self._close(group_id, bad if has_failed else good))
        paths = [text(name).split(ARROW) for name in names]
        ended = yield from self._ended(paths)
        taken = 0
        for portion in portions(ended, lambda one: len(one.name) + len(one.saved or b"")):
            taken += yield from self._take(group_id, portion)
        if not names and following == b"0":
            # Nothing is open and nothing fired: somebody deleted the group, or is just at it.
            yield from self._take(group_id, ())
        return following, 1 + sum(map(len, paths)), taken

    def _close(self, group_id: str, called: bytes | None) -> Steps[bool]:
        """Close a group that has fired, if the callback that it called has ended."""
        states = yield from self._states([text(called)] if called is not None else [])
        over = called is None or any(status in FINAL_STATUSES for status in states.values())
        if over:
            yield from self._end(group_id)
        return over

    def _take(self, group_id: str, ended: Sequence[Member]) -> Steps[int]:
        """Take members out; without any, see what is left of the group."""
        (taken,) = yield from ask(sweep(group_id, ended))
        return int(taken)

    def _end(self, group_id: str) -> Steps[None]:
        yield from ask(sweep(group_id, (), close=True))

    def _ended(self, paths: Sequence[Sequence[str]]) -> Steps[list[Member]]:
        """Those members of which a job has failed, or the last has succeeded."""
        states = yield from self._states({job_id for path in paths for job_id in path})
        failed = {path[-1] for path in paths if any(_failed(states, one) for one in path)}
        done = [path[-1] for path in paths if states.get(path[-1]) == JobStatus.SUCCESSFUL]
        results = yield from self._read("", [one for one in done if one not in failed])
        ended: list[Member] = []
        for path in paths:
            name, last = ARROW.join(path), path[-1]
            if last in failed:
                ended.append(Member(name, failed=True, saved=None))
            elif states.get(last) == JobStatus.SUCCESSFUL:
                ended.append(Member(name, failed=False, saved=results.get(last)))
        return ended

    def _states(self, job_ids: Iterable[str]) -> Steps[dict[str, str]]:
        """The states of jobs; a record that cannot be read tells nothing."""
        states: dict[str, str] = {}
        for job_id, record in (yield from self._read(JOB_KEY, job_ids)).items():
            try:
                states[job_id] = decode_job(record).status
            except DecodeError:
                continue
        return states

    def _read(self, before: str, names: Iterable[str]) -> Steps[dict[str, bytes]]:
        """What is stored under names, where there is something."""
        found: dict[str, bytes] = {}
        for page in portions(names, len):
            (values,) = yield from ask(command("MGET", *[RESULT + before + name for name in page]))
            found |= {n: v for n, v in zip(page, values, strict=True) if v is not None}
        return found


def sweep(group_id: str, ended: Iterable[Member], *, close: bool = False) -> Command:
    """Build the call that takes members out."""
    args: list[Arg] = [group_id, "1" if close else ""]
    for name, failed, saved in ended:
        args += (name, "1" if failed else "", "" if saved is None else "1", saved or b"")
    return call("group_sweep", (group_key(group_id),), args)


def _failed(states: dict[str, str], job_id: str) -> bool:
    return states.get(job_id) == JobStatus.FAILED
