"""`tasqueue worker --processes`: a supervisor and its children as real processes."""

import os
from pathlib import Path
from signal import SIGKILL, SIGTERM

import pytest
from redis import Redis

from tasqueue import App, JobFailed
from tests.cli.workers import WorkerProcess, children, gone, in_flight, wait_until, worker


def _pids(conn: Redis, gate: str) -> list[int]:
    return [int(pid) for pid in conn.lrange(f"{gate}:pids", 0, -1)]


def _kill_the_process_of_run(run: int, conn: Redis, gate: str) -> None:
    wait_until(lambda: len(_pids(conn, gate)) > run, f"run {run} of the job")
    os.kill(_pids(conn, gate)[run], SIGKILL)


def _told_to_stop(conn: Redis) -> bool:
    return any("|leaving" in str(place) for place in conn.hvals("tq:wk:{cli}"))


def test_a_killed_child_loses_nothing_and_its_jobs_run_again_at_once(
    tmp_path: Path, redis_url: str, redis_client: Redis
) -> None:
    options = ["--processes", "2", "--concurrency", "4", "--lease", "600"]
    with App(redis_url) as app, worker(tmp_path, redis_url, *options) as supervisor:
        calls = app.using(queue="cli")
        jobs = [calls.send("wait", number=n, gate="gate") for n in range(8)]
        wait_until(lambda: len(_pids(redis_client, "gate")) == 8, "eight running jobs")
        victim, *_ = _pids(redis_client, "gate")
        os.kill(victim, SIGKILL)
        wait_until(lambda: len(_pids(redis_client, "gate")) > 8, "one of its jobs elsewhere")
        redis_client.set("gate", 1)
        assert [job.get(timeout=20) for job in jobs] == list(range(8))
        assert redis_client.zcard("tq:res:success") == 8
        assert redis_client.zcard("tq:dl:{cli}") == 0
        supervisor.signal(SIGTERM)
        assert supervisor.ended() == 0
    assert in_flight(redis_client) == []


def test_an_innocent_job_whose_process_is_killed_by_hand_again_and_again_ends_well(
    tmp_path: Path, redis_url: str, redis_client: Redis
) -> None:
    """The first kill makes it a suspect; the next three find it as the one job of its process."""
    with App(redis_url) as app, worker(tmp_path, redis_url, "--processes", "1"):
        job = app.using(queue="cli").send("wait", number=7, gate="gate")
        for run in range(4):
            _kill_the_process_of_run(run, redis_client, "gate")
        redis_client.set("gate", 1)
        assert job.get(timeout=25) == 7
    assert redis_client.zcard("tq:dl:{cli}") == 0


@pytest.mark.parametrize("options", [[], ["--processes", "1"]])
def test_a_deploy_that_kills_what_still_drains_makes_nobody_suspect(
    tmp_path: Path, redis_url: str, redis_client: Redis, options: list[str]
) -> None:
    """As a container's runtime does, which kills all at once when its own patience is over."""
    options = [*options, "--grace", "600", "--lease", "600"]
    with App(redis_url) as app:
        job = app.using(queue="cli").send("wait", number=7, gate="gate")
        for run in range(3):
            with worker(tmp_path, redis_url, *options) as old:
                wait_until(lambda: len(_pids(redis_client, "gate")) > run, "its next run")  # noqa: B023
                old.signal(SIGTERM)
                wait_until(lambda: _told_to_stop(redis_client), "that it says that it leaves")
                pids = children(old.pid)
                old.kill()
                for pid in pids:
                    os.kill(pid, SIGKILL)
        redis_client.set("gate", 1)
        with worker(tmp_path, redis_url, *options):
            assert redis_client.exists("tq:su:{cli}", "tq:cr:{cli}") == 0
            assert job.get(timeout=20) == 7


def test_the_children_of_a_killed_supervisor_end_and_another_worker_gets_their_jobs(
    tmp_path: Path, redis_url: str, redis_client: Redis
) -> None:
    options = ["--processes", "2", "--concurrency", "2", "--lease", "600", "--grace", "0.1"]
    with App(redis_url) as app, worker(tmp_path, redis_url, *options) as supervisor:
        jobs = [app.using(queue="cli").send("wait", number=n, gate="gate") for n in range(4)]
        wait_until(lambda: len(_pids(redis_client, "gate")) == 4, "four running jobs")
        pids = children(supervisor.pid)
        assert len(pids) == 2
        supervisor.kill()
        wait_until(lambda: all(gone(pid) for pid in pids), "the children's end")
        redis_client.set("gate", 1)
        with worker(tmp_path, redis_url, "--lease", "600"):
            assert [job.get(timeout=20) for job in jobs] == list(range(4))
    assert redis_client.zcard("tq:res:success") == 4


def test_a_supervisor_and_children_that_are_killed_together_are_found_by_a_peer_of_the_host(
    tmp_path: Path, redis_url: str, redis_client: Redis
) -> None:
    options = ["--processes", "2", "--concurrency", "2", "--lease", "600"]
    with App(redis_url) as app, worker(tmp_path, redis_url, *options) as supervisor:
        jobs = [app.using(queue="cli").send("wait", number=n, gate="gate") for n in range(4)]
        wait_until(lambda: len(_pids(redis_client, "gate")) == 4, "four running jobs")
        pids = children(supervisor.pid)
        supervisor.kill()
        for pid in pids:
            os.kill(pid, SIGKILL)
        redis_client.set("gate", 1)
        with worker(tmp_path, redis_url, "--lease", "600"):
            assert [job.get(timeout=20) for job in jobs] == list(range(4))
    assert redis_client.zcard("tq:res:success") == 4


def test_a_signal_drains_all_children_and_the_supervisor_exits_0(
    tmp_path: Path, redis_url: str, redis_client: Redis
) -> None:
    options = ["--processes", "2", "--concurrency", "2", "--grace", "600"]
    with App(redis_url) as app, worker(tmp_path, redis_url, *options) as supervisor:
        jobs = [app.using(queue="cli").send("wait", number=n, gate="gate") for n in range(4)]
        wait_until(lambda: len(_pids(redis_client, "gate")) == 4, "four running jobs")
        supervisor.signal(SIGTERM)
        supervisor.says("stopping", times=2)
        redis_client.set("gate", 1)
        assert supervisor.ended() == 0
        assert [job.get(timeout=5) for job in jobs] == list(range(4))
    assert in_flight(redis_client) == []


def test_a_signal_to_the_whole_group_of_processes_is_meant_once(
    tmp_path: Path, redis_url: str, redis_client: Redis
) -> None:
    options = ["--processes", "1", "--grace", "600"]
    with App(redis_url) as app, worker(tmp_path, redis_url, *options) as supervisor:
        job = app.using(queue="cli").send("wait", number=7, gate="gate")
        wait_until(lambda: _pids(redis_client, "gate"), "a running job")
        (child,) = children(supervisor.pid)
        os.kill(child, SIGTERM)
        supervisor.signal(SIGTERM)
        supervisor.says("stopping")
        redis_client.set("gate", 1)
        assert supervisor.ended() == 0
        assert job.get(timeout=5) == 7


def test_a_second_signal_skips_the_wait_and_gives_running_jobs_back(
    tmp_path: Path, redis_url: str, redis_client: Redis
) -> None:
    options = ["--processes", "2", "--concurrency", "2", "--grace", "600"]
    with App(redis_url) as app, worker(tmp_path, redis_url, *options) as supervisor:
        for number in range(4):
            app.using(queue="cli").send("wait", number=number, gate="gate")
        wait_until(lambda: len(_pids(redis_client, "gate")) == 4, "four running jobs")
        supervisor.signal(SIGTERM)
        supervisor.says("stopping", times=2)
        supervisor.signal(SIGTERM)
        assert supervisor.ended() == 0
    assert in_flight(redis_client) == []
    assert redis_client.llen("cli") == 4


def test_a_child_that_holds_the_gil_is_not_taken_for_dead(
    tmp_path: Path, redis_url: str, redis_client: Redis
) -> None:
    lease = ["--lease", "1"]
    with App(redis_url) as app, worker(tmp_path, redis_url, "--processes", "1", *lease):
        job = app.using(queue="cli").send("hold_the_gil", seconds=5)
        wait_until(lambda: _pids(redis_client, "gil"), "a held GIL")
        with worker(tmp_path, redis_url, *lease):  # one that would take it for dead
            assert job.get(timeout=20) == 5
    assert len(_pids(redis_client, "gil")) == 1


def test_a_child_that_runs_a_job_on_after_its_timeout_is_killed(
    tmp_path: Path, redis_url: str, redis_client: Redis
) -> None:
    with App(redis_url) as app, worker(tmp_path, redis_url, "--processes", "1") as supervisor:
        app.using(queue="cli", timeout=0.1).send("block_the_loop", gate="block")
        wait_until(lambda: _pids(redis_client, "block"), "a blocked loop")
        (pid, *_) = _pids(redis_client, "block")
        supervisor.says("run on after their timeout")
        wait_until(lambda: gone(pid), "its end")


def test_a_child_is_replaced_after_so_many_jobs_and_none_is_lost(
    tmp_path: Path, redis_url: str
) -> None:
    options = ["--processes", "1", "--concurrency", "1", "--max-jobs", "5"]
    with App(redis_url) as app, worker(tmp_path, redis_url, *options) as supervisor:
        supervisor.says("tasqueue worker on")
        (first,) = children(supervisor.pid)
        jobs = [app.using(queue="cli").send("add", a=n, b=1) for n in range(20)]
        assert [job.get(timeout=20) for job in jobs] == list(range(1, 21))
        supervisor.says("it is replaced")
        wait_until(lambda: gone(first), "the first one's end")
        assert app.using(queue="cli").send("add", a=1, b=1).get(timeout=20) == 2
        supervisor.signal(SIGTERM)
        assert supervisor.ended() == 0


def test_a_child_that_grows_too_large_is_replaced(tmp_path: Path, redis_url: str) -> None:
    with worker(tmp_path, redis_url, "--max-rss", "1") as supervisor:
        supervisor.says("MiB: it is replaced")
        supervisor.says("tasqueue worker on", times=2)


def test_children_that_die_as_they_start_are_started_ever_more_slowly(
    tmp_path: Path, redis_url: str
) -> None:
    program = "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n"
    with WorkerProcess(tmp_path, redis_url, "--processes", "2", program=program) as supervisor:
        supervisor.says("again in 0.1 s")
        supervisor.says("again in 0.2 s")
        supervisor.says("again in 0.4 s")
        assert supervisor.said.count("again in 0.1 s") == 1  # the second waits for the first
        supervisor.signal(SIGTERM)
        assert supervisor.ended() == 0


def test_an_app_that_cannot_be_loaded_ends_the_supervisor_with_one_paragraph(
    tmp_path: Path, redis_url: str
) -> None:
    with WorkerProcess(tmp_path, redis_url, "--processes", "3", program="app = 3\n") as supervisor:
        assert supervisor.ended() == 3
        assert supervisor.said.count("not a tasqueue App") == 1
        assert "Traceback" not in supervisor.said


def test_a_memory_app_ends_the_supervisor_with_one_paragraph(tmp_path: Path) -> None:
    with WorkerProcess(tmp_path, "memory://", "--processes", "3") as supervisor:
        assert supervisor.ended() == 2
        assert supervisor.said.count("memory://") == 1


def test_a_supervisor_shows_no_password_on_a_command_line_or_in_its_log(
    tmp_path: Path, redis_url: str
) -> None:
    secret = redis_url.replace("redis://", "redis://:canary@")
    with WorkerProcess(tmp_path, secret, "--processes", "1") as supervisor:
        supervisor.says("tasqueue worker on")
        (child,) = children(supervisor.pid)
        lines = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in (supervisor.pid, child)]
        assert all(b"tasqueue" in line and b"canary" not in line for line in lines)
        assert "canary" not in supervisor.said


def test_a_job_that_kills_its_process_is_convicted_and_the_others_are_not(
    tmp_path: Path, redis_url: str, redis_client: Redis
) -> None:
    options = ["--processes", "2", "--concurrency", "4"]
    with App(redis_url) as app, worker(tmp_path, redis_url, *options) as supervisor:
        calls = app.using(queue="cli")
        poison = calls.send("kill_the_process")
        jobs = [calls.send("add", a=n, b=1) for n in range(40)]
        assert [job.get(timeout=25) for job in jobs] == list(range(1, 41))
        with pytest.raises(JobFailed, match="dead: "):
            poison.get(timeout=25)
        assert redis_client.zcard("tq:res:success") == 40
        assert redis_client.zcard("tq:dl:{cli}") == 1
        supervisor.signal(SIGTERM)
        assert supervisor.ended() == 0
    assert in_flight(redis_client) == []
