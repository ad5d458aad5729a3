"""One claimed job from its bytes to its settlement (Go: server.go, process)."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from tasqueue.core import lifecycle
from tasqueue.core.errors import DecodeError, EncodeError, LimitExceeded
from tasqueue.core.job import FINAL_STATUSES, NIL_JOB, JobMessage
from tasqueue.core.lifecycle import Circumstances, Failed, Outcome, Postponed, Succeeded
from tasqueue.core.ports import JOB_KEY, Claim, GroupResults, Lease, Read, Settlement, Store
from tasqueue.core.timing import NS_PER_S
from tasqueue.core.wire import decode_job
from tasqueue.engine.clock import Clock
from tasqueue.engine.committer import Begun, Committer, settlement
from tasqueue.engine.context import LOGGER, JobContext
from tasqueue.engine.executor import Executor
from tasqueue.engine.notes import Notes
from tasqueue.engine.patience import insist
from tasqueue.engine.prepare import child_ids
from tasqueue.engine.registry import Registry, Task

T = TypeVar("T")

LONGEST_TURN: Final = 8
"""Seconds that a job of an unknown task stays away at most."""
PATIENT_TURNS: Final = 8
"""Turns of an unknown task's job before its wait doubles: its own workers win some of each."""
TURNS: Final = "n"
"""Key in ``Job.ext``: how often a job of an unknown task was sent back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Equipment:
    """What the workers of one process share."""

    store: Store
    lease: Lease
    registry: Registry
    executor: Executor
    clock: Clock
    notes: Notes
    lease_seconds: float
    expiry_ms: int
    """How long records and results are kept where a task does not say; 0 is for ever."""


@dataclass(slots=True, eq=False)
class Held:
    """A job in this worker's hands."""

    claim: Claim
    since: float
    """The monotonic time at which it was claimed."""
    begun: float = 0.0
    """The monotonic time at which it got its slot."""
    is_burial: bool = False
    """Whether the worker failed over it: now it only gets to the dead letters."""
    work: asyncio.Task[None] | None = None
    ctx: JobContext | None = None
    """Once the message is read and its task is known."""
    stoppable: bool = True
    """Whether cancelling it ends it: nothing of it has begun, or its handler runs on the loop."""
    error: BaseException | None = None
    """What the work on it raised: then it came to no outcome."""
    sent_back: int = 0
    """How often it went back for another program, which knows its task."""

    def cancel(self) -> None:
        """Cancel the task that works on it."""
        if self.work is not None:
            self.work.cancel()


class Processor:
    """Runs the jobs of one queue, each to a settlement that it hands to the committer."""

    def __init__(self, queue: str, shared: Equipment, committer: Committer) -> None:
        self._queue = queue
        self._lease = shared.lease
        self._shared = shared
        self._committer = committer

    async def process(self, held: Held) -> None:
        """Decode, find the task, attempt, decide, hand over. Nothing is dropped on the way."""
        claim = held.claim
        try:
            message = decode_job(claim.body)
        except DecodeError as error:
            await self.bury(claim, str(error))
            return
        if message.job is NIL_JOB:
            await self.bury(claim, "the message holds no job")
            return
        task = self._shared.registry.tasks.get(message.job.task)
        if claim.convicted:
            LOGGER.error("job %s is a dead letter now: %s", message.meta.id, claim.convicted)
            dead = Failed(claim.convicted, final=True)
            self._decide(claim, message, dead, ttl_ms=self._ttl_ms(task))
            return
        if task is None:
            await self._unknown(held, message)
            return
        ctx = held.ctx = self._context(message)
        await self._known(held, message, task=task, ctx=ctx)

    async def bury(self, claim: Claim, reason: str) -> None:
        """Keep bytes that cannot be worked on, and say why."""
        LOGGER.error("queue %s: kept as a dead letter: %s", self._queue, reason)
        await self._insist(lambda: self._lease.bury(self._queue, claim.token, reason))

    def _context(self, message: JobMessage) -> JobContext:
        limit_ns = message.job.opts.timeout_ns
        if not limit_ns:
            return JobContext(message)
        now = asyncio.get_running_loop().time()
        return JobContext(message, deadline=now + limit_ns / NS_PER_S)

    async def _known(self, held: Held, message: JobMessage, *, task: Task, ctx: JobContext) -> None:
        claim = held.claim
        if (group := lifecycle.closes(message.job)) and await self._is_over(message, ctx, group):
            await self._insist(lambda: self._lease.drop(self._queue, (claim.token,)))
            return
        self._committer.mark(Begun(claim, message, self._shared.clock.now_ns()))
        limit_ns = message.job.opts.timeout_ns
        notes = self._shared.notes
        notes.begun(self._queue, claim.token, limit_ns / NS_PER_S if limit_ns else None)
        held.stoppable = task.is_async
        try:
            outcome = await self._shared.executor.attempt(task, message, ctx, mine=held.work)
        finally:
            held.stoppable = False
            notes.ended(claim.token)
        if message.meta.retried and message.job.on_success and isinstance(outcome, Succeeded):
            outcome = await self._with_earlier(message, outcome)
        self._decide(claim, message, outcome, ttl_ms=self._ttl_ms(task))

    async def _is_over(self, message: JobMessage, ctx: JobContext, group: str) -> bool:
        """Read a callback's results; whether it came again after its end, when there are none."""
        wanted, own = GroupResults(group), Read((JOB_KEY + message.meta.id,))
        ctx.group_results = await self._insist(lambda: self._shared.store.perform(wanted))
        if ctx.group_results is not None:
            return False
        (record,) = await self._insist(lambda: self._shared.store.perform(own))
        return record is not None and decode_job(record).status in FINAL_STATUSES

    def _ttl_ms(self, task: Task | None) -> int:
        """How long record and result are kept; 0 is for ever."""
        return (task is not None and task.result_ttl_ms) or self._shared.expiry_ms

    async def _with_earlier(self, message: JobMessage, outcome: Succeeded) -> Succeeded:
        """A result saved by an earlier attempt counts for the children, as in Go."""
        if outcome.result is not None:
            return outcome
        wanted = Read((message.meta.id,))
        (earlier,) = await self._insist(lambda: self._shared.store.perform(wanted))
        return Succeeded(None, earlier)

    async def _unknown(self, held: Held, message: JobMessage) -> None:
        """Keep the job: another program may know its task now, or one will later."""
        claim, name, token = held.claim, message.job.task, held.claim.token
        if not await self._insist(lambda: self._lease.known_elsewhere(name)):
            LOGGER.error("job %s asks for task %r: parked, not lost", message.meta.id, name)
            await self._insist(lambda: self._lease.park(self._queue, token, name))
            return
        before = message.job.ext.get(TURNS)
        turns = before if isinstance(before, int) else 0
        message.job.ext[TURNS] = turns + 1
        # A little less by chance: the waits of both programs have a beat, and we could always win.
        share = random.uniform(0.6, 1)  # noqa: S311 -- it guards nothing
        seconds = share * min(LONGEST_TURN, 2 ** min(turns // PATIENT_TURNS, 5))
        held.sent_back = turns + 1
        self._decide(claim, message, Postponed(int(seconds * NS_PER_S)), ttl_ms=0)

    def _decide(self, claim: Claim, message: JobMessage, outcome: Outcome, *, ttl_ms: int) -> None:
        try:
            made = self._written(claim, message, outcome, ttl_ms=ttl_ms)
        except (EncodeError, LimitExceeded) as error:
            failed = Failed(f"what follows cannot be written: {error}", final=True)
            try:
                made = self._written(claim, message, failed, ttl_ms=ttl_ms)
            except (EncodeError, LimitExceeded):
                message.job.on_error, message.wire = [], None
                made = self._written(claim, message, failed, ttl_ms=ttl_ms)
        self._committer.settle(made)

    def _written(
        self, claim: Claim, message: JobMessage, outcome: Outcome, *, ttl_ms: int
    ) -> Settlement:
        now_ns = self._shared.clock.now_ns()
        around = Circumstances(now_ns, claim.token, child_ids(message, outcome))
        decision = lifecycle.decide(message, outcome, around)
        return settlement(claim, message, decision, now_ns=now_ns, ttl_ms=ttl_ms)

    async def _insist(self, step: Callable[[], Awaitable[T]]) -> T:
        return await insist(f"queue {self._queue}", step, self._shared.clock)
