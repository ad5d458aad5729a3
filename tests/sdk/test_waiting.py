"""What a waiter is told, and when; and what a stored failure is to its caller."""

import logging
from collections.abc import Sequence
from typing import TypeVar

import pytest

from tasqueue.core.errors import JobFailed, JobTimeout, ResultTimeout
from tasqueue.core.job import Job, JobMessage, JobOpts, JobStatus, Meta
from tasqueue.core.ports import Pause, Read, Request, Workers
from tasqueue.core.wire import encode_record
from tasqueue.engine.clock import SYSTEM
from tasqueue.engine.plan import Plan
from tasqueue.sdk.waiting import Ended, Wait, failure, job_ended, told

T = TypeVar("T")

HINT = "tasqueue worker shop:app"


def message(status: str = "queued", *, prev_err: str = "", eta_ns: int | None = None) -> JobMessage:
    meta = Meta("id", status=status, queue="math", prev_err=prev_err)
    return JobMessage(meta, Job("shop.add", opts=JobOpts(eta_ns=eta_ns)))


def long_wait(hint: str = HINT) -> Wait:
    return Wait(None, hint, since=SYSTEM.monotonic() - 6)


def follow(plan: Plan[T], *, workers: Sequence[str] = (), parked: bool = False) -> list[Request]:
    """Answer a plan as a store would; what it asked."""
    asked: list[Request] = []
    answer: object = None
    try:
        while True:
            asked.append(plan.send(answer))
            answer = list(workers) if isinstance(asked[-1], Workers) else parked
    except StopIteration:
        return asked


def test_a_job_without_a_worker_is_told_once_with_the_command_that_helps(
    caplog: pytest.LogCaptureFixture,
) -> None:
    wait = long_wait()
    for _ in range(3):
        follow(wait.pause(message(), "id"))
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "has waited 6 s in queue 'math', and no worker is there" in record.getMessage()
    assert record.getMessage().endswith(f"{HINT} --queues math")


def test_a_parked_job_is_told_with_the_task_that_no_worker_knows(
    caplog: pytest.LogCaptureFixture,
) -> None:
    wait = long_wait()
    for _ in range(3):
        follow(wait.pause(message(), "id"), workers=["one"], parked=True)
    (record,) = caplog.records
    assert "no worker of queue 'math' knows task 'shop.add'" in record.getMessage()
    assert record.getMessage().endswith(f"{HINT} --queues math")


def test_while_workers_are_there_the_wait_is_silent_and_looks_again_later(
    caplog: pytest.LogCaptureFixture,
) -> None:
    wait = long_wait()
    looks = [Workers in map(type, follow(wait.pause(message(), "id"), workers=["one"]))
             for _ in range(3)]  # fmt: skip
    assert looks == [True, False, False]
    assert caplog.records == []
    wait.since -= 5
    follow(wait.pause(message(), "id"))
    assert len(caplog.records) == 1


def test_a_job_that_runs_or_waits_for_its_time_needs_no_worker(
    caplog: pytest.LogCaptureFixture,
) -> None:
    for seen in (message("processing"), message("retrying"), message(eta_ns=2**62), None):
        follow(long_wait().pause(seen, "id"))
    follow(long_wait(hint="").pause(message(), "id"))
    follow(Wait(None, HINT).pause(message(), "id"))
    assert caplog.records == []


def test_looks_come_less_often_but_never_later_than_the_end() -> None:
    wait = Wait(3.0, HINT)
    seconds = [pause.seconds for _ in range(20) for pause in follow(wait.pause(message(), "id"))
               if isinstance(pause, Pause)]  # fmt: skip
    assert seconds == sorted(seconds)
    assert seconds[-1] == 0.5
    with pytest.raises(ResultTimeout, match=r"not ended after 3 s: it is queued in queue 'math'"):
        follow(Wait(3, HINT, since=SYSTEM.monotonic() - 4).pause(message(), "id"))
    with pytest.raises(ResultTimeout, match=r"it is parked in queue 'math'"):
        follow(Wait(3, HINT, since=SYSTEM.monotonic() - 4).pause(message(), "id"), parked=True)


def ended(*pauses: object) -> tuple[list[type[Request]], Ended]:
    """Wait for a job that is queued as it is read; what was asked, and what came of it."""
    asked, answers = list[type[Request]](), list(pauses)
    plan = job_ended("id", Wait(None, HINT))
    request = next(plan)
    try:
        while True:
            asked.append(type(request))
            is_pause = isinstance(request, Pause)
            request = plan.send(answers.pop(0) if is_pause else (encode_record(message()), None))
    except StopIteration as end:
        return asked, end.value


def test_a_waiter_that_is_told_what_came_of_its_job_does_not_ask_for_it() -> None:
    done = encode_record(message("successful"))
    asked, end = ended(None, (done, b"1"))
    assert asked == [Read, Pause, Read, Pause]
    assert (end.message.status, end.result) == ("successful", b"1")


def test_a_waiter_that_is_told_of_another_state_than_an_end_waits_on() -> None:
    going, done = encode_record(message("retrying")), encode_record(message("successful"))
    asked, end = ended((going, b"0"), (done, b"1"))
    assert asked == [Read, Pause, Pause]
    assert end.result == b"1"


def test_a_stored_failure_becomes_an_exception_that_says_why() -> None:
    failed = failure(message("failed", prev_err="ValueError: no"))
    assert isinstance(failed, JobFailed)
    assert (failed.job_id, failed.message, failed.type) == ("id", "ValueError: no", "")
    assert "no reason" in str(failure(message("failed")))
    assert isinstance(
        failure(message("failed", prev_err="context deadline exceeded: no end within 3 s")),
        JobTimeout,
    )


@pytest.mark.parametrize(
    ("status", "prev_err", "expected"),
    [
        ("queued", "", JobStatus.QUEUED),
        ("failed", "boom", JobStatus.FAILED),
        ("failed", "cancelled: by hand", JobStatus.CANCELLED),
        ("failed", "dead: crashed 3 workers", JobStatus.DEAD),
        ("something new", "", JobStatus.PROCESSING),
    ],
)
def test_a_status_says_what_python_knows_beyond_go(
    status: str, prev_err: str, expected: JobStatus
) -> None:
    assert told(message(status, prev_err=prev_err)) == expected
