"""What clients do, as plans: generators of requests that a store performs, awaited or blocking.

So the asyncio `Server` and the blocking `.delay()` share every line but the socket.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Generator, Iterable, Iterator, Sequence
from itertools import count, islice
from typing import TYPE_CHECKING, Any, TypeVar

from tasqueue.core.chain import Chain, ChainMessage, ChainMeta, Walk
from tasqueue.core.digest import sha1
from tasqueue.core.durability import ACK
from tasqueue.core.errors import (
    BackendError,
    BackendUnavailable,
    ConfigurationError,
    DecodeError,
    EnqueueUnconfirmed,
    JobNotFound,
    ResultNotFound,
    TasqueueError,
)
from tasqueue.core.group import Group, GroupMessage, GroupMeta, roll_up, unfinished
from tasqueue.core.job import FINAL_STATUSES, Job, JobMessage, JobStatus
from tasqueue.core.limits import MAX_GROUP_WRITTEN, check_id
from tasqueue.core.ports import (
    CHAIN_KEY,
    GROUP_KEY,
    JOB_KEY,
    OpenGroup,
    Pending,
    PendingPage,
    Push,
    Read,
    Request,
    Submit,
    Write,
)
from tasqueue.core.wire import (
    decode_chain,
    decode_group,
    decode_job,
    encode_chain,
    encode_group,
)
from tasqueue.engine.clock import SYSTEM, Clock
from tasqueue.engine.prepare import new_id, prepare

if TYPE_CHECKING:
    from tasqueue.core.ports import BlockingStore, Store

T = TypeVar("T")
Plan = Generator[Request, Any, T]
"""Yields requests, is sent their answers, returns a T."""

_AT_ONCE = 500
"""Names that one `Read` asks for."""


async def run(plan: Plan[T], store: Store) -> T:
    """Follow a plan from asyncio; what the store raises is raised in the plan."""
    try:
        request = next(plan)
        while True:
            try:
                answer = await store.perform(request)
            except TasqueueError as error:
                request = plan.throw(error)
            else:
                request = plan.send(answer)
    except StopIteration as end:
        result: T = end.value
        return result


def run_blocking(plan: Plan[T], store: BlockingStore) -> T:
    """Follow a plan from code without an event loop."""
    try:
        request = next(plan)
        while True:
            try:
                answer = store.perform_blocking(request)
            except TasqueueError as error:
                request = plan.throw(error)
            else:
                request = plan.send(answer)
    except StopIteration as end:
        result: T = end.value
        return result


# -- enqueue -------------------------------------------------------------------------------------


def submit(pushes: Sequence[Push], seals: Sequence[str] = ()) -> Plan[list[bool]]:
    """Push prepared jobs; returns which of them the last try pushed.

    After a lost answer the same call is made once more, and counts once.

    ``seals``: open groups that are complete with them.

    Raises:
        BackendUnavailable: the store was out of reach twice, and none of them is there.
        EnqueueUnconfirmed: they may be stored or not, since no answer came; or they are stored,
            but not as safe as their ``durability`` asks for.
    """
    in_doubt = again = False
    while True:
        try:
            # A repeat spares what the first try may have done; where that did nothing it is none.
            pushed: list[bool] = yield Submit(pushes, again=in_doubt, seals=seals)
        except EnqueueUnconfirmed as error:
            error.job_ids = tuple(push.job_id for push in pushes)
            raise
        except BackendError as error:
            if isinstance(error, BackendUnavailable):
                in_doubt |= error.in_doubt
                if not again:
                    again = True
                    continue
            if in_doubt and pushes:
                raise _unknown_fate(pushes, error) from error
            raise
        else:
            return pushed


def _unknown_fate(pushes: Sequence[Push], error: BackendError) -> EnqueueUnconfirmed:
    told = EnqueueUnconfirmed(pushes[0].job_id, str(error), stored=False)
    told.job_ids = tuple(push.job_id for push in pushes)
    return told


def open_group(group: OpenGroup) -> Plan[None]:
    """Ask for a callback when a group has ended; once more after a lost answer.

    Raises:
        BackendUnavailable: the store was out of reach twice.
    """
    try:
        yield group
    except BackendUnavailable:
        yield group


def _write(name: str, data: bytes) -> Plan[None]:
    """Store a record, once more after a lost answer: that changes nothing."""
    try:
        yield Write(name, data)
    except BackendUnavailable:
        yield Write(name, data)


def enqueue(job: Job, clock: Clock = SYSTEM) -> Plan[str]:
    """Enqueue a job; returns its ID (Go: server.go, Enqueue). Raises as `prepare` and `submit`."""
    prepared = prepare(job, clock)
    yield from submit((prepared,))
    return prepared.job_id


def enqueue_if_absent(job: Job, clock: Clock = SYSTEM) -> Plan[str]:
    """Enqueue a job unless one of its ID waits or runs; returns that ID.

    Of several callers at the same time one enqueues it: each names its call by the record that it
    saw, and a call of that name is applied once within 15 minutes. That takes a store which writes
    a record and its message in one step.

    Raises:
        ConfigurationError: as `prepare`; or a durability is asked for, which nobody could confirm
            of a job that is there already.
        DecodeError: what lies there as the record of that ID is none.
        BackendUnavailable, EnqueueUnconfirmed: as `submit`.
    """
    if job.opts.durability != ACK:
        msg = 'if_absent=True goes with durability="ack" only'
        raise ConfigurationError(msg)
    prepared = prepare(job, clock)
    name, seen = JOB_KEY + prepared.job_id, None
    for turn in count():
        (record,) = yield Read((name,))
        waits = record is not None and decode_job(record).status not in FINAL_STATUSES
        if waits or (turn and record != seen):
            break
        # A call that is known, while nothing has changed, was that of an earlier job of the ID.
        seen = record
        text = f"{prepared.job_id}:{turn}:".encode("utf-8", "surrogateescape") + (record or b"")
        call = sha1(text)
        pushed = yield from submit((prepared._replace(call=call),))
        if pushed == [True]:
            break
    return prepared.job_id


def enqueue_many(jobs: Iterable[Job], clock: Clock = SYSTEM) -> Plan[list[str]]:
    """Enqueue jobs in as few steps as the store allows; returns their IDs in order.

    All are checked before the first is sent. Raises as `prepare` and `submit`.
    """
    prepared = [prepare(job, clock) for job in jobs]
    if prepared:
        yield from submit(prepared)
    return [one.job_id for one in prepared]


def enqueue_group(group: Group, clock: Clock = SYSTEM) -> Plan[str]:
    """Enqueue a group, its record first; returns its ID (Go: groups.go, EnqueueGroup)."""
    group_id = check_id("group", group.opts.id) or new_id()
    prepared = [prepare(job, clock) for job in group.jobs]
    meta = GroupMeta(group_id, job_status={one.job_id: JobStatus.QUEUED for one in prepared})
    opts = dataclasses.replace(group.opts, id=group_id)
    written = Group(group.jobs, opts) if len(group.jobs) <= MAX_GROUP_WRITTEN else None
    yield from _write(GROUP_KEY + group_id, encode_group(GroupMessage(meta, written)))
    if prepared:
        yield from submit(prepared)
    return group_id


def enqueue_chain(chain: Chain, clock: Clock = SYSTEM) -> Plan[str]:
    """Enqueue a chain, its record first; returns its ID (Go: chains.go, EnqueueChain)."""
    chain_id = check_id("chain", chain.opts.id) or new_id()
    prepared = prepare(chain.root, clock)
    meta = ChainMeta(chain_id, job_id=prepared.job_id)
    yield from _write(CHAIN_KEY + chain_id, encode_chain(ChainMessage(meta)))
    yield from submit((prepared,))
    return chain_id


# -- ask -----------------------------------------------------------------------------------------


def unknown(kind: str, name: str) -> JobNotFound:
    """There is nothing under that ID."""
    msg = f"no {kind} {name!r}: it was never enqueued, was deleted, or its record has expired"
    return JobNotFound(msg)


def get_job(job_id: str) -> Plan[JobMessage]:
    """The record of a job.

    Raises:
        JobNotFound: there is none under that ID.
    """
    (record,) = yield Read((JOB_KEY + job_id,))
    if record is None:
        raise unknown("job", job_id)
    return decode_job(record)


def get_result(job_id: str) -> Plan[bytes]:
    """The bytes that a job saved.

    Raises:
        ResultNotFound: the job saved nothing, has not ended, or its result has expired.
    """
    (result,) = yield Read((job_id,))
    if result is None:
        msg = f"no result for job {job_id!r}: it saved none, has not ended, or it has expired"
        raise ResultNotFound(msg)
    data: bytes = result
    return data


def get_group(group_id: str) -> Plan[GroupMessage]:
    """A group with its members' states looked up and added up (Go: groups.go, GetGroup).

    A member whose record has expired keeps the state it was last seen in.

    Raises:
        JobNotFound: there is no group under that ID.
    """
    (body,) = yield Read((GROUP_KEY + group_id,))
    if body is None:
        raise unknown("group", group_id)
    message = decode_group(body)
    meta = message.meta
    seen = dict(meta.job_status)
    for job_ids in _pages(unfinished(meta)):
        records = yield Read([JOB_KEY + job_id for job_id in job_ids])
        for job_id, record in zip(job_ids, records, strict=True):
            if record is not None:
                meta.job_status[job_id] = decode_job(record).status
    status = roll_up(meta.job_status)
    if status != meta.status or meta.job_status != seen:
        if meta.status not in FINAL_STATUSES:
            meta.status = status
        yield Write(GROUP_KEY + group_id, encode_group(message))
    return message


def get_chain(chain_id: str) -> Plan[ChainMessage]:
    """A chain, walked along from its first job (Go: chains.go, GetChain).

    Mended: every finished job is listed once in ``prev_jobs``, however often one asks.

    Raises:
        JobNotFound: there is no chain, or no job where the chain has come to.
    """
    (body,) = yield Read((CHAIN_KEY + chain_id,))
    if body is None:
        raise unknown("chain", chain_id)
    message = decode_chain(body)
    if message.meta.status in FINAL_STATUSES:
        return message
    walk, job_id = Walk.along(message.meta), message.meta.job_id
    while job_id:
        job_id = walk.step((yield from get_job(job_id)))
    if walk.meta != message.meta:
        yield Write(CHAIN_KEY + chain_id, encode_chain(ChainMessage(walk.meta)))
    return ChainMessage(walk.meta)


def get_pending(
    queue: str, offset: int = 0, limit: int | None = None
) -> Plan[tuple[list[JobMessage], int]]:
    """Waiting messages, youngest first, and how many there are.

    Bytes that are no message are left out: a worker moves them to the dead letters.
    """
    page: PendingPage = yield Pending(queue, offset, limit)
    messages: list[JobMessage] = []
    for body in page.bodies:
        try:
            messages.append(decode_job(body))
        except DecodeError:
            continue
    return messages, page.total


def _pages(items: Iterable[str]) -> Iterator[list[str]]:
    left = iter(items)
    while page := list(islice(left, _AT_ONCE)):
        yield page
