"""Fan-in on a cluster: a group's keys lie in one slot, its callback and the open list in others.

Each step may be repeated: a member is taken out once, however often it is told of, and a callback
arrives once by its group's token, as long as that is known (15 minutes after the last try). A crash
between two steps is repaired by the sweep.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any, Final

from tasqueue.core.errors import BackendRejected
from tasqueue.core.group import ARROW, Membership
from tasqueue.core.ports import JOB_KEY, OpenGroup, Push
from tasqueue.drivers.redis.cluster.request import parcel, put_calls, read_each
from tasqueue.drivers.redis.command import Steps, ask, call, command, portions, text
from tasqueue.drivers.redis.elsewhere import Groups, member_name
from tasqueue.drivers.redis.group import Member, Sweeper, group_fields, links
from tasqueue.drivers.redis.keys import OPEN_GROUPS, RESULT, group_key
from tasqueue.drivers.redis.request import put

_DAY: Final = 86_400
_PARTS: Final = ("", ":m", ":p", ":f", ":r")


def open_group(request: OpenGroup, ttl_ms: int) -> Steps[None]:
    """Make a group known; its last `Submit` seals it."""
    key = group_key(request.group_id)
    (sealed,) = yield from ask(command("HGET", key, "sealed"))
    if sealed is not None:
        return
    if request.on_success is not None:
        done = request.on_success
        name = RESULT + JOB_KEY + done.job_id
        yield from ask(command("SET", name, done.record, "EX", _DAY))
    start, fields = 0, group_fields(request, ttl_ms)
    names = [ARROW.join(path) for path in request.members]
    for part in list(portions(names, len, links)) or [[]]:
        (known,) = yield from ask(command("LLEN", f"{key}:m"))
        if known <= start:
            yield from _forget(part)
            args = (start, len(fields), *fields, *part)
            yield from ask(call("group_add", (key, f"{key}:m", f"{key}:p"), args))
        start, fields = start + len(part), ()
    if not request.members:
        yield from seal(request.group_id)


def _forget(names: Iterable[str]) -> Steps[None]:
    """What earlier jobs under the IDs of members left behind is not these ones' end."""
    ids = [job_id for name in names for job_id in name.split(ARROW)]
    yield from ask(*[command("EXPIRE", RESULT + JOB_KEY + one, 0) for one in ids])
    yield from ask(*[command("EXPIRE", RESULT + one, 0) for one in ids])


def seal(group_id: str) -> Steps[None]:
    """Let a group fire from now on. It is listed first: so the sweep knows what is left undone.

    Raises:
        BackendRejected: it is not open.
    """
    key = group_key(group_id)
    (size, sealed, job_id), *_ = yield from ask(command("HMGET", key, "size", "sealed", "ok:id"))
    if sealed is not None:
        return
    if size is None:
        raise BackendRejected("a group that is to be sealed is not open")
    yield from ask(command("SADD", OPEN_GROUPS, group_id))
    yield from ask(*[command("PERSIST", key + part) for part in _PARTS])
    if job_id is not None:
        yield from ask(command("PERSIST", RESULT + JOB_KEY + text(job_id)))
    yield from ask(command("HSET", key, "sealed", 1))
    yield from fire(group_id)


def close(group_id: str, *, keep: bool = False) -> Steps[None]:
    """Nobody needs a group any more. What stays for a while says that it has fired.

    With ``keep`` its results stay as well: its callback has a record, but whether it is
    acknowledged is not known, and it may run again.
    """
    key = group_key(group_id)
    yield from ask(
        command("HSET", key, "sealed", 1, "fired", 1),
        command("EXPIRE", key, 900),
        *[
            command("EXPIRE", key + part, 900) if keep else command("UNLINK", key + part)
            for part in _PARTS[1:]
        ],
    )
    yield from ask(command("SREM", OPEN_GROUPS, group_id))


def tell(member: Membership, job_id: str, *, failed: bool, saved: bytes | None) -> Steps[None]:
    """Tell a group that a job of a member has ended."""
    name = yield from member_name(member, job_id, failed=failed)
    if name is not None:
        yield from take(member.group_id, [Member(name, failed, saved)])


def take(group_id: str, members: Sequence[Member]) -> Steps[int]:
    """Take ended members out; returns how many were there. Fires what is complete."""
    key, taken = group_key(group_id), 0
    for name, failed, saved in members:
        sealed, there = yield from ask(
            command("HGET", key, "sealed"), command("SISMEMBER", f"{key}:p", name)
        )
        if not there:
            continue
        ends = [command("SADD", f"{key}:f", name)] if failed else []
        if saved is not None:
            ends.append(command("HSETNX", f"{key}:r", name, saved))
        kept = [f"{key}:f", f"{key}:r"]
        if sealed is None:
            ends += map(_for_a_day, kept)
        *_, gone = yield from ask(*ends, command("SREM", f"{key}:p", name))
        if sealed is None:
            (meanwhile,) = yield from ask(command("HGET", key, "sealed"))
            yield from ask(*[command("PERSIST", one) for one in kept if meanwhile is not None])
        taken += gone
    yield from fire(group_id)
    return taken


def fire(group_id: str) -> Steps[None]:
    """Call the callback of a sealed group without open members; the mark that it did comes last."""
    key = group_key(group_id)
    still, lost, (sealed, fired) = yield from ask(
        command("SCARD", f"{key}:p"),
        command("SCARD", f"{key}:f"),
        command("HMGET", key, "sealed", "fired"),
    )
    if still or sealed is None or fired is not None:
        return
    failed = bool(lost)
    names = ("queue", "due", "id", "record", "raw")
    side = "bad" if failed else "ok"
    (has,) = yield from ask(command("HMGET", key, *[f"{side}:{name}" for name in names]))
    if has[0] is not None:
        yield from _call(group_id, has)
    if failed:
        yield from _never(key)
    yield from ask(command("HSET", key, "fired", 1))
    if has[0] is None:
        yield from close(group_id)


def _call(group_id: str, has: Sequence[Any]) -> Steps[None]:
    queue, due, job_id, record, raw = has
    push = Push(text(queue), text(job_id), record, raw, int(due) if due else None)
    name = RESULT + JOB_KEY + push.job_id
    yield from ask(command("SET", name, record, "NX"))
    for _, sent in put_calls([parcel(push, f"group:{group_id}")], new=False):
        yield from ask(sent)


def _never(key: str) -> Steps[None]:
    """The callback of a failed group will not come: whoever waits is told, and the outer group."""
    names = ("ok:id", "never", "ttl", "up:gid", "up:place")
    (has,) = yield from ask(command("HMGET", key, *names))
    if has[0] is None:
        return
    job_id, record = text(has[0]), has[1]
    yield from ask(put(JOB_KEY + job_id, record, int(has[2] or 0)))
    yield from ask(command("ZADD", RESULT + "failed", time.time_ns(), job_id))
    if has[3] is not None:
        outer = Membership(text(has[3]), int(has[4]) if has[4] else None)
        yield from tell(outer, job_id, failed=True, saved=None)


IN_A_CLUSTER: Final = Groups(take, close)


class ClusterSweeper(Sweeper):
    """See `Sweeper`."""

    def _read(self, before: str, names: Iterable[str]) -> Steps[dict[str, bytes]]:
        asked = list(names)
        values = yield from read_each([RESULT + before + name for name in asked])
        return {n: v for n, v in zip(asked, values, strict=True) if v is not None}

    def _take(self, group_id: str, ended: Sequence[Member]) -> Steps[int]:
        (there,) = yield from ask(command("EXISTS", group_key(group_id)))
        if there:
            yield from seal(group_id)  # it is listed: its producer was at it, and may have died
            return (yield from take(group_id, ended))
        yield from close(group_id)
        return 0

    def _end(self, group_id: str) -> Steps[None]:
        yield from close(group_id, keep=True)


def _for_a_day(key: str) -> Any:
    return command("EXPIRE", key, _DAY)
