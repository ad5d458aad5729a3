"""Jobs as users build them, and the signals that handlers raise."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasqueue.core.errors import (
    Cancel,
    EnqueueError,
    EnqueueUnconfirmed,
    JobSignal,
    Reject,
    Retry,
    Snooze,
)
from tasqueue.core.group import Group, GroupOpts
from tasqueue.core.job import Job, JobOpts, Meta
from tasqueue.core.timing import to_ns

EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
INSTANTS = st.integers(0, 200 * 365 * 24 * 3600).map(lambda s: EARLIEST + timedelta(seconds=s))


@given(INSTANTS, st.timedeltas(timedelta(microseconds=1), timedelta(days=9_999)))
def test_instants_and_spans_read_back_as_they_were_given(eta: datetime, limit: timedelta) -> None:
    opts = JobOpts(eta=eta, timeout=limit)
    assert (opts.eta, opts.timeout) == (eta, limit)
    assert Meta("a", processed_at_ns=to_ns(eta)).processed_at == eta


def test_what_was_not_given_reads_as_none() -> None:
    assert (JobOpts().eta, JobOpts().timeout, Meta("a").processed_at) == (None, None, None)


def test_what_create_builds_is_what_it_was_given() -> None:
    group = Group.create([Job.create("a", b"p"), Job.create("b")], GroupOpts(id="g"))
    assert [(job.task, job.payload) for job in group.jobs] == [("a", b"p"), ("b", None)]
    assert group.opts.id == "g"


@pytest.mark.parametrize(
    ("signal", "says"),
    [
        (Retry(), "retry"),
        (Retry("busy", after=30), "busy"),
        (Snooze(60), "snoozed for 60 s"),
        (Cancel("no longer needed"), "no longer needed"),
        (Reject("hopeless"), "hopeless"),
    ],
)
def test_a_signal_says_what_the_handler_said(signal: JobSignal, says: str) -> None:
    assert str(signal) == says


def test_signals_carry_their_delays() -> None:
    assert (Retry(after=30).after, Retry().after, Snooze(60).after) == (30, None, 60)


def test_an_unconfirmed_enqueue_names_the_job_to_ask_about() -> None:
    error = EnqueueUnconfirmed("j-1", "no replica answered")
    assert isinstance(error, EnqueueError)
    assert error.job_id == "j-1"
    assert str(error) == "job j-1 may be lost in a failover: no replica answered"
