"""RQ: SimpleWorker does not fork for each job, which makes it the fastest of its workers."""

from __future__ import annotations

import time

import stage
from redis import Redis
from rq import Queue, SimpleWorker

connection = Redis(port=stage.PORT)
queue = Queue(connection=connection)


def add(a: int, b: int) -> int:
    """Add."""
    stage.tick()
    return a + b


def now() -> int:
    """Say when this body ran."""
    return time.time_ns()


def one(number: int) -> None:
    """Enqueue a job."""
    queue.enqueue("with_rq.add", number, 1)


def many(count: int) -> None:
    """Enqueue in portions of 1,000."""
    for start in range(0, count, 1000):
        numbers = range(start, min(start + 1000, count))
        queue.enqueue_many([Queue.prepare_data("with_rq.add", (number, 1)) for number in numbers])


def ping() -> int:
    """Enqueue, and wait for the result on its stream."""
    result = queue.enqueue("with_rq.now").latest_result(timeout=10)
    return int(result.return_value)


def work() -> None:
    """Run jobs in this process."""
    SimpleWorker([queue], connection=connection).work(logging_level="ERROR")


if __name__ == "__main__":
    stage.play(stage.Contestant(work=work, one=one, many=many, ping=ping))
