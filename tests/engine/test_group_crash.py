"""Groups with a callback while their workers are killed: each callback runs to one completion."""

import os
import random
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tasqueue import App, JobFailed, JobHandle
from tests.faults.oracle import left_over
from tests.faults.site import site, until

GROUPS, MEMBERS, KILLS, FAILING = 50, 20, 5, 5
PROGRAM = """
import time
from tasqueue import App

app = App()

@app.task(name="part", queue="crash")
def part(number: int) -> int:
    time.sleep(0.01)
    if number < 0:
        raise ValueError("below zero")
    return number

@app.task(name="double", queue="crash")
def double(number: int) -> int:
    return 2 * number

@app.task(name="gather", queue="crash")
def gather(values: list[int], group: int) -> list[int]:
    time.sleep(0.02)
    return [group, *values]
"""


@pytest.mark.timeout(240)
def test_kills_of_workers_lose_no_callback_and_double_none(tmp_path: Path) -> None:
    (tmp_path / "grouping.py").write_text(PROGRAM)
    command = [sys.executable, "-m", "tasqueue", "worker", "grouping:app", "--concurrency", "8"]
    chance = random.Random(4)
    with site(tmp_path) as here, App(here.server.url) as app:
        env = os.environ | {"TASQUEUE_URL": here.server.url}

        def hire() -> subprocess.Popen[bytes]:
            return subprocess.Popen(command, cwd=tmp_path, env=env, stderr=subprocess.DEVNULL)

        workers = [hire() for _ in range(3)]
        try:
            sent = send(app)
            for kill in range(1, KILLS + 1):
                share = kill * GROUPS * MEMBERS // (KILLS + 1)
                until(partial(ended, here.conn, share), "progress")
                victim = workers.pop(chance.randrange(len(workers)))
                victim.kill()
                victim.wait()
                workers.append(hire())
            results = [outcome(job) for job in sent]
            wanted: list[Any] = [
                [n, 200 * n, *range(100 * n + 1, 100 * n + MEMBERS)] for n in range(GROUPS)
            ]
            assert results[:-FAILING] == wanted
            assert results[-FAILING:] == ["below zero"] * FAILING
            until(lambda: not here.conn.scard("tq:gp:open"), "the end of all groups")
            # Who is not registered yet may not know what a SIGTERM is.
            until(lambda: here.conn.hlen("tq:hb:{crash}") == len(workers), "three workers")
        finally:
            for worker in workers:
                worker.terminate()
            codes = [worker.wait(timeout=60) for worker in workers]
        assert codes == [0, 0, 0]
        witness = here.witness()
        assert witness is not None
        assert witness.entered_twice() == []
        assert witness.completed_twice() == []
        assert all(witness.entries[job.id] == 1 for job in sent[:-FAILING])
        assert all(witness.entries[job.id] == 0 for job in sent[-FAILING:])
        assert left_over(here.conn, unended=set(), with_the_dead=False) == []


def send(app: App) -> list[JobHandle[Any]]:
    """Groups whose first member is a chain; the last ones have a member that fails."""

    @app.task(name="double", queue="crash")
    def double(number: int) -> int:
        raise NotImplementedError

    @app.task(name="gather", queue="crash")
    def gather(values: list[int], group: int) -> list[int]:
        raise NotImplementedError

    def member(number: int) -> Any:
        return app.using(queue="crash").signature("part", number=number)

    sent = []
    for group in range(GROUPS + FAILING):
        members = [member(100 * group + at) for at in range(MEMBERS)]
        members[0] = members[0].then(double)
        if group >= GROUPS:
            members[1] = member(-1)
        sent.append(app.group(members).then(gather, group).delay())
    return sent


def ended(conn: Any, share: int) -> bool:
    return bool(conn.zcard("tq:res:success") >= share)


def outcome(job: JobHandle[Any]) -> Any:
    try:
        return job.get(timeout=90)
    except JobFailed as error:
        return error.message
