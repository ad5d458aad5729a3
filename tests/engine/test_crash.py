"""A worker process that is killed with its jobs running loses none of them."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import redis

from tasqueue import App
from tests.servers import valkey

PROGRAM = """
import os, time
import redis
from tasqueue import App

app = App()

@app.task(name="once", queue="crash")
def once(number: int) -> int:
    r = redis.Redis.from_url(app.url)
    r.hincrby("runs", str(number), 1)
    while r.get("gate") is None:
        time.sleep(0.02)
    r.close()
    return number
"""


def _worker(folder: Path, url: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tasqueue", "worker", "crashing:app", "--concurrency", "8"]
    return subprocess.Popen(
        command, cwd=folder, env=os.environ | {"TASQUEUE_URL": url}, stderr=subprocess.DEVNULL
    )


def _until(look: object, what: str) -> None:
    for _ in range(1200):
        if callable(look) and look():
            return
        time.sleep(0.02)
    raise AssertionError(f"waited in vain for {what}")


def test_a_kill_of_a_worker_with_eight_running_jobs_loses_none_and_doubles_no_completion(
    tmp_path: Path, redis_url: str
) -> None:
    (tmp_path / "crashing.py").write_text(PROGRAM)
    conn = redis.Redis.from_url(redis_url)
    with App(redis_url) as app:
        ids = [app.using(queue="crash").send("once", number=n).id for n in range(8)]
        first = _worker(tmp_path, redis_url)
        _until(lambda: conn.hlen("runs") == 8, "eight running jobs")
        first.send_signal(signal.SIGKILL)
        first.wait()
        conn.set("gate", 1)
        second = _worker(tmp_path, redis_url)
        try:
            _until(lambda: conn.zcard("tq:res:success") == 8, "eight completions")
            assert sorted(app.job(one).get(timeout=10) for one in ids) == list(range(8))
        finally:
            second.send_signal(signal.SIGTERM)
            assert second.wait(timeout=20) == 0
    assert {int(n) for n in conn.hvals("runs")} == {2}
    assert conn.hlen("tq:hb:{crash}") == 0
    conn.close()


def test_a_worker_outlives_a_restart_of_its_server(tmp_path: Path) -> None:
    (tmp_path / "crashing.py").write_text(PROGRAM)
    with valkey(aof=True) as server, App(server.url) as app:
        worker = _worker(tmp_path, server.url)
        try:
            with server.client() as conn:
                conn.set("gate", 1)
            assert app.using(queue="crash").send("once", number=1).get(timeout=20) == 1
            server.restart(kill=True)
            assert app.using(queue="crash").send("once", number=2).get(timeout=20) == 2
        finally:
            worker.send_signal(signal.SIGTERM)
            assert worker.wait(timeout=20) == 0
