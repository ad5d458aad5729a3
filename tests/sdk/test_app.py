"""An app as its users see it: declare, send, wait, fail; on memory and on a real Valkey."""

import asyncio
import copy
import dataclasses
import functools
import operator
import os
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tasqueue.core.errors import (
    ArgumentError,
    BackendUnavailable,
    ConfigurationError,
    DecodeError,
    DuplicateTask,
    JobFailed,
    JobNotFound,
    JobTimeout,
    LimitExceeded,
    ResultTimeout,
    Retry,
    Unsupported,
)
from tasqueue.core.job import Job, JobMessage, JobOpts, JobStatus, Meta
from tasqueue.core.lifecycle import ERROR, TURN
from tasqueue.engine.clock import SYSTEM
from tasqueue.engine.context import JobContext, current_job
from tasqueue.engine.plan import enqueue, get_job
from tasqueue.sdk.app import App

PATIENCE = 20


@dataclasses.dataclass
class Order:
    id: int
    due: datetime


def test_a_decorated_function_runs_and_gives_its_result(app: App) -> None:
    @app.task
    def add(a: int, b: int) -> int:
        return a + b

    job = add.delay(1, b=2)
    assert job.get(timeout=PATIENCE) == 3
    assert str(job.status()) == "successful"
    assert add(1, 2) == 3
    assert add.__name__ == "add"


async def test_an_async_function_runs_on_the_loop_and_has_awaited_twins(app: App) -> None:
    @app.task(retries=1)
    async def double(number: float) -> float:
        await asyncio.sleep(0)
        return 2 * number

    job = await double.adelay(4)
    assert await job.aget(timeout=PATIENCE) == 8.0
    assert await job.astatus() == JobStatus.SUCCESSFUL
    assert await double(1) == 2
    await app.aclose()


def test_values_travel_both_ways_as_annotated(app: App) -> None:
    @app.task
    def later(order: Order, by: timedelta) -> Order:
        return dataclasses.replace(order, due=order.due + by)

    due = datetime(2026, 12, 24, tzinfo=UTC)
    got = later.delay(Order(1, due), timedelta(days=1)).get(timeout=PATIENCE)
    assert got == Order(1, due + timedelta(days=1))


def test_none_is_saved_as_null(app: App) -> None:
    @app.task
    def nothing() -> None: ...

    job = nothing.delay()
    assert job.get(timeout=PATIENCE) is None
    assert app.job(job.id).get(timeout=PATIENCE) is None


def test_a_handle_made_of_an_id_knows_the_same(app: App) -> None:
    @app.task
    def now() -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC)

    job = now.delay()
    assert now.job(job.id).get(timeout=PATIENCE) == datetime(2026, 1, 1, tzinfo=UTC)
    assert app.job(job.id).get(timeout=PATIENCE) == "2026-01-01T00:00:00Z"
    assert now.job(job.id) == job
    with pytest.raises(JobNotFound, match="no job 'nobody'"):
        app.job("nobody").get(timeout=PATIENCE)
    with pytest.raises(JobNotFound):
        app.job("nobody").status()


def test_a_job_whose_task_no_worker_knows_is_parked_until_one_does(app: App) -> None:
    @app.task
    def known() -> int:
        return 1

    assert known.delay().get(timeout=PATIENCE) == 1
    job = app.send("of.nobody")
    until = SYSTEM.monotonic() + PATIENCE
    while job.status() != JobStatus.PARKED:
        assert SYSTEM.monotonic() < until
    with pytest.raises(ResultTimeout, match="it is parked"):
        job.get(timeout=0.01)

    @app.task(name="of.nobody")
    def late() -> int:
        return 2

    known.delay().get(timeout=PATIENCE)
    assert job.get(timeout=PATIENCE) == 2


# -- declaring -----------------------------------------------------------------------------------


def test_a_tasks_name_is_its_module_and_qualified_name(memory_app: App) -> None:
    @memory_app.task
    def local() -> None: ...

    here = __name__
    assert local.name == f"{here}.test_a_tasks_name_is_its_module_and_qualified_name.local"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"retrys": 3}, "no option 'retrys'; the options are: name, queue, retries"),
        ({"retries": -1}, "retries=-1"),
        ({"retries": 1, "max_retries": 2}, "one option"),
        ({"timeout": 0}, "timeout=0"),
        ({"timeout": "30"}, "timeout='30'"),
        ({"queue": "no spaces"}, "queue='no spaces'"),
        ({"name": ""}, "name=''"),
        ({"backoff": -1}, "backoff=-1"),
        ({"result_ttl": 0}, "result_ttl=0"),
        ({"result_ttl": 0.0001}, "result_ttl=0.0001"),
        ({"queue": 7}, "queue=7: a text is needed"),
        ({"backoff": "1s"}, "backoff='1s'"),
        ({"raw": 1}, "raw=1"),
        ({"priority": "high"}, "no option 'priority'"),
    ],
)
def test_an_option_that_is_no_use_is_refused_at_decoration(
    memory_app: App, options: dict[str, object], said: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        memory_app.task(**options)  # type: ignore[call-overload]
    assert said in str(caught.value)


def test_two_functions_cannot_have_one_name(memory_app: App) -> None:
    memory_app.task(name="shop.add")(test_none_is_saved_as_null)
    with pytest.raises(DuplicateTask, match=r"'shop\.add', .*:\d+ and .*:\d+: give"):
        memory_app.task(name="shop.add")(test_two_functions_cannot_have_one_name)


def test_what_yields_or_is_no_function_is_no_task(memory_app: App) -> None:
    def many() -> object:
        yield 1

    for wrong in (many, Order, lambda: 1):
        with pytest.raises(ConfigurationError):
            memory_app.task(wrong)


def test_max_retries_is_another_name_for_retries(memory_app: App) -> None:
    task = memory_app.task(max_retries=4)(test_none_is_saved_as_null)
    assert task.spec.settings.retries == 4


def test_a_scripts_tasks_have_the_name_under_which_a_worker_imports_it(tmp_path: Path) -> None:
    script = tmp_path / "shop.py"
    script.write_text(
        "from tasqueue.sdk.app import App\napp = App('redis://x')\n"
        "@app.task\ndef add(a: int) -> int: return a\n"
        "if __name__ == '__main__': print(add.name, app._client.hint)\n"
    )
    run = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert run.stdout.split() == ["shop.add", "tasqueue", "worker", "shop:app"]


# -- where the work goes -------------------------------------------------------------------------


def test_an_app_takes_its_url_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TASQUEUE_URL", raising=False)
    assert App().url == "memory://"
    monkeypatch.setenv("TASQUEUE_URL", "redis://somewhere/3")
    assert App().url == "redis://somewhere/3"
    assert App("memory://").url == "memory://"


@pytest.mark.parametrize("url", ["", "localhost", "http://x", "mysql://u:secret@host/0", "redis"])
def test_an_address_of_no_back_end_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"redis://HOST") as caught:
        App(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["nats://x", "sqlite:///jobs.db", "redis+cluster://x"])
def test_a_back_end_of_a_later_version_is_named(url: str) -> None:
    with pytest.raises(Unsupported, match="later version"):
        App(url)


def test_a_broker_that_is_down_fails_the_call_and_names_the_address() -> None:
    with App("redis://127.0.0.1:1/0") as app, pytest.raises(BackendUnavailable) as caught:
        app.send("x")
    assert "127.0.0.1:1" in str(caught.value)


# -- options of a call ---------------------------------------------------------------------------


def test_options_of_a_call_become_those_of_its_job(app: App) -> None:
    @app.task(queue="one", retries=2, timeout=30)
    def task(a: int) -> int:
        return a

    eta = datetime.now(UTC) + timedelta(hours=1)
    plain = task.delay(1)
    chosen = task.using(queue="two", retries=0, timeout=None, id="my-own").using(eta=eta).delay(1)
    read = app._client.ask
    first, second = (read(get_job(one.id), "x").job.opts for one in (plain, chosen))
    assert (first.queue, first.max_retries, first.timeout) == ("one", 2, timedelta(seconds=30))
    assert (second.queue, second.max_retries, second.timeout) == ("two", 0, None)
    assert chosen.id == second.id == "my-own"
    assert second.eta == eta
    assert chosen.status() == JobStatus.QUEUED


@pytest.mark.parametrize(
    "options",
    [
        {"queu": "x"},
        {"countdown": 1, "eta": datetime.now(UTC)},
        {"id": "success"},
        {"countdown": -1},
        {"eta": "tomorrow"},
    ],
)
def test_an_option_of_a_call_that_is_no_use_is_refused(
    memory_app: App, options: dict[str, object]
) -> None:
    task = memory_app.task(name="x")(test_none_is_saved_as_null)
    with pytest.raises(ConfigurationError):
        task.using(**options)  # type: ignore[arg-type]


def test_a_countdown_lets_the_job_wait_in_the_broker(app: App) -> None:
    @app.task
    def when() -> float:
        return datetime.now(UTC).timestamp()

    asked = datetime.now(UTC).timestamp()
    assert when.using(countdown=0.2).delay().get(timeout=PATIENCE) >= asked + 0.2


def test_many_calls_are_sent_at_once_or_not_at_all(app: App) -> None:
    @app.task
    def square(n: int) -> int:
        return n * n

    jobs = square.delay_many((n,) for n in range(20))
    assert [job.get(timeout=PATIENCE) for job in jobs] == [n * n for n in range(20)]
    assert square.delay_many([]) == []
    with pytest.raises(ArgumentError):
        square.delay_many([(1,), ("2",)])
    with pytest.raises(ArgumentError, match=r"tuple"):
        square.delay_many([1])  # type: ignore[list-item]
    with pytest.raises(ConfigurationError, match="names one job"):
        square.using(id="x").delay_many([(1,)])


def test_a_task_is_sent_by_name_without_its_function(app: App) -> None:
    @app.task(name="mail.send", queue="mail")
    def send(to: str, copies: int = 1) -> str:
        return to * copies

    assert app.send("mail.send", to="x", copies=2).get(timeout=PATIENCE) == "xx"
    with pytest.raises(ArgumentError):
        app.send("mail.send", to=1)
    elsewhere = app.using(queue="go").send("go.task", a=1)
    message = app._client.ask(get_job(elsewhere.id), "x")
    assert (message.job.task, message.job.payload) == ("go.task", b'{"a":1}')
    assert message.job.opts.queue == "go"


def test_a_message_larger_than_the_limit_is_refused(app: App) -> None:
    @app.task
    def take(text: str) -> None: ...

    with pytest.raises(LimitExceeded, match="reference"):
        take.delay("x" * (1 << 20))


# -- how it ends ---------------------------------------------------------------------------------


def test_a_failing_job_is_tried_again_and_then_fails_its_caller(app: App) -> None:
    seen: list[int] = []

    @app.task(retries=2, backoff=0)
    def stubborn(ctx: JobContext, until: int) -> int:
        seen.append(ctx.attempt)
        if ctx.attempt < until:
            raise ValueError("not yet")
        return ctx.attempt

    assert stubborn.delay(3).get(timeout=PATIENCE) == 3
    assert seen == [1, 2, 3]
    failing = stubborn.delay(4)
    with pytest.raises(JobFailed, match="not yet") as caught:
        failing.get(timeout=PATIENCE)
    assert caught.value.job_id == failing.id
    assert failing.status() == JobStatus.FAILED


def test_a_failure_carries_its_class_its_text_and_where_it_was_raised(app: App) -> None:
    class OutOfStockError(KeyError):
        pass

    @app.task
    def order(item: str) -> None:
        raise OutOfStockError(item)

    with pytest.raises(JobFailed) as caught:
        order.delay("pears").get(timeout=PATIENCE)
    error = copy.copy(caught.value)  # made anew, as by a pickle between processes
    assert error.type.endswith("OutOfStockError")
    assert error.message == "'pears'"
    assert str(error) == f"job {error.job_id} failed: {error.type}: 'pears'"
    assert error.traceback.startswith("Traceback")
    assert "in order\n    raise OutOfStockError(item)" in error.traceback
    assert "tasqueue/sdk" not in error.traceback
    assert error.__notes__ == [f"In the worker:\n{error.traceback}"]


def test_a_long_traceback_is_kept_from_its_end(app: App) -> None:
    @app.task(retries=1, backoff=0)
    def talk(ctx: JobContext) -> None:
        raise ValueError(f"\ud800{'x' * 100_000} {ctx.attempt}")

    with pytest.raises(JobFailed) as caught:
        talk.delay().get(timeout=PATIENCE)
    error = caught.value
    assert error.traceback.endswith("x 2\n")
    assert len(error.traceback) == len(error.message) == 16 << 10
    assert error.message.startswith("\\ud800xxx")


def test_an_error_that_cannot_say_what_it_is_fails_the_job_all_the_same(app: App) -> None:
    class SilentError(Exception):
        def __str__(self) -> str:
            raise KeyError

    @app.task
    def fail() -> None:
        raise SilentError

    with pytest.raises(JobFailed, match="SilentError, whose text cannot be read: KeyError"):
        fail.delay().get(timeout=PATIENCE)


def test_the_class_and_traceback_lie_in_the_record_alone(app: App) -> None:
    @app.task(retries=3, backoff=3600)
    def fail() -> None:
        raise ValueError("no")

    job = fail.delay()
    until = SYSTEM.monotonic() + PATIENCE
    while job.status() != JobStatus.RETRYING:
        assert SYSTEM.monotonic() < until
    record = app._client.ask(get_job(job.id), "x")
    assert list(record.job.ext) == [TURN, ERROR]


def test_a_job_that_runs_out_of_its_own_time_says_so(app: App) -> None:
    @app.task(timeout=0.05)
    async def slow() -> None:
        await asyncio.sleep(PATIENCE)

    with pytest.raises(JobTimeout):
        slow.delay().get(timeout=PATIENCE)


def test_the_waiters_patience_is_its_own(app: App) -> None:
    go_on = threading.Event()

    @app.task
    def slow() -> int:
        go_on.wait(PATIENCE)
        return 1

    job = slow.delay()
    with pytest.raises(ResultTimeout, match=r"not ended after 0\.05 s"):
        job.get(timeout=0.05)
    go_on.set()
    assert job.get(timeout=PATIENCE) == 1


def test_a_payload_that_does_not_fit_is_final_at_once(app: App) -> None:
    calls: list[int] = []

    @app.task(retries=5)
    def take(a: int) -> None:
        calls.append(a)

    take.delay(1).get(timeout=PATIENCE)
    job_id = app._client.submit(enqueue(Job.create(take.name, b'{"a":"x"}')), "x")
    with pytest.raises(JobFailed, match=r"argument a: expected `int`"):
        take.job(job_id).get(timeout=PATIENCE)
    assert calls == [1]


def test_a_result_that_json_cannot_carry_fails_the_job_at_once(app: App) -> None:
    @app.task(retries=5)
    def hold() -> object:
        return {"lock": threading.Lock()}

    with pytest.raises(JobFailed, match=r"a lock cannot be written as JSON \(at lock\)"):
        hold.delay().get(timeout=PATIENCE)


def test_a_raw_task_gets_and_gives_bytes(app: App) -> None:
    @app.task(raw=True)
    def turn(payload: bytes) -> bytes:
        return payload[::-1]

    @app.task(raw=True)
    def swallow(ctx: JobContext, payload: bytes) -> None: ...

    assert turn.delay(b"\x00abc\xff").get(timeout=PATIENCE) == b"\xffcba\x00"
    assert turn.s(b"ab").then(turn).delay().get(timeout=PATIENCE) == b"ab"
    assert swallow.delay(b"x").get(timeout=PATIENCE) == b""
    with pytest.raises(ArgumentError, match="is raw"):
        turn.delay("text")  # type: ignore[arg-type]

    @app.task(raw=True, retries=3)
    def wrong(payload: bytes) -> bytes:
        return "text"  # type: ignore[return-value]

    with pytest.raises(JobFailed, match="is raw: it returns bytes or None, not str"):
        wrong.delay(b"x").get(timeout=PATIENCE)


def test_a_wrapped_function_and_a_callable_object_are_tasks_too(app: App) -> None:
    def shouting(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            return function(*args, **kwargs)

        return wrapper

    @app.task
    @shouting
    async def wrapped(text: str) -> str:
        return text

    bound = app.task(name="bound")(functools.partial(operator.add, 3))
    assert wrapped.delay("x").get(timeout=PATIENCE) == "x"
    with pytest.raises(ArgumentError, match="text: expected `str`"):
        wrapped.delay(1)
    assert bound.delay(5).get(timeout=PATIENCE) == 8


def test_the_running_job_is_known_inside_it(app: App) -> None:
    @app.task(retries=1)
    def sync() -> str:
        return current_job().id

    @app.task
    async def awaited(ctx: JobContext) -> bool:
        return current_job() is ctx and ctx.task.endswith("awaited")

    job = sync.delay()
    assert job.get(timeout=PATIENCE) == job.id
    assert awaited.delay().get(timeout=PATIENCE)


def test_outside_a_job_there_is_no_context_and_the_error_says_what_to_do(memory_app: App) -> None:
    @memory_app.task
    def wants(ctx: JobContext, word: str) -> str:
        return word

    for call in (current_job, lambda: wants("x")):
        with pytest.raises(ConfigurationError, match=r"no job runs here: .* pass it a JobContext"):
            call()
    ctx = JobContext(JobMessage(Meta("id"), Job("wants")))
    assert wants(ctx, "x") == "x"  # type: ignore[call-arg, arg-type]


def test_a_task_with_a_context_can_be_called_with_one(memory_app: App) -> None:
    @memory_app.task
    def outer(ctx: JobContext, word: str) -> str:
        return inner(word) + inner(ctx, word)  # type: ignore[arg-type, call-arg]

    @memory_app.task
    def inner(ctx: JobContext, word: str) -> str:
        return word + ctx.task.rpartition(".")[2]

    assert outer.delay("x").get(timeout=PATIENCE) == "xouterxouter"


def test_a_result_that_is_not_what_was_announced_is_an_error_with_its_bytes(app: App) -> None:
    @app.task
    def lies() -> int:
        return "one"  # type: ignore[return-value]

    with pytest.raises(DecodeError, match="is not what it was to return: expected `int`") as caught:
        lies.delay().get(timeout=PATIENCE)
    assert caught.value.body == b'"one"'


def test_an_app_shows_itself_without_its_password() -> None:
    app = App("redis://:secret@host/0")
    task = app.task(name="x")(test_none_is_saved_as_null)
    assert repr(app) == "<App redis://:***@host/0 with 1 tasks>"
    assert repr(task).startswith("<SyncTask x(app:")


def test_what_a_task_saved_itself_is_its_result_if_it_returns_nothing(app: App) -> None:
    @app.task
    def saves(ctx: JobContext) -> None:
        ctx.save(b'"mine"')

    assert app.job(saves.delay().id).get(timeout=PATIENCE) == "mine"


def test_a_task_may_ask_for_another_attempt(app: App) -> None:
    @app.task(retries=1)
    def again(ctx: JobContext) -> int:
        if ctx.attempt == 1:
            raise Retry(after=0)
        return ctx.attempt

    assert again.delay().get(timeout=PATIENCE) == 2


# -- loops, threads, forks -----------------------------------------------------------------------


async def test_delay_in_a_running_loop_works_and_warns_once_a_line(app: App) -> None:
    @app.task
    def one() -> int:
        return 1

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        jobs = [one.delay() for _ in range(3)]
        assert len(caught) == 1
        jobs.append(one.s().delay())
    assert [str(w.message).count("adelay") for w in caught] == [1, 1]
    assert caught[0].filename == __file__
    assert [await job.aget(timeout=PATIENCE) for job in jobs] == [1, 1, 1, 1]
    await app.aclose()


async def test_waiting_in_a_running_loop_is_refused_and_names_the_twin(memory_app: App) -> None:
    job = memory_app.job("x")
    with pytest.raises(ConfigurationError, match="aget"):
        job.get()
    with pytest.raises(ConfigurationError, match="astatus"):
        job.status()


async def test_a_handle_is_not_awaitable_and_says_what_is(memory_app: App) -> None:
    for handle in (memory_app.job("x"), memory_app.group_job("x"), memory_app.chain_job("x")):
        with pytest.raises(TypeError, match=r"adelay.*aget"):
            await handle  # type: ignore[misc]


def test_many_threads_may_send_at_once(app: App) -> None:
    @app.task
    def square(n: int) -> int:
        return n * n

    got: dict[int, int] = {}

    def client(n: int) -> None:
        got[n] = square.delay(n).get(timeout=PATIENCE)
        app.close() if n < 0 else app._client._back_end().store.close()

    threads = [threading.Thread(target=client, args=(n,)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == {n: n * n for n in range(16)}


async def test_an_app_is_an_async_context_manager_too(app: App) -> None:
    @app.task
    def one() -> int:
        return 1

    async with app:
        assert await (await one.adelay()).aget(timeout=PATIENCE) == 1
    async with App("redis://127.0.0.1:1/0"):
        """Nothing was opened, and nothing has to be closed."""


def test_an_app_can_be_used_again_after_it_was_closed(app: App) -> None:
    @app.task
    def one() -> int:
        return 1

    assert one.delay().get(timeout=PATIENCE) == 1
    app.close()
    app.close()
    assert one.delay().get(timeout=PATIENCE) == 1


def test_a_task_that_is_declared_after_the_first_job_runs_too(app: App) -> None:
    @app.task
    def one() -> int:
        return 1

    assert one.delay().get(timeout=PATIENCE) == 1

    @app.task(queue="another")
    def two() -> int:
        return 2

    assert two.delay().get(timeout=PATIENCE) == 2


def _in_child(work: Callable[[], bool]) -> bool:
    """Run something in a forked child; whether it was right."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if not child:
        try:
            os._exit(0 if work() else 1)
        finally:
            os._exit(2)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_an_app_works_on_both_sides_of_a_fork(app: App) -> None:
    @app.task
    def where() -> int:
        return os.getpid()

    is_memory = app.url == "memory://"
    assert where.delay().get(timeout=PATIENCE) == os.getpid()

    def in_child() -> bool:
        got = where.delay().get(timeout=PATIENCE)
        return not is_memory or got == os.getpid()

    assert _in_child(in_child)
    assert where.delay().get(timeout=PATIENCE) == os.getpid()


async def test_the_engine_underneath_knows_the_apps_tasks_and_jobs(app: App) -> None:
    @app.task(name="shop.one", queue="shop")
    def one() -> int:
        return 1

    job = await one.adelay()
    assert await job.aget(timeout=PATIENCE) == 1
    assert (await app.server.get_job(job.id)).job.task == "shop.one"
    job_id = await app.server.enqueue(Job.create("shop.one", b"{}", JobOpts(queue="shop")))
    assert await one.job(job_id).aget(timeout=PATIENCE) == 1
    await (await app.server.open()).aclose()
    await app.aclose()


def test_imports_are_loaded_when_a_worker_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shop_tasks_of_a_test.py").write_text("LOADED = True\n")
    monkeypatch.syspath_prepend(tmp_path)
    app = App("memory://", imports=["shop_tasks_of_a_test"])
    app.load_imports()
    assert sys.modules.pop("shop_tasks_of_a_test").LOADED
    with pytest.raises(ModuleNotFoundError):
        App("memory://", imports=["no_such_module_anywhere"]).load_imports()
