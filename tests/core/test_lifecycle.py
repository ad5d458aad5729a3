"""What follows from how an attempt went, for any message."""

from itertools import count

from hypothesis import given
from hypothesis import strategies as st

from tasqueue.core.job import Job, JobMessage, JobOpts, Meta
from tasqueue.core.lifecycle import (
    TURN,
    Again,
    Circumstances,
    Failed,
    Finish,
    Outcome,
    Postponed,
    Succeeded,
    decide,
    entry,
)

outcomes: st.SearchStrategy[Outcome] = st.one_of(
    st.builds(Succeeded, st.none() | st.binary()),
    st.builds(
        Failed, st.text(), st.none() | st.binary(), delay_ns=st.integers(0, 10**12),
        final=st.booleans(),
    ),
    st.builds(Postponed, st.integers(0, 10**12)),
)  # fmt: skip
jobs = st.builds(
    Job,
    st.just("t"),
    st.none() | st.binary(),
    st.builds(JobOpts),
    on_success=st.lists(st.builds(Job, st.just("child")), max_size=3),
    on_error=st.lists(st.builds(Job, st.just("sorry")), max_size=3),
)
messages = st.builds(
    JobMessage,
    st.builds(
        Meta, st.just("id"), max_retry=st.integers(0, 5), retried=st.integers(0, 8)
    ),
    jobs,
)  # fmt: skip


def around(token: str = "1:n") -> Circumstances:  # noqa: S107 -- a claim's token, no secret
    ids = count()
    return Circumstances(1_000, token, lambda: f"new-{next(ids)}")


@given(messages, outcomes)
def test_a_job_ends_or_runs_again_and_never_both(message: JobMessage, outcome: Outcome) -> None:
    decision = decide(message, outcome, around())
    if isinstance(decision, Finish):
        assert decision.record.status in {"successful", "failed"}
    else:
        assert decision.record.status in {"retrying", "queued"}
        assert decision.entry.message.job.ext[TURN] == "1:n"
    assert decision.record.meta.processed_at_ns == 1_000


@given(messages, st.none() | st.binary())
def test_a_success_releases_every_child_with_the_result(
    message: JobMessage, result: bytes | None
) -> None:
    decision = decide(message, Succeeded(result), around())
    assert isinstance(decision, Finish)
    assert [e.message.job for e in decision.released] == message.job.on_success
    assert [e.message.id for e in decision.released] == decision.record.meta.on_success_ids
    assert all(e.message.meta.prev_job_result == result for e in decision.released)


@given(messages)
def test_attempts_are_one_more_than_max_retry(message: JobMessage) -> None:
    runs = 1
    decision = decide(message, Failed("e"), around())
    while isinstance(decision, Again):
        runs += 1
        assert decision.entry.message.meta.prev_err == "e"
        decision = decide(decision.entry.message, Failed("e"), around())
    assert runs == max(1, message.meta.max_retry - message.meta.retried + 1)
    assert [e.message.job for e in decision.released] == message.job.on_error


@given(messages, st.integers(0, 10**12))
def test_a_postponed_job_uses_up_no_attempt(message: JobMessage, delay_ns: int) -> None:
    decision = decide(message, Postponed(delay_ns), around())
    assert isinstance(decision, Again)
    assert decision.entry.message.meta.retried == message.meta.retried
    assert decision.entry.due_ns == (1_000 + delay_ns if delay_ns else None)


def test_quirk_a_cron_stops_for_good_when_a_firing_fails_is_mended() -> None:
    first = Job("tick", opts=JobOpts(schedule="@every 1h", eta_ns=0))
    following = Job("tick", opts=JobOpts(schedule="@every 1h", eta_ns=3_600 * 10**9))
    first.on_success.append(following)
    decision = decide(JobMessage(Meta("id"), first), Failed("e"), around())
    assert isinstance(decision, Finish)
    assert [e.due_ns for e in decision.released] == [3_600 * 10**9]


def test_quirk_retried_beyond_max_retry_is_over() -> None:
    message = JobMessage(Meta("id", max_retry=1, retried=9), Job("t"))
    assert isinstance(decide(message, Failed("e"), around()), Finish)


def test_a_child_that_cannot_be_enqueued_fails_its_parent_and_says_why() -> None:
    child = Job("tick", opts=JobOpts(schedule="no schedule"))
    message = JobMessage(Meta("id"), Job("t", on_success=[child]))
    decision = decide(message, Succeeded(b"saved"), around())
    assert isinstance(decision, Finish)
    assert decision.record.status == "failed"
    assert "cannot be enqueued" in decision.record.meta.prev_err
    assert decision.result == b"saved"


def test_an_error_child_that_cannot_be_enqueued_is_named_beside_the_error() -> None:
    child = Job("tick", opts=JobOpts(schedule="no schedule"))
    decision = decide(JobMessage(Meta("id"), Job("t", on_error=[child])), Failed("e"), around())
    assert isinstance(decision, Finish)
    assert decision.record.meta.prev_err.startswith("e (")


def test_a_schedule_without_a_further_run_is_not_followed_by_a_copy() -> None:
    never = entry(Job("t", opts=JobOpts(schedule="0 0 30 2 *")), now_ns=0, new_id=lambda: "i")
    assert never.message.job.on_success == []
    last = entry(
        Job("t", opts=JobOpts(schedule="0 0 30 2 *", eta_ns=5)), now_ns=0, new_id=lambda: "i"
    )
    assert (last.due_ns, last.message.job.on_success) == (5, [])


@given(st.integers(0, 2**62))
def test_a_scheduled_job_carries_its_next_firing_as_its_last_child(now_ns: int) -> None:
    job = Job("tick", b"p", JobOpts(schedule="@every 1h"), on_success=[Job("other")])
    made = entry(job, now_ns=now_ns, new_id=lambda: "i")
    *others, following = made.message.job.on_success
    assert others == [Job("other")]
    assert made.due_ns is not None
    assert following.opts.eta_ns is not None
    assert following.opts.eta_ns - made.due_ns == 3_600 * 10**9
    assert (following.task, following.payload, following.on_success) == ("tick", b"p", [])
    assert job.on_success == [Job("other")], "the given job was changed"
