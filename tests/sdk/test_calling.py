"""Calls with options, many at once, and by name."""

from datetime import UTC, datetime, timedelta

import pytest

from tasqueue.core.errors import ArgumentError, ConfigurationError, LimitExceeded
from tasqueue.core.job import JobStatus
from tasqueue.engine.plan import get_job
from tasqueue.sdk.app import App

PATIENCE = 20


def nothing() -> None: ...


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
    task = memory_app.task(name="x")(nothing)
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


def test_arguments_are_in_no_repr(app: App) -> None:
    @app.task(name="card.charge")
    def charge(card: str) -> str:
        return card

    for work in (charge.s("4711"), charge.group([("4711",)]), charge.s("4711").then(charge)):
        assert "card.charge" in repr(work)
        assert "4711" not in repr((work, work.steps))
