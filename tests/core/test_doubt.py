"""Calls that are in doubt are remembered by the ID of their job, and no longer than that."""

from tasqueue.core.doubt import MOST, Doubts
from tasqueue.core.errors import BackendUnavailable, EnqueueUnconfirmed
from tasqueue.core.ports import Push, Submit


def _submit(*names: str, call: str) -> Submit:
    return Submit([Push("q", name, b"", b"", call=f"{call}{name}") for name in names])


def _unanswered() -> BackendUnavailable:
    error = BackendUnavailable("no answer")
    error.in_doubt = True
    return error


def test_a_call_in_doubt_is_recalled_by_its_id_until_it_is_answered() -> None:
    doubts = Doubts()
    doubts.failed(_submit("a", "b", call="1"), _unanswered())
    again = doubts.recalled(_submit("b", "c", call="2"))
    assert ([push.call for push in again.pushes], again.again) == (["1b", "2c"], True)
    doubts.failed(again, BackendUnavailable("refused"))
    doubts.failed(again, _unanswered())
    assert doubts.recalled(_submit("b", call="3")).pushes[0].call == "1b"
    doubts.answered(again)
    fresh = _submit("b", call="4")
    assert doubts.recalled(fresh) is fresh
    assert doubts.recalled(_submit("a", call="5")).pushes[0].call == "1a"


def test_what_is_stored_and_not_safe_enough_is_recalled_too() -> None:
    doubts = Doubts()
    doubts.failed(_submit("a", call="1"), EnqueueUnconfirmed("a", "no replica"))
    assert doubts.recalled(_submit("a", call="2")).pushes[0].call == "1a"


def test_what_failed_and_is_in_no_doubt_is_a_new_call_the_next_time() -> None:
    doubts = Doubts()
    doubts.failed(_submit("a", call="1"), BackendUnavailable("refused"))
    fresh = _submit("a", call="2")
    assert doubts.recalled(fresh) is fresh


def test_of_an_outage_as_long_as_may_be_a_bounded_number_is_remembered() -> None:
    doubts = Doubts()
    doubts.failed(_submit(*map(str, range(MOST + 1)), call="1"), _unanswered())
    oldest = _submit("0", call="2")
    assert doubts.recalled(oldest) is oldest
    assert doubts.recalled(_submit(f"{MOST}", call="2")).pushes[0].call == f"1{MOST}"
