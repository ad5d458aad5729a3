"""A job of an ID that is sent only if none of that ID waits or runs."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest
from redis import Redis

from tasqueue.core.errors import ConfigurationError, Unsupported
from tasqueue.core.job import DEFAULT_QUEUE
from tasqueue.engine.plan import get_pending
from tasqueue.sdk.app import App
from tasqueue.sdk.task import BaseTask
from tests.servers import valkey

PATIENCE = 20
CALLERS = 8


def slow_task(app: App) -> "BaseTask[[int], int]":
    """A task whose jobs wait long enough to be there when the next one is sent."""

    @app.task
    def same(n: int) -> int:
        return n

    return same.using(id="one", if_absent=True)


def waiting(app: App) -> int:
    _, total = app._client.ask(get_pending(DEFAULT_QUEUE), "x")
    return total


@pytest.fixture
def idle(redis_url: str) -> App:
    """An app without a worker."""
    return App(redis_url)


def test_while_a_job_of_an_id_waits_no_other_is_sent(idle: App) -> None:
    task = slow_task(idle)
    assert task.delay(1).id == task.delay(2).id == "one"
    assert waiting(idle) == 1
    idle.close()


def test_of_callers_at_the_same_time_one_sends_it(idle: App) -> None:
    task = slow_task(idle)

    def send(n: int) -> str:
        job = task.delay(n)
        idle.close()  # this thread's connection
        return job.id

    with ThreadPoolExecutor(CALLERS) as pool:
        assert set(pool.map(send, range(CALLERS))) == {"one"}
    assert waiting(idle) == 1
    idle.close()


def test_what_was_deleted_with_its_record_is_sent_again_at_once(
    idle: App, redis_client: Redis
) -> None:
    """Its call is still known, and was another one."""
    task = slow_task(idle)
    for n in range(3):
        task.delay(n)
        assert waiting(idle) == 1
        redis_client.delete(DEFAULT_QUEUE, "tq:res:job:msg:one")
    idle.close()


async def test_of_coroutines_at_the_same_time_one_sends_it(redis_url: str) -> None:
    async with App(redis_url) as app:
        task = slow_task(app)
        await asyncio.gather(*[task.adelay(n) for n in range(CALLERS)])
        _, total = await app._client.aask(get_pending(DEFAULT_QUEUE))
        assert total == 1


def test_once_it_has_ended_an_id_is_sent_again(app: App) -> None:
    task = slow_task(app)
    assert task.delay(1).get(timeout=PATIENCE) == 1
    assert task.delay(2).get(timeout=PATIENCE) == 2
    assert task.delay(3).get(timeout=PATIENCE) == 3


def test_what_it_does_not_go_with_is_said(app: App) -> None:
    task = slow_task(app)
    with pytest.raises(ConfigurationError, match="give id"):
        task.using(id="")
    with pytest.raises(ConfigurationError, match="if_absent"):
        task.s(1)
    with pytest.raises(ConfigurationError, match="durability"):
        task.using(durability="replica").delay(1)
    with pytest.raises(ConfigurationError, match="True or False"):
        task.using(if_absent=1)  # type: ignore[arg-type]


def test_two_servers_cannot_promise_it(redis_url: str) -> None:
    with valkey() as other, App(redis_url, results=other.url) as app:
        task = slow_task(app)
        with pytest.raises(Unsupported, match="one server"):
            task.delay(1)
