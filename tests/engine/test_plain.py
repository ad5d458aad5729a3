"""Back ends that keep the public Protocols and nothing more, and pairs of different back ends."""

import asyncio
from collections import Counter, defaultdict, deque
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tasqueue import (
    Broker,
    Chain,
    Group,
    Job,
    JobContext,
    JobOpts,
    Results,
    Server,
    ServerOpts,
    TaskOpts,
    Unsupported,
)
from tasqueue.brokers import MemoryBroker
from tasqueue.brokers.redis_broker import RedisBroker
from tasqueue.core.errors import BackendUnavailable
from tasqueue.core.ports import (
    Answer,
    GroupResults,
    Mark,
    Parked,
    Push,
    Settlement,
    Submit,
    WorkerInfo,
    Workers,
)
from tasqueue.drivers.memory import MemoryStore
from tasqueue.engine.pair import join
from tasqueue.engine.plain import DEAD, PlainBroker, PlainResults
from tasqueue.results import MemoryResults
from tasqueue.results.redis_results import RedisResults
from tests.contract.broker_contract import BrokerContract
from tests.contract.results_contract import ResultsContract
from tests.engine.rig import TurnedClock, until

Q = "plain"


class ToyDelivery:
    def __init__(self, held: dict[int, bytes], number: int) -> None:
        self._held, self._number = held, number
        self.body = held[number]

    async def ack(self) -> None:
        self._held.pop(self._number, None)


class ToyBroker:
    """As little as a third party may write."""

    def __init__(self) -> None:
        self.queues: defaultdict[str, deque[bytes]] = defaultdict(deque)
        self.later: list[tuple[datetime, str, bytes]] = []
        self.fails: Counter[str] = Counter()
        self.acked = 0

    async def enqueue(self, message: bytes, queue: str) -> None:
        if self.fails["enqueue"]:
            self.fails["enqueue"] -= 1
            raise BackendUnavailable("enqueue failed on command")
        self.queues[queue].append(message)

    async def enqueue_scheduled(self, message: bytes, queue: str, at: datetime) -> None:
        self.later.append((at, queue, message))

    async def consume(self, queue: str) -> AsyncIterator[ToyDelivery]:
        held: dict[int, bytes] = {}
        number = 0
        try:
            while True:
                if self.fails["consume"]:
                    self.fails["consume"] -= 1
                    raise BackendUnavailable("consume failed on command")
                self._promote(queue)
                if not self.queues[queue]:
                    await asyncio.sleep(0.002)
                    continue
                number += 1
                held[number] = self.queues[queue].popleft()
                yield ToyDelivery(held, number)
        finally:
            self.queues[queue].extendleft(reversed(held.values()))

    async def get_pending(self, queue: str) -> list[bytes]:
        return list(reversed(self.queues[queue]))

    def _promote(self, queue: str) -> None:
        due = sorted(one for one in self.later if one[0] <= datetime.now(UTC) and one[1] == queue)
        for one in due:
            self.later.remove(one)
            self.queues[queue].append(one[2])


class ToyResults:
    def __init__(self) -> None:
        self.data: dict[str, bytes] = {}
        self.lists: dict[str, list[str]] = {"success": [], "failed": []}

    async def get(self, name: str) -> bytes | None:
        return self.data.get(name)

    async def set(self, name: str, data: bytes) -> None:
        self.data[name] = data

    async def delete_job(self, job_id: str) -> None:
        for name in (job_id, f"job:msg:{job_id}"):
            self.data.pop(name, None)
        for listed in self.lists.values():
            if job_id in listed:
                listed.remove(job_id)

    async def set_success(self, job_id: str) -> None:
        self._put("success", job_id)

    async def set_failed(self, job_id: str) -> None:
        self._put("failed", job_id)

    async def get_success(self) -> list[str]:
        return list(self.lists["success"])

    async def get_failed(self) -> list[str]:
        return list(self.lists["failed"])

    def _put(self, name: str, job_id: str) -> None:
        if job_id in self.lists[name]:
            self.lists[name].remove(job_id)
        self.lists[name].insert(0, job_id)


class TestToyBroker(BrokerContract):
    """The toy is a broker, so what fails below is not its fault."""

    @pytest.fixture
    def broker(self) -> Broker:
        return ToyBroker()


class TestToyResults(ResultsContract):
    @pytest.fixture
    def results(self) -> Results:
        return ToyResults()


class Site:
    """A server over a pair, at work."""

    def __init__(self, broker: Any, results: Any) -> None:
        self.broker, self.results = broker, results
        self.runs: Counter[str] = Counter()
        self.server = Server(ServerOpts(broker=broker, results=results, clock=TurnedClock()))
        self.gate = asyncio.Event()

    async def start(self) -> None:
        async def adds(payload: bytes, ctx: JobContext) -> None:
            self.runs[ctx.id] += 1
            before = int(ctx.meta.prev_job_result or b"0")
            await ctx.save(str(before + int(payload or b"0")).encode())

        async def unlucky(payload: bytes, ctx: JobContext) -> None:
            self.runs[ctx.id] += 1
            if ctx.attempt == 1:
                raise ValueError("unlucky")

        async def gated(payload: bytes, ctx: JobContext) -> None:
            self.runs[ctx.id] += 1
            await self.gate.wait()

        for handler in (adds, unlucky, gated):
            await self.server.register_task(handler.__name__, handler, TaskOpts(queue=Q))
        self.task = asyncio.create_task(self.server.start())

    async def stop(self) -> None:
        self.gate.set()
        await self.server.stop()
        await self.task
        for face in (self.broker, self.results):
            if hasattr(face, "close"):
                await face.close()

    async def send(self, task: str, payload: bytes = b"", **opts: Any) -> str:
        return await self.server.enqueue(Job.create(task, payload, JobOpts(queue=Q, **opts)))

    async def ended(self, job_id: str) -> str:
        async def status() -> str:
            found = (await self.server.get_job(job_id)).status
            return found if found in {"successful", "failed"} else ""

        return str(await until(status))


PAIRS = ["toy+toy", "toy+memory", "memory+toy", "toy+redis", "redis+toy", "memory+redis"]


def _face(kind: str, url: str, *, broker: bool) -> Any:
    if kind == "toy":
        return ToyBroker() if broker else ToyResults()
    if kind == "memory":
        return MemoryBroker() if broker else MemoryResults()
    return RedisBroker.from_url(url) if broker else RedisResults.from_url(url)


@pytest.fixture(params=PAIRS)
async def site(request: pytest.FixtureRequest) -> AsyncIterator[Site]:
    broker, results = request.param.split("+")
    url = request.getfixturevalue("redis_url") if "redis" in request.param else ""
    made = Site(_face(broker, url, broker=True), _face(results, url, broker=False))
    await made.start()
    yield made
    await made.stop()


async def test_any_pair_runs_jobs_retries_chains_and_groups(site: Site) -> None:
    name = await site.send("adds", b"2")
    assert await site.ended(name) == "successful"
    assert await site.server.get_result(name) == b"2"
    retried = await site.send("unlucky", max_retries=1)
    assert await site.ended(retried) == "successful"
    assert site.runs == {name: 1, retried: 2}
    failed = await site.send("unlucky")
    assert await site.ended(failed) == "failed"
    jobs = [Job.create("adds", b"3", JobOpts(id=f"link{n}", queue=Q)) for n in range(3)]
    chain = await site.server.enqueue_chain(Chain.create(jobs))

    async def chained() -> bool:
        return (await site.server.get_chain(chain)).meta.status == "successful"

    await until(chained)
    assert await site.server.get_result("link2") == b"9"
    members = [Job.create("adds", b"1", JobOpts(queue=Q)) for _ in range(30)]
    group = await site.server.enqueue_group(Group.create(members))

    async def grouped() -> bool:
        return (await site.server.get_group(group)).meta.status == "successful"

    await until(grouped)
    assert await site.server.get_failed() == [failed]
    assert len(await site.server.get_success()) == 35


async def test_any_pair_keeps_time_and_leaves_nothing_pending(site: Site) -> None:
    past = await site.send("adds", b"1", eta=datetime.now(UTC) - timedelta(hours=1))
    soon = await site.send("adds", b"2", eta=datetime.now(UTC) + timedelta(seconds=0.1))
    for name in (past, soon):
        assert await site.ended(name) == "successful"
    assert await site.server.get_pending(Q) == []
    assert await site.server.get_pending_count(Q) == 0


async def test_any_pair_gives_back_what_was_not_done_at_the_stop(site: Site) -> None:
    name = await site.send("gated")
    await until(lambda: site.runs[name])
    await site.server.stop(now=True)
    (waiting,) = await site.server.get_pending(Q)
    assert waiting.id == name
    assert await site.server.get_failed() == []


async def test_an_undecodable_message_is_kept_under_a_name_of_the_results() -> None:
    broker, results = ToyBroker(), ToyResults()
    site = Site(broker, results)
    await site.start()
    await broker.enqueue(b"\xc1", Q)
    (name,) = await until(lambda: [name for name in results.data if name.startswith(DEAD)])
    assert results.data[name].startswith(b"plain: ")
    assert results.data[name].endswith(b"\n\xc1")
    await site.stop()


# -- plain back ends ---------------------------------------------------------------------------


async def test_a_job_of_an_unknown_task_comes_again_until_it_is_known() -> None:
    broker, results = ToyBroker(), ToyResults()
    site = Site(broker, results)
    await site.start()
    await site.send("nobodys", b"1")
    ((at, _, _),) = await until(lambda: broker.later)
    assert at > datetime.now(UTC)
    broker.later = [(datetime.now(UTC), *rest) for _, *rest in broker.later]  # type: ignore[misc]

    async def known(payload: bytes, ctx: JobContext) -> None:
        site.runs["known"] += 1

    await site.server.register_task("nobodys", known, TaskOpts(queue=Q))
    await until(lambda: site.runs["known"])
    await site.stop()


async def test_a_consumer_that_fails_is_replaced() -> None:
    broker, results = ToyBroker(), ToyResults()
    site = Site(broker, results)
    broker.fails["consume"] = 2
    await site.start()
    assert await site.ended(await site.send("adds", b"1")) == "successful"
    await site.stop()


async def test_a_broker_that_blinks_while_a_job_releases_another_loses_neither() -> None:
    broker, results = ToyBroker(), ToyResults()
    site = Site(broker, results)
    await site.start()
    job = Job.create("gated", b"", JobOpts(queue=Q))
    job.on_success.append(Job.create("adds", b"1", JobOpts(id="child", queue=Q)))
    name = await site.server.enqueue(job)
    await until(lambda: site.runs[name])
    broker.fails["enqueue"] = 3
    site.gate.set()
    assert await site.ended(name) == "successful"
    await until(lambda: site.runs["child"])
    await site.stop()
    assert site.runs == {name: 1, "child": 1}


async def test_a_plain_half_says_what_it_cannot_do() -> None:
    broker, results = PlainBroker(ToyBroker(), ToyResults()), PlainResults(ToyResults())
    with pytest.raises(Unsupported, match="ToyBroker cannot do GroupResults"):
        await broker.perform(GroupResults("g"))
    with pytest.raises(Unsupported, match="ToyResults cannot do GroupResults"):
        await results.perform(GroupResults("g"))
    with pytest.raises(Unsupported, match="no jobs"):
        results.lease(WorkerInfo(queues=()))
    assert await broker.perform(Parked(Q, "t", "j")) is False
    assert await broker.perform(Workers(Q)) == []
    assert await broker.identity() != await results.identity()
    await broker.aclose()
    await results.aclose()


async def test_a_plain_lease_gives_back_what_it_did_not_acknowledge() -> None:
    toy = ToyBroker()
    lease = PlainBroker(toy, ToyResults()).lease(WorkerInfo(queues=(Q,)))
    for body in (b"a", b"b", b"c", b"d"):
        await toy.enqueue(body, Q)
    assert await lease.claim(Q, 0) == []
    (first,) = await lease.claim(Q, 9)
    (second,) = await lease.claim(Q, 9)
    assert [one.body for one in await lease.adopt(Q)] == [b"a", b"b"]
    assert await lease.release(Q, [second.token, "nobody's"]) == 1
    await lease.drop(Q, [first.token, first.token])
    await lease.park(Q, first.token, "t")
    await lease.bury(Q, first.token, "why")
    assert await lease.adopt(Q) == []
    (third,) = await lease.claim(Q, 1)
    assert third.body == b"c"
    await lease.wake()
    await lease.end(Q)
    await lease.end(Q)
    assert list(toy.queues[Q]) == [b"c", b"d", b"b"]
    assert (lease.beat(), lease.fenced, await lease.rescue(Q)) == (True, False, 0)
    assert (await lease.promote(Q), await lease.unpark(Q, ())) == (None, 0)
    assert not await lease.known_elsewhere("t")
    await lease.renew()
    assert len(lease.worker_id) == 16


async def test_a_waiting_plain_claim_can_be_woken() -> None:
    lease = PlainBroker(ToyBroker(), ToyResults()).lease(WorkerInfo(queues=(Q,)))
    claiming = asyncio.create_task(lease.claim(Q, 1))
    await asyncio.sleep(0)
    await lease.wake()
    assert await claiming == []
    await lease.end(Q)


async def test_a_plain_claim_waits_again_after_one_that_was_woken() -> None:
    toy = ToyBroker()
    lease = PlainBroker(toy, ToyResults()).lease(WorkerInfo(queues=(Q,)))
    claiming = asyncio.create_task(lease.claim(Q, 1))
    await asyncio.sleep(0)
    await lease.wake()
    assert await claiming == []
    await toy.enqueue(b"a", Q)
    empty = 0
    while not await lease.claim(Q, 1):
        empty += 1
    assert empty == 0, "claims that did not wait"
    await lease.end(Q)


# -- mixed pairs -------------------------------------------------------------------------------


async def test_a_pair_keeps_its_records_in_the_results_alone(
    redis_url: str, redis_client: Any
) -> None:
    site = Site(RedisBroker.from_url(redis_url), MemoryResults())
    await site.start()
    job = Job.create("unlucky", b"", JobOpts(queue=Q, max_retries=1))
    job.on_success.append(Job.create("adds", b"1", JobOpts(id="child", queue=Q)))
    await site.server.enqueue(job)
    await until(lambda: site.runs["child"])
    assert await site.ended("child") == "successful"
    await site.stop()
    assert redis_client.keys("tq:res:*") == []


class Restarting(MemoryStore):
    """One of two faces of a server that restarts, and so has another identity from then on."""

    def __init__(self, runs: list[str]) -> None:
        super().__init__()
        self._runs = runs

    async def identity(self) -> str:
        return self._runs.pop(0)


@pytest.mark.parametrize(
    ("left", "right", "one"),
    [
        (["a", "b", "b"], ["b", "b"], True),
        (["a", "a"], ["a"], True),
        (["a", "b", "c", "c"], ["b", "b", "c"], True),
        (["a", "a"], ["z"], False),
        (["a", "b", "b"], ["z", "z"], False),
    ],
)
async def test_a_server_that_restarts_while_it_is_asked_is_still_one_store(
    left: list[str], right: list[str], *, one: bool
) -> None:
    broker, results = MemoryBroker(Restarting(left)), MemoryResults(Restarting(right))
    assert (await join(broker, results) is results.store) is one


class Somewhere(Restarting):
    """One of two faces that were given a place, where one server or another answers."""

    def __init__(self, runs: list[str], place: str) -> None:
        super().__init__(runs)
        self._place = place

    def shares_place(self, other: object) -> bool:
        return isinstance(other, Somewhere) and self._place == other._place


@pytest.mark.parametrize(
    ("place", "right", "one"),
    [("main", "old", True), ("main", "new", True), ("other", "new", False), ("other", "old", True)],
)
async def test_who_was_given_the_same_place_is_one_store_whichever_server_answers(
    place: str, right: str, *, one: bool
) -> None:
    broker = MemoryBroker(Somewhere(["old", "old"], "main"))
    results = MemoryResults(Somewhere([right], place))
    assert (await join(broker, results) is results.store) is one


@pytest.mark.parametrize("kind", ["memory", "redis"])
async def test_a_push_that_is_sent_again_counts_once_in_a_pair(kind: str, redis_url: str) -> None:
    broker: Any = MemoryBroker() if kind == "memory" else RedisBroker.from_url(redis_url)
    store = await join(broker, MemoryResults())
    push = Push(Q, "a", b"record", b"message")
    assert await store.perform(Submit([push])) == [True]
    assert await store.perform(Submit([push], again=True)) == [False]
    assert await broker.get_pending(Q) == [b"message"]
    await broker.close()


async def cut_end(store: Any) -> tuple[Any, Settlement]:
    """A worker, and the end of a parent with a child that the store did not carry out whole."""
    await store.perform(Submit([Push(Q, "a", b"record", b"parent")]))
    lease = store.lease(WorkerInfo(queues=(Q,)))
    (claim,) = await lease.claim(Q, 1)
    child = Push(Q, "b", b"record", b"child")
    made = Settlement(claim.token, "a", b"ended", listing="success", pushes=[child])
    with pytest.raises(BackendUnavailable):
        await lease.settle(Q, [made])
    return lease, made


async def test_a_settlement_that_is_sent_again_releases_its_jobs_once() -> None:
    broker = MemoryBroker()

    class Failing(ToyResults):
        fails = 1

        async def set_success(self, job_id: str) -> None:
            if self.fails:
                self.fails -= 1
                raise BackendUnavailable("on command")
            await super().set_success(job_id)

    store = await join(broker, Failing())
    lease, made = await cut_end(store)
    assert await lease.settle(Q, [made]) == [Answer.APPLIED]
    assert await lease.settle(Q, [made]) == [Answer.DECIDED]
    assert await broker.get_pending(Q) == [b"child"]


async def test_a_settlement_that_is_sent_again_keeps_the_record_of_one_that_ended() -> None:
    class Failing(ToyResults):
        async def set_success(self, job_id: str) -> None:
            if job_id == "a" and not self.data["job:msg:b"].endswith(b"ended"):
                raise BackendUnavailable("on command")
            await super().set_success(job_id)

    results = Failing()
    store = await join(MemoryBroker(), results)
    lease, made = await cut_end(store)
    (claim,) = await lease.claim(Q, 1)
    end = Settlement(claim.token, "b", b"child has ended", listing="success")
    assert await lease.settle(Q, [end]) == [Answer.APPLIED]
    assert await lease.settle(Q, [made]) == [Answer.APPLIED]
    assert results.data == {"job:msg:a": b"ended", "job:msg:b": b"child has ended"}


async def test_a_pair_marks_only_what_is_still_held() -> None:
    results = ToyResults()
    store = await join(MemoryBroker(), results)
    await store.perform(Submit([Push(Q, "a", b"queued", b"m")]))
    lease = store.lease(WorkerInfo(queues=(Q,)))
    (claim,) = await lease.claim(Q, 1)
    await lease.mark(Q, [Mark(claim.token, "a", b"processing"), Mark("gone", "b", b"no")])
    assert results.data == {"job:msg:a": b"processing"}


async def test_a_pair_keeps_a_convicted_message_among_the_dead() -> None:
    broker = MemoryBroker()
    store = await join(broker, ToyResults())
    await store.perform(Submit([Push(Q, "a", b"queued", b"m")]))
    lease = store.lease(WorkerInfo(queues=(Q,)))
    (claim,) = await lease.claim(Q, 1)
    made = Settlement(claim.token, "a", b"ended", listing="failed", dead="it kills")
    assert await lease.settle(Q, [made]) == [Answer.APPLIED]
    assert broker.store.dead == [(Q, b"m", "it kills")]


async def test_two_faces_of_one_server_are_one_store_and_the_spare_connection_is_closed(
    redis_url: str,
) -> None:
    broker, results = RedisBroker.from_url(redis_url), RedisResults.from_url(redis_url)
    store = await join(broker, results)
    assert store is results.store
    await results.close()


async def test_the_advice_of_a_pair_is_that_of_both(redis_url: str) -> None:
    broker = RedisBroker.from_url(redis_url)
    store: Any = await join(broker, ToyResults())
    of_the_pair, *of_the_broker = await store.advice()
    assert of_the_pair.startswith("broker and results lie in two stores")
    assert of_the_broker == await broker.store.advice()
    assert (await store.identity()).startswith("redis ")
    await store.aclose()
