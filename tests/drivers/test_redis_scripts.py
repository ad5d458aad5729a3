"""What each script keeps true by itself; what they keep true together is in tests/stateful."""

import hashlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.exceptions import ResponseError

from tasqueue.core.blame import Blame
from tasqueue.core.errors import BackendRejected, BackendUnavailable, WrongType
from tasqueue.core.ports import Answer, Push, Settlement, Submit
from tasqueue.drivers.redis import solitude
from tasqueue.drivers.redis.blocking import BlockingDriver
from tasqueue.drivers.redis.command import MAX_ITEMS, Command, ask, call
from tasqueue.drivers.redis.holding import release
from tasqueue.drivers.redis.keys import queue_keys
from tasqueue.drivers.redis.request import KeepOpts, steps_of
from tasqueue.drivers.redis.script import FILLING, NAMES, script
from tasqueue.drivers.redis.settlement import finish, retry, settle
from tasqueue.drivers.redis.solitude import BUDGET
from tasqueue.drivers.redis.upkeep import _promote, reap

Q = "q"
K = queue_keys(Q)
FIRST = "1:t"
HELD, LANDING = K.held("w"), K.landing("w")


def do(driver: BlockingDriver, *commands: Command) -> Any:
    replies = driver.run(ask(*commands))
    return replies[0] if len(replies) == 1 else replies


def register(driver: BlockingDriver, worker: str = "w") -> None:
    assert do(driver, call("beat", (K.beats, K.workers), (worker, "1", "place"))) > 0


def claim(
    limit: int = 100, *, worker: str = "w", budget: int = BUDGET, alone: bool = True
) -> Command:
    return solitude.claim(K, worker, limit=limit, alone=alone, budget=budget)


def done(token: str = FIRST, **changes: Any) -> Settlement:
    given: dict[str, Any] = {"listing": "success", "result": b"result", "dead": "why"} | changes
    return Settlement(token, "id", b"record", **given)


def later(token: str = FIRST, due: int | None = None) -> Settlement:
    again = Push(Q, "id", b"record", b"successor", due)
    return Settlement(token, "id", b"record", again=again, result=b"saved")


CHILD = Push("other", "child", b"record", b"child")
LATE_CHILD = Push("other", "child", b"record", b"child", 1)

CALLS: dict[str, Callable[[], Command]] = {
    "beat": lambda: call("beat", (K.beats, K.workers), ("w", "1", "place")),
    "bury": lambda: call("bury", (HELD, K.dead, K.reasons), ("1:t", 1, "why")),
    "claim": claim,
    "claim a suspect": lambda: claim(worker="idle"),
    "claim beside others": lambda: claim(alone=False),
    "enqueue": lambda: call("enqueue", (Q, K.scheduled), ("", "id", "", "", "record", "raw")),
    "enqueue later": lambda: call(
        "enqueue", (Q, K.scheduled), ("", "id", "call", 1, "record", "raw")
    ),
    "enqueue many": lambda: call(
        "enqueue", (Q, K.scheduled), (0, *("id", "", "", "record", "raw"), *("b", "", 1, "r", "b"))
    ),
    "finish": lambda: finish(K, "w", [done()], now_ns=1),
    "finish with children": lambda: finish(K, "w", [done(pushes=[CHILD, LATE_CHILD])], now_ns=1),
    "group_add": lambda: call(
        "group_add", ("tq:gp:{g}", "tq:gp:{g}:m", "tq:gp:{g}:p"), (0, 2, "size", 1, "a")
    ),
    "mark": lambda: call("mark", (HELD,), ("1:t", "id", "record", "")),
    "park": lambda: call("park", (HELD, K.parked, K.parked_jobs("t")), ("1:t", "t")),
    "promote": lambda: call("promote", (K.scheduled, Q, K.suspects, K.convicts), (9, 9)),
    "reap": lambda: reap(K, "w", "exit"),
    "reap a child": lambda: reap(K, "w", "child", started=["1:t"]),
    "reap a lost host": lambda: reap(K, "w", "host", seen=b"1", whose=Blame.ANYBODY),
    "reap a suspect": lambda: reap(K, "v", "child", started=["s3:t"], whose=Blame.JOB),
    "release": lambda: release(K, "w", ["1:t", "s2:t"]),
    "retry": lambda: retry(K, "w", [later()]),
    "retry later": lambda: retry(K, "w", [later(due=1)]),
    "unpark": lambda: call("unpark", (K.parked_jobs("t"), K.parked, Q), ("t", 9, 9)),
}
"""Each script with arguments that make it write everything that it can."""

DYNAMIC = ("tq:res:success", "tq:res:failed", "other", "tasqueue:ss:other", K.scheduled)
"""Keys that are named by arguments, not among KEYS."""


def a_full_store(client: Any) -> None:
    """Something at every key, so that every script has something to do."""
    client.lpush(Q, "waiting")
    client.lpush("other", "waiting")
    client.lpush(LANDING, "landed")
    client.lpush(K.parked_jobs("t"), "parked")
    client.sadd(K.parked, "t")
    client.zadd(K.scheduled, {"due": 1})
    client.zadd("tasqueue:ss:other", {"due": 1})
    client.hset(HELD, mapping={"1:t": "held", "s2:t": "suspected"})
    client.hset(K.held("v"), "s3:t", "guilty")
    client.hset(K.beats, mapping={"w": 1, "v": 1, "idle": 1})
    client.lpush(K.suspects, "a suspect")
    client.hset(K.charges, "c" + hashlib.sha1(b"guilty", usedforsecurity=False).hexdigest(), 8)
    client.hset(K.workers, "w", "place")
    client.set(K.sequence, 1)
    client.zadd(K.tombs, {"gone": 1})
    client.zadd(K.dead, {"dead": 1})
    client.hset(K.reasons, "sha", "why")
    client.zadd("tq:res:success", {"x": 1})
    client.zadd("tq:res:failed", {"x": 1})


def snapshot(client: Any) -> dict[bytes, bytes]:
    return {key: client.dump(key) for key in client.keys("*")}


@pytest.mark.parametrize("name", CALLS)
def test_a_wrong_type_at_a_key_changes_nothing(
    name: str, driver: BlockingDriver, redis_client: Any
) -> None:
    command = CALLS[name]()
    count = int(command.args[2])
    keys = [str(key) for key in command.args[3 : 3 + count]]
    refused = 0
    for key in dict.fromkeys([*keys, *DYNAMIC]):
        redis_client.flushdb()
        a_full_store(redis_client)
        wrong: Callable[[], Any] = {
            b"string": lambda key=key: redis_client.rpush(key, "x"),
        }.get(redis_client.type(key), lambda key=key: redis_client.set(key, "x"))
        redis_client.delete(key)
        wrong()
        before = snapshot(redis_client)
        (reply,) = driver.exchange([command])
        if isinstance(reply, WrongType | BackendRejected) or reply == [-1]:
            refused += 1
            assert snapshot(redis_client) == before, key
    assert refused, "no key of this script was looked at"


CLASH = Push("tasqueue:ss:other", "clash", b"record", b"clash")
"""A child in a queue whose key is the scheduled set of another child's queue."""


def test_what_one_job_would_make_of_a_key_is_seen_before_anything_is_written(
    driver: BlockingDriver, redis_client: Any
) -> None:
    register(driver)
    redis_client.hset(HELD, "1:t", "a")
    before = snapshot(redis_client)
    clashing = done("1:t", pushes=[CHILD, LATE_CHILD, CLASH])
    assert driver.run(settle(K, "w", [clashing], now_ns=7)) == [Answer.BAD_KEY]
    assert snapshot(redis_client) == before


@pytest.mark.parametrize(
    "batch",
    [
        pytest.param(
            [done("1:t", pushes=[CHILD, LATE_CHILD]), done("2:t", pushes=[CLASH])], id="finish"
        ),
        pytest.param(
            [
                Settlement("3:t", "child", b"r", again=CHILD),
                Settlement("1:t", "late", b"r", again=LATE_CHILD),
                Settlement("2:t", "clash", b"r", again=CLASH),
            ],
            id="retry",
        ),
    ],
)
def test_what_a_call_has_made_of_a_key_is_seen_by_its_later_jobs(
    batch: list[Settlement], driver: BlockingDriver, redis_client: Any
) -> None:
    register(driver)
    redis_client.hset(HELD, mapping={"1:t": "a", "2:t": "b", "3:t": "c"})
    *good, bad = driver.run(settle(K, "w", batch, now_ns=7))
    assert set(good) == {Answer.APPLIED}
    assert bad == Answer.BAD_KEY
    assert b"2:t" in redis_client.hkeys(HELD)
    assert redis_client.lrange("other", 0, -1) == [b"child"], "each child once"


@pytest.mark.parametrize("name", CALLS)
def test_a_full_server_is_drained_and_takes_nothing_new(
    name: str, driver: BlockingDriver, redis_client: Any
) -> None:
    a_full_store(redis_client)
    redis_client.config_set("maxmemory", 1)
    try:
        with pytest.raises(Exception, match=r"OOM|maxmemory"):
            redis_client.lpush("anything", "x")
        if name.split(maxsplit=1)[0] in FILLING:
            with pytest.raises(BackendUnavailable, match="OOM"):
                do(driver, CALLS[name]())
        else:
            do(driver, CALLS[name]())
    finally:
        redis_client.config_set("maxmemory", 0)


@pytest.mark.parametrize("name", NAMES)
def test_the_server_knows_a_script_by_the_name_that_we_gave_it(
    name: str, redis_client: Any
) -> None:
    known = script(name)
    assert redis_client.script_load(known.source) in {known.sha, known.sha.encode()}


def test_a_claim_stops_at_the_byte_budget(driver: BlockingDriver, redis_client: Any) -> None:
    register(driver)
    redis_client.lpush(Q, *["x" * 65536] * 100)
    assert len(do(driver, claim())) == 1 + 2 * 15
    assert redis_client.llen(Q) == 85


def test_a_message_larger_than_the_budget_is_claimed_alone(
    driver: BlockingDriver, redis_client: Any
) -> None:
    register(driver)
    redis_client.lpush(Q, "x" * 4096, "y", "z")
    assert do(driver, claim(budget=1024))[2::2] == [b"x" * 4096]
    assert do(driver, claim(budget=1024))[2::2] == [b"y", b"z"]


def test_the_oldest_job_comes_first_also_after_a_release_and_an_exit(
    driver: BlockingDriver, redis_client: Any
) -> None:
    register(driver)
    redis_client.lpush(Q, *"abcdefghijklmnopqrstuvwxyz")
    first = do(driver, claim(20))
    assert b"".join(first[2::2]) == b"abcdefghijklmnopqrst"
    assert do(driver, release(K, "w", [token.decode() for token in first[1::2]])) == 20
    assert b"".join(do(driver, claim(3))[2::2]) == b"abc"
    redis_client.lmove(Q, LANDING, "RIGHT", "LEFT")
    redis_client.lmove(Q, LANDING, "RIGHT", "LEFT")
    assert do(driver, reap(K, "w", "exit")) == 5
    register(driver, "v")
    assert b"".join(do(driver, claim(26, worker="v"))[2::2]) == b"abcdefghijklmnopqrstuvwxyz"


def test_what_landed_is_older_than_what_waits(driver: BlockingDriver, redis_client: Any) -> None:
    register(driver)
    redis_client.lpush(Q, *"abcd")
    redis_client.lmove(Q, LANDING, "RIGHT", "LEFT")
    redis_client.lmove(Q, LANDING, "RIGHT", "LEFT")
    assert do(driver, claim(1))[2::2] == [b"a"]
    assert do(driver, claim(2))[2::2] == [b"b", b"c"]


def test_one_submit_fills_several_queues_and_keeps_their_order(
    driver: BlockingDriver, redis_client: Any
) -> None:
    names = [f"{i}" for i in range(1203)]
    pushes = [Push(f"q{i % 3}", name, b"r", name.encode()) for i, name in enumerate(names)]
    assert driver.run(steps_of(Submit(pushes), KeepOpts())) == [True] * 1203
    for i in range(3):
        waiting = redis_client.lrange(f"q{i}", 0, -1)[::-1]
        assert waiting == [name.encode() for name in names[i::3]]


def test_a_plain_submit_is_one_call(driver: BlockingDriver, redis_client: Any) -> None:
    push = Push(Q, "id", b"record", b"body")
    driver.run(steps_of(Submit((push,)), KeepOpts()))
    redis_client.config_resetstat()
    driver.run(steps_of(Submit((push._replace(job_id="other"),)), KeepOpts()))
    calls = redis_client.info("commandstats")
    assert calls["cmdstat_fcall"]["calls"] == 1
    assert not {"cmdstat_eval", "cmdstat_evalsha"} & set(calls)


def test_a_due_time_keeps_the_precision_that_go_has(
    driver: BlockingDriver, redis_client: Any
) -> None:
    due = 1935817689123456789
    driver.run(steps_of(Submit((Push(Q, "id", b"record", b"body", due),)), KeepOpts()))
    assert redis_client.zscore(K.scheduled, b"body") == float(due)


def test_promote_says_when_the_next_job_is_due(driver: BlockingDriver, redis_client: Any) -> None:
    assert driver.run(_promote(K)).seconds is None
    seconds, micros = redis_client.time()
    now = (seconds * 1_000_000 + micros) * 1000
    redis_client.zadd(K.scheduled, {"late": now + 3_600_000_000_000, "past": now - 1, "old": -5})
    wait = driver.run(_promote(K)).seconds
    assert wait is not None
    assert 3590 < wait <= 3600
    assert redis_client.lrange(Q, 0, -1) == [b"past", b"old"]


def test_promote_moves_more_than_one_portion(driver: BlockingDriver, redis_client: Any) -> None:
    redis_client.zadd(K.scheduled, {f"{i:04}": i for i in range(1100)})
    assert driver.run(_promote(K)).seconds is None
    assert redis_client.lrange(Q, 0, -1)[::-1] == [f"{i:04}".encode() for i in range(1100)]


def test_results_and_records_live_as_long_as_the_settlement_says(
    driver: BlockingDriver, redis_client: Any
) -> None:
    register(driver)
    redis_client.hset(HELD, mapping={"1:t": "a", "2:t": "b"})
    assert driver.run(settle(K, "w", [done("1:t", ttl_ms=60_000)], now_ns=7)) == [Answer.APPLIED]
    assert 0 < redis_client.pttl("tq:res:id") <= 60_000
    # A record is what a repeated enqueue is known by, so it stays for a quarter of an hour.
    assert 60_000 < redis_client.pttl("tq:res:job:msg:id") <= 900_000
    assert redis_client.zscore("tq:res:success", "id") == 7.0
    assert driver.run(settle(K, "w", [done("2:t")], now_ns=7)) == [Answer.APPLIED]
    assert redis_client.pttl("tq:res:id") == redis_client.pttl("tq:res:job:msg:id") == -1


def test_what_an_earlier_attempt_saved_is_kept_no_longer_than_the_job(
    driver: BlockingDriver, redis_client: Any
) -> None:
    register(driver)
    redis_client.hset(HELD, mapping={"1:t": "a", "2:t": "b"})
    assert driver.run(settle(K, "w", [later("1:t")], now_ns=7)) == [Answer.APPLIED]
    assert redis_client.get("tq:res:id") == b"saved"
    end = done("2:t", listing="failed", result=None, ttl_ms=60_000)
    assert driver.run(settle(K, "w", [end], now_ns=7)) == [Answer.APPLIED]
    assert redis_client.get("tq:res:id") == b"saved"
    assert 0 < redis_client.pttl("tq:res:id") <= 60_000


def test_a_job_of_go_named_success_does_not_overwrite_the_list(
    driver: BlockingDriver, redis_client: Any
) -> None:
    register(driver)
    redis_client.hset(HELD, "1:t", "a")
    bad = Settlement("1:t", "success", b"record", listing="success", result=b"x", ttl_ms=99)
    assert driver.run(settle(K, "w", [bad], now_ns=7)) == [Answer.APPLIED]
    assert redis_client.zrange("tq:res:success", 0, -1) == [b"success"]
    assert redis_client.pttl("tq:res:success") == -1


def test_one_bad_key_does_not_stop_the_rest_of_a_batch(
    driver: BlockingDriver, redis_client: Any
) -> None:
    register(driver)
    redis_client.hset(HELD, mapping={f"{i}:t": f"m{i}" for i in range(1, 6)})
    redis_client.set("other", "a string")
    batch = [
        done("1:t"),
        done("2:t", pushes=[CHILD]),
        later("3:t"),
        Settlement("4:t", "id", b"r", again=CHILD),
        done("5:t"),
    ]
    good, bad = Answer.APPLIED, Answer.BAD_KEY
    assert driver.run(settle(K, "w", batch, now_ns=1)) == [good, bad, good, bad, good]
    assert sorted(redis_client.hkeys(HELD)) == [b"2:t", b"4:t"]
    redis_client.delete("other")
    assert driver.run(settle(K, "w", batch, now_ns=1)) == [2, good, 2, good, 2]


def test_a_batch_that_is_refused_as_a_whole_is_sent_one_by_one(
    driver: BlockingDriver, redis_client: Any
) -> None:
    register(driver)
    redis_client.hset(HELD, mapping={"1:t": "a", "2:t": "b"})
    redis_client.set(K.dead, "a string")
    batch = [done("1:t"), done("2:t"), later("2:t")]
    bad = Answer.BAD_KEY
    assert driver.run(settle(K, "w", batch, now_ns=1)) == [bad, bad, Answer.APPLIED]


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(["finish", "retry", "gone"]), min_size=1, max_size=1200))
def test_settlements_of_any_number_are_answered_in_their_order(
    driver: BlockingDriver, redis_client: Any, kinds: list[str]
) -> None:
    redis_client.flushdb()
    register(driver)
    tokens = {f"{i}:t": f"m{i}" for i, kind in enumerate(kinds) if kind != "gone"}
    if tokens:
        redis_client.hset(HELD, mapping=tokens)
    batch = [later(f"{i}:t") if kind == "retry" else done(f"{i}:t") for i, kind in enumerate(kinds)]
    expected = [Answer.DECIDED if kind == "gone" else Answer.APPLIED for kind in kinds]
    assert driver.run(settle(K, "w", batch, now_ns=1)) == expected
    assert redis_client.hlen(HELD) == 0
    assert redis_client.llen(Q) == kinds.count("retry")


def test_a_tombstone_does_not_stay_for_ever(driver: BlockingDriver, redis_client: Any) -> None:
    register(driver)
    redis_client.zadd(K.tombs, {"long ago": 1})
    do(driver, reap(K, "w", "exit"))
    assert redis_client.zrange(K.tombs, 0, -1) == [b"w"]
    assert 0 < redis_client.ttl(K.tombs) <= 7200
    assert not redis_client.exists(K.beats, K.workers)


def test_names_that_are_no_text_reach_the_server_as_go_wrote_them(
    driver: BlockingDriver, redis_client: Any
) -> None:
    odd = b"\xff\xfe".decode("utf-8", "surrogateescape")
    driver.run(steps_of(Submit((Push(odd, odd, b"record", b"body"),)), KeepOpts()))
    assert redis_client.lrange(b"\xff\xfe", 0, -1) == [b"body"]
    assert redis_client.get(b"tq:res:job:msg:\xff\xfe") == b"record"


@given(st.lists(st.integers(0, 300), min_size=1, max_size=30))
def test_a_job_that_releases_others_counts_in_a_call_as_all_of_them(children: list[int]) -> None:
    ends = [done(f"{at}:t", pushes=[CHILD] * count) for at, count in enumerate(children)]
    sent = 0
    for one in next(settle(K, "w", ends, now_ns=1)):
        jobs = int(one.args[3 + 5 + 3])  # after the name, five keys, worker, time and database
        part = children[sent : sent + jobs]
        assert jobs == 1 or jobs + sum(part) <= MAX_ITEMS
        sent += jobs
    assert sent == len(ends)


def test_a_claim_of_a_job_that_is_as_most_are_asks_no_more_than_it_must(
    driver: BlockingDriver, redis_client: Any
) -> None:
    register(driver)
    for list_, rest in ((LANDING, 0), (Q, 0), (Q, 1)):
        redis_client.delete(HELD, Q)
        redis_client.lpush(list_, *["job"] * (1 + rest))
        redis_client.config_resetstat()
        assert do(driver, claim(100 if rest == 0 else 1))[2::2] == [b"job"]
        calls = redis_client.info("commandstats")
        asked = {name: calls[name]["calls"] for name in calls if "config" not in name}
        assert "cmdstat_type" not in asked, "what is read anyway says its type"
        assert sum(asked.values()) <= 1 + 8, asked


@pytest.mark.parametrize("value", [{"a": "hash"}, "no number", str(2**63 - 1)])
@pytest.mark.parametrize("key", [Q, LANDING, HELD, K.beats, K.sequence, K.suspects, K.convicts])
def test_a_claim_of_plain_jobs_is_refused_before_it_writes(
    key: str, value: Any, driver: BlockingDriver, redis_client: Any
) -> None:
    register(driver)
    redis_client.lpush(Q, "waiting")
    redis_client.lpush(LANDING, "landed")
    redis_client.delete(key)
    if isinstance(value, str):
        redis_client.set(key, value)
    elif key in {HELD, K.beats}:
        redis_client.rpush(key, "a list")
    else:
        redis_client.hset(key, mapping=value)
    before = snapshot(redis_client)
    with pytest.raises(BackendRejected):
        do(driver, claim())
    assert snapshot(redis_client) == before


def test_a_user_without_a_right_is_not_told_of_a_wrong_type(
    driver: BlockingDriver, redis_client: Any
) -> None:
    register(driver)
    known = script("claim")
    redis_client.execute_command("ACL", "SETUSER", "x", "on", ">pw", "~*", "+@all", "-lrange")
    try:
        with redis_client.client() as theirs:
            theirs.execute_command("AUTH", "x", "pw")
            for how in (("EVAL", known.source), ("FCALL", known.function)):
                with pytest.raises(ResponseError, match=r"permissions|can't run"):
                    theirs.execute_command(*how, *claim().args[2:])
    finally:
        redis_client.acl_deluser("x")
