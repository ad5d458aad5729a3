"""What the scripts of groups keep true by themselves; see tests/stateful for all together."""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasqueue.core.errors import BackendError, BackendRejected, WrongType
from tasqueue.core.group import ARROW, Membership
from tasqueue.core.job import Job, JobMessage, JobOpts, JobStatus, Meta
from tasqueue.core.lifecycle import closes, member, membership
from tasqueue.core.ports import Answer, GroupResults, OpenGroup, Push, Settlement, Submit
from tasqueue.core.wire import decode_job, encode_job
from tasqueue.drivers.redis import Address
from tasqueue.drivers.redis.blocking import BlockingDriver
from tasqueue.drivers.redis.command import MAX_BYTES, MAX_ITEMS, Command
from tasqueue.drivers.redis.group import Member, Sweeper, open_group, sweep
from tasqueue.drivers.redis.keys import queue_keys
from tasqueue.drivers.redis.request import KeepOpts, steps_of
from tasqueue.drivers.redis.settlement import settle
from tests.servers import Valkey, valkey

Q = "q"
KEYS = queue_keys(Q)
G = "tq:gp:{g}"
KEEP = KeepOpts(expiry_ms=60_000)


def push(job_id: str, queue: str = Q, due_ns: int | None = None) -> Push:
    body = encode_job(JobMessage(Meta(job_id, queue=queue), Job("task")))
    return Push(queue, job_id, body, body, due_ns)


def opening(*members: str, **options: Any) -> OpenGroup:
    paths = [one.split(">") for one in members]
    given = {"on_success": push("ok", "after"), "on_error": None} | options
    return OpenGroup("g", paths, **given)


class Redis:
    """The scripts, and what is really there."""

    def __init__(self, driver: BlockingDriver, client: Any) -> None:
        self.driver = driver
        self.client = client
        self._turns = itertools.count(1)
        client.hset(KEYS.beats, "w", 1)

    def open(self, *members: str, **options: Any) -> None:
        self.driver.run(open_group(opening(*members, **options), 60_000))

    def submit(self, *job_ids: str, seals: Sequence[str] = ("g",), again: bool = False) -> None:
        request = Submit([push(one) for one in job_ids], again=again, seals=seals)
        self.driver.run(steps_of(request, KEEP))

    def end(
        self, job_id: str, *, error: str = "", closing: str = "", place: int | None = None
    ) -> Answer:
        token = f"{next(self._turns)}:t"
        self.client.hset(KEYS.held("w"), token, b"raw")
        status = JobStatus.FAILED if error else JobStatus.SUCCESSFUL
        record = encode_job(JobMessage(Meta(job_id, status=status, prev_err=error), Job("task")))
        made = Settlement(token, job_id, record, listing="failed" if error else "success")
        made.result, made.ttl_ms, made.closes = None if error else b"1", 60_000, closing
        made.member = None if closing else Membership("g", place)
        (answer,) = self.driver.run(settle(KEYS, "w", [made], now_ns=1))
        return answer

    def go_ends(self, *job_ids: str, error: str = "") -> None:
        """A Go worker tells nobody."""
        status = JobStatus.FAILED if error else JobStatus.SUCCESSFUL
        record = encode_job(JobMessage(Meta("x", status=status, prev_err=error), Job("task")))
        with self.client.pipeline(transaction=False) as pipe:
            for job_id in job_ids:
                pipe.set(f"tq:res:job:msg:{job_id}", record)
                if not error:
                    pipe.set(f"tq:res:{job_id}", b"1")
            pipe.execute()

    def look(self) -> None:
        sweeper = Sweeper()
        while self.driver.run(sweeper.look()):
            pass

    def results(self) -> Any:
        return self.driver.run(steps_of(GroupResults("g"), KEEP))

    def status(self, job_id: str) -> str:
        return decode_job(self.client.get(f"tq:res:job:msg:{job_id}")).status


@pytest.fixture
def redis(driver: BlockingDriver, redis_client: Any) -> Redis:
    return Redis(driver, redis_client)


# -- keys ----------------------------------------------------------------------------------------


def test_a_group_that_is_never_sealed_goes_by_itself(redis: Redis) -> None:
    redis.open("a", "b>c")
    redis.submit("a", seals=())
    redis.end("a")
    keys = {*redis.client.keys("tq:gp:*"), b"tq:res:job:msg:ok"}
    assert keys == {b"tq:gp:{g}" + part for part in (b"", b":m", b":p", b":r")} | {
        b"tq:res:job:msg:ok"
    }
    assert all(0 < redis.client.ttl(key) <= 86_400 for key in keys)


def test_a_sealed_group_stays_until_its_callback_has_ended(redis: Redis) -> None:
    redis.open("a", "b>c")
    redis.submit("a", "b")
    redis.end("a")
    keys = {*redis.client.keys("tq:gp:*"), b"tq:res:job:msg:ok"}
    assert len(keys) == 6
    assert {redis.client.ttl(key) for key in keys} == {-1}
    redis.end("c", place=1)
    assert {redis.client.ttl(key) for key in redis.client.keys("tq:gp:*")} == {-1}
    redis.end("ok", closing="g")
    assert redis.client.keys("tq:gp:*") == [G.encode()]
    assert 0 < redis.client.ttl(G) <= 900


@pytest.mark.parametrize("part", ["", ":m", ":p", ":f", ":r", "tq:gp:open", "after", "failed"])
def test_a_key_of_the_wrong_type_is_found_before_anything_is_written(
    redis: Redis, part: str
) -> None:
    key = {"tq:gp:open": part, "after": part, "failed": "tq:res:failed"}.get(part, G + part)
    redis.open("a", "b")
    redis.submit("a", "b")
    redis.client.delete(key)
    redis.client.set(key, "something else")
    before = {name: redis.client.dump(name) for name in redis.client.keys("*")}
    assert redis.end("a") == Answer.BAD_KEY
    assert redis.client.hlen(KEYS.held("w")) == 1
    redis.client.delete(KEYS.held("w"))
    with pytest.raises(WrongType):
        redis.submit("c")
    with pytest.raises(WrongType):
        redis.driver.run(steps_of(opening("a", "b"), KEEP))
    with pytest.raises(WrongType):
        redis.driver.run(_only(sweep("g", [Member("a", failed=False, saved=b"1")])))
    assert {name: redis.client.dump(name) for name in redis.client.keys("*")} == before


def _only(command: Command) -> Any:
    replies = yield (command,)
    if isinstance(replies[0], BackendError):
        raise replies[0]
    return replies[0]


def test_a_group_that_is_not_open_cannot_be_sealed_nor_go_on_in_the_middle(redis: Redis) -> None:
    with pytest.raises(BackendRejected, match="not open"):
        redis.submit("a")
    assert redis.client.llen(Q) == 0
    chunks = open_group(opening(*map(str, range(MAX_ITEMS + 1))), 0)
    next(chunks)
    second = chunks.send([MAX_ITEMS])
    with pytest.raises(BackendRejected, match="members are missing"):
        redis.driver.run(_only(second[0]))
    assert redis.client.keys("tq:gp:*") == []


def test_a_full_server_refuses_new_groups_and_ends_open_ones() -> None:
    with valkey() as server, server.client() as client:
        driver = BlockingDriver(Address.from_url(server.url))
        redis = Redis(driver, client)
        redis.open("a")
        redis.submit("a")
        client.config_set("maxmemory", 1)
        with pytest.raises(BackendError, match="OOM"):
            redis.driver.run(open_group(OpenGroup("h", [["a"]], push("k"), None), 0))
        client.config_set("maxmemory", 0)
        client.hset(KEYS.held("w"), "9:t", b"raw")
        client.config_set("maxmemory", 1)
        made = Settlement("9:t", "a", push("a").record, listing="success", result=b"1")
        made.member = Membership("g")
        assert driver.run(settle(KEYS, "w", [made], now_ns=1)) == [Answer.APPLIED]
        assert client.llen("after") == 1
        driver.close()


# -- chunks --------------------------------------------------------------------------------------


@settings(max_examples=10)
@given(lost=st.lists(st.integers(0, 4), max_size=4))
def test_a_producer_that_begins_anew_adds_no_member_twice(
    valkey_server: Valkey, lost: list[int]
) -> None:
    names = [f"m{at}" for at in range(2_050)]
    driver = BlockingDriver(Address.from_url(valkey_server.url))
    with valkey_server.client() as client:
        client.flushall()
        redis = Redis(driver, client)
        for chunks in lost:
            steps = open_group(opening(*names), 0)
            commands = next(steps)
            for _ in range(chunks):
                commands = steps.send(driver.run(_raw(commands)))
        redis.open(*names)
        assert client.lrange(f"{G}:m", 0, -1) == [name.encode() for name in names]
        assert client.scard(f"{G}:p") == len(names)
        client.flushall()
    driver.close()


def _raw(commands: Sequence[Command]) -> Any:
    return (yield commands)


def _opening_calls(names: Sequence[str]) -> Iterator[list[str]]:
    """The members in each call that opens a group."""
    steps: Iterator[Any] = iter(open_group(opening(*names), 0))
    (command,) = next(steps)
    while True:
        args = command.args[4:]
        members = [str(arg) for arg in args[4 + int(args[3]) :]]
        yield members
        try:
            (command,) = steps.send([len(members)])  # type: ignore[attr-defined]
        except StopIteration:
            return


@settings(max_examples=20)
@given(lengths=st.lists(st.integers(1, 40_000), min_size=1, max_size=60), more=st.integers(0, 1200))
def test_no_call_has_too_many_members_or_more_than_a_mebibyte(
    lengths: list[int], more: int
) -> None:
    names = [f"{'x' * length}{at}" for at, length in enumerate([*lengths, *[9] * more])]
    calls = list(_opening_calls(names))
    assert all(len(members) <= MAX_ITEMS for members in calls)
    assert all(sum(map(len, members)) <= MAX_BYTES for members in calls)
    assert [name for members in calls for name in members] == names


@settings(max_examples=20)
@given(links=st.lists(st.integers(1, 200), min_size=1, max_size=40))
def test_a_chain_counts_in_a_call_as_its_jobs(links: list[int]) -> None:
    # Each job of it is looked at: 500 chains of 60 jobs held a server for 90 ms.
    names = [ARROW.join(f"{at}-{link}" for link in range(count)) for at, count in enumerate(links)]
    calls = list(_opening_calls(names))
    assert all(sum(name.count(ARROW) + 1 for name in members) <= MAX_ITEMS for members in calls)
    assert [name for members in calls for name in members] == names


# -- callbacks -----------------------------------------------------------------------------------


def test_a_callback_with_an_eta_waits_in_the_scheduled_set(redis: Redis) -> None:
    redis.open("a", on_success=push("ok", "after", 5_000_000_000))
    redis.submit("a")
    redis.end("a")
    assert redis.client.zscore("tasqueue:ss:after", push("ok", "after").body) == 5e9
    assert redis.client.llen("after") == 0


def test_a_callback_that_cannot_come_is_listed_as_failed_and_expires(redis: Redis) -> None:
    redis.open("a")
    redis.submit("a")
    redis.end("a", error="oh")
    assert redis.status("ok") == JobStatus.FAILED
    assert 0 < redis.client.pttl("tq:res:job:msg:ok") <= 60_000
    assert redis.client.zscore("tq:res:failed", "ok") > 1e18
    assert redis.client.llen("after") == 0
    assert 0 < redis.client.ttl(G) <= 900
    assert redis.results() is None


# -- the sweep -----------------------------------------------------------------------------------


def test_a_sweep_finds_what_go_ended_and_closes_what_go_called(redis: Redis) -> None:
    redis.open("a", "b>c", "d>e")
    redis.submit("a", "b", "d")
    redis.go_ends("a")
    redis.go_ends("b")
    redis.look()
    assert redis.client.smembers(f"{G}:p") == {b"b>c", b"d>e"}
    redis.go_ends("c")
    redis.go_ends("d")
    redis.go_ends("e")
    redis.look()
    assert redis.client.llen("after") == 1
    assert redis.results() == [b"1", b"1", b"1"]
    redis.look()
    assert redis.client.sismember("tq:gp:open", "g")
    redis.go_ends("ok")
    redis.look()
    assert not redis.client.exists("tq:gp:open")
    assert redis.results() is None


def test_a_sweep_takes_no_earlier_life_of_a_job_for_its_end(redis: Redis) -> None:
    redis.go_ends("a", "b", "c")
    redis.open("a", "b>c")
    redis.submit("a", "b")
    redis.look()
    assert redis.client.lrange(Q, 0, -1) == [push("b").body, push("a").body]
    assert redis.results() == [None, None]


def test_a_sweep_takes_no_record_for_an_end_that_it_cannot_read(redis: Redis) -> None:
    redis.open("a")
    redis.submit("a")
    redis.client.set("tq:res:job:msg:a", b"\xff no message")
    redis.look()
    assert redis.client.scard(f"{G}:p") == 1


def test_a_sweep_forgets_a_group_that_somebody_deleted(redis: Redis) -> None:
    redis.open("a")
    redis.submit("a")
    redis.client.delete(G, f"{G}:m", f"{G}:p")
    redis.look()
    assert not redis.client.exists("tq:gp:open")


def test_one_look_is_bounded_and_the_next_goes_on(redis: Redis) -> None:
    names = [f"m{at}" for at in range(6_000)]
    redis.open(*names)
    redis.submit(*names)
    redis.go_ends(*names)
    sweeper = Sweeper()
    assert redis.driver.run(sweeper.look())
    assert 2_000 <= 6_000 - redis.client.scard(f"{G}:p") <= 3_500
    while redis.driver.run(sweeper.look()):
        pass
    assert redis.client.llen("after") == 1


# -- where a job belongs, as its message says ----------------------------------------------------


@given(group_id=st.text(min_size=1), place=st.none() | st.integers(0, 2**32 - 1))
def test_a_job_says_where_it_belongs_and_go_skips_it(group_id: str, place: int | None) -> None:
    job = Job("task", opts=JobOpts(id="a"))
    member(job, Membership(group_id, place))
    again = decode_job(encode_job(JobMessage(Meta("a"), job))).job
    assert membership(again) == Membership(group_id, place)


@given(what=st.none() | st.integers() | st.text() | st.lists(st.integers() | st.text(), max_size=3))
def test_a_hint_that_is_none_is_none(what: Any) -> None:
    job = Job("task", ext={"m": what, "g": what})
    found = membership(job)
    assert found is None or [part for part in found if part is not None] == what
    assert closes(job) == (what if isinstance(what, str) else "")


# -- a producer that dies, or hears no answer ----------------------------------------------------


@pytest.mark.parametrize("cut", [7, 21, 30, 41, 42])
@pytest.mark.parametrize("done", [True, False])
def test_a_producer_that_dies_between_two_calls_leaves_a_group_that_never_calls_back(
    redis: Redis, cut: int, *, done: bool
) -> None:
    """The members take 21 calls to open and 21 to send; the last one seals.

    ``done``: the call after the cut arrives too, and nobody hears its answer.
    """
    names = [f"m{at}" for at in range(21 * MAX_ITEMS)]
    pushes = [push(name) for name in names]
    left = cut
    for steps in (open_group(opening(*names), 0), submission(pushes)):
        left = _some(redis.driver, steps, left, done=done)
    sealed = cut == 42 or (cut == 41 and done)
    sent = [decode_job(body).id for body in redis.client.lrange(Q, 0, -1)]
    assert len(sent) == MAX_ITEMS * min(max(cut - 21 + done, 0), 21)
    redis.go_ends(*sent)
    redis.look()
    assert redis.client.llen("after") == sealed
    # Whoever sends everything again, after a lost answer, gets one callback in all.
    redis.open(*names)
    redis.driver.run(submission(pushes, again=True))
    redis.go_ends(*set(names) - set(sent))
    redis.look()
    assert redis.client.llen("after") == 1


def submission(pushes: Sequence[Push], *, again: bool = False) -> Any:
    return steps_of(Submit(pushes, again=again, seals=["g"]), KEEP)


def _some(driver: BlockingDriver, steps: Any, calls: int, *, done: bool) -> int:
    """Make so many calls, or with ``done`` one more; returns how many are left, -1 if cut."""
    commands = next(steps, None)
    while commands is not None:
        if calls <= 0:
            if calls == 0 and done:
                driver.run(_raw(commands))
            return -1
        calls -= 1
        try:
            commands = steps.send(driver.run(_raw(commands)))
        except StopIteration:
            break
    return calls
