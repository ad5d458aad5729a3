"""Go and Python on one queue, and each other's view of what lies in the store."""

from collections import Counter

import pytest
from redis import Redis

from tests.parity.live.client import GoClient, PythonClient, ended, wait_until
from tests.parity.live.fleet import GoWorker, JobSpec, PythonWorker
from tests.parity.live.pair import Hire, runs_of

SHARED, ONLY_GO = 2_000, 200


@pytest.mark.timeout(240)
async def test_mixed_workers_run_each_job_once_and_go_gets_all_of_its_own(
    go_client: GoClient,
    python_client: PythonClient,
    hire_go: Hire,
    hire_python: Hire,
    redis_client: Redis,
) -> None:
    hire_go(["echo", "goonly=echo"], concurrency=8)
    hire_python(["echo"], concurrency=8)
    expected = Counter[str]()
    for at in range(SHARED):
        client = go_client if at % 2 else python_client
        expected[await client.enqueue(JobSpec(task="echo", id=f"both-{at}"))] += 1
        if at % (SHARED // ONLY_GO) == 0:
            expected[await client.enqueue(JobSpec(task="goonly", id=f"go-{at}"))] += 1

    async def look() -> bool | None:
        return len(redis_client.zrange("tq:res:success", 0, -1)) == SHARED + ONLY_GO or None

    await wait_until(look, "all jobs", within=180)
    by_go, by_python = runs_of(redis_client, GoWorker), runs_of(redis_client, PythonWorker)
    # What Python sends back for Go waits in the scheduled set, and promoting is not atomic in Go:
    # it may push one member twice, so those run by Go at least once. All others run once.
    for_go = {job_id for job_id in expected if job_id.startswith("go-")}
    assert for_go <= set(by_go)
    assert not for_go & set(by_python)
    both = by_go + by_python
    assert {job_id: both[job_id] for job_id in both if job_id not in for_go} == {
        job_id: 1 for job_id in expected if job_id not in for_go
    }
    assert set(by_go) - for_go, "Go took its part"
    assert by_python, "Python took its part"


async def test_go_lists_the_tasks_that_we_register(
    go_client: GoClient, python_client: PythonClient, hire_python: Hire
) -> None:
    hire_python(["echo", "grüße=echo"], queues=["mine"], concurrency=3)
    assert go_client.producer.get_tasks() == {
        "echo": {"name": "echo", "queue": "mine", "concurrency": 3},
        "grüße": {"name": "grüße", "queue": "mine", "concurrency": 3},
    }


async def test_we_list_the_tasks_that_go_registers(
    python_client: PythonClient, hire_go: Hire
) -> None:
    hire_go(["echo", "grüße=echo"], queues=["theirs"], concurrency=3)
    tasks = await python_client.server.get_tasks()
    assert {(task.name, task.queue, task.concurrency) for task in tasks} == {
        ("echo", "theirs", 3),
        ("grüße", "theirs", 3),
    }


@pytest.mark.parametrize("by_go", [True, False], ids=["enqueued by Go", "enqueued by us"])
async def test_both_list_what_waits_newest_first(
    go_client: GoClient, python_client: PythonClient, *, by_go: bool
) -> None:
    client = go_client if by_go else python_client
    for at in range(7):
        await client.enqueue(JobSpec(task="echo", id=f"w{at}", queue="waiting"))
    newest_first = [f"w{at}" for at in reversed(range(7))]
    server = python_client.server
    theirs = go_client.producer.get_pending("waiting")
    ours = await server.get_pending("waiting")
    assert [message["ID"] for message in theirs] == newest_first
    assert [message.id for message in ours] == newest_first
    assert await server.get_pending_count("waiting") == 7
    for offset, limit in ((0, 3), (3, 3), (6, 3), (7, 3), (-1, 2), (0, 0)):
        page, total = go_client.producer.get_pending_page("waiting", offset=offset, limit=limit)
        our_page, our_total = await server.get_pending_page("waiting", offset, limit)
        assert [message.id for message in our_page] == [message["ID"] for message in page]
        assert our_total == total == 7


@pytest.mark.parametrize("delete_by_go", [True, False], ids=["Go deletes", "we delete"])
async def test_a_deleted_job_is_gone_for_both(
    go_client: GoClient,
    python_client: PythonClient,
    hire_go: Hire,
    hire_python: Hire,
    *,
    delete_by_go: bool,
) -> None:
    # The one whose data is deleted is always the other's.
    (hire_python if delete_by_go else hire_go)(["echo", "fail"])
    maker = python_client if delete_by_go else go_client
    for task in ("echo", "fail"):
        await maker.enqueue(JobSpec(task=task, id=task, payload=b"x"))
        await ended(maker, task)
    assert go_client.producer.ended() == (["echo"], ["fail"])
    for job_id in ("echo", "fail"):
        if delete_by_go:
            go_client.producer.delete_job(job_id)
        else:
            await python_client.server.delete_job(job_id)
    assert go_client.producer.ended() == ([], [])
    assert await python_client.server.get_success() == []
    assert await python_client.server.get_failed() == []
    for client in (go_client, python_client):
        assert await client.get_result("echo") is None
