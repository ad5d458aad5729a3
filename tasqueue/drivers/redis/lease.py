"""One worker's place in Redis: its registration, and the jobs it holds."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from tasqueue.core.errors import BackendError
from tasqueue.core.ports import Claim, WorkerInfo
from tasqueue.drivers.redis.command import (
    ask,
    call,
)
from tasqueue.drivers.redis.doorbell import Doorbell
from tasqueue.drivers.redis.holding import Holding, claims
from tasqueue.drivers.redis.keys import QueueKeys, queue_keys
from tasqueue.drivers.redis.process import here
from tasqueue.drivers.redis.request import KeepOpts
from tasqueue.drivers.redis.solitude import Solitude, claim, is_suspect, nothing_held
from tasqueue.drivers.redis.upkeep import Upkeep, reap

if TYPE_CHECKING:
    from tasqueue.drivers.redis.aio import AsyncDriver
    from tasqueue.drivers.redis.blocking import BlockingDriver

_UNREGISTERED: Final = 0.05
_FENCED: Final = 1.0
"""Seconds that a claim waits for the beat to register, and for the worker to renew itself."""


class RedisLease(Upkeep, Holding):
    """See `tasqueue.core.ports.Lease`. A beat also counts for how long others were silent."""

    def __init__(
        self,
        worker: WorkerInfo,
        driver: AsyncDriver,
        *,
        blocking: BlockingDriver,
        keep: KeepOpts,
        db: int = 0,
    ) -> None:
        place = here(worker.lease_seconds, supervisor=worker.supervisor_pid)
        super().__init__(driver, keep, place=place)
        self._blocking = blocking
        self._db = db
        self._queues: tuple[QueueKeys, ...] = tuple(queue_keys(q) for q in worker.queues)
        self._bells: dict[str, Doorbell] = {}
        self._solitude = Solitude()
        self._silent: set[str] = set()
        self._naming = threading.Lock()
        self._registered = False
        self.fenced: bool = False
        """A beat or a claim was told that this worker is taken for dead: `renew` is due."""

    @property
    def worker_id(self) -> str:
        """Random at each start, never used again."""
        return self._id

    # -- being alive -------------------------------------------------------------------------

    def beat(self, *, leaving: bool = False) -> bool:
        """Say "I live" on every queue, blocking; the first call registers. False: fenced."""
        if self.fenced:
            return False
        with self._naming:
            worker_id, first = self._id, "" if self._registered else "1"
        args = (worker_id, first, self._place.text(), "1" if leaving else "")
        beats = [call("beat", (keys.beats, keys.workers), args) for keys in self._queues]
        try:
            counters = self._blocking.run(ask(*beats))
        except BackendError:
            self._failures += 1
            raise
        with self._naming:
            if worker_id != self._id:
                return True
            self.fenced = 0 in counters
            self._registered = self._registered or not self.fenced
            self._beats += not self.fenced
            return not self.fenced

    async def renew(self) -> None:
        """Give back what the old self held, wherever it still could be, and take a new ID."""
        for bell in self._bells.values():
            await bell.close()
        await self._driver.run(
            ask(*[reap(k, self._id, why) for k in self._queues for why in ("exit", "orphan")])
        )
        with self._naming:
            self._id, self._registered, self.fenced = secrets.token_hex(8), False, False
        self._solitude.forget()

    async def end(self, queue: str) -> None:
        """Give everything still held on a queue back, and unregister from it."""
        self._queues = tuple(keys for keys in self._queues if keys.queue != queue)
        bell = self._bells.pop(queue, None)
        if bell is not None:
            await bell.close()
        await self._driver.run(ask(reap(queue_keys(queue), self._id, "exit")))

    # -- taking and giving back --------------------------------------------------------------

    async def claim(self, queue: str, limit: int) -> list[Claim]:
        """Take up to ``limit`` jobs, oldest first; waits up to 2 s if there are none.

        Nothing while unregistered or fenced: the beat that says so is still to come.
        """
        bell = self._bell(queue)
        if self.fenced or not self._registered or limit < 1:
            await bell.wait(_FENCED if self.fenced else _UNREGISTERED)
            return []
        if self._solitude:
            stirred = await bell.wait(self._solitude.pause)
            if not self._solitude.is_for(queue):
                await self._end_of_solitude()
                return []
            return [] if stirred else await self._claim_alone(bell.keys, limit)
        if queue in self._silent:
            self._silent.discard(queue)
            self._solitude.begin(queue)
            return await self._claim_alone(bell.keys, limit)
        ask_alone = len(self._queues) == 1
        asked = claim(bell.keys, self._id, limit=limit, alone=ask_alone)
        return self._taken(queue, self._id, await bell.claim(asked, self._id))

    async def _claim_alone(self, keys: QueueKeys, limit: int) -> list[Claim]:
        """Claim without a doorbell, so that nothing else comes in meanwhile."""
        for name, bell in tuple(self._bells.items()):
            if name != keys.queue:
                await bell.stir()
        worker_id = self._id
        alone = await self._driver.run(nothing_held(self._queues, worker_id))
        asked = claim(keys, worker_id, limit=limit, alone=alone)
        (answer,) = await self._driver.run(ask(asked))
        return self._taken(keys.queue, worker_id, answer)

    async def _end_of_solitude(self) -> None:
        """Go on where nobody asks for the other queue any more, and no suspect of it is held."""
        queue = self._solitude.forsaken()
        if queue and not any(map(is_suspect, await super().adopt(queue))):
            self._solitude.forget()

    def _taken(self, queue: str, worker_id: str, answer: Sequence[bytes]) -> list[Claim]:
        if answer[0] == b"fenced":
            self.fenced = worker_id == self._id
            return []
        taken = None if answer[0] == b"drain" else claims(answer[1:])
        self._solitude.learn(queue, taken)
        return taken or []

    async def adopt(self, queue: str) -> list[Claim]:
        """All jobs that this worker holds according to the server, oldest first."""
        held = await super().adopt(queue)
        if any(map(is_suspect, held)):
            self._solitude.learn(queue, held)
        return held

    async def wake(self) -> None:
        """Make waiting claims return now; returns when they have."""
        for bell in tuple(self._bells.values()):
            await bell.stir()

    async def _ring(self, queue: str) -> None:
        if not self._solitude:
            self._silent.add(queue)
            await self._bell(queue).stir()

    def _bell(self, queue: str) -> Doorbell:
        bell = self._bells.get(queue)
        if bell is None:
            bell = self._bells[queue] = Doorbell(self._driver, queue_keys(queue))
        return bell
