"""How large and how named things may be, checked where they enter."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from tasqueue.core.errors import ConfigurationError, LimitExceeded
from tasqueue.core.timing import parse_schedule

if TYPE_CHECKING:
    from tasqueue.core.job import Job

MAX_MESSAGE: Final = 1 << 20
"""Bytes of one message at enqueue."""
MAX_DECODE: Final = 64 << 20
"""Bytes of one message at decode: a Go producer knows no limit."""
MAX_LINKS: Final = 200
"""Levels of ``on_success``/``on_error`` below one job at enqueue."""
MAX_GROUP_WRITTEN: Final = 10_000
"""Members up to which a group message holds the jobs themselves."""
LEASE: Final = 30.0
"""Seconds that a silent worker keeps its jobs, unless somebody says otherwise."""
GRACE: Final = 10.0
"""Seconds that running jobs have to end when a worker stops, unless somebody says otherwise."""

_NAME: Final = re.compile(r"[\w:.{}-]{1,200}")
_RESERVED: Final = re.compile(r"(success|failed|(job|group|chain):msg:.*)", re.DOTALL)


def is_reserved(name: str) -> bool:
    """Whether a name, used as an ID, would collide with one of Go's keys."""
    return _RESERVED.fullmatch(name) is not None


def check_name(kind: str, name: str) -> str:
    """Return ``name`` if it may name a task or a queue.

    Raises:
        ConfigurationError: it is empty, longer than 200 characters, or has other characters
            than letters, digits and ``_ : . { } -``.
    """
    if not _NAME.fullmatch(name):
        msg = (
            f"{kind} name {name!r} is not usable: take 1 to 200 letters, digits "
            "or any of _ : . { } -"
        )
        raise ConfigurationError(msg)
    return name


def check_id(kind: str, name: str) -> str:
    """Return ``name`` if it may be an ID; Go's keys share one namespace with IDs.

    Raises:
        ConfigurationError: it is longer than 200 characters, or collides with one of Go's keys
            (``success``, ``failed``, ``job:msg:…``).
    """
    if len(name) > 200 or is_reserved(name):
        msg = (
            f"{kind} ID {name!r} is not usable: at most 200 characters, and not a reserved "
            "name (success, failed, job:msg:…, group:msg:…, chain:msg:…)"
        )
        raise ConfigurationError(msg)
    return name


def check_job(job: Job) -> Job:
    """Return ``job`` if it, and every job that follows it, may be enqueued.

    Raises:
        ConfigurationError: a name or an ID is not usable, a schedule is not in Go's dialect.
        LimitExceeded: the jobs that follow nest deeper than `MAX_LINKS`.
    """
    level, depth = [job], 0
    while level:
        if depth > MAX_LINKS:
            msg = f"more than {MAX_LINKS} jobs in a row after {job.task!r}: split the chain"
            raise LimitExceeded(msg)
        for one in level:
            check_name("task", one.task)
            check_name("queue", one.opts.queue)
            check_id("job", one.opts.id)
            if one.opts.schedule:
                parse_schedule(one.opts.schedule)
        level = [child for one in level for child in (*one.on_success, *one.on_error)]
        depth += 1
    return job


def check_size(what: str, body: bytes, limit: int = MAX_MESSAGE) -> bytes:
    """Return ``body`` if it is small enough to be enqueued.

    Raises:
        LimitExceeded: it is larger than ``limit`` bytes.
    """
    if len(body) > limit:
        msg = (
            f"{what} is {len(body):,} bytes, the limit is {limit:,}: "
            "store the data elsewhere and pass a reference"
        )
        raise LimitExceeded(msg)
    return body
