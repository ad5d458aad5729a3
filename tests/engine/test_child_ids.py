"""The IDs of what a job releases: an attempt that runs again after a crash gives the same ones."""

import uuid

from tasqueue import Job, JobOpts
from tasqueue.core.job import JobMessage, Meta
from tasqueue.core.lifecycle import Failed, Outcome, Succeeded
from tasqueue.engine.prepare import child_ids


def ids(outcome: Outcome, *, job_id: str = "", own: str = "a", retried: int = 0) -> list[str]:
    job = Job("t", opts=JobOpts(id=job_id), on_success=[Job("t")], on_error=[Job("t")])
    following = child_ids(JobMessage(Meta(own, retried=retried), job), outcome)
    return [following(), following()]


def test_the_same_attempt_with_the_same_end_gives_its_children_the_same_ids() -> None:
    assert ids(Succeeded(None)) == ids(Succeeded(b"other"))
    assert ids(Failed("e")) == ids(Failed("f"))


def test_each_child_of_each_attempt_of_each_job_has_an_id_of_its_own() -> None:
    made = [
        *ids(Succeeded(None)),
        *ids(Failed("e")),
        *ids(Succeeded(None), retried=1),
        *ids(Succeeded(None), own="b"),
        *ids(Succeeded(None), job_id="a"),
        *ids(Succeeded(None), job_id="a"),
    ]
    assert len(set(made)) == len(made)
    assert {uuid.UUID(one).version for one in made} == {4}
