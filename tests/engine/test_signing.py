"""Signed queues at work, on memory and on Redis."""

import asyncio
import logging

import pytest

from tasqueue import App, Signing

NEW = Signing(keys={"new": b"n" * 32, "old": b"o" * 32})
OLD = Signing(keys={"old": b"o" * 32})


def program(url: str, signing: Signing | None, runs: list[int]) -> App:
    app = App(url, signing=signing)

    @app.task(name="add", retries=1, backoff=0)
    def add(number: int) -> int:
        runs.append(number)
        if number == 13 and runs.count(13) == 1:
            raise ValueError("unlucky once")
        return number + 1

    return app


def test_signed_jobs_retries_and_chains_run_in_memory() -> None:
    runs: list[int] = []
    with program("memory://", NEW, runs) as app:
        add = app.tasks["add"]
        assert add.delay(13).get(timeout=30) == 14
        assert app.chain(add.s(1), add).delay().get(timeout=30) == 3
    assert runs == [13, 13, 1, 2]


async def test_an_old_key_is_accepted_beside_the_new_one(redis_url: str) -> None:
    runs: list[int] = []
    producer, worker = program(redis_url, OLD, []), program(redis_url, NEW, runs)
    running = asyncio.create_task(worker.server.start())
    job = await producer.tasks["add"].adelay(13)
    assert await job.aget(timeout=30) == 14
    await worker.server.stop()
    await running
    await asyncio.gather(producer.aclose(), worker.aclose())


async def test_require_keeps_an_unsigned_message_as_a_dead_letter_and_never_runs_it(
    redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    runs: list[int] = []
    stranger, worker = program(redis_url, None, []), program(redis_url, NEW, runs)
    await stranger.tasks["add"].adelay(1)
    running = asyncio.create_task(worker.server.start())
    good = await worker.tasks["add"].adelay(2)
    assert await good.aget(timeout=30) == 3
    await worker.server.stop()
    await running
    assert runs == [2]
    assert "kept as a dead letter: it is not signed" in caplog.text
    await asyncio.gather(stranger.aclose(), worker.aclose())


async def test_warn_runs_an_unsigned_message_and_says_so_once(
    redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    runs: list[int] = []
    trying = Signing(keys=NEW.keys, mode="warn")
    stranger, worker = program(redis_url, None, []), program(redis_url, trying, runs)
    running = asyncio.create_task(worker.server.start())
    for number in (1, 2):
        job = await stranger.tasks["add"].adelay(number)
        assert await job.aget(timeout=30) == number + 1
    await worker.server.stop()
    await running
    told = [one for one in caplog.records if "though it is not signed" in one.getMessage()]
    assert [one.levelno for one in told] == [logging.WARNING]
    await asyncio.gather(stranger.aclose(), worker.aclose())
