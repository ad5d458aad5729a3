"""A group of work that was put together before."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from tasqueue.core.errors import ArgumentError
from tasqueue.sdk.client import Client
from tasqueue.sdk.flow import Fan, Steps, no_use_of_errors
from tasqueue.sdk.signature import GroupSignature, Partial, Work

_POLICIES: Final = ("fail", "continue")


def fan_of(client: Client, members: Iterable[Any], on_failure: str) -> GroupSignature[Any]:
    """A group of what was put together before; a group among it adds its own members.

    Raises:
        ArgumentError: a member is nothing that could be sent, or the policy is unknown.
        Unsupported: a group among them lets its members fail, and this one does not.
    """
    if on_failure not in _POLICIES:
        msg = f"on_failure={on_failure!r}: a group knows 'fail' and 'continue'"
        raise ArgumentError(msg)
    goes_on = on_failure == "continue"
    steps = tuple(_member(one) for one in members)
    ends = (member[-1] for member in steps)
    if not goes_on and any(isinstance(end, Fan) and end.goes_on for end in ends):
        raise no_use_of_errors()
    return GroupSignature(client, (Fan(steps, goes_on),))


def _member(work: Any) -> Steps:
    if isinstance(work, Work | Partial):
        return work.steps
    msg = f"a {type(work).__qualname__} is no member of a group: take task.s(…)"
    raise ArgumentError(msg)
