"""What the sender of a job is told when its sends fail: twice, since each is tried twice."""

import copy
import pickle

import pytest

from tasqueue import Job, JobOpts
from tasqueue.core.errors import (
    BackendError,
    BackendRejected,
    BackendUnavailable,
    EnqueueError,
    EnqueueUnconfirmed,
)
from tasqueue.engine.plan import Plan, enqueue_many


def _lost() -> BackendUnavailable:
    error = BackendUnavailable("no answer")
    error.in_doubt = True
    return error


def _away() -> BackendUnavailable:
    return BackendUnavailable("refused")


def _no() -> BackendRejected:
    return BackendRejected("no")


def _raised(plan: Plan[list[str]], *errors: BackendError) -> BackendError:
    """What a plan raises when its requests end like that."""
    next(plan)
    *before, last = errors
    for error in before:
        plan.throw(error)
    with pytest.raises(BackendError) as caught:
        plan.throw(last)
    return caught.value


def _jobs() -> Plan[list[str]]:
    return enqueue_many([Job("note", b"", JobOpts(id=name)) for name in ("a", "b")])


@pytest.mark.parametrize(
    "errors",
    [(_lost, _lost), (_lost, _away), (_away, _lost), (_lost, _no)],
)
def test_what_may_be_stored_is_told_with_its_ids(errors: tuple[type, type]) -> None:
    told = _raised(_jobs(), *[error() for error in errors])
    assert isinstance(told, EnqueueUnconfirmed)
    assert isinstance(told, EnqueueError)
    assert isinstance(told, BackendUnavailable)
    assert (told.job_id, told.job_ids, told.stored) == ("a", ("a", "b"), False)
    assert str(told.__cause__) in str(told)


@pytest.mark.parametrize("errors", [(_away, _away), (_away, _no), (_no,)])
def test_what_is_not_stored_keeps_its_error(errors: tuple[type, ...]) -> None:
    last = [error() for error in errors]
    assert _raised(_jobs(), *last) is last[-1]


def test_what_is_stored_and_not_safe_is_not_sent_again_by_itself_and_names_all() -> None:
    told = _raised(_jobs(), EnqueueUnconfirmed("b", "no replica"))
    assert isinstance(told, EnqueueUnconfirmed)
    assert (told.job_id, told.job_ids, told.stored) == ("b", ("a", "b"), True)


def test_the_error_can_be_copied_and_sent_to_another_process() -> None:
    error = EnqueueUnconfirmed("a", "no answer", stored=False)
    sent = pickle.loads(pickle.dumps(error))  # noqa: S301 -- our own bytes
    for other in (copy.copy(error), sent):
        assert (str(other), vars(other)) == (str(error), vars(error))
