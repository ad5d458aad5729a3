"""What may not be enqueued is refused with what to do instead."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasqueue.core.errors import ConfigurationError, LimitExceeded, ScheduleError
from tasqueue.core.job import Job, JobOpts
from tasqueue.core.limits import (
    MAX_LINKS,
    MAX_MESSAGE,
    check_id,
    check_job,
    check_name,
    check_size,
)


def nested(depth: int) -> Job:
    job = Job("last")
    for _ in range(depth):
        job = Job("link", on_success=[job])
    return job


def test_a_chain_of_the_longest_length_is_taken_and_a_longer_one_refused() -> None:
    longest = nested(MAX_LINKS)
    assert check_job(longest) is longest
    with pytest.raises(LimitExceeded, match="more than 200 jobs in a row after 'link'"):
        check_job(nested(MAX_LINKS + 1))


@given(st.text(alphabet="abcÄ9_:.{}-", min_size=1, max_size=200))
def test_names_of_the_usual_kind_are_taken(name: str) -> None:
    assert check_name("task", name) == name


@pytest.mark.parametrize("name", ["", "a b", "a/b", "x" * 201, "a\n"])
def test_other_names_are_refused_by_their_kind_and_value(name: str) -> None:
    with pytest.raises(ConfigurationError, match=r"queue name .* is not usable"):
        check_name("queue", name)


@pytest.mark.parametrize("taken", ["success", "failed", "job:msg:1", "group:msg:", "chain:msg:x"])
def test_ids_that_collide_with_keys_of_go_are_refused(taken: str) -> None:
    with pytest.raises(ConfigurationError, match="reserved"):
        check_id("job", taken)


@pytest.mark.parametrize(
    "bad",
    [
        Job("a b"),
        Job("t", opts=JobOpts(queue="a b")),
        Job("t", opts=JobOpts(id="success")),
        Job("t", on_success=[Job("u", on_error=[Job("")])]),
    ],
)
def test_a_job_is_refused_for_any_name_in_it(bad: Job) -> None:
    with pytest.raises(ConfigurationError, match="not usable"):
        check_job(bad)


def test_a_schedule_is_checked_before_anything_is_sent() -> None:
    with pytest.raises(ScheduleError):
        check_job(Job("t", on_error=[Job("u", opts=JobOpts(schedule="61 * * * *"))]))


def test_a_message_over_the_limit_is_refused_with_its_size() -> None:
    assert check_size("job 1", b"x" * MAX_MESSAGE)
    with pytest.raises(LimitExceeded, match=r"job 1 is 1,048,577 bytes, the limit is 1,048,576"):
        check_size("job 1", b"x" * (MAX_MESSAGE + 1))
