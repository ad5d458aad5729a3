"""A job that kills its process each time ends as a dead letter, and takes nobody along."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tasqueue import App, JobFailed, JobOpts, Server, ServerOpts, TaskOpts
from tasqueue.brokers.redis_broker import RedisBroker
from tasqueue.core.job import Job, JobMessage, Meta
from tasqueue.core.wire import decode_job, encode_job
from tasqueue.drivers.redis.keys import queue_keys
from tasqueue.results import MemoryResults
from tasqueue.results.redis_results import RedisResults

Q = "poisoned"
K = queue_keys(Q)
PROGRAM = f"""
import os, time
import redis
from tasqueue import App

app = App()

@app.task(name="work", queue="{Q}")
def work(number: int) -> int:
    r = redis.Redis.from_url(app.url)
    r.hincrby("runs", str(number), 1)
    r.close()
    time.sleep(0.05)
    return number

@app.task(name="poison", queue="{Q}", retries=5)
def poison() -> None:
    r = redis.Redis.from_url(app.url)
    r.hincrby("runs", "poison", 1)
    os._exit(1)

@app.task(name="mourn", queue="{Q}")
def mourn() -> str:
    return "mourned"
"""


def _wait(job: Any) -> Any:
    """Wait long: a worker process is started anew after each crash, ever more slowly."""
    return job.get(timeout=25)


@pytest.mark.timeout(90)
def test_a_poisonous_job_is_convicted_after_lone_crashes_and_the_others_end_well(
    tmp_path: Path, redis_url: str, redis_client: Any
) -> None:
    (tmp_path / "poisoned.py").write_text(PROGRAM)
    command = [
        sys.executable, "-m", "tasqueue", "worker", "poisoned:app",
        "--processes", "1", "--concurrency", "4",
    ]  # fmt: skip
    with App(redis_url) as app:
        send = app.using(queue=Q)
        before = [send.send("work", number=n) for n in range(6)]
        mourn = app.using(queue=Q, id="mourner").signature("mourn")
        poison = app.using(queue=Q, id="guilty", retries=5).signature("poison")
        guilty = poison.on_error(mourn).delay()
        after = [send.send("work", number=n) for n in range(6, 12)]
        env = os.environ | {"TASQUEUE_URL": redis_url}
        worker = subprocess.Popen(command, cwd=tmp_path, env=env, stderr=subprocess.DEVNULL)
        try:
            with pytest.raises(JobFailed, match="dead: each time that this job ran alone"):
                _wait(guilty)
            assert [_wait(job) for job in before + after] == list(range(12))
            assert _wait(app.job("mourner")) == "mourned"
            assert str(guilty.status()) == "dead"
        finally:
            worker.send_signal(signal.SIGTERM)
            assert worker.wait(timeout=20) == 0
    assert int(redis_client.hget("runs", "poison")) == 4
    (dead,) = redis_client.zrange(K.dead, 0, -1)
    assert decode_job(dead).meta.id == "guilty"
    assert redis_client.hvals(K.reasons)[0].startswith(b"dead: ")
    assert not redis_client.exists(K.suspects, K.convicts, K.charges, K.beats)


@pytest.mark.parametrize("shared", [True, False])
async def test_a_convict_fails_without_being_run_whatever_the_pair_of_back_ends(
    redis_url: str, redis_client: Any, *, shared: bool
) -> None:
    ran = []

    async def handler(payload: bytes, ctx: Any) -> None:
        ran.append(payload)

    results = RedisResults.from_url(redis_url) if shared else MemoryResults()
    broker = RedisBroker.from_url(redis_url)
    server = Server(ServerOpts(broker=broker, results=results))
    await server.register_task("task", handler, TaskOpts(queue=Q))
    job = Job("task", b"", JobOpts(id="guilty", queue=Q, max_retries=3))
    body = encode_job(JobMessage(Meta("guilty", queue=Q, max_retry=3), job))
    redis_client.lpush(K.convicts, body)
    running = asyncio.create_task(server.start())
    deadline = time.monotonic() + 20
    while await server.get_failed() != ["guilty"]:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)
    record = await server.get_job("guilty")
    await server.stop()
    await running
    assert (str(record.meta.status), record.meta.retried) == ("failed", 0)
    assert record.meta.prev_err.startswith("dead: ")
    assert ran == []
    assert redis_client.zrange(K.dead, 0, -1) == [body]
    await broker.close()
    if shared:
        await results.close()
