"""One queue: claim, execute, hand the decision over, acknowledge."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

from tasqueue.core import lifecycle
from tasqueue.core.errors import BackendError, DecodeError, EncodeError, LimitExceeded
from tasqueue.core.job import NIL_JOB, JobMessage, JobStatus
from tasqueue.core.lifecycle import Circumstances, Failed, Outcome, Postponed, Succeeded
from tasqueue.core.ports import Claim, GroupResults, Lease, Mark, Read, Store
from tasqueue.core.wire import decode_job, encode_job
from tasqueue.engine.committer import Committer, settlement
from tasqueue.engine.context import LOGGER, JobContext
from tasqueue.engine.plan import new_id

if TYPE_CHECKING:
    from tasqueue.engine.clock import Clock
    from tasqueue.engine.executor import Executor
    from tasqueue.engine.notes import Notes
    from tasqueue.engine.registry import Registry, Task

_SECOND_NS: Final = 1_000_000_000
_LONGEST_TURN: Final = 30
_PATIENT_TURNS: Final = 8
"""Turns of an unknown task's job before its wait doubles: its own workers win some of each."""
_OUTAGE: Final = 0.5
TURNS: Final = "n"
"""Key in ``Job.ext``: how often a job of an unknown task was sent back."""


class Worker:
    """Takes the jobs of one queue, as many at once as there are slots."""

    def __init__(
        self,
        queue: str,
        slots: int,
        *,
        store: Store,
        lease: Lease,
        registry: Registry,
        executor: Executor,
        clock: Clock,
        notes: Notes,
        expiry_ms: int,
    ) -> None:
        self.queue = queue
        self._slots = slots
        self._store = store
        self._lease = lease
        self._registry = registry
        self._executor = executor
        self._clock = clock
        self._notes = notes
        self._expiry_ms = expiry_ms
        self._jobs: dict[str, asyncio.Task[None]] = {}
        self._freed = asyncio.Event()
        self.committer: Committer = Committer(lease, queue, clock, freed=self._freed)
        self.stopping = False

    async def run(self) -> None:
        """Claim and start jobs until `stopping`; a store that is away is waited for."""
        adopt = False
        while not self.stopping:
            free = self._slots - len(self._jobs) - max(0, self.committer.backlog - self._slots)
            if free < 1:
                self._freed.clear()
                await self._freed.wait()
                continue
            try:
                if adopt:
                    claims = await self._lease.adopt(self.queue)
                else:
                    claims = await self._lease.claim(self.queue, free)
                adopt = False
            except BackendError as error:
                LOGGER.debug("queue %s: waiting for the broker: %s", self.queue, error)
                adopt = True
                await self._clock.sleep(_OUTAGE)
                continue
            for claim in claims:
                self._start(claim)

    async def drained(self) -> None:
        """Wait for the running jobs, and for their settlements."""
        while self._jobs:
            await asyncio.wait(list(self._jobs.values()))
        await self.committer.flushed()

    def cancel(self) -> None:
        """Cancel the running jobs; they are given back when the lease ends."""
        for job in self._jobs.values():
            job.cancel()

    def _start(self, claim: Claim) -> None:
        if claim.token in self._jobs:
            return
        job = asyncio.create_task(self._work(claim))
        self._jobs[claim.token] = job
        job.add_done_callback(lambda _: self._ended(claim.token))

    def _ended(self, token: str) -> None:
        self._jobs.pop(token, None)
        self._freed.set()

    async def _work(self, claim: Claim) -> None:
        try:
            message = decode_job(claim.body)
        except DecodeError as error:
            await self._bury(claim, str(error))
            return
        if message.job is NIL_JOB:
            await self._bury(claim, "the message holds no job")
            return
        task = self._registry.tasks.get(message.job.task)
        if claim.convicted:
            LOGGER.error("job %s is a dead letter now: %s", message.meta.id, claim.convicted)
            self._decide(
                claim, message, Failed(claim.convicted, final=True), ttl_ms=self._ttl_ms(task)
            )
        elif task is None:
            await self._unknown(claim, message)
        else:
            await self._known(claim, message, task)

    async def _known(self, claim: Claim, message: JobMessage, task: Task) -> None:
        record = lifecycle.recorded(message, JobStatus.PROCESSING, self._clock.now_ns())
        self.committer.mark(Mark(claim.token, message.meta.id, encode_job(record)))
        limit_ns = message.job.opts.timeout_ns
        now = asyncio.get_running_loop().time()
        ctx = JobContext(message, deadline=now + limit_ns / _SECOND_NS if limit_ns else None)
        group = message.job.ext.get(lifecycle.GROUP)
        if isinstance(group, str):
            ctx.group_results = await self._store.perform(GroupResults(group))
        seconds = limit_ns / _SECOND_NS if limit_ns else None
        self._notes.begun(self.queue, claim.token, seconds)
        try:
            outcome = await self._executor.attempt(task, message, ctx)
        finally:
            self._notes.ended(claim.token)
        if isinstance(outcome, Succeeded):
            outcome = await self._with_earlier(message, outcome)
        self._decide(claim, message, outcome, ttl_ms=self._ttl_ms(task))

    def _ttl_ms(self, task: Task | None) -> int:
        """How long record and result are kept; 0 is for ever."""
        ttl = task.result_ttl if task is not None else None
        return int(ttl.total_seconds() * 1000) if ttl else self._expiry_ms

    def _decide(self, claim: Claim, message: JobMessage, outcome: Outcome, *, ttl_ms: int) -> None:
        now_ns = self._clock.now_ns()
        around = Circumstances(now_ns, claim.token, new_id)
        decision = lifecycle.decide(message, outcome, around)
        try:
            made = settlement(claim, message, decision, now_ns=now_ns, ttl_ms=ttl_ms)
        except (EncodeError, LimitExceeded) as error:
            bad = Failed(f"what follows cannot be written: {error}", final=True)
            message.job.on_error = []
            decision = lifecycle.decide(message, bad, around)
            made = settlement(claim, message, decision, now_ns=now_ns, ttl_ms=ttl_ms)
        self.committer.settle(made)

    async def _with_earlier(self, message: JobMessage, outcome: Succeeded) -> Succeeded:
        """A result saved by an earlier attempt counts for the children, as in Go."""
        if outcome.result is not None or not (message.meta.retried and message.job.on_success):
            return outcome
        (earlier,) = await self._store.perform(Read((message.meta.id,)))
        return Succeeded(None, earlier)

    async def _unknown(self, claim: Claim, message: JobMessage) -> None:
        """Keep the job: another program may know its task now, or one will later."""
        name, token = message.job.task, claim.token
        if not await self._lease.known_elsewhere(name):
            LOGGER.error("job %s asks for task %r: parked, not lost", message.meta.id, name)
            await self._insist(lambda: self._lease.park(self.queue, token, name))
            return
        before = message.job.ext.get(TURNS)
        turns = before if isinstance(before, int) else 0
        message.job.ext[TURNS] = turns + 1
        seconds = min(_LONGEST_TURN, 2 ** min(turns // _PATIENT_TURNS, 5))
        self._decide(claim, message, Postponed(seconds * _SECOND_NS), ttl_ms=0)

    async def _bury(self, claim: Claim, reason: str) -> None:
        """Keep bytes that are no message, and say why."""
        LOGGER.error("queue %s: kept as a dead letter: %s", self.queue, reason)
        await self._insist(lambda: self._lease.bury(self.queue, claim.token, reason))

    async def _insist(self, step: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                return await step()
            except BackendError as error:
                LOGGER.debug("queue %s: waiting for the broker: %s", self.queue, error)
                await self._clock.sleep(_OUTAGE)
