"""`tasqueue worker` as a real process beside a real server: it runs, waits, drains and ends."""

from functools import partial
from pathlib import Path
from signal import SIGINT, SIGTERM, Signals

import pytest
from redis import Redis

from tasqueue import App, JobFailed
from tests.cli.workers import gone, in_flight, wait_until, worker
from tests.servers import valkey


@pytest.mark.parametrize("number", [SIGTERM, SIGINT])
def test_a_worker_runs_until_a_signal_then_ends_what_runs_and_exits_0(
    tmp_path: Path, redis_url: str, redis_client: Redis, number: Signals
) -> None:
    with App(redis_url) as app, worker(tmp_path, redis_url, "--grace", "60") as process:
        calls = app.using(queue="cli")
        running = calls.send("wait", number=7, gate="gate")
        wait_until(lambda: redis_client.llen("gate:pids") == 1, "a running job")
        process.signal(number)
        process.says("stopping")
        late = calls.send("add", a=1, b=2)
        redis_client.set("gate", 1)
        assert process.ended() == 0
        assert running.get(timeout=5) == 7
        assert late.status() == "queued"
    assert in_flight(redis_client) == []


def test_a_worker_waits_for_a_server_with_one_line_a_try_and_then_works(tmp_path: Path) -> None:
    with valkey() as server, App(server.url) as app:
        server.stop()
        with worker(tmp_path, server.url) as process:
            process.says("cannot reach the broker", times=3)
            tries = process.said.splitlines()[1:]
            assert all("cannot reach the broker" in line for line in tries)
            assert "Traceback" not in process.said
            server.start()
            assert app.using(queue="cli").send("add", a=1, b=2).get(timeout=20) == 3
            process.signal(SIGTERM)
            assert process.ended() == 0


def test_a_signal_ends_a_worker_that_still_waits_for_its_server(tmp_path: Path) -> None:
    with worker(tmp_path, "redis://127.0.0.1:1/0") as process:
        process.says("cannot reach the broker")
        process.signal(SIGTERM)
        assert process.ended() == 0


def test_a_second_signal_skips_the_wait_and_gives_running_jobs_back(
    tmp_path: Path, redis_url: str, redis_client: Redis
) -> None:
    with App(redis_url) as app, worker(tmp_path, redis_url, "--grace", "600") as process:
        job = app.using(queue="cli").send("wait", number=7, gate="gate")
        wait_until(lambda: redis_client.llen("gate:pids") == 1, "a running job")
        process.signal(SIGTERM)
        process.says("stopping")
        process.signal(SIGTERM)
        assert process.ended() == 0
        assert in_flight(redis_client) == []
        assert redis_client.llen("cli") == 1
        redis_client.set("gate", 1)
        with worker(tmp_path, redis_url):
            assert job.get(timeout=20) == 7


def test_a_thread_that_outlasts_the_grace_does_not_hold_the_process(
    tmp_path: Path, redis_url: str, redis_client: Redis
) -> None:
    with App(redis_url) as app, worker(tmp_path, redis_url, "--grace", "0.1") as process:
        app.using(queue="cli").send("wait", number=7, gate="never")
        wait_until(lambda: redis_client.llen("never:pids") == 1, "a running job")
        process.signal(SIGTERM)
        assert process.ended() == 0
        assert in_flight(redis_client) == []
        assert redis_client.llen("cli") == 1
        assert "still run" in process.said


def test_a_coroutine_that_takes_no_notice_of_its_end_does_not_hold_the_process(
    tmp_path: Path, redis_url: str, redis_client: Redis
) -> None:
    with App(redis_url) as app, worker(tmp_path, redis_url, "--grace", "0.1") as process:
        app.using(queue="cli").send("deaf", gate="never")
        wait_until(lambda: redis_client.llen("never:pids") == 1, "a running job")
        process.signal(SIGTERM)
        assert process.ended() == 0
        assert in_flight(redis_client) == []
        assert redis_client.llen("cli") == 1
        assert "still run" in process.said


def test_a_worker_that_cannot_sign_off_says_so_and_does_not_exit_0(tmp_path: Path) -> None:
    with valkey() as server, App(server.url) as app, server.client() as conn:
        with worker(tmp_path, server.url, "--grace", "0.1") as process:
            app.using(queue="cli").send("wait", number=7, gate="never")
            wait_until(lambda: conn.llen("never:pids") == 1, "a running job")
            server.kill()
            process.signal(SIGTERM)
            assert process.ended() == 1
            assert "could not sign off" in process.said
        server.start()


def test_starts_retries_and_failures_are_a_line_each_with_the_users_traceback(
    tmp_path: Path, redis_url: str
) -> None:
    with App(redis_url) as app, worker(tmp_path, redis_url) as process:
        job = app.using(queue="cli", retries=1).send("fail")
        with pytest.raises(JobFailed):
            job.get(timeout=20)
        process.says("failed fail")
        said = process.said
        assert said.count(f"start fail, job {job.id}") == 2
        assert said.count(f"retry fail, job {job.id}, try 1 of 2: ValueError: no such order") == 1
        assert said.count(f"failed fail, job {job.id}, try 2 of 2: ValueError: no such order") == 1
        assert 'working_app.py", line' in said
        assert "tasqueue/engine" not in said


def test_a_job_in_a_process_of_its_own_ends_with_its_worker_and_runs_again_elsewhere(
    tmp_path: Path, redis_url: str, redis_client: Redis
) -> None:
    with App(redis_url) as app:
        job = app.using(queue="cli").send("apart", number=7, gate="gate")
        for ending in ("kill", "term"):
            with worker(tmp_path, redis_url, "--grace", "0.1") as process:
                wait_until(lambda: redis_client.llen("gate:pids"), "a running job")
                (pid,) = (int(one) for one in redis_client.lrange("gate:pids", 0, -1))
                redis_client.delete("gate:pids")
                assert pid != process.pid
                if ending == "kill":
                    process.kill()
                else:
                    process.signal(SIGTERM)
                    assert process.ended() == 0
                wait_until(partial(gone, pid), "the end of its process")
        assert redis_client.llen("cli") == 1
        redis_client.set("gate", 1)
        with worker(tmp_path, redis_url):
            assert job.get(timeout=20) == 7
