"""The threads of ``def`` handlers: who is woken, what is brought back, and how they end."""

import asyncio
import os
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from functools import partial

import pytest
import pytest_asyncio

from tasqueue.engine.thread import Call, ThreadPool

OF_THE_POOL = "tasqueue-job_"


@pytest_asyncio.fixture
async def pool() -> AsyncIterator[ThreadPool]:
    made = ThreadPool(asyncio.get_running_loop())
    yield made
    made.close()


def threads() -> list[str]:
    return [one.name for one in threading.enumerate() if one.name.startswith(OF_THE_POOL)]


async def test_no_call_waits_behind_one_that_blocks(pool: ThreadPool) -> None:
    """In the first round threads are started, in the later ones those that rest are woken."""
    for _ in range(20):
        meet = partial(threading.Barrier(8).wait, 20)
        calls = [pool.begin(meet) for _ in range(8)]
        assert [await call.outcome for call in calls] == [None] * 8


async def test_no_call_waits_behind_one_that_blocks_while_the_loop_stands_still(
    pool: ThreadPool,
) -> None:
    for _ in range(3):
        meet = partial(threading.Barrier(9).wait, 20)
        calls = [pool.begin(meet) for _ in range(8)]
        meet()
        assert [await call.outcome for call in calls] == [None] * 8


async def test_the_loop_learns_of_a_call_while_the_next_one_blocks(pool: ThreadPool) -> None:
    for _ in range(20):
        door = threading.Event()
        short, long = [pool.begin(int) for _ in range(5)], pool.begin(door.wait)
        short += [pool.begin(int) for _ in range(5)]
        assert [await call.outcome for call in short] == [None] * 10
        assert not long.over
        door.set()
        await long.outcome


async def test_there_are_no_more_threads_than_calls_at_once(pool: ThreadPool) -> None:
    for _ in range(50):
        await asyncio.gather(*[pool.begin(int).outcome for _ in range(4)])
    assert 1 <= len(threads()) <= 4


async def test_one_call_after_the_other_needs_one_thread(pool: ThreadPool) -> None:
    for _ in range(20):
        await pool.begin(int).outcome
    assert threads() == ["tasqueue-job_0"]


@pytest.mark.parametrize("kind", [ValueError, StopIteration, SystemExit, asyncio.CancelledError])
async def test_whatever_is_raised_is_brought_back(
    pool: ThreadPool, kind: type[BaseException]
) -> None:
    def raising() -> None:
        raise kind("said")

    error = await pool.begin(raising).outcome
    assert type(error) is kind
    assert str(error) == "said"
    assert await pool.begin(int).outcome is None


async def test_a_call_is_over_though_nobody_waits_for_it(pool: ThreadPool) -> None:
    door, vacated = threading.Event(), asyncio.Event()
    call = pool.begin(door.wait)
    call.outcome.cancel()
    call.when_over(vacated.set)
    await asyncio.sleep(0)
    assert pool.running == 1
    door.set()
    await vacated.wait()
    assert call.over
    assert pool.running == 0


async def test_a_call_that_was_given_up_before_it_began_does_not_begin() -> None:
    began = list[str]()
    call = Call(lambda: began.append("began"), asyncio.get_running_loop().create_future())
    call.outcome.cancel()
    call.run()
    assert began == []


async def test_a_call_waits_for_anothers_thread_if_the_system_gives_none(
    pool: ThreadPool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def none(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    door, started = threading.Event(), threading.Thread.start
    monkeypatch.setattr(threading.Thread, "start", none)
    with pytest.raises(RuntimeError, match="start new thread"):
        pool.begin(int)
    monkeypatch.setattr(threading.Thread, "start", started)
    first = pool.begin(door.wait)
    monkeypatch.setattr(threading.Thread, "start", none)
    second = pool.begin(int)
    assert "a job waits for another's thread" in caplog.text
    door.set()
    assert [await first.outcome, await second.outcome] == [None, None]


async def test_what_has_not_begun_when_the_pool_closes_never_begins(
    pool: ThreadPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    door, holds, began = threading.Event(), threading.Event(), list[str]()

    def holding() -> None:
        holds.set()
        door.wait()

    first = pool.begin(holding)
    holds.wait()
    monkeypatch.setattr(ThreadPool, "_grow", lambda _: None)
    second = pool.begin(lambda: began.append("began"))
    pool.close()
    door.set()
    await first.outcome
    assert second.outcome.cancelled()
    assert began == []


async def test_a_closed_pool_takes_no_call_and_starts_no_thread(pool: ThreadPool) -> None:
    """A job that was given back at the stop, and only then comes to its handler, must not run."""
    began = list[str]()
    await pool.begin(int).outcome
    pool.close()
    with pytest.raises(RuntimeError, match="closed"):
        pool.begin(lambda: began.append("began"))
    pool.join()
    assert began == []


def test_a_thread_may_outlive_its_loop() -> None:
    door = threading.Event()

    async def leave() -> ThreadPool:
        made = ThreadPool(asyncio.get_running_loop())
        made.begin(door.wait)
        made.close()
        return made

    pool = asyncio.run(leave())
    door.set()
    pool.join()


def program(body: Callable[[], None]) -> subprocess.CompletedProcess[str]:
    """Run a function of this module as a program of its own."""
    code = f"from tests.engine import test_thread_pool as it; it.{body.__name__}()"
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=25, check=False
    )


def ends_in_the_midst() -> None:
    """Leave a loop and a pool that was never closed, with a call that runs."""

    def slow() -> None:
        threading.main_thread().join()  # until the interpreter ends
        time.sleep(0.05)
        os.write(1, b"done\n")

    async def leave() -> None:
        pool = ThreadPool(asyncio.get_running_loop())
        await pool.begin(int).outcome
        pool.begin(slow)
        pool.begin(int)

    asyncio.run(leave())


def forks() -> None:
    """Fork while a thread rests and another holds the pool's lock."""
    ended = list[int]()

    async def leave() -> None:
        pool = ThreadPool(asyncio.get_running_loop())
        await pool.begin(int).outcome
        with pool._lock:
            child = os.fork()
        if child == 0:
            sys.exit(7)
        ended.append(os.waitpid(child, 0)[1])  # noqa: ASYNC222 -- nothing else is to be done

    asyncio.run(leave())
    sys.exit(os.waitstatus_to_exitcode(ended[0]))


def test_the_end_of_the_interpreter_waits_for_a_call_that_runs_and_for_no_idle_thread() -> None:
    ended = program(ends_in_the_midst)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "done\n", "")


def test_a_forked_child_waits_for_no_thread_of_its_parent() -> None:
    assert program(forks).returncode == 7
