"""Jobs to what is sent of them: IDs, checks, the message and its first record."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Callable
from functools import lru_cache
from itertools import count
from typing import Final
from uuid import uuid4

from tasqueue.core import lifecycle
from tasqueue.core.digest import sha1
from tasqueue.core.durability import ACK
from tasqueue.core.job import Job, JobMessage, JobOpts, JobStatus
from tasqueue.core.limits import MAX_MESSAGE, check_job, check_size
from tasqueue.core.ports import Push
from tasqueue.core.wire import Form, encode_both, form_of
from tasqueue.engine.clock import SYSTEM, Clock

_RANDOM: Final = ~(0xF << 76 | 0x3 << 62)
_VERSION: Final = 0x4 << 76 | 0x2 << 62
"""What is random in a UUID v4, and what says that it is one."""


def new_id() -> str:
    """A fresh ID, as Go makes them: UUID v4, lower-case, 36 characters."""
    return _as_id(os.urandom(16))


def child_ids(message: JobMessage, outcome: lifecycle.Outcome) -> Callable[[], str]:
    """Where the IDs of the jobs come from that an outcome releases.

    An attempt that runs again after a crash gives the same ones: in a cluster its children may be
    on their way by then, and its record names them. Who chose a job's ID may send it twice, so
    that ID tells no attempt from another: its children have fresh ones.
    """
    if message.job.opts.id or not (message.job.on_success or message.job.on_error):
        return new_id
    seed = f"{message.meta.id}:{message.meta.retried}:{type(outcome).__name__}"
    places = count()

    def next_id() -> str:
        name = f"{seed}:{next(places)}".encode("utf-8", "surrogateescape")
        return _as_id(hashlib.sha256(name).digest()[:16])

    return next_id


def _as_id(octets: bytes) -> str:
    digits = f"{int.from_bytes(octets) & _RANDOM | _VERSION:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def push(entry: lifecycle.Entry, now_ns: int, *, call: str = "", limit: int = MAX_MESSAGE) -> Push:
    """Write a message of at most ``limit`` bytes and its ``queued`` record out."""
    message = entry.message
    if call and entry.due_ns is not None:
        ext = message.job.ext | {lifecycle.TURN: call}
        message = JobMessage(message.meta, dataclasses.replace(message.job, ext=ext))
    meta, job = message.meta, message.job
    body, record = encode_both(message, lifecycle.recorded(message, JobStatus.QUEUED, now_ns))
    if len(body) > limit:
        check_size(f"job {meta.id} of task {job.task!r}", body, limit)
    return Push(meta.queue, meta.id, record, body, entry.due_ns, call, job.opts.durability)


def prepare(job: Job, clock: Clock = SYSTEM) -> Push:
    """Check a job and write it out; nothing is sent.

    Raises:
        ConfigurationError: a name, ID or schedule is not usable, or the job is too large.
        EncodeError: a field holds what Go's type cannot.
    """
    now_ns = clock.now_ns()
    if _is_common(job):
        return _filled(job, now_ns)
    entry = lifecycle.entry(check_job(job), now_ns=now_ns, new_id=new_id)
    return push(entry, now_ns, call=_call(job.opts, entry.message.meta.id))


def _is_common(job: Job) -> bool:
    """Whether nothing but ID and payload tells it from others of its task and options."""
    opts = job.opts
    own = opts.id or opts.schedule or job.on_success or job.on_error or job.ext
    return not own and opts.eta_ns is None and isinstance(job.payload, bytes)


def _filled(job: Job, now_ns: int) -> Push:
    """As `prepare`, for a job of the common kind."""
    opts, job_id, payload = job.opts, new_id(), job.payload or b""
    body, record = _form(job.task, opts).filled(job_id, payload, now_ns)
    if len(body) > MAX_MESSAGE:
        check_size(f"job {job_id} of task {job.task!r}", body)
    return Push(opts.queue, job_id, record, body, None, _call(opts, job_id), opts.durability)


@lru_cache(maxsize=256)
def _form(task: str, opts: JobOpts) -> Form:
    """What jobs of a task and options have in common; it is checked here, once."""
    job = check_job(Job(task, None, opts))
    return form_of(lifecycle.entry(job, now_ns=0, new_id=str).message)


def _call(opts: JobOpts, job_id: str) -> str:
    """The call's token; with a durability, a repeat of it is known by the job's ID."""
    if opts.durability != ACK:
        return sha1(job_id.encode("utf-8", "surrogateescape"))
    return uuid4().hex if opts.id else ""
