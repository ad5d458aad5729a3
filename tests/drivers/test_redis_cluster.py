"""A cluster of three servers: keys in other slots, slots that move, servers that go."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.crc import key_slot

from tasqueue import App
from tasqueue.brokers.redis_broker import RedisBroker
from tasqueue.core.errors import (
    BackendUnavailable,
    ConfigurationError,
    EnqueueUnconfirmed,
)
from tasqueue.core.job import Job, JobMessage, JobOpts, JobStatus, Meta
from tasqueue.core.ports import (
    Answer,
    Forget,
    Listing,
    Mark,
    Push,
    PutTask,
    Read,
    Settlement,
    Submit,
    Tasks,
    WorkerInfo,
    Write,
)
from tasqueue.core.wire import decode_job, encode_job
from tasqueue.drivers.redis import Address, RedisStore, store_at
from tasqueue.drivers.redis.cluster import ClusterStore
from tasqueue.drivers.redis.cluster.lease import ClusterLease
from tasqueue.drivers.redis.cluster.request import cluster_keys
from tasqueue.drivers.redis.cluster.settlement import settle
from tasqueue.drivers.redis.cluster.topology import Topology, delayed, routed, slot_of
from tasqueue.drivers.redis.command import Command, Steps, command
from tasqueue.drivers.redis.error import Moved
from tasqueue.engine.prepare import prepare
from tasqueue.results.redis_results import RedisResults
from tests.contract.broker_contract import BrokerContract
from tests.contract.results_contract import ResultsContract
from tests.drivers.fleet import Fleet, fleet, until
from tests.servers import Cluster, cluster, cluster_node

PLAIN, TAGGED = "orders", "{orders}"


@pytest.fixture
def servers(cluster_servers: Cluster) -> Cluster:
    for node in cluster_servers.nodes:
        cluster_servers.ask(node, "FLUSHALL")
    return cluster_servers


@pytest.fixture
async def store(servers: Cluster) -> AsyncIterator[ClusterStore]:
    made = store_at(Address.from_url(servers.url))
    assert isinstance(made, ClusterStore)
    yield made
    await made.aclose()
    made.close()


class TestClusterBroker(BrokerContract):
    """The clauses of the contract."""

    @pytest.fixture
    async def broker(self, servers: Cluster) -> AsyncIterator[RedisBroker]:
        made = RedisBroker.from_url(servers.url)
        yield made
        await made.close()


class TestClusterResults(ResultsContract):
    """The clauses of the contract."""

    @pytest.fixture
    async def results(self, servers: Cluster) -> AsyncIterator[RedisResults]:
        made = RedisResults.from_url(servers.url)
        yield made
        await made.close()


# -- where keys are ------------------------------------------------------------------------------


@given(st.binary(max_size=40) | st.text("ab{}", max_size=12).map(str.encode))
def test_a_slot_is_the_one_that_redis_py_computes(key: bytes) -> None:
    assert slot_of(key) == key_slot(key)


def test_known_slots() -> None:
    assert slot_of("tasqueue:tasks") == slot_of("tq:inflight:{tasqueue:tasks}:w1") == 14094
    assert slot_of("tasqueue:ss:tasqueue:tasks") == 3650
    assert slot_of("tq:res:success") == 8861
    assert slot_of("tasqueue:ss:{tasks}") == slot_of("{tasks}") == 9114


def _map(*ports: int) -> list[Any]:
    """As CLUSTER SLOTS answers."""
    size = 16384 // len(ports)
    return [[i * size, (i + 1) * size - 1, [b"h", port]] for i, port in enumerate(ports)]


def test_what_has_moved_is_sent_to_where_it_is_and_the_order_of_replies_stays() -> None:
    topology = Topology([("seed", 1)], "redis+cluster://seed:1")
    topology.learn(_map(1, 2), ("seed", 1))
    keys = ["a", "b", "c", "d"]
    steps = routed([command("GET", key) for key in keys], topology)
    sent = next(steps)
    assert {batch.host[1] for batch in sent} == {1, 2}
    moved, asked = Moved("MOVED", slot_of("a"), ("h", 3)), Moved("ASK", slot_of("b"), ("h", 4))
    asked.asking = True
    answers = {"a": moved, "b": asked}
    again = steps.send([[answers.get(keys[i], keys[i]) for i in batch.places] for batch in sent])
    assert [(b.host, [c.args for c in b.commands]) for b in again] == [
        (("h", 3), [("GET", "a")]),
        (("h", 4), [("ASKING",), ("GET", "b")]),
    ]
    assert topology.host_of("a") == ("h", 3)
    assert topology.host_of("b") != ("h", 4)
    assert not topology.known
    with pytest.raises(StopIteration) as end:
        steps.send([["A"], ["OK", "B"]])
    assert end.value.value == ["A", "B", "c", "d"]


def test_a_key_that_is_sent_around_in_circles_is_unavailable() -> None:
    topology = Topology([("seed", 1)], "redis+cluster://seed:1")
    topology.learn(_map(1, 2), ("seed", 1))
    steps = routed([command("GET", "a")], topology)
    sent = next(steps)
    ports = []
    for _ in range(4):
        ports.append(sent[0].host[1])
        sent = steps.send([[Moved("MOVED", slot_of("a"), ("h", 3 - ports[-1]))]])
    last = Moved("MOVED", slot_of("a"), ("h", 1))
    with pytest.raises(StopIteration) as end:
        steps.send([[last]])
    assert end.value.value == [last]
    assert ports in ([1, 2, 1, 2], [2, 1, 2, 1])


def test_a_slot_that_nobody_has_is_unavailable() -> None:
    topology = Topology([("seed", 1)], "redis+cluster://seed:1")
    topology.learn([[0, 0, [b"", 7]]], ("seed", 1))
    assert topology.candidates() == [("seed", 7), ("seed", 1)]
    with pytest.raises(BackendUnavailable, match="CLUSTERDOWN"):
        next(routed([command("GET", "a")], topology))


# -- what clients ask ----------------------------------------------------------------------------

SEQUENCE: list[tuple[Any, Any]] = [
    (Submit([Push("q", "a", b"record", b"A"), Push("r", "b", b"record", b"B")]), [True, True]),
    (Submit([Push("q", "a", b"new", b"A"), Push("q", "c", b"r", b"C")], again=True), [False, True]),
    (Submit([]), []),
    (Write("a", b"result"), None),
    (Read(["a", "job:msg:a", "job:msg:b", "none"]), [b"result", b"record", b"record", None]),
    (Read([]), []),
    (Listing("success"), []),
    (Forget("a"), None),
    (Read(["a", "job:msg:a"]), [None, None]),
    (Tasks(), []),
    (PutTask("t", b"one"), None),
    (PutTask("s", b"two"), None),
    (Tasks(), [b"two", b"one"]),
]


async def test_each_request_is_performed_awaited(store: ClusterStore) -> None:
    assert [await store.perform(one) for one, _ in SEQUENCE] == [said for _, said in SEQUENCE]


def test_each_request_is_performed_blocking(servers: Cluster) -> None:
    store = store_at(Address.from_url(servers.url))
    assert [store.perform_blocking(one) for one, _ in SEQUENCE] == [said for _, said in SEQUENCE]
    store.close()


async def test_a_cluster_is_the_same_store_by_whichever_of_its_servers(servers: Cluster) -> None:
    stores = [
        store_at(Address.from_url(f"redis+cluster://127.0.0.1:{node.port}"))
        for node in servers.nodes
    ]
    assert len({await store.identity() for store in stores}) == 1
    for store in stores:
        await store.aclose()


async def test_a_name_that_a_cluster_cannot_have_is_refused(servers: Cluster) -> None:
    with App(servers.url) as app:
        for name in ("a{}b", "a{b", "{}"):
            if slot_of("{" + name + "}") != slot_of(name):
                with pytest.raises(ConfigurationError, match="braces"):
                    await app.using(queue=name).asend("note", text="a")


async def test_a_server_of_a_cluster_by_itself_says_what_to_write(servers: Cluster) -> None:
    store = RedisStore(Address.from_url(servers.nodes[0].url))
    elsewhere = next(n for n in "abcdefgh" if servers.of(f"tq:res:{n}") is not servers.nodes[0])
    with pytest.raises(BackendUnavailable, match=r"write redis\+cluster://"):
        await store.perform(Read([elsewhere]))
    await store.aclose()


async def test_a_plain_server_is_no_cluster(redis_url: str) -> None:
    store = store_at(Address.from_url(redis_url.replace("redis:", "redis+cluster:")[:-2]))
    with pytest.raises(Exception, match="cluster"):
        await store.perform(Read(["a"]))
    await store.aclose()


# -- jobs ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("queue", [PLAIN, TAGGED])
async def test_jobs_run_and_leave_nothing_but_their_records(queue: str, servers: Cluster) -> None:
    async with fleet(servers.url, queue) as f:
        for number in range(20):
            await f.send(f"{number}", f"job {number}")
        await until(lambda: len(f.done) == 20, "all jobs")
        later = JobOpts(queue=queue, id="later", eta_ns=time.time_ns() + 200_000_000)
        await f.producer.enqueue(Job("note", b"later", later))
        await until(lambda: "later" in f.done, "the scheduled job")
        names = {*(f"job {number}" for number in range(20)), "later"}
        await until(lambda: _listed(servers, "success") == names, "the list")
        assert await f.producer.get_result("later") == b"later"
    assert sorted(f.done) == sorted([*(f"{n}" for n in range(20)), "later"])
    lasting = {key for key, node in servers.found().items() if servers.ask(node, "TTL", key) == -1}
    records = {f"tq:res:{kind}{name}" for name in names for kind in ("", "job:msg:")}
    known = {"tq:res:success", "tq:tasks", "tq:task:note", f"tq:sq:{_tag(queue)}"}
    assert lasting == records | known


def _tag(queue: str) -> str:
    return queue if "{" in queue else "{" + queue + "}"


def _listed(servers: Cluster, name: str) -> set[str]:
    key = f"tq:res:{name}"
    return {one.decode() for one in servers.ask(servers.of(key), "ZRANGE", key, 0, -1)}


@pytest.mark.parametrize("queue", [PLAIN, TAGGED])
async def test_a_chain_and_a_retry_run_once_each(queue: str, servers: Cluster) -> None:
    with App(servers.url) as app:
        ran: list[str] = []

        @app.task(queue=queue, retries=2, backoff=0.01)
        async def flaky(text: str) -> str:
            await asyncio.sleep(0)
            ran.append(text)
            if len(ran) == 1:
                raise ValueError(text)
            return text + "!"

        @app.task(queue="other")
        async def follow(text: str) -> str:
            await asyncio.sleep(0)
            ran.append(text)
            return text + "?"

        running = asyncio.create_task(app.server.start())
        handle = await (flaky.s("a") | follow).adelay()
        assert await handle.aget(timeout=30) == "a!?"
        await app.server.stop()
        await running
        await app.aclose()
    assert ran == ["a", "a", "a!"]


# -- the order of writes -------------------------------------------------------------------------


class Hand:
    """A worker that is driven by hand."""

    def __init__(self, store: ClusterStore, servers: Cluster, queue: str) -> None:
        self.store, self.servers, self.queue = store, servers, queue
        self.lease: ClusterLease = store.lease(WorkerInfo(queues=(queue,)))
        assert self.lease.beat()

    async def holds(self, body: bytes = b"message") -> str:
        name = "id" if body == b"message" else body.decode()
        await self.store.perform(Submit([Push(self.queue, name, b"queued", body)]))
        (claim,) = await self.lease.claim(self.queue, 1)
        return claim.token

    def of(self, key: str, *what: object) -> Any:
        name, *args = what
        return self.servers.ask(self.servers.of(key), name, key, *args)

    def waiting(self, queue: str = "other") -> list[bytes]:
        found: list[bytes] = self.of(queue, "LRANGE", 0, -1)
        return found


@pytest.fixture(params=[PLAIN, TAGGED])
async def hand(
    request: pytest.FixtureRequest, store: ClusterStore, servers: Cluster
) -> AsyncIterator[Hand]:
    made = Hand(store, servers, request.param)
    yield made
    await made.lease.end(made.queue)


CHILD = Push("other", "child", b"queued", b"child")
LATE = Push("other", "late", b"queued", b"late", 7)


def ended(token: str, **changes: Any) -> Settlement:
    given = {"listing": "success", "result": b"result", "pushes": (CHILD, LATE)} | changes
    return Settlement(token, "id", b"done", **given)


async def test_a_settlement_is_carried_out_once_however_often_it_is_sent(hand: Hand) -> None:
    token = await hand.holds()
    assert await hand.lease.settle(hand.queue, [ended(token)]) == [Answer.APPLIED]
    assert await hand.lease.settle(hand.queue, [ended(token)]) == [Answer.DECIDED]
    assert hand.waiting() == [b"child"]
    assert hand.of("tasqueue:ss:other", "ZRANGE", 0, -1, "WITHSCORES") == [b"late", b"7"]
    assert await hand.store.perform(Read(["id", "job:msg:id", "job:msg:child"])) == [
        b"result", b"done", b"queued",
    ]  # fmt: skip
    assert _listed(hand.servers, "success") == {"id"}
    tokens = [key for key in hand.servers.found() if key.startswith("tq:eq:{other}")]
    assert tokens, "a worker that was taken for dead may still come with the same children"
    assert all(0 < hand.of(key, "TTL") <= 900 for key in tokens)


async def test_a_crash_after_any_step_changes_nothing_but_that_the_job_runs_again(
    hand: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The steps of a settlement stop after n exchanges, for each n, and another worker goes on."""
    for stop in range(1, 12):
        for node in hand.servers.nodes:
            hand.servers.ask(node, "FLUSHALL")
        await hand.lease.renew()
        assert hand.lease.beat()
        token = await hand.holds()
        driver, left = hand.lease._driver, [stop]

        async def exchange(
            commands: Any,
            patience: float = 0.0,
            *,
            real: Callable[..., Any] = driver.exchange,
            left: list[int] = left,
        ) -> Any:
            if left[0] == 0:
                raise BackendUnavailable("killed")
            left[0] -= 1
            return await real(commands, patience)

        monkeypatch.setattr(driver, "exchange", exchange)
        with suppress(BackendUnavailable):
            assert await hand.lease.settle(hand.queue, [ended(token)]) == [Answer.APPLIED]
        monkeypatch.undo()
        # As after a kill -9: its jobs are given back, and somebody else runs them.
        await hand.lease.renew()
        assert hand.lease.beat()
        again = await hand.lease.claim(hand.queue, 1) if hand.waiting(hand.queue) else []
        if again:
            last = [ended(again[0].token)]
            assert await hand.lease.settle(hand.queue, last) == [Answer.APPLIED]
        assert hand.waiting() == [b"child"], stop
        assert hand.of("tasqueue:ss:other", "ZRANGE", 0, -1) == [b"late"]
        found = await hand.store.perform(Read(["id", "job:msg:id"]))
        assert found == [b"result", b"done"]
        if left[0]:
            assert stop > 4, "a settlement in a cluster has many steps"
            return
    raise AssertionError("the settlement did not come to its end")


async def _ends(hand: Hand, lease: ClusterLease, queue: str) -> str:
    """Run the oldest job of a queue to its end, as its record says then; "" if none waits."""
    if not hand.waiting(queue):
        return ""
    (claim,) = await lease.claim(queue, 1)
    name = claim.body.decode()
    end = Settlement(claim.token, name, _record(name, JobStatus.SUCCESSFUL), listing="success")
    assert await lease.settle(queue, [end]) == [Answer.APPLIED]
    return name


def _record(name: str, status: JobStatus) -> bytes:
    return encode_job(JobMessage(Meta(name, status=status), Job("task")))


async def _is_cut(hand: Hand, one: Settlement, after: int) -> bool:
    """Send a settlement that is cut off after so many exchanges; whether it was."""
    driver: Any = hand.lease._driver
    real, left = driver.exchange, [after]

    async def exchange(commands: Any, patience: float = 0.0) -> Any:
        if left[0] == 0:
            raise BackendUnavailable("killed")
        left[0] -= 1
        return await real(commands, patience)

    driver.exchange = exchange
    try:
        await hand.lease.settle(hand.queue, [one])
    except BackendUnavailable:
        return True
    finally:
        driver.exchange = real
    return False


@pytest.mark.parametrize("retries", [False, True], ids=["child", "retry"])
async def test_what_a_job_released_keeps_its_own_end_though_the_job_runs_again(
    hand: Hand, *, retries: bool
) -> None:
    """A crash before the acknowledgement; what is released ends at once; then the job once more."""
    queue = hand.queue if retries else "others"
    other = hand.store.lease(WorkerInfo(queues=(queue,)))
    assert other.beat()
    after, ended_before, cut = 0, 0, True
    while cut:
        after += 1
        name = f"job{after}"
        token = await hand.holds(name.encode())
        released = name if retries else f"child{after}"
        push = Push(queue, released, _record(released, JobStatus.QUEUED), released.encode())
        record = _record(name, JobStatus.RETRYING if retries else JobStatus.SUCCESSFUL)
        more: dict[str, Any] = {"again": push} if retries else {"pushes": (push,)}
        one = Settlement(token, name, record, **more)
        cut = await _is_cut(hand, one, after)
        had_ended = await _ends(hand, other, queue) == released
        if cut:
            # As after a kill -9: it was given back, and begins again.
            await hand.lease.mark(
                hand.queue, [Mark(token, name, _record(name, JobStatus.PROCESSING))]
            )
            assert await hand.lease.settle(hand.queue, [one]) == [Answer.APPLIED]
        if not had_ended:
            assert await _ends(hand, other, queue) == released
        assert await _ends(hand, other, queue) == ""
        ended_before += cut and had_ended
        (found,) = await hand.store.perform(Read([f"job:msg:{released}"]))
        assert decode_job(found).status == JobStatus.SUCCESSFUL, after
    assert ended_before
    await other.end(queue)


async def test_a_run_that_comes_to_another_end_releases_what_follows_from_that(hand: Hand) -> None:
    token, after = await hand.holds(), 0
    while not hand.waiting():
        after += 1
        assert await _is_cut(hand, ended(token, pushes=(CHILD,)), after)
    instead = Push("other", "instead", b"queued", b"instead")
    failed = ended(token, listing="failed", pushes=(instead,))
    assert await hand.lease.settle(hand.queue, [failed]) == [Answer.APPLIED]
    assert hand.waiting() == [b"instead", b"child"]


async def test_a_retry_is_put_once(hand: Hand) -> None:
    token = await hand.holds()
    again = Push(hand.queue, "id", b"", b"successor", 5)
    one = Settlement(token, "id", b"retrying", again=again, result=b"saved")
    assert await hand.lease.settle(hand.queue, [one]) == [Answer.APPLIED]
    assert await hand.lease.settle(hand.queue, [one]) == [Answer.DECIDED]
    name = f"tasqueue:ss:{hand.queue}"
    assert hand.of(name, "ZRANGE", 0, -1) == [b"successor"]
    assert await hand.store.perform(Read(["id", "job:msg:id"])) == [b"saved", b"retrying"]
    assert await hand.lease.promote(hand.queue) is None
    assert hand.waiting(hand.queue) == [b"successor"]
    assert hand.of(name, "EXISTS") == 0


async def test_a_zombie_between_two_steps_releases_no_child_that_another_worker_released(
    hand: Hand,
) -> None:
    """It has seen that the job is its own, and stands still; others end the job; it goes on."""
    token = await hand.holds()
    keys = cluster_keys(hand.queue)
    late = settle(keys, hand.lease.worker_id, [ended(token)], now_ns=1)
    owned = await hand.store.run(_exchange(next(late)))
    assert await hand.lease.settle(hand.queue, [ended(token)]) == [Answer.APPLIED]
    assert await hand.store.run(_from(late, owned)) == [Answer.FENCED]
    assert hand.waiting() == [b"child"]


def _exchange(commands: Sequence[Command]) -> Steps[list[Any]]:
    return (yield commands)


def _from(steps: Steps[Any], replies: list[Any]) -> Steps[Any]:
    """Follow steps on from a point where these replies arrive."""
    try:
        commands = steps.send(replies)
        while True:
            commands = steps.send((yield commands))
    except StopIteration as end:
        return end.value


async def test_a_copy_is_acknowledged_only(hand: Hand) -> None:
    first = await hand.holds(b"same")
    await hand.store.perform(Submit([Push(hand.queue, "id2", b"queued", b"same")]))
    (second,) = await hand.lease.claim(hand.queue, 1)
    ends = [ended(token, once="sha") for token in (first, second.token)]
    assert await hand.lease.settle(hand.queue, ends[:1]) == [Answer.APPLIED]
    assert await hand.lease.settle(hand.queue, ends[1:]) == [Answer.DECIDED]
    assert hand.waiting() == [b"child"]
    assert await hand.lease.adopt(hand.queue) == []


async def test_a_worker_that_was_taken_for_dead_settles_and_marks_nothing(hand: Hand) -> None:
    token = await hand.holds()
    hand.of(f"tq:hb:{_tag(hand.queue)}", "DEL")
    hand.of(f"tq:if:{_tag(hand.queue)}:{hand.lease.worker_id}", "DEL")
    assert await hand.lease.settle(hand.queue, [ended(token)]) == [Answer.FENCED]
    await hand.lease.mark(hand.queue, [Mark(token, "id", b"processing")])
    assert hand.waiting() == []
    assert await hand.store.perform(Read(["job:msg:id"])) == [b"queued"]


async def test_a_wrong_type_at_a_key_leaves_the_job_held_and_the_others_go_on(hand: Hand) -> None:
    bad = await hand.holds(b"bad")
    good = await hand.holds(b"good")
    hand.of("other", "SET", "a string")
    ends = [ended(bad), ended(good, pushes=())]
    assert await hand.lease.settle(hand.queue, ends) == [Answer.BAD_KEY, Answer.APPLIED]
    assert [claim.token for claim in await hand.lease.adopt(hand.queue)] == [bad]
    hand.of("other", "DEL")
    assert await hand.lease.settle(hand.queue, ends) == [Answer.APPLIED, Answer.DECIDED]
    assert hand.waiting() == [b"child"]


async def test_marks_dead_letters_and_ttls(hand: Hand) -> None:
    token = await hand.holds()
    await hand.lease.mark(hand.queue, [Mark(token, "id", b"processing")])
    assert await hand.store.perform(Read(["job:msg:id"])) == [b"processing"]
    one = ended(token, dead="why", ttl_ms=60_000, result=None, pushes=(), listing="failed")
    await hand.store.perform(Write("id", b"of an earlier attempt"))
    assert await hand.lease.settle(hand.queue, [one]) == [Answer.APPLIED]
    assert hand.of(f"tq:dl:{_tag(hand.queue)}", "ZRANGE", 0, -1) == [b"message"]
    for key in ("tq:res:id", "tq:res:job:msg:id"):
        assert 0 < hand.of(key, "PTTL") <= (900_000 if "msg" in key else 60_000)


# -- slots that move, servers that go ------------------------------------------------------------


@pytest.mark.parametrize("queue", [PLAIN, TAGGED])
async def test_jobs_go_on_while_a_slot_moves_and_none_is_lost_or_doubled(
    queue: str, servers: Cluster
) -> None:
    target = next(node for node in servers.nodes if node is not servers.of(queue))
    async with fleet(servers.url, queue) as f:
        await f.does("before")
        for number in range(20):
            await f.send(f"{number}")
        servers.begin_move(queue, target)
        sending = [asyncio.create_task(_sent(f, f"while {number}")) for number in range(10)]
        await asyncio.sleep(0)
        await asyncio.to_thread(servers.end_move, queue, target)
        await asyncio.gather(*sending)
        await f.does("after")
        await until(lambda: len(f.done) >= 32, "all jobs")
    assert sorted(f.done) == sorted(
        ["before", "after", *(f"{n}" for n in range(20)), *(f"while {n}" for n in range(10))]
    )
    assert servers.of(queue) is target


async def _sent(f: Fleet, text: str) -> None:
    """Send until it is taken, as one call; a try whose answer was lost counts once."""
    push, again = prepare(Job("note", text.encode(), JobOpts(queue=f.queue))), False
    store = await f.producer.open()
    while True:
        try:
            await store.perform(Submit([push], again=again))
        except BackendUnavailable:
            again = True
            await asyncio.sleep(0.02)
        else:
            return


def _refused(servers: Cluster) -> int:
    """How often a server has said that some keys of a call are here and some are not."""
    told = [servers.ask(node, "INFO", "errorstats") for node in servers.nodes]
    return sum(told_by.get("errorstat_TRYAGAIN", {}).get("count", 0) for told_by in told)


@pytest.mark.parametrize("awaited", [True, False])
async def test_a_send_while_a_slot_moves_is_tried_again_by_itself(
    servers: Cluster, store: ClusterStore, *, awaited: bool
) -> None:
    target = next(node for node in servers.nodes if node is not servers.of(PLAIN))
    await store.perform(Submit([Push(PLAIN, "a", b"record", b"a")]))
    servers.begin_move(PLAIN, target)
    before = _refused(servers)
    request = Submit([Push(PLAIN, "b", b"record", b"b")])
    if awaited:
        sending = asyncio.create_task(store.perform(request))
    else:
        sending = asyncio.create_task(asyncio.to_thread(_blocking, store, request))
    await until(lambda: _refused(servers) > before, "its first try")
    await asyncio.to_thread(servers.end_move, PLAIN, target)
    assert await sending == [True]
    assert servers.ask(target, "LRANGE", PLAIN, 0, -1) == [b"b", b"a"]


def _blocking(store: ClusterStore, request: Submit) -> Any:
    try:
        return store.perform_blocking(request)
    finally:
        store.close()


def test_what_waited_too_early_waits_again() -> None:
    late = BackendUnavailable("TRYAGAIN", "TRYAGAIN")
    sent = [command("FCALL", "x"), command("SET", "a", ""), command("WAIT", 1, 1)]
    assert delayed(sent, [late, b"OK", 1]) == [0, 1, 2]
    assert delayed(sent, [1, b"OK", 1]) == []
    assert delayed(sent[:2], [1, late]) == [1]


async def test_a_worker_waits_for_a_server_that_is_away(caplog: pytest.LogCaptureFixture) -> None:
    with cluster() as servers:
        node = servers.of(PLAIN)
        async with fleet(servers.url, PLAIN) as f:
            await f.does("before")
            node.pause()
            with pytest.raises(BackendUnavailable):
                await f.send("refused")
            node.resume()
            await until(lambda: b"cluster_state:ok" in servers.ask(node, "CLUSTER", "INFO"), "it")
            await _sent(f, "after")
            await until(lambda: "after" in f.done, "the job after it")
    assert "Traceback" not in caplog.text


async def test_a_job_that_a_replica_confirmed_survives_its_primary_and_workers_go_on() -> None:
    with cluster() as servers, cluster_node() as replica:
        primary = servers.of(PLAIN)
        opts: Any = {"durability": "replica", "queue": PLAIN}
        with App(servers.url) as app:
            with pytest.raises(EnqueueUnconfirmed) as caught:
                await app.using(**opts).asend("note", text="a")
            servers.add_replica(replica, primary)
            again = await app.using(**opts, id=caught.value.job_id).asend("note", text="a")
            assert again.id == caught.value.job_id
            sent = [await app.using(**opts).asend("note", text=f"{n}") for n in range(20)]
            primary.kill()
            servers.nodes.remove(primary)
            await until(lambda: servers.of(PLAIN) is replica, "the failover")
            assert len(servers.ask(replica, "LRANGE", PLAIN, 0, -1)) == 21
            async with fleet(servers.url.replace(f",127.0.0.1:{replica.port}", ""), PLAIN) as f:
                await until(lambda: len(f.done) == 21, "all jobs")
            for job in sent:  # this app still believes in the old primary
                assert await job.astatus() == "successful"
            await app.aclose()


async def test_a_repeat_by_another_process_leaves_what_became_of_the_job_alone(
    store: ClusterStore, servers: Cluster
) -> None:
    """Nothing tells that process that it is one: with a durability every call may be one."""
    other = store_at(Address.from_url(servers.url))
    request = Submit([Push("q", "a", b"record", b"A", call="a's", durability="replica")])
    with pytest.raises(EnqueueUnconfirmed):
        await store.perform(request)
    await store.perform(Write("job:msg:a", b"ended"))
    with pytest.raises(EnqueueUnconfirmed):
        await other.perform(request)
    assert await store.perform(Read(["job:msg:a"])) == [b"ended"]
    assert servers.ask(servers.of("q"), "LLEN", "q") == 1
    await other.aclose()


async def test_a_call_that_was_not_answered_is_the_same_call_when_its_id_is_sent_again(
    store: ClusterStore, servers: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    exchange = store._async.exchange

    async def unanswered(commands: Sequence[Command], patience: float = 0.0) -> list[Any]:
        replies = await exchange(commands, patience)
        if any(one.script for one in commands):
            raise BackendUnavailable("no answer")
        return replies

    monkeypatch.setattr(store._async, "exchange", unanswered)
    push = Push("q", "mine", b"record", b"A", call="first")
    with pytest.raises(BackendUnavailable) as caught:
        await store.perform(Submit([push]))
    assert caught.value.in_doubt
    monkeypatch.undo()
    await store.perform(Write("job:msg:mine", b"ended"))
    assert await store.perform(Submit([push._replace(call="second")])) == [False]
    assert await store.perform(Read(["job:msg:mine"])) == [b"ended"]
    assert servers.ask(servers.of("q"), "LLEN", "q") == 1


async def test_a_worker_outlives_the_failover_of_a_server(caplog: pytest.LogCaptureFixture) -> None:
    with cluster() as servers, cluster_node() as replica:
        primary = servers.of(PLAIN)
        servers.add_replica(replica, primary)
        async with fleet(servers.url, PLAIN) as f:
            await f.does("before")
            primary.kill()
            servers.nodes.remove(primary)
            await until(lambda: servers.of(PLAIN) is replica, "the failover")
            await _sent(f, "after")
            await until(lambda: "after" in f.done, "the job after it")
    assert "Traceback" not in caplog.text
