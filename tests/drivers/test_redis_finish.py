"""A call of FINISH with many jobs does what as many calls would do, in fewer commands."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from redis.exceptions import ResponseError

from tasqueue.core.group import Membership
from tasqueue.core.ports import Push, Settlement
from tasqueue.drivers.redis.blocking import BlockingDriver
from tasqueue.drivers.redis.command import ask, call
from tasqueue.drivers.redis.keys import queue_keys
from tasqueue.drivers.redis.settlement import finish
from tests.servers import knows_msetex

K = queue_keys("q")
HELD = K.held("w")
TOKENS: Final = [f"{i}:t" for i in range(5)]
MINUTE, DAY = 60_000, 86_400_000

IDS: Final = st.sampled_from(["a", "b", "c", "d"])
"""Also the group's members: ``a`` and ``b`` by themselves, ``c`` and ``d`` as a chain."""


@st.composite
def settlement(draw: st.DrawFn, at: int) -> Settlement:
    """One of a few jobs, so that a batch meets two lives of one job, and one that it releases."""
    job_id = draw(IDS)
    place = 2 if job_id in {"c", "d"} else None
    failed = draw(st.booleans())
    pushes = [
        Push("other", child, f"record {at}".encode(), f"{child} of {at}".encode())
        for child in draw(st.lists(IDS | st.just("new"), max_size=2))
    ]
    return Settlement(
        draw(st.sampled_from([*TOKENS, "gone:t"])),
        job_id,
        f"end {at}".encode(),
        once=draw(st.sampled_from(["", "", "x"])),
        listing="failed" if failed else draw(st.sampled_from(["success", ""])),
        result=None if failed else draw(st.none() | st.just(f"result {at}".encode())),
        pushes=pushes,
        dead=draw(st.sampled_from(["", "why"])),
        ttl_ms=draw(st.sampled_from([0, 5 * MINUTE, DAY])),
        member=draw(st.none() | st.just(Membership("g", place))),
        closes=draw(st.sampled_from(["", "", "", "g"])),
    )


BATCHES: Final = st.integers(1, 6).flatmap(
    lambda n: st.tuples(*[settlement(at) for at in range(n)])
)


def end(token: int, job_id: str, ttl_ms: int = 0, **more: Any) -> Settlement:
    text = f"{job_id} {token}".encode()
    return Settlement(
        TOKENS[token], job_id, text, listing="success", result=text, ttl_ms=ttl_ms, **more
    )


def fill(client: Any) -> None:
    client.flushdb()
    client.hset(K.beats, "w", 1)
    client.hset(HELD, mapping={token: f"message {token}" for token in TOKENS})
    callback = {"queue": "calls", "due": "", "id": "call", "record": "record", "raw": "raw"}
    then = {f"ok:{name}": value for name, value in callback.items()}
    client.hset("tq:gp:{g}", mapping={"sealed": 1, "never": "failed", **then})
    members = ["a", "b", "c>d"]
    client.rpush("tq:gp:{g}:m", *members)
    client.sadd("tq:gp:{g}:p", *members)


def contents(client: Any) -> dict[bytes, Any]:
    """Every key's value, and what is left of its time in units of 100 s."""
    read = {
        b"list": lambda key: client.lrange(key, 0, -1),
        b"set": client.smembers,
        b"hash": client.hgetall,
        b"zset": lambda key: {name for name, _ in client.zrange(key, 0, -1, withscores=True)},
        b"string": client.get,
    }
    return {
        key: (read[client.type(key)](key), round(client.pttl(key) / 100_000))
        for key in client.keys("*")
    }


def run(driver: BlockingDriver, batches: Sequence[Sequence[Settlement]]) -> list[int]:
    calls = [finish(K, "w", batch, now_ns=1) for batch in batches]
    return [answer for answers in driver.run(ask(*calls)) for answer in answers]


@contextmanager
def without(client: Any, command: str) -> Generator[None]:
    """The server's user may not call a command meanwhile, as on a server that does not have it."""
    if not command:
        yield
        return
    try:
        client.execute_command("ACL", "SETUSER", "default", f"-{command}")
    except ResponseError:
        yield  # an older server: it really does not have it
        return
    try:
        yield
    finally:
        client.execute_command("ACL", "SETUSER", "default", f"+{command}")


@pytest.mark.parametrize("missing", ["", "msetex", "mset", "smismember"])
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batch=BATCHES)
@example(
    batch=(
        *[end(at, name, member=Membership("g")) for at, name in enumerate(["a", "b", "c>d"])],
        end(3, "call", closes="g"),
    )
)
@example(batch=(end(0, "a"), end(1, "b", pushes=[Push("other", "a", b"again", b"a")])))
@example(batch=(end(1, "b", pushes=[Push("other", "a", b"again", b"a")]), end(0, "a")))
@example(batch=(end(0, "a", DAY), end(1, "a", 5 * MINUTE), end(2, "b"), end(3, "b", DAY)))
@example(batch=(end(0, "a", 5 * MINUTE), end(1, "a", DAY), end(2, "a", 5 * MINUTE)))
def test_a_batch_does_what_its_jobs_would_do_one_after_the_other(
    missing: str, driver: BlockingDriver, redis_client: Any, batch: Sequence[Settlement]
) -> None:
    fill(redis_client)
    redis_client.hset(K.charges, "c", 1)
    alone = run(driver, [[one] for one in batch])
    wanted = contents(redis_client)
    fill(redis_client)
    redis_client.hset(K.charges, "c", 1)
    with without(redis_client, missing):
        together = run(driver, [batch])
    assert together == alone
    assert contents(redis_client) == wanted


def test_what_the_jobs_of_a_batch_have_in_common_is_written_once(
    driver: BlockingDriver, redis_client: Any
) -> None:
    driver.run(ask(call("beat", (K.beats, K.workers), ("w", "1", "place"))))
    tokens = [f"{i}:t" for i in range(100)]
    used = []
    for size in (10, 100):
        fill(redis_client)
        redis_client.hset(HELD, mapping=dict.fromkeys(tokens, "message"))
        redis_client.sadd("tq:gp:{g}:p", *tokens)
        redis_client.config_resetstat()
        batch = [
            Settlement(
                one,
                one,
                b"record",
                listing="success",
                result=b"r",
                ttl_ms=DAY,
                member=Membership("g"),
            )
            for one in tokens[:size]
        ]
        assert set(run(driver, [batch])) == {1}
        used.append(sum(one["calls"] for one in redis_client.info("commandstats").values()))
    alone = 0 if knows_msetex(redis_client) else 2  # a SET each
    assert used[1] - used[0] == 90 * alone
