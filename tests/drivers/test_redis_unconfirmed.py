"""A send whose answers are lost: its caller learns the ID, and sends it again as one job."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from tasqueue import App
from tasqueue.core.errors import BackendUnavailable, EnqueueUnconfirmed
from tasqueue.core.ports import Submit
from tests.faults.proxy import FaultProxy
from tests.servers import Valkey

Q = "tasqueue:tasks"
LOST: dict[str, dict[str, Any]] = {
    "the answers": {"cut_replies": 2},
    "the requests": {"cut_requests": 2},
    "the answer, and then the server": {"cut_replies": 1, "refuse": True},
}


@pytest.fixture
def admin(own_valkey: Valkey) -> Iterator[Redis]:
    with own_valkey.client() as client:
        yield client


@pytest.fixture
def proxy(own_valkey: Valkey, tmp_path: Path) -> Iterator[FaultProxy]:
    with FaultProxy(own_valkey.port, tmp_path) as made:
        yield made


@pytest.fixture
def app(proxy: FaultProxy) -> Iterator[App]:
    with App(proxy.url) as made:
        yield made


@pytest.fixture
def note(app: App, admin: Redis) -> Any:
    """A task whose app has a connection: what is lost is lost behind it."""

    @app.task
    def note(text: str) -> None:
        raise AssertionError(text)

    note.delay("first")
    admin.delete(Q)
    return note


def _waiting(admin: Redis) -> int:
    """The messages in the queue and on their way into it."""
    return admin.llen(Q) + admin.zcard(f"tasqueue:ss:{Q}")


@pytest.mark.parametrize("lost", LOST)
@pytest.mark.parametrize(
    "options",
    [
        pytest.param({}, id="our ID"),
        pytest.param({"id": "mine"}, id="their ID"),
        pytest.param({"countdown": 3600}, id="our ID, later"),
        pytest.param({"id": "mine", "countdown": 3600}, id="their ID, later"),
        pytest.param({"durability": "fsync"}, id="on the disk"),
    ],
)
def test_a_call_is_told_by_its_id_and_is_one_job_when_it_is_sent_again(
    note: Any, proxy: FaultProxy, admin: Redis, options: dict[str, Any], lost: str
) -> None:
    admin.config_set("appendonly", "yes")
    task = note.using(**options)
    proxy.weather(**LOST[lost])
    with pytest.raises(EnqueueUnconfirmed) as caught:
        task.delay("x")
    error = caught.value
    assert isinstance(error, BackendUnavailable)
    assert (error.job_ids, error.stored) == ((error.job_id,), False)
    assert error.job_id == options.get("id", error.job_id)
    assert "may be stored or not" in str(error)
    proxy.fair()
    assert task.using(id=error.job_id).delay("x").id == error.job_id
    assert _waiting(admin) == 1


def test_a_job_that_has_ended_meanwhile_does_not_run_again(
    note: Any, proxy: FaultProxy, admin: Redis
) -> None:
    proxy.weather(**LOST["the answers"])
    with pytest.raises(EnqueueUnconfirmed) as caught:
        note.using(id="mine").delay("x")
    record = admin.get("tq:res:job:msg:mine")
    assert admin.delete(Q) == 1  # as a worker does that runs it
    proxy.fair()
    note.using(id=caught.value.job_id).delay("x")
    assert _waiting(admin) == 0
    assert admin.get("tq:res:job:msg:mine") == record


def test_once_it_was_answered_the_id_may_be_used_for_a_new_run(
    note: Any, proxy: FaultProxy, admin: Redis
) -> None:
    """As in Go: only what is in doubt is the same call once more."""
    proxy.weather(**LOST["the answers"])
    mine = note.using(id="mine")
    with pytest.raises(EnqueueUnconfirmed):
        mine.delay("x")
    proxy.fair()
    for jobs in (1, 2):
        mine.delay("x")
        assert _waiting(admin) == jobs


def test_a_call_stays_the_same_through_as_many_outages_as_it_takes(
    note: Any, proxy: FaultProxy, admin: Redis
) -> None:
    task = note
    for lost in LOST.values():
        proxy.weather(**lost)
        with pytest.raises(EnqueueUnconfirmed) as caught:
            task.delay("x")
        task = note.using(id=caught.value.job_id)
        proxy.fair()
        note.delay("another")
    task.delay("x")
    assert _waiting(admin) == 1 + len(LOST)


async def test_awaited_calls_each_learn_their_own_id(
    app: App, note: Any, proxy: FaultProxy, admin: Redis
) -> None:
    await note.adelay("first")
    admin.delete(Q)
    proxy.weather(**LOST["the answers"])
    told = await asyncio.gather(*[note.adelay("x") for _ in range(50)], return_exceptions=True)
    unknown = [one.job_id for one in told if isinstance(one, EnqueueUnconfirmed)]
    assert len(set(unknown)) == len(told)
    proxy.fair()
    await asyncio.gather(*[note.using(id=one).adelay("x") for one in unknown])
    assert _waiting(admin) == 50
    await app.aclose()


def test_many_calls_are_told_with_all_their_ids(note: Any, proxy: FaultProxy, admin: Redis) -> None:
    proxy.weather(**LOST["the answers"])
    with pytest.raises(EnqueueUnconfirmed) as caught:
        note.delay_many([("a",), ("b",), ("c",)])
    error = caught.value
    assert (len(set(error.job_ids)), error.job_ids[0]) == (3, error.job_id)
    proxy.fair()
    for job_id, text in zip(error.job_ids, "abc", strict=True):
        note.using(id=job_id).delay(text)
    assert _waiting(admin) == 3


@pytest.fixture
def losing(app: App, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Have the answers to the next jobs lost, and not those to the record of their group."""
    store = app._client._back_end().store
    perform = store.perform_blocking

    def lose(request: Any) -> Any:
        if isinstance(request, Submit) and not request.again:
            monkeypatch.setattr(store, "perform_blocking", perform)
            proxy.weather(**LOST["the answers"])
        return perform(request)

    return lambda: monkeypatch.setattr(store, "perform_blocking", lose)


def test_a_group_is_told_with_the_ids_of_its_members(
    app: App, note: Any, proxy: FaultProxy, admin: Redis, losing: Callable[[], None]
) -> None:
    losing()
    with pytest.raises(EnqueueUnconfirmed) as caught:
        app.group([note.s("a"), note.s("b")]).delay()
    proxy.fair()
    members = zip(caught.value.job_ids, "ab", strict=True)
    app.group([note.using(id=one).s(text) for one, text in members]).delay()
    assert _waiting(admin) == 2


def test_a_chain_is_told_with_the_id_of_its_first_job(
    app: App, note: Any, proxy: FaultProxy, admin: Redis, losing: Callable[[], None]
) -> None:
    @app.task
    def after(before: None) -> None:
        raise AssertionError(before)

    losing()
    with pytest.raises(EnqueueUnconfirmed) as caught:
        note.s("a").then(after).delay()
    proxy.fair()
    note.using(id=caught.value.job_id).s("a").then(after).delay()
    assert _waiting(admin) == 1


def test_what_certainly_did_not_enter_keeps_its_error(
    app: App, note: Any, proxy: FaultProxy, admin: Redis
) -> None:
    app.close()
    proxy.weather(refuse=True)
    with pytest.raises(BackendUnavailable) as away:
        note.delay("x")
    proxy.fair()
    admin.config_set("maxmemory", 1)
    with pytest.raises(BackendUnavailable) as full:
        note.delay("x")
    assert full.value.word == "OOM"
    for caught in (away, full):
        assert not isinstance(caught.value, EnqueueUnconfirmed)
        assert not caught.value.in_doubt
