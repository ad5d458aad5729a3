"""A message that is filled into a form has the bytes that it has when it is written as a whole."""

from hypothesis import example, given
from hypothesis import strategies as st

from tasqueue.core import lifecycle
from tasqueue.core.job import Job, JobOpts, JobStatus
from tasqueue.core.wire import encode_job, form_of
from tasqueue.engine.clock import Clock
from tasqueue.engine.prepare import prepare
from tests.parity.message import BLOBS, COUNTS, INSTANTS, SPANS

NAMES = st.from_regex(r"[\w:.{}-]{1,200}", fullmatch=True)
COMMON = st.builds(
    Job,
    task=NAMES,
    payload=BLOBS.map(lambda blob: blob or b""),
    opts=st.builds(JobOpts, queue=NAMES, max_retries=COUNTS, timeout_ns=SPANS),
)
NOW = INSTANTS.map(lambda ns: ns or 0)


class _Standing(Clock):
    """A clock that stands still."""

    def __init__(self, now_ns: int) -> None:
        self._now_ns = now_ns

    def now_ns(self) -> int:
        return self._now_ns


@given(COMMON, NOW, st.text(max_size=40))
def test_a_filled_form_is_the_message_and_its_record(job: Job, now_ns: int, job_id: str) -> None:
    bare = Job(job.task, None, job.opts)
    form = form_of(lifecycle.entry(bare, now_ns=now_ns, new_id=str).message)
    message = lifecycle.entry(job, now_ns=now_ns, new_id=lambda: job_id).message
    record = lifecycle.recorded(message, JobStatus.QUEUED, now_ns)
    body, written = form.filled(job_id, job.payload or b"", now_ns)
    assert body == encode_job(message)
    assert written == encode_job(record)


@given(COMMON, NOW)
@example(Job("t", None), 1)
@example(Job("t", b"p", JobOpts(id="mine")), 1)
@example(Job("t", b"p", JobOpts(eta_ns=5)), 1)
@example(Job("t", b"p", JobOpts(schedule="@daily")), 1)
@example(Job("t", b"p", on_success=[Job("u")]), 1)
@example(Job("t", b"p", on_error=[Job("u")]), 1)
@example(Job("t", b"p", ext={"x": 1}), 1)
def test_whatever_is_prepared_is_the_message_that_the_lifecycle_makes(
    job: Job, now_ns: int
) -> None:
    push = prepare(job, _Standing(now_ns))
    entry = lifecycle.entry(job, now_ns=now_ns, new_id=lambda: push.job_id)
    record = lifecycle.recorded(entry.message, JobStatus.QUEUED, now_ns)
    if not push.call or entry.due_ns is None:  # a call with an ID of its own and a time is marked
        assert push.body == encode_job(entry.message)
        assert push.record == encode_job(record)
    assert (push.queue, push.job_id, push.due_ns) == (
        job.opts.queue,
        entry.message.id,
        entry.due_ns,
    )
