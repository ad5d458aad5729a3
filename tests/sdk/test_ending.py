"""How a job ends, inside and for whoever waits: results, failures, signals, contexts."""

import asyncio
import copy
import functools
import operator
import threading
from collections.abc import Callable
from typing import Any

import pytest

from tasqueue.core.errors import (
    ArgumentError,
    ConfigurationError,
    DecodeError,
    JobFailed,
    JobTimeout,
    ResultTimeout,
    Retry,
)
from tasqueue.core.job import Job, JobMessage, JobStatus, Meta
from tasqueue.core.lifecycle import ERROR, TURN
from tasqueue.engine.clock import SYSTEM
from tasqueue.engine.context import JobContext, current_job
from tasqueue.engine.plan import enqueue, get_job
from tasqueue.sdk.app import App

PATIENCE = 20


def nothing() -> None: ...


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
    task = app.task(name="x")(nothing)
    assert repr(app) == "<App redis://:***@host/0 with 1 tasks>"
    assert repr(task).startswith("<SyncTask x()")


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
