"""One queue: claim, keep the slots filled, adopt after doubt, give back what was not begun."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from typing import Final

from tasqueue.core.errors import BackendError
from tasqueue.core.ports import Claim
from tasqueue.engine.committer import Committer
from tasqueue.engine.context import LOGGER
from tasqueue.engine.patience import OUTAGE, Refusals
from tasqueue.engine.prefetch import LATEST, Prefetch
from tasqueue.engine.processor import (
    LONGEST_TURN,
    PATIENT_TURNS,
    Equipment,
    Held,
    Processor,
)
from tasqueue.engine.slots import Slots

COURTESY: Final = 0.25
"""Seconds without a claim when all was for another program: that takes one message at a time."""
_SLACK: Final = 2
"""Seconds after its time until a job has certainly been promoted."""
_TURNS: Final = 3
"""Turns of the loop from a job's beginning until its end is sent, if it waits for nothing: it runs,
the committer puts the call together, the connection sends it."""


class Worker:
    """Takes the jobs of one queue, as many at once as there are slots.

    After any doubt (an error of the store, a lost lease), and once a lease in any case, it asks
    the store what it holds before it claims again: a claim whose answer was lost is found there,
    and so is one whose request the network delivered after its worker had given it up.
    """

    def __init__(self, queue: str, slots: int, shared: Equipment) -> None:
        self.queue = queue
        self._size = slots
        self._lease = shared.lease
        self._executor = shared.executor
        self._clock = shared.clock
        self._freed = asyncio.Event()
        self._ready: deque[Held] = deque()
        self._low = 0
        self.committer: Final = Committer(
            shared.lease, queue, clock=shared.clock, freed=self._freed, to_begin=self._ready
        )
        self._slots = Slots(
            slots,
            shared,
            Processor(queue, shared, self.committer),
            ready=self._ready,
            ended=self._ended,
            vacated=self._slot_freed,
        )
        self._prefetch = Prefetch(slots)
        self._adopted_at = shared.clock.monotonic()
        self._lease_seconds = shared.lease_seconds
        self._sent_back = 0
        self._courteous_until = 0.0
        self._stood_back = False
        self._in_doubt = False
        self._refusals = Refusals()
        self._lost = False
        self._stopping = False

    @property
    def running(self) -> int:
        """Jobs that still run."""
        return len(self._slots.running)

    # -- claiming --------------------------------------------------------------------------------

    async def run(self) -> None:
        """Claim and start jobs until `stop`; a store that is away is waited for."""
        while not self._stopping:
            try:
                await self._give_late_back()
                wanted = self._room()
                if wanted < 1:
                    await self._rest()
                    continue
                if self._is_courteous() and not self._stood_back:
                    self._sent_back, self._stood_back = 0, True
                    await self._clock.sleep(COURTESY)
                    continue  # it may be time to stop
                self._stood_back = False
                await self._take(wanted)
            except BackendError as error:
                self._refusals.note(f"queue {self.queue}", error)
                LOGGER.debug("queue %s waits for the store: %s", self.queue, error)
                self._in_doubt = True
                await self._clock.sleep(OUTAGE)
            self._slots.fill()
            # What ends at once is settled before the next claim is put together and sent: somebody
            # may wait for it, and nobody for the claim. Where there is more in the queue, the next
            # claim waits for what has begun anyway.
            for _ in range(0 if self._low else _TURNS):
                await self._clock.sleep(0)

    def stop(self) -> None:
        """Claim nothing more, and begin nothing more."""
        self._stopping = self._slots.closed = True
        self._freed.set()

    async def give_back(self) -> None:
        """Put what was claimed and not begun back at the old end of the queue."""
        tokens = [held.claim.token for held in self._ready]
        if tokens:
            await self._lease.release(self.queue, tokens)
            self._ready.clear()

    def _room(self) -> int:
        """How many jobs to claim: for the free slots, and what these will run in a moment.

        Nothing while more than a few claimed ones still wait, or all slots are taken and none does,
        nor when others may have the jobs or it is time to stop.
        What is settled and not answered takes room too, but for as much as is claimed ahead.
        """
        if self._lost or self._stopping:
            return 0
        waiting, ahead, free = len(self._ready), self._prefetch.ahead, self._slots.free
        if waiting > self._low or (free < 1 and not waiting):
            return 0
        return free + ahead - waiting - max(0, self.committer.backlog - ahead)

    def _is_courteous(self) -> bool:
        """Whether the other program should get a turn: all jobs were its own, or one of them often.

        The server gives a job to whoever has waited longest: a lone one that comes back was ours
        each time, since we wait for 2 s and Go for 1. So for as long as it may come back we wait
        for a moment only, and leave as much time to others.
        """
        lone = self._clock.monotonic() < self._courteous_until
        return lone or self._sent_back >= self._size

    async def _rest(self) -> None:
        """Wait for room, but not longer than claimed jobs may wait, and not after `stop`."""
        if self._stopping:
            return
        self._freed.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(LATEST if self._ready else None):
                await self._freed.wait()

    async def _give_late_back(self) -> None:
        """What has waited behind full slots for too long goes back: others are free.

        Raises:
            BackendError: it could not be given back; what became of it is in doubt.
        """
        if not self._ready or self._clock.monotonic() - self._ready[0].since < LATEST:
            return
        self._prefetch.misjudged()
        # Taken out first: a slot that is freed meanwhile must not begin one of them.
        late = [held.claim.token for held in self._ready]
        self._ready.clear()
        await self._lease.release(self.queue, late)

    async def _take(self, wanted: int) -> None:
        """Claim, while the last of those claimed before begin; on, if there is more in the queue.

        Should these find no free slot while the claim waits for a job, it is made to return; so is
        one that should not wait for long.
        """
        loop, late = asyncio.get_running_loop(), None
        if self._ready:
            late = loop.call_later(LATEST, self._hurry)
        elif self._is_courteous():
            late = loop.call_later(COURTESY, self._hurry)
        try:
            claims = await self._claim(wanted)
        finally:
            if late is not None:
                late.cancel()
        now = self._clock.monotonic()
        self._ready.extend([Held(claim, now) for claim in claims])
        self._low = self._prefetch.ahead // 2 if len(claims) == wanted > 1 else 0

    def _hurry(self) -> None:
        if self._ready or self._is_courteous():
            self._hurrying = asyncio.create_task(self._wake())

    async def _wake(self) -> None:
        with suppress(BackendError):  # which the claim meets too
            await self._lease.wake()

    async def _claim(self, wanted: int) -> list[Claim]:
        now = self._clock.monotonic()
        if not self._in_doubt and now - self._adopted_at < self._lease_seconds:
            claims = await self._lease.claim(self.queue, wanted)
            self._refusals.note(f"queue {self.queue}")
            return claims
        # Asked before the store is: what ends meanwhile must not be taken for a lost claim.
        mine = {
            *(one.claim.token for one in self._slots.running),
            *self.committer.tokens(),
            *(one.claim.token for one in self._ready),
        }
        self._in_doubt, self._adopted_at = False, now
        return [one for one in await self._lease.adopt(self.queue) if one.token not in mine]

    # -- what runs -------------------------------------------------------------------------------

    async def finished(self) -> None:
        """Wait for the running jobs, not for the threads of those that timed out."""
        while work := [held.work for held in self._slots.running if held.work is not None]:
            await asyncio.wait(work)

    def abandon(self) -> None:
        """Cancel the running jobs: they have no outcome, and are given back."""
        for held in self._slots.running:
            if held.ctx is not None:
                held.ctx.stop("its worker stops", give_back=True)
            held.cancel()

    def lose(self) -> None:
        """Others may have this worker's jobs by now: claim and begin nothing, cancel what can be.

        A handler in a thread runs on, and one that had returned is done: both are settled if the
        store finds them still mine. One in a process of its own is killed, and has no outcome.
        """
        self._lost = self._in_doubt = self._slots.closed = True
        self._ready.clear()
        for held in self._slots.running:
            if held.ctx is not None and not held.ctx.lease_lost:
                held.ctx.stop("its worker lost its lease", give_back=held.stoppable, lost=True)
            if held.stoppable:
                held.cancel()

    def regain(self) -> None:
        """Go on: what is still held is found by asking the store.

        Also what a claim brought meanwhile, which may have been given to others since.
        """
        self._ready.clear()
        self._lost, self._in_doubt = False, True
        self._slots.closed = self._stopping
        self._freed.set()

    def _ended(self, held: Held, seconds: float) -> bool:
        """Note the end of a job; whether it is time to claim, now."""
        if held.sent_back:
            self._sent_back += 1
            if held.sent_back > PATIENT_TURNS:
                self._courteous_until = self._clock.monotonic() + LONGEST_TURN + _SLACK
        else:
            self._sent_back = 0
            self._prefetch.ran(seconds)
        if held.error is not None:
            self._failed(held, held.error)
        self._slot_freed()
        return len(self._ready) == self._low > 0

    def _slot_freed(self) -> None:
        if len(self._ready) <= self._low:
            self._freed.set()

    def _failed(self, held: Held, error: BaseException) -> None:
        """The job came to no outcome: it was given back, or it is not known what became of it."""
        if isinstance(error, asyncio.CancelledError):
            self._in_doubt = True
            if held.ctx is None or held.ctx.given_back:
                return
            error = asyncio.CancelledError("a callback cancelled the job that it belongs to")
        if self._executor.ending():
            return
        LOGGER.error("queue %s: the worker failed over a job", self.queue, exc_info=error)
        if not held.is_burial:
            text = f"the worker failed over it: {type(error).__name__}: {error}"
            self._slots.bury(held.claim, text)
