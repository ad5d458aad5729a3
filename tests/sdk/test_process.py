"""``executor="process"``: a job in a process of its own, which can be killed without the worker."""

import asyncio
import importlib
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tasqueue import App, Job, JobContext, JobFailed, JobMessage, JobOpts, JobTimeout, Meta
from tasqueue.core.errors import ConfigurationError
from tests.engine.rig import Q, Rig, until

MODULE = """
import ctypes, os, signal, time
from dataclasses import dataclass
from tasqueue import App, JobContext, Retry, current_job
from tasqueue.core.errors import Cancel, Snooze

app = App("memory://")
process = app.task(executor="process", backoff=0)

@dataclass
class Order:
    price: int

@process
def pid(order: Order) -> list[int]:
    return [os.getpid(), order.price]

@process
def told(ctx: JobContext) -> list[str]:
    assert current_job() is ctx
    return [ctx.id, ctx.task, str(ctx.attempt), str(ctx.deadline is None)]

@app.task(executor="process", timeout=0.5)
def forever() -> None:
    while True:
        pass

@app.task(executor="process", retries=1, backoff=0)
def dies() -> None:
    ctypes.string_at(0)

@process
def leaves() -> None:
    os._exit(3)

@process
def fails(ctx: JobContext) -> None:
    ctx.save(b'"half"')
    raise LookupError("no such order")

@process
def exits() -> None:
    raise SystemExit("done with it")

@app.task(executor="process", retries=1)
def again(ctx: JobContext) -> int:
    if ctx.attempt == 1:
        raise Retry("not yet", after=0)
    return ctx.attempt

@process
def later(folder: str) -> str:
    try:
        os.mkdir(folder)
    except FileExistsError:
        return "the second time"
    raise Snooze(0.01)

@process
def gives_up() -> None:
    raise Cancel("nobody wants it")

@process
def sends() -> None:
    pid.delay(Order(1))

@app.task(raw=True, executor="process")
def echo(body: bytes) -> bytes:
    return body

@app.task(raw=True, executor="process")
def waits(at: bytes) -> bytes:
    at = at.decode()
    open(at + ".begun", "a").write("x")
    while not os.path.exists(at + ".go"):
        time.sleep(0.002)
    return b"waited"

@app.task(name="hidden", executor="process")
def _under_another_name() -> int:
    return 5

del _under_another_name
"""


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("apart")
    (folder / "tasks_apart.py").write_text(MODULE)
    sys.path.insert(0, str(folder))
    module = importlib.import_module("tasks_apart")
    yield module
    sys.path.remove(str(folder))
    del sys.modules["tasks_apart"]


@pytest.fixture(autouse=True)
def closed(tasks: Any) -> Iterator[None]:
    yield
    tasks.app.close()


def test_a_job_runs_in_another_process_that_is_kept_for_the_next_one(tasks: Any) -> None:
    first = tasks.pid.delay(tasks.Order(3)).get(timeout=20)
    assert first[1] == 3
    assert tasks.pid.delay(tasks.Order(4)).get(timeout=20) == [first[0], 4]


def test_its_context_is_that_of_its_job(tasks: Any) -> None:
    job = tasks.told.delay()
    assert job.get(timeout=20) == [job.id, "tasks_apart.told", "1", "True"]


def test_one_that_outlasts_its_timeout_is_killed_and_the_worker_goes_on(tasks: Any) -> None:
    with pytest.raises(JobTimeout):
        tasks.forever.delay().get(timeout=20)
    assert tasks.pid.delay(tasks.Order(3)).get(timeout=20)[1] == 3


def test_one_that_crashes_has_failed_an_attempt_and_the_worker_goes_on(tasks: Any) -> None:
    job = tasks.dies.delay()
    with pytest.raises(JobFailed, match="its process was killed by SIGSEGV"):
        job.get(timeout=20)
    with pytest.raises(JobFailed, match="its process ended with exit code 3"):
        tasks.leaves.delay().get(timeout=20)
    assert tasks.pid.delay(tasks.Order(3)).get(timeout=20)[1] == 3


def _handler(tasks: Any, name: str) -> Any:
    return tasks.app.server._registry.tasks[f"tasks_apart.{name}"].handler


def test_stopping_a_job_that_is_done_does_not_kill_the_next_one_of_its_process(
    tasks: Any, tmp_path: Path
) -> None:
    first, second = (JobContext(JobMessage(Meta(one), Job(one, b""))) for one in "ab")
    _handler(tasks, "echo")(b"", first)
    at = str(tmp_path / "at")
    thread = threading.Thread(target=_handler(tasks, "waits"), args=(at.encode(), second))
    thread.start()
    while not Path(at + ".begun").exists():
        thread.join(0.002)
    first.stop("its worker stops")
    Path(at + ".go").touch()
    thread.join()
    assert second.saved == b"waited"


async def test_one_whose_worker_was_cut_off_is_ended_and_runs_again_later(
    tasks: Any, tmp_path: Path
) -> None:
    """An outage of the store is no failure of the job: killed with its attempt, it goes on."""
    rig, at = Rig(lease_seconds=0.04), str(tmp_path / "at")
    begun, over = Path(at + ".begun"), threading.Event()

    def waits(payload: bytes, ctx: JobContext) -> None:
        try:
            _handler(tasks, "waits")(payload, ctx)
        finally:
            over.set()

    rig.add("waits", waits)
    name = await rig.server.enqueue(Job.create("waits", at.encode(), JobOpts(queue=Q)))
    async with rig.running():
        await until(begun.exists)
        rig.store.fail("beat")
        await until(lambda: rig.store.calls["beat"] > 1)
        rig.clock.turn(60)
        await until(over.is_set)
        await asyncio.to_thread(Path(at + ".go").touch)
        rig.store.fail("beat", times=0)
        await rig.ended(name)
    assert await asyncio.to_thread(begun.read_text) == "xx"


def test_its_error_arrives_with_class_text_and_traceback(tasks: Any) -> None:
    with pytest.raises(JobFailed) as caught:
        tasks.fails.delay().get(timeout=20)
    assert caught.value.type == "LookupError"
    assert caught.value.message == "no such order"
    assert 'raise LookupError("no such order")' in caught.value.traceback
    assert "tasqueue/sdk" not in caught.value.traceback
    with pytest.raises(JobFailed, match="done with it"):
        tasks.exits.delay().get(timeout=20)


def test_what_a_handler_says_on_purpose_counts(tasks: Any, tmp_path: Path) -> None:
    assert tasks.again.delay().get(timeout=20) == 2
    assert tasks.later.delay(str(tmp_path / "been")).get(timeout=20) == "the second time"
    with pytest.raises(JobFailed, match="cancelled: nobody wants it"):
        tasks.gives_up.delay().get(timeout=20)


def test_it_cannot_send_to_a_memory_that_is_not_its_own(tasks: Any) -> None:
    with pytest.raises(JobFailed, match="memory://: send from redis://"):
        tasks.sends.delay().get(timeout=20)


def test_raw_bytes_of_any_size_go_through(tasks: Any) -> None:
    body = bytes(range(256)) * 2000
    assert tasks.echo.delay(body).get(timeout=20) == body


def test_a_task_is_found_by_its_name_where_its_function_is_not(tasks: Any) -> None:
    assert tasks.app.send("hidden").get(timeout=20) == 5


def test_a_function_that_no_other_process_can_find_is_refused() -> None:
    app = App("memory://")
    with pytest.raises(ConfigurationError, match="at the top of its module"):

        @app.task(executor="process")
        def inner() -> None: ...

    with pytest.raises(ConfigurationError, match="async def runs on the loop"):

        @app.task(executor="process")
        async def waits() -> None: ...

    with pytest.raises(ConfigurationError, match='"thread" or "process"'):
        app.task(executor="fork")(print)  # type: ignore[call-overload]
