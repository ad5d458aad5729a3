"""What the end of a worker process says of the job that ran alone in it."""

import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasqueue.core.blame import Blame, blame


@pytest.mark.parametrize("code", [0, 1, 9, 255])
def test_who_exits_by_itself_was_ended_by_its_job(code: int) -> None:
    assert blame(code, overtime=False, leaving=False) is Blame.JOB


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGABRT", "SIGBUS", "SIGILL", "SIGFPE", "SIGXCPU"])
def test_a_fault_is_the_job_s(name: str) -> None:
    code = -int(signal.Signals[name])
    assert blame(code, overtime=False, leaving=False) is Blame.JOB


@pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT", "SIGUSR1"])
def test_what_an_operator_or_the_kernel_sends_may_be_anybody_s(name: str) -> None:
    code = -int(signal.Signals[name])
    assert blame(code, overtime=False, leaving=False) is Blame.ANYBODY


def test_a_signal_that_has_no_name_here_proves_nothing() -> None:
    assert blame(-200, overtime=False, leaving=False) is Blame.ANYBODY


@given(st.integers(-70, 255))
def test_whatever_ends_a_process_that_was_told_to_stop_nobody_is_to_blame(code: int) -> None:
    assert blame(code, overtime=False, leaving=True) is Blame.NOBODY


@given(code=st.integers(-70, 255), leaving=st.booleans())
def test_a_job_that_runs_on_after_its_time_is_to_blame_for_the_kill(
    *, code: int, leaving: bool
) -> None:
    assert blame(code, overtime=True, leaving=leaving) is Blame.JOB
