"""A group with a callback on two servers, its members and its callback in real worker processes."""

import os
import subprocess
import sys
from pathlib import Path

from tasqueue import App
from tests.servers import Valkey

PATIENCE = 60
PROGRAM = """
import os
from tasqueue import App

app = App(os.environ["BROKER"], results=os.environ["RESULTS"])

@app.task(name="double", queue="parts")
async def double(number: int) -> int:
    return 2 * number

@app.task(name="total", queue="sums")
def total(numbers: list[int], plus: int = 0) -> int:
    with open("runs", "a") as runs:
        runs.write(f"{sum(numbers)}\\n")
    return sum(numbers) + plus
"""


def _worker(folder: Path, queue: str, env: dict[str, str]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tasqueue", "worker", "summing:app", "--queues", queue]
    return subprocess.Popen([*command, "--processes", "1"], cwd=folder, env=os.environ | env)


def test_a_callback_runs_once_with_the_results_of_its_members(
    tmp_path: Path, redis_url: str, other_server: Valkey
) -> None:
    (tmp_path / "summing.py").write_text(PROGRAM)
    with other_server.client() as client:
        client.flushall()
    env = {"BROKER": redis_url, "RESULTS": other_server.url}
    with App(redis_url, results=other_server.url) as app:

        @app.task(name="double", queue="parts")
        async def double(number: int) -> int:
            raise NotImplementedError

        @app.task(name="total", queue="sums")
        def total(numbers: list[int], plus: int = 0) -> int:
            raise NotImplementedError

        workers = [_worker(tmp_path, queue, env) for queue in ("parts", "sums")]
        try:
            inner = double.group([(1,), (2,)]).then(total)
            flow = app.group(inner, double.s(3)).then(total, 1)
            assert [flow.delay().get(timeout=PATIENCE) for _ in range(3)] == [13] * 3
            assert app.group([]).then(total).delay().get(timeout=PATIENCE) == 0
        finally:
            for worker in workers:
                worker.terminate()
            assert [worker.wait(timeout=PATIENCE) for worker in workers] == [0, 0]
    runs = (tmp_path / "runs").read_text().split()
    assert sorted(runs) == sorted(["6", "12"] * 3 + ["0"])
