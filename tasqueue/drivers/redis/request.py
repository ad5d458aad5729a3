"""What clients ask of a store, as steps of commands; the blocking and the asyncio face share it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tasqueue.core.durability import ACK, strongest
from tasqueue.core.ports import (
    JOB_KEY,
    Decided,
    Forget,
    GroupResults,
    Listing,
    OpenGroup,
    Parked,
    Pending,
    PendingPage,
    Push,
    PutTask,
    Read,
    Submit,
    Tasks,
    TellEnd,
    Withdraw,
    Workers,
    Write,
)
from tasqueue.drivers.redis.command import (
    MAX_ITEMS,
    Arg,
    Command,
    Steps,
    ask,
    call,
    command,
    portions,
    sound,
    text,
)
from tasqueue.drivers.redis.durability import confirmed
from tasqueue.drivers.redis.elsewhere import ON_A_SERVER, decided, tell_end, withdraw
from tasqueue.drivers.redis.group import group_results, open_group
from tasqueue.drivers.redis.inspection import parked, workers
from tasqueue.drivers.redis.keys import RESULT, TASK, TASKS, queue_keys

LONGEST_CALL: Final = 900_000
"""Milliseconds that records live at least, so that a late or repeated enqueue finds them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepOpts:
    """How long results are kept (Go: results/redis, Expiry and MetaExpiry)."""

    expiry_ms: int = 0
    """What is written under a name lives so long; 0 is for ever."""
    meta_expiry_ms: int = 0
    """So long a job stays in the lists of the successful and the failed; 0 is for ever."""


def steps_of(request: object, keep: KeepOpts) -> Steps[Any]:
    """Look up how to perform a request; `Pause` and `Sweep` are the store's own."""
    steps = _TABLE[type(request)](request, keep)
    if isinstance(request, Submit) and request.pushes:
        first = request.pushes[0]
        durability = first.durability
        if len(request.pushes) > 1:
            durability = strongest({push.durability for push in request.pushes})
        if durability != ACK:
            key = queue_keys(first.queue).sync
            return confirmed(steps, durability, key=key, job_id=first.job_id)
    return steps


def put(name: str, data: bytes, ttl_ms: int) -> Command:
    """Store bytes under a name of the results, for ``ttl_ms``; 0 is for ever."""
    expiry: tuple[Arg, ...] = ("PX", ttl_ms) if ttl_ms else ()
    return command("SET", RESULT + name, data, *expiry)


def trim(keep: KeepOpts) -> list[Command]:
    """Take jobs out of the lists that have been there for longer than asked for."""
    if not keep.meta_expiry_ms:
        return []
    oldest = time.time_ns() - keep.meta_expiry_ms * 1_000_000
    lists = (RESULT + "success", RESULT + "failed")
    return [command("ZREMRANGEBYSCORE", name, "-inf", oldest) for name in lists]


def _submit(request: Submit, _keep: KeepOpts) -> Steps[list[bool]]:
    if len(request.pushes) == 1 and not request.seals:
        enqueue = _enqueue(request.pushes[0].queue, request.pushes, ())
        (reply,) = yield (enqueue,)
        return [sound(enqueue, reply) == [1]]
    by_queue: dict[str, list[tuple[int, Push]]] = {}
    for place, push in enumerate(request.pushes):
        by_queue.setdefault(push.queue, []).append((place, push))
    pushed = [False] * len(request.pushes)
    calls = [(q, part) for q, entries in by_queue.items() for part in portions(entries, _weight)]
    seals = list(portions(request.seals, len))
    # The last jobs and the seal in one step; further seals follow in calls without jobs.
    calls += [("", []) for _ in seals[1 if calls else 0 :]]
    for at, (queue, portion) in enumerate(calls, len(seals) - len(calls)):
        # A call after the other: a lost answer leaves the rest of them unsent.
        pushes = [push for _, push in portion]
        enqueue = _enqueue(queue, pushes, seals[at] if at >= 0 else ())
        (answers,) = yield from ask(enqueue)
        for (place, _), answer in zip(portion, answers, strict=True):
            pushed[place] = answer == 1
    return pushed


def _enqueue(queue: str, pushes: Sequence[Push], seals: Sequence[str]) -> Command:
    names = (queue, queue_keys(queue).scheduled) if pushes else ()
    args: list[Arg] = [len(seals), *seals]
    for push in pushes:
        due = "" if push.due_ns is None else push.due_ns
        args += (push.job_id, push.call, due, push.record, push.body)
    return call("enqueue", names, args)


def _weight(entry: tuple[int, Push]) -> int:
    return entry[1].size


def _read(request: Read, _keep: KeepOpts) -> Steps[list[bytes | None]]:
    found: list[bytes | None] = []
    for start in range(0, len(request.names), MAX_ITEMS):
        names = request.names[start : start + MAX_ITEMS]
        (values,) = yield from ask(command("MGET", *[RESULT + name for name in names]))
        found += values
    return found


def _write(request: Write, keep: KeepOpts) -> Steps[None]:
    yield from ask(put(request.name, request.data, keep.expiry_ms))


def _pending(request: Pending, _keep: KeepOpts) -> Steps[PendingPage]:
    count = command("LLEN", request.queue)
    if request.limit == 0:
        (total,) = yield from ask(count)
        return PendingPage(total, [])
    start = max(request.offset, 0)
    end = -1 if request.limit is None else start + request.limit - 1
    total, bodies = yield from ask(count, command("LRANGE", request.queue, start, end))
    return PendingPage(total, bodies)


def _listing(request: Listing, keep: KeepOpts) -> Steps[list[str]]:
    newest_first = command("ZRANGE", RESULT + request.name, 0, -1, "REV")
    *_, names = yield from ask(*trim(keep), newest_first)
    return [text(name) for name in names]


def _forget(request: Forget, _keep: KeepOpts) -> Steps[None]:
    job_id = request.job_id
    yield from ask(
        command("ZREM", RESULT + "success", job_id),
        command("ZREM", RESULT + "failed", job_id),
        command("DEL", RESULT + job_id, RESULT + JOB_KEY + job_id),
    )


def _put_task(request: PutTask, _keep: KeepOpts) -> Steps[None]:
    yield from ask(
        command("SET", TASK + request.name, request.record),
        command("SADD", TASKS, request.name),
    )


def _tasks(_request: Tasks, _keep: KeepOpts) -> Steps[list[bytes]]:
    (names,) = yield from ask(command("SMEMBERS", TASKS))
    if not names:
        return []
    (records,) = yield from ask(command("MGET", *[TASK.encode() + name for name in sorted(names)]))
    return [record for record in records if record is not None]


_TABLE: Final[Mapping[type, Callable[[Any, KeepOpts], Steps[Any]]]] = {
    Submit: _submit,
    Read: _read,
    Write: _write,
    Pending: _pending,
    Parked: lambda request, _keep: parked(request),
    Workers: lambda request, _keep: workers(request),
    Listing: _listing,
    Forget: _forget,
    PutTask: _put_task,
    Tasks: _tasks,
    OpenGroup: lambda request, keep: open_group(request, keep.expiry_ms),
    GroupResults: lambda request, _keep: group_results(request),
    Decided: lambda request, _keep: decided(request),
    TellEnd: lambda request, _keep: tell_end(request, ON_A_SERVER),
    Withdraw: lambda request, _keep: withdraw(request),
}
