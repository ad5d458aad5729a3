"""The rights that the docs publish: enough to work with, and no more."""

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tasqueue import App, ResultTimeout
from tasqueue.core.errors import BackendRejected, TasqueueError
from tasqueue.core.ports import Pending, Push, Read, Submit, WorkerInfo
from tasqueue.drivers.redis import Address, RedisStore, library_source
from tasqueue.drivers.redis.command import ask, call, command
from tests.drivers.fleet import Fleet, fleet, until
from tests.servers import Cluster, Valkey

PAGE = Path(__file__).parent.parent.parent / "docs" / "redis.md"
USERS = ("producer", "worker", "viewer")


def rules(user: str) -> list[str]:
    """What the page gives a user, for the queue ``orders``."""
    found = re.search(rf'```text title="{user}"\n(.*?)```', PAGE.read_text(), re.DOTALL)
    assert found
    return re.findall(r"\(.*?\)|\S+", found[1])


@pytest.fixture
def admin(own_valkey: Valkey) -> Iterator[Any]:
    with own_valkey.client() as client:
        client.function_load(library_source())
        for user in USERS:
            client.execute_command("ACL", "SETUSER", user, *rules(user))
        yield client


def url(server: Valkey, user: str) -> str:
    return server.url.replace("//", f"//{user}:CHANGE-ME@")


async def test_a_producer_and_a_worker_have_all_that_they_need(
    own_valkey: Valkey, admin: Any
) -> None:
    producer = Fleet(url(own_valkey, "producer"), "orders").producer
    async with fleet(url(own_valkey, "worker"), "orders") as f:
        f.producer, theirs = producer, f.producer
        await f.does("a")
        job = await f.send("b", "chosen")
        await until(lambda: admin.zscore("tq:res:success", "chosen"), "the end of the job")
        assert await producer.get_result(job) == b"b"
        assert (await producer.get_job(job)).status == "successful"
        await (await theirs.open()).aclose()
    # Which settings endanger jobs is asked, and not told to a worker.
    assert {entry["object"] for entry in admin.acl_log()} == {"config|get"}


DENIED: dict[str, list[tuple[Any, ...]]] = {
    "producer": [
        ("LRANGE", "orders", 0, -1), ("RPOP", "orders"),
        ("BLMOVE", "orders", "x", "LEFT", "LEFT", 1),
        ("LRANGE", "tq:ld:{orders}:w", 0, -1), ("HGETALL", "tq:if:{orders}:w"),
        ("LPUSH", "other", "x"), ("DEL", "orders"), ("SPUBLISH", "tq:ears", "x"),
        ("SSUBSCRIBE", "other"),
        ("EVAL", "return 1", 0), ("SCRIPT", "LOAD", "return 1"), ("FUNCTION", "FLUSH"),
        ("CONFIG", "GET", "*"), ("FLUSHALL",), ("KEYS", "*"), ("SCAN", 0), ("ACL", "WHOAMI"),
    ],
    "worker": [
        ("EVAL", "return 1", 0), ("EVALSHA", "0" * 40, 0), ("SCRIPT", "LOAD", "return 1"),
        ("SCRIPT", "FLUSH"), ("FUNCTION", "LOAD", "x"), ("FUNCTION", "FLUSH"), ("FLUSHALL",),
        ("FLUSHDB",), ("CONFIG", "GET", "*"), ("CONFIG", "SET", "dir", "/"), ("GET", "other"),
        ("LPUSH", "other", "x"), ("KEYS", "*"), ("DEBUG", "SLEEP", 0), ("SHUTDOWN",),
        ("REPLICAOF", "NO", "ONE"), ("CLIENT", "KILL", "TYPE", "normal"), ("ACL", "LIST"),
    ],
    "viewer": [
        ("SET", "orders", "x"), ("LPUSH", "orders", "x"), ("DEL", "orders"), ("RPOP", "orders"),
        ("FCALL", "x", 0), ("EVAL", "return 1", 0), ("FLUSHALL",), ("CONFIG", "GET", "*"),
        ("KEYS", "*"), ("EXPIRE", "orders", 1), ("FUNCTION", "LIST"),
    ],
}  # fmt: skip


@pytest.mark.parametrize("user", USERS)
def test_nobody_can_do_more(user: str, own_valkey: Valkey, admin: Any) -> None:
    store = RedisStore(Address.from_url(url(own_valkey, user)))
    for args in DENIED[user]:
        with pytest.raises(BackendRejected, match=r"[Nn]o permissions"):
            store._blocking.run(ask(command(*args)))
    assert admin.dbsize() == 0
    store.close()


def test_a_producer_cannot_claim_nor_settle_through_our_own_functions(
    own_valkey: Valkey, admin: Any
) -> None:
    admin.lpush("orders", "job")
    store = RedisStore(Address.from_url(url(own_valkey, "producer")))
    lease = store.lease(WorkerInfo(queues=("orders",)))
    with pytest.raises(BackendRejected):
        lease.beat()
    claim = call("claim", ("orders", "tq:ld", "tq:if", "tq:hb", "tq:sq"), ("w", "n", 1, 99))
    reap = call("reap", ("orders", "tq:hb", "tq:wk", "tq:if", "tq:ld", "tq:tb"), ("w", "", "exit"))
    for sent in (claim, reap):
        with pytest.raises(TasqueueError):
            store._blocking.run(ask(sent))
    assert admin.keys("*") == [b"orders"]
    assert admin.lrange("orders", 0, -1) == [b"job"]
    store.close()


def test_a_producer_with_the_rights_of_before_sends_many_exactly_once(
    own_valkey: Valkey, admin: Any
) -> None:
    admin.execute_command("ACL", "SETUSER", "producer", "-msetnx")
    store = RedisStore(Address.from_url(url(own_valkey, "producer")))
    jobs = [Push("orders", name, name.encode(), name.encode()) for name in "abc"]
    assert store.perform_blocking(Submit(jobs)) == [True] * 3
    more = Push("orders", "d", b"d", b"d")
    assert store.perform_blocking(Submit([*jobs, more])) == [False] * 3 + [True]
    assert admin.lrange("orders", 0, -1) == [b"d", b"c", b"b", b"a"]
    assert admin.mget([f"tq:res:job:msg:{name}" for name in "abcd"]) == [b"a", b"b", b"c", b"d"]
    assert admin.acl_log(), "the right was not missed"
    store.close()


def test_a_viewer_sees(own_valkey: Valkey, admin: Any) -> None:
    admin.lpush("orders", "job")
    store = RedisStore(Address.from_url(url(own_valkey, "viewer")))
    assert store.perform_blocking(Pending("orders")).total == 1
    assert store.perform_blocking(Read(["a"])) == [None]
    store.close()


async def test_a_producer_may_send_groups_with_a_callback(own_valkey: Valkey, admin: Any) -> None:
    producer, worker = (App(url(own_valkey, user)) for user in ("producer", "worker"))
    await _counts(producer, worker)
    assert {entry["object"] for entry in admin.acl_log()} == {"config|get"}


async def test_on_the_results_of_two_servers_a_producer_needs_its_queues_outbox_too(
    own_valkey: Valkey, admin: Any, redis_url: str
) -> None:
    more = [rule.replace("~tq:gp:*", "~tq:gp:* ~tq:out:orders") for rule in rules("producer")]
    admin.execute_command("ACL", "SETUSER", "producer", "reset", *more)
    producer, worker = (
        App(redis_url, results=url(own_valkey, user)) for user in ("producer", "worker")
    )
    await _counts(producer, worker)
    assert {entry["object"] for entry in admin.acl_log()} <= {"config|get"}


async def _counts(producer: App, worker: App) -> None:
    @worker.task(name="double", queue="orders")
    async def double(number: int) -> int:
        await asyncio.sleep(0)
        return 2 * number

    @worker.task(name="total", queue="orders")
    async def total(numbers: list[int]) -> int:
        await asyncio.sleep(0)
        return sum(numbers)

    running = asyncio.create_task(worker.server.start())
    send = producer.using(queue="orders").signature
    members = [send("double", number=number) for number in range(5)]
    handle = await producer.chain(producer.group(members), send("total")).adelay()
    assert await handle.aget(timeout=30) == 20
    await worker.server.stop()
    await running
    await producer.aclose()
    await worker.aclose()


def test_a_producer_that_waits_in_vain_is_told_why(own_valkey: Valkey, admin: Any) -> None:
    with App(url(own_valkey, "producer")) as app, pytest.raises(ResultTimeout):
        app.using(queue="orders").send("nobody").get(timeout=6)
    assert "tq:res:job:msg" not in str(admin.acl_log())


async def test_the_rights_are_enough_on_a_cluster_with_three_more(
    cluster_servers: Cluster,
) -> None:
    for node in cluster_servers.nodes:
        cluster_servers.ask(node, "FLUSHALL")
        cluster_servers.ask(node, "FUNCTION", "LOAD", "REPLACE", library_source())
        for user in USERS:
            more = ("+cluster|slots", "+asking", "+get")
            cluster_servers.ask(node, "ACL", "SETUSER", user, *rules(user), *more)
        cluster_servers.ask(node, "ACL", "LOG", "RESET")
    names = [cluster_servers.url.replace("//", f"//{user}:CHANGE-ME@") for user in USERS]
    producer = Fleet(names[0], "orders").producer
    async with fleet(names[1], "orders") as f:
        f.producer, theirs = producer, f.producer
        await f.does("a")
        job = await f.send("b", "chosen")
        await until(lambda: "b" in f.done, "the job")
        await (await theirs.open()).aclose()
    assert await producer.get_result(job) == b"b"
    await (await producer.open()).aclose()
    for node in cluster_servers.nodes:
        with node.client() as client:
            assert {entry["object"] for entry in client.acl_log()} <= {"config|get"}
        for user in USERS:
            cluster_servers.ask(node, "ACL", "DELUSER", user)


def flow_of(app: App) -> Any:
    """The app's tasks, and nested groups of them."""

    @app.task(name="double", queue="orders")
    async def double(number: int) -> int:
        return 2 * number

    @app.task(name="total", queue="orders")
    def total(numbers: list[int]) -> int:
        return sum(numbers)

    return app.group(double.group([(1,), (2,)]).then(total), double.s(3)).then(total)


async def test_on_a_cluster_groups_with_a_callback_need_what_the_page_adds_and_no_more(
    cluster_servers: Cluster,
) -> None:
    found = re.search(r"needs `(\+hset[^`]*)`", PAGE.read_text())
    assert found
    more = ("+cluster|slots", "+asking", "+get", *found[1].split())
    for node in cluster_servers.nodes:
        cluster_servers.ask(node, "FLUSHALL")
        cluster_servers.ask(node, "FUNCTION", "LOAD", "REPLACE", library_source())
        for user in USERS:
            cluster_servers.ask(node, "ACL", "SETUSER", user, *rules(user), *more)
        cluster_servers.ask(node, "ACL", "LOG", "RESET")
    names = [cluster_servers.url.replace("//", f"//{user}:CHANGE-ME@") for user in USERS]
    async with App(names[0]) as producer, App(names[1]) as worker:
        flow_of(worker)
        working = asyncio.create_task(worker.server.start())
        job = await flow_of(producer).adelay()
        assert await job.aget(timeout=20) == 12
        await worker.server.stop()
        await working
    denied = set[str]()
    for node in cluster_servers.nodes:
        with node.client() as client:
            denied |= {str(entry["object"]) for entry in client.acl_log()}
        for user in USERS:
            cluster_servers.ask(node, "ACL", "DELUSER", user)
    assert denied <= {"config|get"}
