"""Groups and chains: how member states add up, and how far a chain has come."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasqueue.core.chain import Chain, ChainMeta, Walk
from tasqueue.core.group import GroupMeta, roll_up, unfinished
from tasqueue.core.job import Job, JobMessage, JobStatus, Meta

STATES = st.sampled_from(["queued", "processing", "retrying", "successful", "failed"])


@given(st.dictionaries(st.text(max_size=3), STATES))
def test_a_group_adds_up_to_its_worst_member(states: dict[str, str]) -> None:
    found = set(states.values())
    if "failed" in found:
        expected = "failed"
    else:
        expected = "successful" if found <= {"successful"} else "processing"
    assert roll_up(states) == expected


@given(st.dictionaries(st.text(max_size=3), STATES))
def test_only_members_that_have_not_ended_are_asked_for_again(states: dict[str, str]) -> None:
    asked = unfinished(GroupMeta("g", job_status=states))
    assert asked == [job_id for job_id in states if states[job_id] not in {"successful", "failed"}]


@given(st.integers(2, 8))
def test_a_chain_nests_each_job_as_the_first_child_of_the_one_before(length: int) -> None:
    other = Job("other")
    jobs = [Job(f"link-{n}", on_success=[other]) for n in range(length)]
    chain = Chain.create(jobs)
    seen, job = [], chain.root
    while job.task != "other":
        seen.append(job.task)
        job = job.on_success[0]
    assert seen == [f"link-{n}" for n in range(length)]
    assert all(job.on_success == [other] for job in jobs), "the given jobs were changed"


def test_a_chain_of_one_is_refused() -> None:
    with pytest.raises(ValueError, match="minimum 2 tasks required to form chain"):
        Chain.create([Job("alone")])


def walked(states: list[str]) -> ChainMeta:
    """A chain of jobs ``0, 1, …`` in these states, walked from its first."""
    walk, here = Walk.along(ChainMeta("c", job_id="0", prev_jobs=["0", "0"])), "0"
    while here:
        at = int(here)
        after = [str(at + 1)] if at + 1 < len(states) else []
        here = walk.step(JobMessage(Meta(here, states[at], on_success_ids=after), Job("t")))
    return walk.meta


@given(st.lists(STATES, min_size=1, max_size=6))
def test_a_chain_stands_where_its_first_unsuccessful_job_stands(states: list[str]) -> None:
    ended = next((n for n, state in enumerate(states) if state != "successful"), len(states))
    meta = walked(states)
    if ended == len(states):
        assert (meta.status, meta.prev_jobs) == ("successful", [str(n) for n in range(ended)])
    elif states[ended] == "failed":
        assert (meta.status, meta.prev_jobs) == ("failed", [str(n) for n in range(ended + 1)])
    else:
        assert (meta.status, meta.prev_jobs) == ("processing", [str(n) for n in range(ended)])


def test_quirk_prev_jobs_grow_with_every_reading_is_mended() -> None:
    assert walked(["successful", "processing"]).prev_jobs == ["0"]


def test_an_empty_group_is_successful() -> None:
    assert roll_up({}) == JobStatus.SUCCESSFUL
