"""A worker process of the fault suite: ``python -m tests.faults.worker --url … --diary …``.

The environment may ask for a failpoint: ``TQ_FAIL=settle:after:3``, ``TQ_FAIL_ONCE=<file>``, or
for a worker that notices that it is taken for dead after 100 refusals: ``TQ_HEEDLESS=100``.
"""

import argparse
import asyncio
import itertools
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import time_machine

from tasqueue import Server, ServerOpts, TaskOpts
from tasqueue.brokers.redis_broker import RedisBroker
from tasqueue.engine.registry import Task
from tasqueue.results.redis_results import RedisResults
from tests.faults import failpoint
from tests.faults.diary import Diary
from tests.faults.task import TASKS, noted

HOUR = 3600.0


def _flags() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--diary", type=Path, required=True)
    parser.add_argument("--queue", required=True)
    parser.add_argument("--tasks", default=",".join(TASKS))
    parser.add_argument("--concurrency", type=int, default=8)
    parser.add_argument("--lease", type=float, default=3.0)
    parser.add_argument("--grace", type=float, default=10.0)
    return parser.parse_args()


@contextmanager
def _clock() -> Iterator[None]:
    """Turn this process's clock by ``TQ_CLOCK`` seconds.

    "jumping" is an hour to and fro each second, "drifting" half a second ahead each second.
    """
    turn = os.environ.get("TQ_CLOCK", "")
    if not turn:
        yield
        return
    # Real seconds, whatever the clock says: time-machine leaves the monotonic clock alone.
    now = time.time()
    turns = _TURNS.get(turn)
    with time_machine.travel(now + (0 if turns else float(turn)), tick=True) as traveller:
        if turns:
            threading.Thread(target=_turn, args=(traveller, turns), daemon=True).start()
        yield


_TURNS = {"jumping": (3600, -3600), "drifting": (0.25,)}
"""Seconds by which a clock is turned, one after the other, two each second."""


def _turn(traveller: Any, turns: Sequence[float]) -> None:
    for turn in itertools.cycle(turns):
        time.sleep(0.5)
        traveller.shift(turn)


async def main() -> None:
    flags = _flags()
    logging.basicConfig(
        level=os.environ.get("TQ_LOG", "INFO"), format="%(asctime)s %(levelname)s %(message)s"
    )
    diary = Diary(flags.diary)
    diary.listen()
    if fail := os.environ.get("TQ_FAIL"):
        failpoint.install(fail, Path(os.environ["TQ_FAIL_ONCE"]))
    if tries := os.environ.get("TQ_HEEDLESS"):
        failpoint.be_heedless(int(tries))
    broker = RedisBroker.from_url(flags.url)
    results = RedisResults.from_url(flags.url, expiry=HOUR)
    opts = ServerOpts(broker=broker, results=results, grace=flags.grace, lease_seconds=flags.lease)
    server = Server(opts)
    for name in flags.tasks.split(","):
        task_opts = TaskOpts(queue=flags.queue, concurrency=flags.concurrency)
        server.add_task(Task(name=name, handler=noted(diary, TASKS[name]), opts=task_opts))
    running = asyncio.create_task(server.start())
    stops: set[asyncio.Task[None]] = set()
    asyncio.get_running_loop().add_signal_handler(
        signal.SIGTERM, lambda: stops.add(asyncio.create_task(server.stop()))
    )
    diary.note("ready")
    await running
    for back_end in (broker, results):
        await back_end.close()


if __name__ == "__main__":
    with _clock():
        sys.exit(asyncio.run(main()))
