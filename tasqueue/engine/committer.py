"""Carries decisions out: batches them, sends them until they are answered, and never drops one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, NamedTuple

from tasqueue.core import lifecycle
from tasqueue.core.digest import sha1
from tasqueue.core.errors import BackendError, BackendRejected, BackendUnavailable, EncodeError
from tasqueue.core.job import JobStatus
from tasqueue.core.lifecycle import TURN, Decision, Finish, recorded
from tasqueue.core.limits import MAX_DECODE
from tasqueue.core.ports import Answer, Claim, Lease, Mark, Settlement
from tasqueue.core.wire import encode_record
from tasqueue.engine.context import LOGGER
from tasqueue.engine.patience import Refusals
from tasqueue.engine.prepare import push

if TYPE_CHECKING:
    from collections.abc import Sized

    from tasqueue.core.job import Job, JobMessage
    from tasqueue.engine.clock import Clock

_BATCH: Final = 200
"""Settlements that are sent together; half as many after each answer that did not come in time."""
_ENOUGH: Final = 100
"""Settlements for which a batch waits. Twice as many are sent where they are there: else a worker
that runs jobs faster than one such call after the other is answered would fall behind."""
_TURNS: Final = 16
"""Turns of the loop for which a batch waits; while jobs wait for something these pass in 0.3 ms."""
_PATIENCE: Final = 0.2
"""Seconds between tries while the store is out of reach, or a key has the wrong type."""


def settlement(
    claim: Claim, message: JobMessage, decision: Decision, *, now_ns: int, ttl_ms: int
) -> Settlement:
    """Write a decision out, for a store."""
    made = Settlement(
        claim.token,
        message.meta.id,
        encode_record(decision.record),
        once=sha1(claim.body) if _may_have_copies(message.job) else "",
        result=decision.result,
        dead=claim.convicted,
        closes=lifecycle.closes(message.job),
    )
    if isinstance(decision, Finish):
        successful = decision.record.status == JobStatus.SUCCESSFUL
        made.listing = "success" if successful else "failed"
        made.pushes = [push(entry, now_ns) for entry in decision.released]
        made.ttl_ms = ttl_ms
        made.member = lifecycle.membership(message.job)
    else:
        # It came out of the queue: a Go producer, who knows no limit, may have put it there.
        back = push(decision.entry, now_ns, limit=MAX_DECODE)
        made.again = back._replace(record=made.record)
    return made


def _may_have_copies(job: Job) -> bool:
    """Whether this message was, or may have been, in a scheduled set, where copies come from."""
    return job.opts.eta_ns is not None or TURN in job.ext


class Begun(NamedTuple):
    """A job whose handler began; its record is written out only if it is sent."""

    claim: Claim
    message: JobMessage
    now_ns: int


class Committer:
    """One queue's settlements and ``processing`` marks, on their way to the store.

    What gathers while one batch is in the air is the next batch: there is no timer. While jobs are
    still ``to_begin``, those that end within a few turns of the loop join it. ``freed`` is set
    whenever a batch is answered, since a worker with a long backlog claims nothing.
    """

    def __init__(
        self,
        lease: Lease,
        queue: str,
        *,
        clock: Clock,
        freed: asyncio.Event,
        to_begin: Sized = (),
    ) -> None:
        self._lease = lease
        self._queue = queue
        self._clock = clock
        self._freed = freed
        self._to_begin = to_begin
        self._waiting: list[Settlement] = []
        self._begun: dict[str, Begun] = {}
        self._work = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._size = _BATCH
        self._alone = 0
        self._refusals = Refusals()

    @property
    def backlog(self) -> int:
        """Settlements that are not answered yet."""
        return len(self._waiting)

    def tokens(self) -> set[str]:
        """The tokens of the settlements that are not answered yet."""
        return {one.token for one in self._waiting}

    def mark(self, begun: Begun) -> None:
        """Have a ``processing`` record written, unless the job ends before that."""
        self._begun[begun.claim.token] = begun
        self._wake()

    def settle(self, made: Settlement) -> None:
        """Have a settlement carried out."""
        self._begun.pop(made.token, None)
        self._waiting.append(made)
        self._wake()

    async def flushed(self) -> None:
        """Wait until all is answered."""
        await self._idle.wait()

    async def run(self) -> None:
        """Send, for ever."""
        while True:
            await self._work.wait()
            self._work.clear()
            while self._waiting or self._begun:
                try:
                    await self._gather()
                    await self._settle()
                    await self._mark()
                except BackendError as error:
                    self._refusals.note(f"queue {self._queue}: results", error)
                    LOGGER.debug("queue %s: results wait for the store: %s", self._queue, error)
                    await self._clock.sleep(_PATIENCE)
            self._refusals.note(f"queue {self._queue}: results")
            self._idle.set()

    def _wake(self) -> None:
        self._idle.clear()
        self._work.set()

    async def _gather(self) -> None:
        """Let a batch grow: one call of a hundred costs a fraction of ten calls of ten."""
        for _ in range(_TURNS):
            if not self._to_begin or len(self._waiting) >= min(_ENOUGH, self._size):
                return
            await self._clock.sleep(0)

    async def _settle(self) -> None:
        batch = self._waiting[: 1 if self._alone else self._size]
        if not batch:
            return
        self._alone = max(0, self._alone - 1)
        try:
            answers = await self._lease.settle(self._queue, batch)
        except BackendUnavailable:
            self._size = max(1, min(self._size, len(batch)) // 2)
            raise
        except BackendRejected:
            # Each alone, and the refused one last: the others get through.
            if len(batch) == 1:
                self._waiting.append(self._waiting.pop(0))
            else:
                self._alone = len(batch)
            raise
        self._size = min(_BATCH, 2 * self._size)
        again = [one for one, said in zip(batch, answers, strict=True) if said is Answer.BAD_KEY]
        del self._waiting[: len(batch)]
        self._waiting += again  # last, so that however many they are the others get through
        self._freed.set()
        if fenced := answers.count(Answer.FENCED):
            text = "queue %s: %d results are refused: the jobs were given to others meanwhile"
            LOGGER.warning(text, self._queue, fenced)
        if len(again) == len(batch):
            text = "queue %s: %d results wait: a key has the wrong type (job %s)"
            LOGGER.error(text, self._queue, len(again), again[0].job_id)
            await self._clock.sleep(_PATIENCE)

    async def _mark(self) -> None:
        begun, self._begun = self._begun, {}
        marks = [mark for one in begun.values() if (mark := _processing(one)) is not None]
        if not marks:
            return
        try:
            await self._lease.mark(self._queue, marks)
        except BackendError:
            # Of jobs that end meanwhile too: the store writes none whose token is gone.
            self._begun = begun | self._begun
            raise


def _processing(begun: Begun) -> Mark | None:
    """The record that a job runs; None if it cannot be written, which the job's end says loudly."""
    record = recorded(begun.message, JobStatus.PROCESSING, begun.now_ns)
    job, claim = begun.message.job, begun.claim
    copies = _may_have_copies(job) or lifecycle.closes(job)
    once = sha1(claim.body) if copies else ""
    try:
        return Mark(claim.token, record.meta.id, encode_record(record), once)
    except EncodeError:
        return None
