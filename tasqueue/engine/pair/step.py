"""What two stores do for one request, in a safe order, as steps: awaited or blocking alike."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from dataclasses import replace
from typing import Any, Final, TypeAlias, TypeVar

from tasqueue.core.doubt import Doubts
from tasqueue.core.errors import BackendError
from tasqueue.core.outbox import OUTBOX, opened, posted
from tasqueue.core.ports import (
    JOB_KEY,
    Decided,
    OpenGroup,
    Parked,
    Pending,
    Push,
    PutTask,
    Read,
    Request,
    Store,
    Submit,
    Sweep,
    TellEnd,
    Withdraw,
    Workers,
    Write,
)

T = TypeVar("T")
Steps: TypeAlias = Generator[tuple[Store, Request], Any, T]
"""Yields what one of the two stores is to do, is sent its answer, returns a T."""

_LETTERS: Final = 100
"""Callbacks that are carried over together."""


async def follow(steps: Steps[T]) -> T:
    """Have each of two stores do what steps ask of it; what it raises is raised in the steps."""
    try:
        store, asked = next(steps)
        while True:
            try:
                answer = await store.perform(asked)
            except BackendError as error:
                store, asked = steps.throw(error)
            else:
                store, asked = steps.send(answer)
    except StopIteration as end:
        value: T = end.value
        return value


class Pair:
    """Where messages wait, and where records and groups are kept.

    In the broker each push leaves its call token for a while, by which a repeat is known. A group
    that fires puts its callback into an outbox in the results, from where it is carried to the
    broker at once, or by the next sweep of a worker of the callback's queue.
    """

    def __init__(self, broker: Store, results: Store) -> None:
        self.broker = broker
        self.results = results
        self.outboxes: set[str] = set()
        """Those that may hold letters, as far as they concern this program."""
        self._doubts = Doubts()

    def answer(self, request: Request) -> Steps[Any]:
        """Messages go to the broker, all else to the results; records before their messages."""
        match request:
            case Pending() | Parked() | Workers():
                return (yield self.broker, request)
            case Submit():
                return (yield from self.submit(request))
            case PutTask():
                yield self.broker, request  # where a worker looks who knows a parked job's task
                return (yield self.results, request)
            case OpenGroup():
                return (yield from self._open(request))
            case Sweep():
                found = yield self.results, request
                return (yield from self.deliver(sorted(self.outboxes))) or found
            case _:
                return (yield self.results, request)

    def submit(self, request: Submit) -> Steps[list[bool]]:
        """Write the ``queued`` records into the results, then push the bare messages; then seal.

        A repeat leaves a record that is there alone: the job may have run and ended meanwhile.
        """
        request = self._doubts.recalled(request)
        try:
            yield from self._record(request)
            pushed = yield from self.push(request.pushes, again=request.again)
            yield from self._seal(request)
        except BackendError as error:
            self._doubts.failed(request, error)
            raise
        self._doubts.answered(request)
        return pushed

    def _record(self, request: Submit) -> Steps[None]:
        names = [JOB_KEY + push.job_id for push in request.pushes]
        try:
            found = (yield self.results, Read(names)) if request.again else [None] * len(names)
            for name, push, known in zip(names, request.pushes, found, strict=True):
                if known is None:
                    yield self.results, Write(name, push.record)
        except BackendError as error:
            error.in_doubt = request.again  # the messages of an earlier try may be there
            raise

    def _seal(self, request: Submit) -> Steps[None]:
        if not request.seals:
            return
        try:
            yield self.results, Submit((), request.again, request.seals)
            yield from self.deliver(sorted(self.outboxes))
        except BackendError as error:
            error.in_doubt = True  # the messages are there
            raise

    def push(self, pushes: Sequence[Push], *, again: bool) -> Steps[list[bool]]:
        """Push bare messages, by their call tokens."""
        if not pushes:
            return []
        bare = [p._replace(record=b"", call=p.call or p.job_id) for p in pushes]
        pushed: list[bool] = yield self.broker, Submit(bare, again)
        return pushed

    def _open(self, group: OpenGroup) -> Steps[None]:
        """Have the results count a group, whose callbacks are letters there."""
        name = group.group_id
        good = group.on_success and posted(group.on_success, name)
        bad = group.on_error and posted(group.on_error, name)
        yield self.results, replace(group, on_success=good, on_error=bad)
        for push in (group.on_success, group.on_error):
            if push is not None:
                self.outboxes.add(OUTBOX + push.queue)
        if not group.members:
            yield from self.deliver(sorted(self.outboxes))

    def tell(self, end: TellEnd) -> Steps[None]:
        """Tell the results of a job's end, and carry over what fires by it."""
        outboxes = yield self.results, end
        yield from self.deliver(outboxes)

    def decided(self, names: Sequence[str]) -> Steps[set[str]]:
        """Those of the messages that were decided before, by the sha1 of their bytes."""
        if not (names and self.results.fan_in):
            return set()
        known = yield self.results, Decided(names)
        return {name for name, is_known in zip(names, known, strict=True) if is_known}

    def deliver(self, outboxes: Iterable[str]) -> Steps[bool]:
        """Carry letters to the broker, and then take them out: a repeat of the first is known."""
        found = False
        for outbox in outboxes:
            while True:
                page = yield self.results, Pending(outbox, limit=_LETTERS)
                if not page.bodies:
                    break
                found = True
                pushes = [opened(outbox, one) for one in reversed(page.bodies)]
                yield self.broker, Submit(pushes, again=True)
                yield self.results, Withdraw(outbox, page.bodies)
        return found
