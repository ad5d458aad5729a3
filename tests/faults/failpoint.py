"""Failpoints: a process dies (``os._exit``) just before or just after a step of its lease.

The package holds none of this: a test's worker installs it around `RedisLease`.
"""

import asyncio
import functools
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from tasqueue.core.ports import Answer, Settlement, Submit
from tasqueue.drivers.redis.cluster import settlement
from tasqueue.drivers.redis.command import Steps
from tasqueue.drivers.redis.lease import RedisLease
from tasqueue.drivers.redis.store import RedisStore
from tasqueue.engine.keeper import Keeper

STEPS: Final = (
    "beat", "claim", "mark", "settle", "promote", "rescue", "unpark", "park", "bury", "end",
)  # fmt: skip
"""What a worker does with its lease in any ordinary life."""
MOMENTS: Final = ("before", "after")
"""Before: the server knows nothing of the step. After: it has done it, and nobody heard so."""
EXIT: Final = 86
"""The exit code of a process that died at a failpoint."""


def install(spec: str, once: Path) -> None:
    """Die at ``step:moment:turn``, the ``turn``-th time.

    ``once`` is a file that the first process to die makes: the others then live. The step
    ``enqueue`` is a producer's; ``piece`` is a step of the end of jobs on a cluster.
    """
    step, moment, turn = spec.split(":")
    left = [int(turn)]

    def dies() -> None:
        left[0] -= 1
        if left[0] == 0 and _first(once):
            os._exit(EXIT)

    if step == "enqueue":
        real = RedisStore.perform_blocking
        RedisStore.perform_blocking = _of_requests(real, moment, dies)  # type: ignore[method-assign]
    elif step == "piece":
        pieces: Any = settlement
        pieces.settle = _of_pieces(settlement.settle, moment, dies)
    else:
        setattr(RedisLease, step, _around(getattr(RedisLease, step), moment, dies))


def be_heedless(tries: int) -> None:
    """Let this worker notice that it is taken for dead after so many refused completions.

    A worker that wakes up looks at its lease first, and stops what others may run: it would not
    even try.
    """
    settle, fence = RedisLease.settle, Keeper._fence
    left = [tries]

    async def settled(
        self: RedisLease, queue: str, settlements: Sequence[Settlement]
    ) -> list[Answer]:
        answers = await settle(self, queue, settlements)
        left[0] -= answers.count(Answer.FENCED)
        return answers

    async def fenced(self: Keeper) -> None:
        if left[0] <= 0 or self._lost:
            left[0] = tries
            await fence(self)

    changed: Any = RedisLease
    changed.settle = settled
    changed = Keeper
    changed._fence = fenced


def _first(once: Path) -> bool:
    try:
        once.touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def _around(step: Any, moment: str, dies: Callable[[], None]) -> Any:
    if asyncio.iscoroutinefunction(step):

        @functools.wraps(step)
        async def awaited(*args: Any, **kwargs: Any) -> Any:
            if moment == "before":
                dies()
            # Shielded: the effect is there although the caller may be cancelled meanwhile.
            done = await step(*args, **kwargs)
            if moment == "after" and _counts(done):
                dies()
            return done

        return awaited

    @functools.wraps(step)
    def blocking(*args: Any, **kwargs: Any) -> Any:
        if moment == "before":
            dies()
        done = step(*args, **kwargs)
        if moment == "after":
            dies()
        return done

    return blocking


def _of_pieces(settle: Any, moment: str, dies: Callable[[], None]) -> Any:
    @functools.wraps(settle)
    def stepping(*args: Any, **kwargs: Any) -> Steps[list[Answer]]:
        steps = settle(*args, **kwargs)
        try:
            sent = next(steps)
            while True:
                if moment == "before":
                    dies()
                replies = yield sent
                if moment == "after":
                    dies()
                sent = steps.send(replies)
        except StopIteration as end:
            answers: list[Answer] = end.value
            return answers

    return stepping


def _counts(done: Any) -> bool:
    """A claim that took nothing was no step."""
    return bool(done != [])


def _of_requests(perform: Any, moment: str, dies: Callable[[], None]) -> Any:
    @functools.wraps(perform)
    def blocking(self: RedisStore, request: Any) -> Any:
        mine = isinstance(request, Submit)
        if mine and moment == "before":
            dies()
        done = perform(self, request)
        if mine and moment == "after":
            dies()
        return done

    return blocking
