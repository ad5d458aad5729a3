"""An app as its users see it: declare, send, wait; where its work goes, and its end."""

import asyncio
import dataclasses
from datetime import UTC, datetime, timedelta

import pytest

from tasqueue.core.errors import (
    BackendUnavailable,
    ConfigurationError,
    JobNotFound,
    ResultTimeout,
    Unsupported,
)
from tasqueue.core.job import JobStatus
from tasqueue.engine.clock import SYSTEM
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


@pytest.mark.parametrize("password", ["se:cret", "se/cret", "se@cret", "?secret", "#secret"])
def test_a_password_that_was_not_quoted_is_in_no_error(password: str) -> None:
    app = App(f"redis://me:{password}@127.0.0.1:1/x")
    with pytest.raises((ConfigurationError, BackendUnavailable)) as caught:
        app.send("x")
    assert "cret" not in f"{caught.value} {app!r}"


@pytest.mark.parametrize("url", ["nats://x", "sqlite:///jobs.db"])
def test_a_back_end_of_a_later_version_is_named(url: str) -> None:
    with pytest.raises(Unsupported, match="later version"):
        App(url)


def test_a_broker_that_is_down_fails_the_call_and_names_the_address() -> None:
    with App("redis://127.0.0.1:1/0") as app, pytest.raises(BackendUnavailable) as caught:
        app.send("x")
    assert "127.0.0.1:1" in str(caught.value)
