"""What clients ask of a cluster, as steps in which each command keeps to one slot."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from tasqueue.core.durability import ACK, strongest
from tasqueue.core.errors import ConfigurationError, EnqueueUnconfirmed
from tasqueue.core.ports import (
    JOB_KEY,
    Forget,
    Push,
    Read,
    Request,
    Submit,
    Tasks,
)
from tasqueue.drivers.redis.cluster.topology import slot_of
from tasqueue.drivers.redis.command import (
    MAX_ITEMS,
    Arg,
    Command,
    Steps,
    ask,
    call,
    command,
    portions,
)
from tasqueue.drivers.redis.durability import confirmed
from tasqueue.drivers.redis.keys import RESULT, TASK, TASKS, QueueKeys, hash_tag, queue_keys
from tasqueue.drivers.redis.request import KeepOpts, put, steps_of


class Parcel(NamedTuple):
    """One message on its way into a list or scheduled set, and the token that it arrives by."""

    target: str
    token: str
    due: Arg
    body: bytes

    @property
    def key(self) -> str:
        """The token's key, in the target's slot."""
        return f"tq:eq:{hash_tag(self.target)}:{self.token}"

    @property
    def sync(self) -> str:
        """As `QueueKeys.sync`, in the target's slot."""
        return f"tq:sy:{hash_tag(self.target)}"


def steps_in_cluster(request: Request, keep: KeepOpts) -> Steps[Any]:
    """Look up how to perform a request.

    Raises:
        ConfigurationError: a queue's name that a cluster cannot have.
    """
    if isinstance(request, Submit):
        return _submit(request)
    if isinstance(request, Read):
        return read_each([RESULT + name for name in request.names])
    if isinstance(request, Forget):
        return _forget(request)
    if isinstance(request, Tasks):
        return _tasks()
    return steps_of(request, keep)


def cluster_keys(queue: str) -> QueueKeys:
    """The keys of a queue.

    Raises:
        ConfigurationError: they would not all be in the queue's slot.
    """
    keys = queue_keys(queue)
    if slot_of(keys.beats) != slot_of(queue):
        raise ConfigurationError(
            f"queue {queue!r} cannot be used on a Redis cluster: braces in a name come as one pair "
            "with something between them, such as {orders}:fast"
        )
    return keys


def parcel(push: Push, token: str) -> Parcel:
    """Address a message."""
    keys = cluster_keys(push.queue)
    if push.due_ns is None:
        return Parcel(push.queue, token, "", push.body)
    return Parcel(keys.scheduled, token, push.due_ns, push.body)


def put_calls(parcels: Iterable[Parcel], *, new: bool) -> list[tuple[list[Parcel], Command]]:
    """Build the calls of PUT, each with what it carries; ``new`` is refused by a full server."""
    by_target: dict[str, list[Parcel]] = {}
    for one in parcels:
        by_target.setdefault(one.target, []).append(one)
    return [
        (part, _put(target, part, new=new))
        for target, all_of_it in by_target.items()
        for part in portions(all_of_it, lambda one: len(one.body))
    ]


def _put(target: str, parcels: Sequence[Parcel], *, new: bool) -> Command:
    kind = "list" if parcels[0].due == "" else "zset"
    args: list[Arg] = [kind]
    for one in parcels:
        args += (one.due, one.body)
    return call("put_new" if new else "put", [target, *[one.key for one in parcels]], args)


def records(pushes: Iterable[Push]) -> list[list[Command]]:
    """The ``queued`` records of messages, in portions; they are written before the messages."""
    sets = [(put(JOB_KEY + p.job_id, p.record, 0), len(p.record)) for p in pushes if p.record]
    return [[one for one, _ in part] for part in portions(sets, lambda pair: pair[1])]


def _submit(request: Submit) -> Steps[list[bool]]:
    """Records first, then the messages; a repeat leaves what has arrived alone.

    With a durability any call may be one: callers repeat theirs by the job's ID.

    Raises:
        EnqueueUnconfirmed: all is sent, but a message is not as safe as asked for.
    """
    parcels = [parcel(push, push.call or push.job_id) for push in request.pushes]
    there: Sequence[int] = [0] * len(parcels)
    durability = strongest({push.durability for push in request.pushes})
    if request.again or durability != ACK:
        there = yield from ask(*[command("EXISTS", one.key) for one in parcels])
    for sets in records(p for p, before in zip(request.pushes, there, strict=True) if not before):
        yield from ask(*sets)
    if durability == ACK:
        parcels = [one for one, before in zip(parcels, there, strict=True) if not before]
    put_now = yield from _send(parcels, durability, request.pushes)
    return [(push.call or push.job_id) in put_now for push in request.pushes]


def _send(parcels: Sequence[Parcel], durability: str, pushes: Sequence[Push]) -> Steps[set[str]]:
    """Put messages; returns the tokens of those that had not arrived before."""
    put_now: set[str] = set()
    unconfirmed: EnqueueUnconfirmed | None = None
    for part, sent in put_calls(parcels, new=True):
        steps = ask(sent)
        if durability != ACK and unconfirmed is None:
            job_id = next(p.job_id for p in pushes if (p.call or p.job_id) == part[0].token)
            steps = confirmed(steps, durability, key=part[0].sync, job_id=job_id)
        try:
            (answers,) = yield from steps
        except EnqueueUnconfirmed as error:
            unconfirmed = error
            continue
        put_now |= {one.token for one, said in zip(part, answers, strict=True) if said == 1}
    if unconfirmed is not None:
        raise unconfirmed
    return put_now


def read_each(names: Sequence[str]) -> Steps[list[bytes | None]]:
    """Values of keys in any slots."""
    found: list[bytes | None] = []
    for start in range(0, len(names), MAX_ITEMS):
        part = names[start : start + MAX_ITEMS]
        found += yield from ask(*[command("GET", name) for name in part])
    return found


def _forget(request: Forget) -> Steps[None]:
    job_id = request.job_id
    yield from ask(
        command("ZREM", RESULT + "success", job_id),
        command("ZREM", RESULT + "failed", job_id),
        command("DEL", RESULT + job_id),
        command("DEL", RESULT + JOB_KEY + job_id),
    )


def _tasks() -> Steps[list[bytes]]:
    (names,) = yield from ask(command("SMEMBERS", TASKS))
    texts = [TASK + name.decode("utf-8", "surrogateescape") for name in sorted(names)]
    return [record for record in (yield from read_each(texts)) if record is not None]
