"""What the results do where the messages lie in another store: groups are told, copies known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from tasqueue.core.group import ARROW, Membership
from tasqueue.core.ports import Decided, TellEnd, Withdraw
from tasqueue.drivers.redis.command import MAX_ITEMS, Steps, ask, command, text
from tasqueue.drivers.redis.group import Member, sweep
from tasqueue.drivers.redis.keys import group_key

_DAY: Final = 86_400


class Groups(NamedTuple):
    """How groups are told and closed: in a step on one server, in several on a cluster."""

    take: Callable[[str, Sequence[Member]], Steps[Any]]
    close: Callable[[str], Steps[Any]]


def tell_end(request: TellEnd, groups: Groups) -> Steps[list[str]]:
    """Tell a group of a job's end; returns the queues that callbacks may have gone to."""
    queues: list[str] = []
    if request.member is not None:
        group_id = request.member.group_id
        queues = yield from _callbacks(group_id)  # a group that fails is closed at once
        name = yield from member_name(request.member, request.job_id, failed=request.failed)
        if name is not None:
            yield from groups.take(group_id, [Member(name, request.failed, request.saved)])
    if request.once:
        yield from ask(command("SET", _once(request.once), 1, "EX", _DAY))
    if request.closes:
        yield from groups.close(request.closes)
    return queues


def _callbacks(group_id: str) -> Steps[list[str]]:
    """Where the callbacks of a group go, and of those around it: they may fail together."""
    queues: list[str] = []
    outer: bytes | None = group_id.encode("utf-8", "surrogateescape")
    while outer is not None:
        asked = command("HMGET", group_key(text(outer)), "ok:queue", "bad:queue", "up:gid")
        ((*found, outer),) = yield from ask(asked)
        queues += [text(queue) for queue in found if queue is not None]
    return queues


def member_name(member: Membership, job_id: str, *, failed: bool) -> Steps[str | None]:
    """The member that ends with a job's end; None: its chain goes on, or nobody counts it."""
    if member.place is None:
        return job_id
    asked = command("LINDEX", f"{group_key(member.group_id)}:m", member.place)
    (found,) = yield from ask(asked)
    if found is None:
        return None
    name = text(found)
    return name if failed or name.split(ARROW)[-1] == job_id else None


def decided(request: Decided) -> Steps[list[bool]]:
    """Whether messages were decided before."""
    found: list[Any] = []
    for start in range(0, len(request.names), MAX_ITEMS):
        part = request.names[start : start + MAX_ITEMS]
        found += yield from ask(*[command("EXISTS", _once(name)) for name in part])
    return [one == 1 for one in found]


def withdraw(request: Withdraw) -> Steps[None]:
    """Take messages out of a queue, one of each."""
    yield from ask(*[command("LREM", request.queue, 1, body) for body in request.bodies])


def _once(name: str) -> str:
    return f"tq:once:{name}"


def _take(group_id: str, members: Sequence[Member]) -> Steps[None]:
    yield from ask(sweep(group_id, members))


def _close(group_id: str) -> Steps[None]:
    yield from ask(sweep(group_id, (), close=True))


ON_A_SERVER: Final = Groups(_take, _close)
