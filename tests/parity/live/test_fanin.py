"""Groups with a callback whose members, or callback, are run by real Go workers."""

from collections.abc import Iterator

import pytest
from redis import Redis

from tasqueue.core.errors import JobFailed
from tasqueue.core.job import JobStatus
from tasqueue.sdk.app import App
from tests.parity.live.fleet import GoWorker
from tests.parity.live.pair import Hire, runs_of

PATIENCE = 20


@pytest.fixture
def sender(redis_url: str) -> Iterator[App]:
    """An app that sends and waits, with no Python worker anywhere."""
    with App(redis_url) as app:
        yield app


@pytest.fixture
def app(sender: App) -> App:
    """An app whose worker, beside it, knows the callbacks on a queue of their own."""
    sender._client.is_memory = True

    @sender.task(name="sum", queue="callbacks")
    def total(values: list[int]) -> int:
        return sum(values)

    @sender.task(name="show", queue="callbacks")
    def show(values: list[int | None]) -> list[int | None]:
        return values

    return sender


def keys_of_groups(redis_client: Redis) -> set[bytes]:
    """What groups have left; the mark that a group has fired goes by itself."""
    found: list[bytes] = list(redis_client.scan_iter("tq:gp:*"))
    return {key for key in found if redis_client.ttl(key) < 0}


def test_a_group_whose_members_go_runs_calls_a_python_task_with_their_results(
    app: App, hire_go: Hire, redis_client: Redis
) -> None:
    hire_go(["add"])
    members = [app.signature("add", a=n, b=1) for n in range(600)]
    job = app.group(members).then(app.tasks["show"]).delay()
    assert job.get(timeout=PATIENCE) == [n + 1 for n in range(600)]
    assert keys_of_groups(redis_client) == set()


def test_a_chain_of_go_jobs_is_one_member(app: App, hire_go: Hire) -> None:
    hire_go(["add", "total"])
    add, more = app.signature("add", a=1, b=2), app.signature("total", n=10)
    group = app.group(add.then(more), add, add.then(more).then(more))
    assert group.then(app.tasks["show"]).delay().get(timeout=PATIENCE) == [13, 3, 23]


def test_a_job_of_go_before_a_group_leads_to_all_its_members(app: App, hire_go: Hire) -> None:
    hire_go(["add", "total", "fail"])
    add, more = app.signature("add", a=1, b=2), app.signature("total", n=10)
    flow = app.chain(add, app.group(more, more), app.tasks["sum"])
    assert flow.delay().get(timeout=PATIENCE) == 26
    flow = app.chain(app.signature("fail"), app.group(more, more), app.tasks["sum"])
    job = flow.delay()
    with pytest.raises(JobFailed, match="boom"):
        job.get(timeout=PATIENCE)


def test_a_member_that_fails_in_go_fails_the_callback(
    app: App, hire_go: Hire, redis_client: Redis
) -> None:
    hire_go(["add", "fail", "total"])
    add, fail = app.signature("add", a=1, b=2), app.signature("fail")
    for bad in (fail, add.then(fail).then(app.signature("total", n=1))):
        job = app.group(add, bad).then(app.tasks["sum"]).delay()
        with pytest.raises(JobFailed, match="boom"):
            job.get(timeout=PATIENCE)
        assert job.status() == JobStatus.FAILED
    assert keys_of_groups(redis_client) == set()


def test_a_waiter_alone_completes_a_group_that_only_go_runs(
    sender: App, hire_go: Hire, redis_client: Redis
) -> None:
    hire_go(["add", "echo"])
    members = [sender.signature("add", a=n, b=1) for n in range(20)]
    job = sender.group(members).then(sender.signature("echo", said="so")).delay()
    assert job.get(timeout=PATIENCE) == {"said": "so"}
    # The callback ran in Go too, which tells nobody: the next look closes the group.
    other = sender.group(members).then(sender.signature("echo", said="again")).delay()
    assert other.get(timeout=PATIENCE) == {"said": "again"}
    assert runs_of(redis_client, GoWorker)[job.id] == 1
    assert redis_client.scard("tq:gp:open") <= 1


def test_a_mixed_fleet_calls_each_callback_once(
    app: App, hire_go: Hire, redis_client: Redis
) -> None:
    ran: list[str] = []

    @app.task(name="add")
    def add(a: int, b: int) -> int:
        return a + b

    @app.task(name="count", queue="callbacks")
    def count(values: list[int], group: int) -> int:
        ran.append(str(group))
        return sum(values)

    hire_go(["add"])
    groups = [add.group([(n, 1) for n in range(40)]).then(count, at) for at in range(10)]
    jobs = [group.delay() for group in groups]
    assert [job.get(timeout=PATIENCE) for job in jobs] == [820] * 10
    assert sorted(ran) == sorted(str(at) for at in range(10))
    by_go = sum(runs_of(redis_client, GoWorker).values())
    assert 0 < by_go < 400, "both sides were to run members"
