"""What a worker asks of a store: its place there, and the jobs that it holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tasqueue.core.blame import Blame
    from tasqueue.core.ports.settlement import Answer, Claim, Mark, Settlement


class Upkeep(Protocol):
    """What a lease does for all workers of a queue; any of them may do it."""

    async def promote(self, queue: str) -> float | None:
        """Move due jobs into the queue; returns seconds until the next one, None if unknown."""
        ...

    async def rescue(self, queue: str) -> int:
        """Give the jobs of dead workers back; returns how many workers were found dead."""
        ...

    async def unpark(self, queue: str, known: Sequence[str]) -> int:
        """Put parked jobs of tasks that are known here or elsewhere back; returns how many."""
        ...

    async def known_elsewhere(self, task: str) -> bool:
        """Whether some program has registered this task in the store."""
        ...


class Holding(Protocol):
    """What a lease does with the jobs that its worker holds."""

    async def adopt(self, queue: str) -> list[Claim]:
        """All jobs that this worker holds according to the store."""
        ...

    async def mark(self, queue: str, marks: Sequence[Mark]) -> None:
        """Write ``processing`` records of jobs that are still held."""
        ...

    async def settle(self, queue: str, settlements: Sequence[Settlement]) -> list[Answer]:
        """Carry settlements out, each in one step; one answer each. Safe to send again."""
        ...

    async def release(self, queue: str, tokens: Sequence[str]) -> int:
        """Give unstarted jobs back, oldest first, to the old end; returns how many."""
        ...

    async def park(self, queue: str, token: str, task: str) -> None:
        """Set a job aside whose task nobody knows; it is kept and listable."""
        ...

    async def bury(self, queue: str, token: str, reason: str) -> None:
        """Move bytes that are no message to the dead letters, with the reason."""
        ...

    async def drop(self, queue: str, tokens: Sequence[str]) -> None:
        """Let go of jobs that were settled in another store."""
        ...


class Reaper(Protocol):
    """What a supervisor, which runs no user code, does for the workers that it started.

    Both calls block, and raise BackendUnavailable if the server is out of reach: try again.
    """

    def beat(self, worker_id: str, queues: Sequence[str], *, leaving: bool) -> bool:
        """Say that a child lives. False: it is not registered everywhere, yet or any more.

        ``leaving``: it was told to stop for good, as in `Lease.beat`.
        """
        ...

    def reap(
        self,
        worker_id: str,
        queues: Sequence[str],
        started: Mapping[str, Sequence[str]],
        *,
        blame: Blame,
    ) -> int:
        """Give the jobs of a child that has ended back; returns how many.

        ``started``: queue → tokens of the jobs it had begun and not ended, any of which may have
        been what ended it. Leave it empty where nobody is to blame. ``blame``: what one that is a
        suspect already is charged with, if it was the one job that the child held.
        """
        ...


class Lease(Upkeep, Holding, Protocol):
    """One worker's place in a store: what it registered, and what it holds.

    `beat` is called from a thread of its own, all else from the worker's event loop. After a
    BackendUnavailable anything may have happened: the worker calls `adopt` and goes on.
    """

    @property
    def worker_id(self) -> str:
        """Random at each start, never used again."""
        ...

    @property
    def fenced(self) -> bool:
        """This worker was taken for dead, and its jobs were given to others: call `renew`."""
        ...

    def beat(self, *, leaving: bool = False) -> bool:
        """Say "I live", blocking; the first call registers. False: fenced.

        ``leaving``: this worker was told to stop; if it is killed from now on, that is nobody's
        fault.
        """
        ...

    async def renew(self) -> None:
        """After being fenced: give back what the old self held, and take a new worker ID."""
        ...

    async def claim(self, queue: str, limit: int) -> list[Claim]:
        """Take up to ``limit`` jobs, oldest first; waits a short while if there are none.

        None while the worker is not registered, or fenced.
        """
        ...

    async def wake(self) -> None:
        """Make waiting claims return now."""
        ...

    async def end(self, queue: str) -> None:
        """Leave in good order: give everything still held back, and unregister."""
        ...
