"""ENQUEUE: many jobs in one call come to what each of them would come to alone, for less."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasqueue.core.durability import ACK
from tasqueue.core.errors import BackendRejected
from tasqueue.core.ports import Push, Submit
from tasqueue.drivers.redis.blocking import BlockingDriver
from tasqueue.drivers.redis.command import MAX_ITEMS, ask, call
from tasqueue.drivers.redis.keys import queue_keys
from tasqueue.drivers.redis.request import KeepOpts, steps_of

Q = "q"
K = queue_keys(Q)
JOBS = st.builds(
    Push,
    queue=st.just(Q),
    job_id=st.sampled_from(["a", "b", "c", "d", "e"]),
    record=st.sampled_from([b"", b"one", b"two", b"three"]),
    body=st.sampled_from([b"w", b"x", b"y", b"z"]),
    due_ns=st.sampled_from([None, None, 1, 2]),
    call=st.sampled_from(["", "", "", "first", "second"]),
    durability=st.just(ACK),
)
"""Few names, so that they meet: IDs that come twice, users' IDs that are generated ones too."""
GENERATED = st.builds(
    Push,
    queue=st.just(Q),
    job_id=st.sampled_from("abcdefghijklmnop"),
    record=st.sampled_from([b"one", b"two"]),
    body=st.sampled_from([b"w", b"x", b"y", b"z"]),
    due_ns=st.sampled_from([None, None, None, 1]),
    durability=st.just(ACK),
)
"""What one command may write, as long as no ID comes twice or is there."""


def send(driver: BlockingDriver, pushes: list[Push]) -> list[bool]:
    pushed: list[bool] = driver.run(steps_of(Submit(pushes), KeepOpts()))
    return pushed


def everything(client: Any) -> dict[bytes, Any]:
    """Each key with what is in it."""
    read: dict[bytes, Callable[[bytes], Any]] = {
        b"list": lambda key: client.lrange(key, 0, -1),
        b"zset": lambda key: client.zrange(key, 0, -1, withscores=True),
        b"string": lambda key: (client.get(key), client.ttl(key) > 0),
    }
    return {key: read[client.type(key)](key) for key in client.keys("*")}


@pytest.mark.parametrize("right", ["+msetnx", "-msetnx"])
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    calls=st.lists(
        st.lists(JOBS, max_size=6) | st.lists(GENERATED, min_size=2, max_size=5), max_size=4
    )
)
def test_a_call_of_many_comes_to_what_its_jobs_come_to_alone(
    driver: BlockingDriver, redis_client: Any, right: str, calls: list[list[Push]]
) -> None:
    redis_client.flushdb()
    alone = [[new for job in jobs for new in send(driver, [job])] for jobs in calls]
    expected = everything(redis_client)
    redis_client.flushdb()
    redis_client.execute_command("ACL", "SETUSER", "default", right)
    try:
        assert [send(driver, jobs) for jobs in calls] == alone
    finally:
        redis_client.execute_command("ACL", "SETUSER", "default", "+msetnx")
    assert everything(redis_client) == expected


def used(client: Any) -> dict[str, int]:
    """Which commands were called, and how often."""
    found = client.info("commandstats")
    writes = {"set", "msetnx", "lpush", "zadd", "type", "exists"}
    return {
        name: found[f"cmdstat_{name}"]["calls"] for name in writes if f"cmdstat_{name}" in found
    }


def test_what_many_jobs_have_in_common_is_one_command_each(
    driver: BlockingDriver, redis_client: Any
) -> None:
    jobs = [Push(Q, f"{n}", b"r", b"%d" % n, 1 if n % 2 else None) for n in range(MAX_ITEMS)]
    redis_client.config_resetstat()
    assert send(driver, jobs) == [True] * MAX_ITEMS
    assert used(redis_client) == {"type": 2, "msetnx": 1, "lpush": 1, "zadd": 1}
    redis_client.config_resetstat()
    assert send(driver, [Push(Q, "alone", b"r", b"alone")]) == [True]
    assert used(redis_client) == {"type": 1, "set": 1, "lpush": 1}


def test_a_call_that_is_too_long_for_the_server_writes_nothing(
    driver: BlockingDriver, redis_client: Any
) -> None:
    jobs = [part for n in range(2_000) for part in (f"{n}", "", "", "record", "raw")]
    with pytest.raises(BackendRejected, match="too many jobs"):
        driver.run(ask(call("enqueue", (Q, K.scheduled), (0, *jobs))))
    assert redis_client.keys("*") == []
