"""Sends whose answers were lost: one more with the same ID is the same one."""

from __future__ import annotations

import dataclasses
from collections import OrderedDict
from typing import Final

from tasqueue.core.errors import BackendError
from tasqueue.core.ports import Submit

MOST: Final = 10_000
"""Jobs that are remembered; of more the oldest are forgotten."""


class Doubts:
    """Remembers the calls of jobs that may be stored or not; from many threads, and after a fork.

    A caller names a job by its ID. A store knows a repeated call by its token, since an ID of the
    caller's choice may be used for many runs. So what is in doubt keeps its first token, until a
    send of it is answered.
    """

    def __init__(self) -> None:
        # No lock, which a fork could leave taken: each of its methods is one step.
        self._calls: OrderedDict[str, str] = OrderedDict()

    def recalled(self, request: Submit) -> Submit:
        """The request, as a repeat of those calls that are in doubt."""
        calls = self._calls
        if not calls or not any(push.job_id in calls for push in request.pushes):
            return request
        pushes = [one._replace(call=calls.get(one.job_id, one.call)) for one in request.pushes]
        return dataclasses.replace(request, pushes=pushes, again=True)

    def failed(self, request: Submit, error: BackendError) -> None:
        """Remember the calls of a request that may have arrived."""
        if error.in_doubt:
            self._remember(request)

    def answered(self, request: Submit) -> None:
        """Forget the calls of a request: another one with such an ID is a new call."""
        if self._calls:
            for push in request.pushes:
                self._calls.pop(push.job_id, None)

    def _remember(self, request: Submit) -> None:
        for push in request.pushes:
            self._calls.setdefault(push.job_id, push.call)
            if len(self._calls) > MOST:
                self._calls.popitem(last=False)
