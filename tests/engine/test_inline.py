"""A coroutine that runs inside another task behaves as in a task of its own."""

import asyncio
from collections.abc import Callable
from contextvars import ContextVar, copy_context

from hypothesis import given
from hypothesis import strategies as st

from tasqueue.engine.inline import in_context

_VAR: ContextVar[int] = ContextVar("var", default=0)

_STEP = st.sampled_from(["set", "wait", "sleep", "guarded", "limited", "inner", "cancel", "raise"])


class _Program:
    """A handler made of random steps, and what it saw on the way."""

    def __init__(self, steps: list[str]) -> None:
        self.steps = steps
        self.seen: list[object] = []
        self.tasks: set[object] = set()

    async def run(self) -> None:
        self.seen.append(_VAR.get())
        for number, step in enumerate(self.steps, 1):
            self.tasks.add(asyncio.current_task())
            try:
                await getattr(self, f"_{step}")(number)
            except asyncio.CancelledError:
                self.seen.append("cancelled")
                raise
            self.seen.append(_VAR.get())

    async def _set(self, number: int) -> None:
        _VAR.set(number)

    async def _wait(self, _number: int) -> None:
        await asyncio.sleep(0)

    async def _sleep(self, _number: int) -> None:
        await asyncio.sleep(0.0001)

    async def _guarded(self, _number: int) -> None:
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            self.seen.append("caught")

    async def _limited(self, _number: int) -> None:
        try:
            async with asyncio.timeout(0):
                await asyncio.sleep(60)
        except TimeoutError:
            self.seen.append("late")

    async def _inner(self, _number: int) -> None:
        self.seen.append(await asyncio.create_task(_changing()))

    async def _cancel(self, _number: int) -> None:
        mine = asyncio.current_task()
        assert mine is not None
        mine.cancel()

    async def _raise(self, number: int) -> None:
        raise ValueError(number)


async def _changing() -> int:
    before = _VAR.get()
    _VAR.set(-1)
    return before


async def _outcome(
    task: "asyncio.Task[None]", program: _Program, cancel_after: int
) -> list[object]:
    for _ in range(cancel_after):
        await asyncio.sleep(0)
    if cancel_after:
        task.cancel()
    (said,) = await asyncio.gather(task, return_exceptions=True)
    assert len(program.tasks) <= 1
    return [*program.seen, type(said), str(said), task.cancelled()]


@given(st.lists(_STEP, max_size=8), st.integers(0, 6))
def test_what_it_sees_and_how_it_ends_is_as_in_a_task_of_its_own(
    steps: list[str], cancel_after: int
) -> None:
    alone, inside = _Program(steps), _Program(steps)

    async def both() -> None:
        own = asyncio.create_task(alone.run(), context=copy_context())
        wanted = await _outcome(own, alone, cancel_after)

        async def host() -> None:
            await in_context(copy_context(), inside.run(), lambda: None)

        shared = asyncio.create_task(host())
        assert await _outcome(shared, inside, cancel_after) == wanted
        assert _VAR.get() == 0

    asyncio.run(both())


def _waits(steps: list[str]) -> int:
    calls = list[bool]()

    async def main() -> None:
        await in_context(copy_context(), _Program(steps).run(), lambda: calls.append(True))

    asyncio.run(main())
    return len(calls)


def test_it_is_said_once_that_it_waits_and_not_at_all_if_it_does_not() -> None:
    assert _waits(["set", "set"]) == 0
    assert _waits(["wait"]) == 1
    assert _waits(["set", "wait", "sleep", "inner"]) == 1


def test_one_that_is_closed_while_it_waits_cleans_up_in_its_own_context() -> None:
    seen = list[int]()

    async def work() -> None:
        _VAR.set(7)
        try:
            await asyncio.sleep(0)
        finally:
            seen.append(_VAR.get())

    async def host(run: Callable[[], object]) -> None:
        await in_context(copy_context(), work(), run)

    hosted = host(lambda: None)
    hosted.send(None)
    hosted.close()
    assert seen == [7]
    assert _VAR.get() == 0
