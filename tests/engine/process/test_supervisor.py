"""The supervisor against a store that is made up: what it asks for, and when it insists."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence

import pytest

from tasqueue.core.blame import Blame
from tasqueue.core.errors import BackendUnavailable
from tasqueue.engine.process import UNFINISHED, Limits, Order, Supervisor
from tasqueue.engine.process.child import Child

CHILD = """
import os, signal, sys
from tasqueue.engine.process import Channel, Hello, Ledger, Order
channel = Channel(int(sys.argv[2]))
notes = Ledger(int(sys.argv[1]), ("a", "b"), 4)
notes.named(f"worker-{os.getpid()}")
notes.begun("a", "1:x", None)
notes.begun("b", "2:x", None)
channel.greet(Hello("made-up://", ("a", "b"), LEASE, GRACE))
channel.listen(lambda order: OBEY, GRACE)
signal.pause()
"""
DEAF, OBEDIENT = "None", "os._exit(0)"


class FakeReaper:
    """Writes down what it is asked; out of reach as often as told."""

    def __init__(self, failures: float = 0) -> None:
        self.failures = failures
        self.deaf = 0
        self.beaten: set[str] = set()
        self.leaving: set[str] = set()
        self.reaped: list[tuple[str, tuple[str, ...], dict[str, list[str]]]] = []
        self.blames: list[Blame] = []

    def beat(self, worker_id: str, queues: Sequence[str], *, leaving: bool) -> bool:
        if self.deaf:
            self.deaf -= 1
            raise BackendUnavailable("out of reach")
        self.beaten.add(worker_id)
        if leaving:
            self.leaving.add(worker_id)
        return True

    def reap(
        self,
        worker_id: str,
        queues: Sequence[str],
        started: Mapping[str, Sequence[str]],
        *,
        blame: Blame,
    ) -> int:
        self.failures -= 1
        if self.failures >= 0:
            raise BackendUnavailable("out of reach")
        self.reaped.append((worker_id, tuple(queues), {q: list(t) for q, t in started.items()}))
        self.blames.append(blame)
        return 2


class Run:
    """A supervisor of such children at work."""

    def __init__(
        self,
        reaper: FakeReaper,
        *,
        obey: str = OBEDIENT,
        grace: float = 60,
        lease: float = 0.04,
        **limits: float,
    ) -> None:
        self.reaper = reaper
        words = {"OBEY": obey, "GRACE": str(grace), "LEASE": str(lease)}
        program = CHILD
        for word, meaning in words.items():
            program = program.replace(word, meaning)
        self.supervisor = Supervisor(
            lambda *fds: [sys.executable, "-c", program, *map(str, fds)],
            lambda url: reaper,
            limits=Limits(**limits),  # type: ignore[arg-type]
        )
        self.ending = asyncio.create_task(self.supervisor.run())

    async def pid(self, besides: int = 0) -> int:
        """Wait until a child is there, another one than before, and the supervisor beats for it."""
        pids: set[int] = set()
        while not pids:
            await asyncio.sleep(0.01)
            pids = {int(name.removeprefix("worker-")) for name in self.reaper.beaten} - {besides}
        return pids.pop()

    def child(self, pid: int) -> Child:
        return next(child for child in self.supervisor._children if child.pid == pid)

    async def killed(self, pid: int, number: int = signal.SIGKILL) -> None:
        self.child(pid)._process.send_signal(number)

    async def stopped(self) -> int:
        self.supervisor.stop()
        return await self.ending


async def _until(look: Callable[[], object]) -> None:
    while not look():  # noqa: ASYNC110 -- another process is looked at
        await asyncio.sleep(0.01)


async def test_a_dead_child_is_reaped_with_what_it_had_begun_and_the_next_one_is_beaten_for() -> (
    None
):
    run = Run(FakeReaper())
    pid = await run.pid()
    await run.killed(pid)
    await _until(lambda: run.reaper.reaped)
    assert run.reaper.reaped == [(f"worker-{pid}", ("a", "b"), {"a": ["1:x"], "b": ["2:x"]})]
    assert await run.pid(besides=pid) != pid
    assert await run.stopped() == 0


async def test_a_child_that_ends_well_is_reaped_too_since_a_job_may_have_ended_it() -> None:
    """Whether it signed off is for the store to say: a job that calls `os._exit(0)` did not."""
    run = Run(FakeReaper())
    pid = await run.pid()
    run.child(pid).order(Order.RETIRE)
    await _until(lambda: run.reaper.reaped)
    assert run.reaper.reaped == [(f"worker-{pid}", ("a", "b"), {"a": ["1:x"], "b": ["2:x"]})]
    assert run.reaper.blames == [Blame.JOB]
    assert await run.stopped() == 0


@pytest.mark.parametrize(
    ("number", "whose"), [(signal.SIGKILL, Blame.ANYBODY), (signal.SIGSEGV, Blame.JOB)]
)
async def test_the_signal_that_ended_a_child_says_who_may_be_to_blame(
    number: int, whose: Blame
) -> None:
    run = Run(FakeReaper())
    await run.killed(await run.pid(), number)
    await _until(lambda: run.reaper.reaped)
    assert run.reaper.blames == [whose]
    assert await run.stopped() == 0


async def test_a_child_that_makes_room_for_another_is_none_that_was_told_to_stop() -> None:
    """It has grown too large, say, and grows on until the kernel kills it."""
    run = Run(FakeReaper(), obey=DEAF)
    pid = await run.pid()
    run.child(pid).order(Order.RETIRE)
    run.reaper.beaten.clear()
    assert await run.pid() == pid
    assert not run.reaper.leaving
    await run.killed(pid)
    await _until(lambda: run.reaper.reaped)
    assert run.reaper.blames == [Blame.ANYBODY]
    await run.killed(await run.pid(besides=pid))
    run.supervisor.stop()
    await run.ending


async def test_what_a_child_ran_that_was_told_to_stop_is_no_suspect_however_it_ends() -> None:
    run = Run(FakeReaper(), obey=DEAF, grace=600)
    pid = await run.pid()
    run.supervisor.stop()
    await run.killed(pid)
    assert await run.ending == 0
    assert run.reaper.reaped == [(f"worker-{pid}", ("a", "b"), {})]
    assert run.reaper.blames == [Blame.NOBODY]


async def test_a_supervisor_that_is_told_to_stop_says_at_once_that_its_children_leave() -> None:
    """Who told it may kill them all before their jobs have ended, and before the next beat."""
    run = Run(FakeReaper(), obey=DEAF, grace=600, lease=4_000_000)
    pid = await run.pid()
    assert not run.reaper.leaving
    run.supervisor.stop()
    await _until(lambda: run.reaper.leaving)
    assert run.reaper.leaving == {f"worker-{pid}"}
    await run.killed(pid)
    assert await run.ending == 0


async def test_the_jobs_of_a_dead_child_wait_for_a_store_that_is_away() -> None:
    run = Run(FakeReaper(failures=3))
    await run.killed(await run.pid())
    await _until(lambda: run.reaper.reaped)
    assert await run.stopped() == 0


async def test_a_deaf_child_is_killed_in_the_end_and_its_jobs_are_nobodys_fault(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tasqueue.engine.process.supervisor._SLACK", 0.1)
    run = Run(FakeReaper(), obey=DEAF, grace=0.1)
    pid = await run.pid()
    assert await run.stopped() == 0
    assert run.reaper.reaped == [(f"worker-{pid}", ("a", "b"), {})]


async def test_a_second_stop_does_not_wait_for_the_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasqueue.engine.process.supervisor._SLACK", 0.1)
    run = Run(FakeReaper(), obey=DEAF, grace=600)
    await run.pid()
    run.supervisor.stop()
    assert await run.stopped() == 0
    assert len(run.reaper.reaped) == 1


async def test_the_exit_code_says_that_jobs_are_left_in_hand(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tasqueue.engine.process.supervisor._SLACK", 0.1)
    monkeypatch.setattr("tasqueue.engine.process.supervisor._LAST_TRIES", 0.1)
    run = Run(FakeReaper(failures=float("inf")), obey=DEAF, grace=0.1)
    await run.pid()
    assert await run.stopped() == UNFINISHED


async def test_a_system_that_starts_no_process_is_asked_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    supervisor = Supervisor(
        lambda *_: ["/no/such/program"], lambda _: FakeReaper(), limits=Limits(processes=1)
    )
    ending = asyncio.create_task(supervisor.run())
    await _until(lambda: caplog.text.count("cannot start a worker process") >= 2)
    supervisor.stop()
    assert await ending == 0


async def test_not_all_children_are_replaced_at_once() -> None:
    run = Run(FakeReaper(), obey=DEAF, processes=4, max_rss_mib=0.1)
    supervisor = run.supervisor
    await _until(lambda: sum(child.hello is not None for child in supervisor._children) == 4)
    await _until(lambda: sum(child.ordered for child in supervisor._children) == 2)
    supervisor._look_at(next(one for one in supervisor._children if not one.ordered), now=0.0)
    assert sum(child.ordered for child in supervisor._children) == 2
    for child in supervisor._children:
        child._process.kill()
    supervisor.stop()
    await run.ending


async def test_nobody_beats_for_a_child_that_a_signal_has_stopped() -> None:
    run = Run(FakeReaper(), processes=2)
    stopped = await run.pid()
    other = await run.pid(besides=stopped)
    os.kill(stopped, signal.SIGSTOP)
    for _ in range(3):  # a beat that was on its way, then none
        run.reaper.beaten.clear()
        await _until(lambda: f"worker-{other}" in run.reaper.beaten)
    assert run.reaper.beaten == {f"worker-{other}"}
    os.kill(stopped, signal.SIGCONT)
    await _until(lambda: f"worker-{stopped}" in run.reaper.beaten)
    assert await run.stopped() == 0


async def test_children_are_beaten_for_where_nobody_can_ask_whether_one_is_stopped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """MacOS has `os.waitid` since Python 3.13."""
    monkeypatch.delattr(os, "waitid")
    run = Run(FakeReaper())
    pid = await run.pid()
    await _until(lambda: f"worker-{pid}" in run.reaper.beaten)
    assert await run.stopped() == 0


async def test_a_beat_that_fails_is_tried_again() -> None:
    reaper = FakeReaper()
    run = Run(reaper)
    pid = await run.pid()
    reaper.deaf = 2
    reaper.beaten.clear()
    assert await run.pid() == pid
    assert reaper.deaf == 0
    assert await run.stopped() == 0
