"""Single jobs across the languages: each rule holds whoever enqueues and whoever works.

The pair "go-to-go" is the yardstick: it shows that the rule, as the test states it, is Go's own.
"""

import time
from datetime import datetime
from itertools import pairwise

import pytest

from tests.parity.live.client import Message, ended, wait_until
from tests.parity.live.fleet import JobSpec
from tests.parity.live.pair import Pair

_MS = 1_000_000  # nanoseconds


def instant(text: str) -> datetime:
    """A time of Go's JSON, cut to microseconds."""
    head, _, fraction = text.removesuffix("Z").partition(".")
    return datetime.fromisoformat(f"{head}.{fraction[:6]:0<6}+00:00")


async def test_a_job_runs_once_and_its_result_is_read_by_both(pair: Pair) -> None:
    pair.hire(["add"])
    job_id = await pair.client.enqueue(JobSpec(task="add", payload=b'{"arg1":5,"arg2":3}'))
    message = await ended(pair.client, job_id)
    assert message["Status"] == "successful"
    assert message["Retried"] == 0
    assert message["PrevErr"] == ""
    for client in pair.clients:
        assert await client.get_result(job_id) == b'{"result":8}'
        assert await client.get_job(job_id) == message
    assert pair.runs() == {job_id: 1}


async def test_a_job_without_a_result_succeeds(pair: Pair) -> None:
    pair.hire(["nosave"])
    job_id = await pair.client.enqueue(JobSpec(task="nosave"))
    assert (await ended(pair.client, job_id))["Status"] == "successful"
    for client in pair.clients:
        assert await client.get_result(job_id) is None


async def test_a_job_is_retried_until_it_succeeds(pair: Pair) -> None:
    pair.hire(["flaky"])
    job = JobSpec(task="flaky", id="f", payload=b'{"n":2}', max_retries=3)
    await pair.client.enqueue(job)
    message = await ended(pair.client, "f")
    assert message["Status"] == "successful"
    assert message["Retried"] == 2
    assert message["MaxRetry"] == 3
    assert message["PrevErr"] == "attempt 2 of 2 fails"
    assert pair.runs() == {"f": 3}


async def test_a_job_that_keeps_failing_fails_with_its_error(pair: Pair) -> None:
    pair.hire(["fail"])
    await pair.client.enqueue(JobSpec(task="fail", id="f", max_retries=2))
    message = await ended(pair.client, "f")
    assert message["Status"] == "failed"
    assert message["Retried"] == 2
    assert message["PrevErr"] == "boom: ünïcode"
    for client in pair.clients:
        assert await client.get_job("f") == message
    assert pair.runs() == {"f": 3}
    assert pair.go.producer.ended() == ([], ["f"])
    assert await pair.python.server.get_failed() == ["f"]


async def test_a_job_that_takes_too_long_fails_with_gos_words(pair: Pair) -> None:
    pair.hire(["slow"])
    job = JobSpec(task="slow", id="s", payload=b'{"ms":60000}', timeout_ns=50 * _MS, max_retries=1)
    await pair.client.enqueue(job)
    message = await ended(pair.client, "s")
    assert message["Status"] == "failed"
    assert message["Retried"] == 1
    assert message["PrevErr"].startswith("context deadline exceeded")


async def test_a_job_with_an_eta_runs_then_and_not_before(pair: Pair) -> None:
    pair.hire(["echo"])
    eta = time.time_ns() + 700 * _MS
    await pair.client.enqueue(JobSpec(task="echo", id="later", payload=b"x", eta_ns=eta))
    waiting = await pair.client.get_job("later")
    assert waiting is not None
    assert waiting["Status"] == "queued"
    message = await ended(pair.client, "later")
    assert message["Status"] == "successful"
    assert instant(message["ProcessedAt"]) >= instant(message["Job"]["Opts"]["ETA"])
    assert pair.runs() == {"later": 1}


async def test_a_job_with_an_eta_in_the_past_runs_at_once(pair: Pair) -> None:
    pair.hire(["echo"])
    await pair.client.enqueue(JobSpec(task="echo", id="late", eta_ns=1_000_000_000))
    assert (await ended(pair.client, "late"))["Status"] == "successful"


async def test_a_scheduled_job_comes_back_at_each_tick(pair: Pair) -> None:
    pair.hire(["echo"])
    job = JobSpec(task="echo", payload=b"tick", schedule="@every 1s")
    ticks = [await pair.client.enqueue(job)]
    messages: list[Message] = []
    for _ in range(3):
        messages.append(await ended(pair.client, ticks[-1]))
        assert messages[-1]["Status"] == "successful"
        ticks.append(messages[-1]["OnSuccessIDs"][-1])
        assert await pair.client.get_result(ticks[-2]) == b"tick"
    etas = [instant(message["Job"]["Opts"]["ETA"]) for message in messages]
    assert [(after - before).total_seconds() for before, after in pairwise(etas)] == [1.0, 1.0]
    assert {message["Schedule"] for message in messages} == {"@every 1s"}


async def test_children_run_two_levels_deep_with_the_result_before_them(pair: Pair) -> None:
    pair.hire(["echo", "prev", "total"])
    leaf = JobSpec(task="total", id="leaf", payload=b'{"n":2}')
    twig = JobSpec(task="total", id="twig", payload=b'{"n":1}', on_success=[leaf])
    other = JobSpec(task="prev", id="other")
    root = JobSpec(task="echo", id="root", payload=b"40", on_success=[twig, other])
    await pair.client.enqueue(root)
    for job_id, result in {"root": b"40", "twig": b"41", "leaf": b"43", "other": b"40"}.items():
        assert (await ended(pair.client, job_id))["Status"] == "successful"
        assert await pair.client.get_result(job_id) == result
    message = await pair.client.get_job("root")
    assert message is not None
    assert message["OnSuccessIDs"] == ["twig", "other"]
    assert pair.runs() == {"root": 1, "twig": 1, "leaf": 1, "other": 1}


async def test_children_of_a_failure_run_two_levels_deep(pair: Pair) -> None:
    pair.hire(["echo", "fail"])
    leaf = JobSpec(task="echo", id="leaf", payload=b"sorry")
    never = JobSpec(task="echo", id="never")
    twig = JobSpec(task="fail", id="twig", on_error=[leaf])
    root = JobSpec(task="fail", id="root", max_retries=1, on_error=[twig], on_success=[never])
    await pair.client.enqueue(root)
    assert (await ended(pair.client, "leaf"))["Status"] == "successful"
    assert (await ended(pair.client, "twig"))["Status"] == "failed"
    assert (await ended(pair.client, "root"))["Status"] == "failed"
    assert pair.runs() == {"root": 2, "twig": 1, "leaf": 1}
    assert await pair.client.get_job("never") is None


@pytest.mark.parametrize(
    "payload",
    [None, b"", bytes(range(256)), b"\xff\xfe\x00", b"x" * 70_000, "ünïcode ☃".encode()],
    ids=["nil", "empty", "every byte", "no utf-8", "70 kB", "unicode"],
)
async def test_any_payload_arrives_unharmed(pair: Pair, payload: bytes | None) -> None:
    pair.hire(["echo"])
    await pair.client.enqueue(JobSpec(task="echo", id="p", payload=payload))
    await ended(pair.client, "p")
    for client in pair.clients:
        assert await client.get_result("p") == (payload or b"")


async def test_names_may_be_unicode(pair: Pair) -> None:
    pair.hire(["grüße=echo"], queues=["очередь:один"])
    job = JobSpec(task="grüße", id="Ж-☃-{1}", queue="очередь:один", payload=b"hi")
    await pair.client.enqueue(job)
    message = await ended(pair.client, "Ж-☃-{1}")
    assert message["Status"] == "successful"
    assert message["Queue"] == "очередь:один"
    assert pair.runs("очередь:один") == {"Ж-☃-{1}": 1}


async def test_one_worker_serves_several_queues(pair: Pair) -> None:
    pair.hire(["echo"], queues=["one", "two"])
    for queue in ("one", "two"):
        await pair.client.enqueue(JobSpec(task="echo", id=f"in {queue}", queue=queue))
    for queue in ("one", "two"):
        assert (await ended(pair.client, f"in {queue}"))["Status"] == "successful"


async def test_the_list_of_successes_has_the_newest_first(pair: Pair) -> None:
    pair.hire(["echo"])
    for job_id in ("first", "second", "third"):
        await pair.client.enqueue(JobSpec(task="echo", id=job_id))
        await ended(pair.client, job_id)
    newest_first = ["third", "second", "first"]

    async def listed() -> bool | None:
        return pair.go.producer.ended()[0] == newest_first or None

    await wait_until(listed, "all three in the list")
    assert await pair.python.server.get_success() == newest_first
