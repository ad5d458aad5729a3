"""The end of held jobs as script calls: FINISH, or RETRY for a job that comes back."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from tasqueue.core.errors import BackendError, BackendUnavailable, WrongType
from tasqueue.core.limits import is_reserved
from tasqueue.core.ports import Answer, Push, Settlement
from tasqueue.drivers.redis.command import Arg, Command, Steps, call, portions
from tasqueue.drivers.redis.keys import QueueKeys


def settle(
    keys: QueueKeys, worker_id: str, settlements: Sequence[Settlement], *, now_ns: int, db: int = 0
) -> Steps[list[Answer]]:
    """Carry settlements out in their order; one answer each. ``db``: where the keys lie.

    A call whose script the server has lost is sent again by the driver, after the others: no
    order is promised between FINISH and RETRY, which only two lives of one ID could tell apart.

    A call that the server refuses as a whole (a key of another type) wrote nothing; its
    settlements are sent once more, one by one, so that the sound ones get through.

    Raises:
        BackendUnavailable: some may have been carried out; all may be sent again.
    """

    def calls(portion: Sequence[Settlement]) -> Command:
        if portion[0].again is None:
            return finish(keys, worker_id, portion, now_ns=now_ns, db=db)
        return retry(keys, worker_id, portion)

    if not settlements:
        return []
    runs = groupby(settlements, key=lambda settlement: settlement.again is None)
    batches = [batch for _, run in runs for batch in portions(run, _weight, _jobs)]
    replies = yield [calls(batch) for batch in batches]
    answers: list[Answer] = []
    for batch, reply in zip(batches, replies, strict=True):
        if isinstance(reply, BackendError) and len(batch) > 1:
            _raise_if_passing(reply)
            alone = yield [calls([settlement]) for settlement in batch]
            answers += [_answer(one) for one in alone]
        elif isinstance(reply, BackendError):
            answers.append(_answer(reply))
        else:
            answers += [Answer(value) for value in reply]
    return answers


def _raise_if_passing(error: BackendError) -> None:
    if isinstance(error, BackendUnavailable):
        raise error


def _answer(reply: Any) -> Answer:
    """Read the reply to a call of one settlement."""
    if isinstance(reply, WrongType):
        return Answer.BAD_KEY
    if isinstance(reply, BackendError):
        raise reply
    return Answer(reply[0])


def finish(
    keys: QueueKeys, worker_id: str, settlements: Sequence[Settlement], *, now_ns: int, db: int = 0
) -> Command:
    """Build the call of FINISH."""
    args: list[Arg] = [worker_id, now_ns, db, len(settlements)]
    args += [one.token for one in settlements]
    for one in settlements:
        args += (one.job_id, one.listing, one.record, *saved(one), one.ttl_ms)
        more = _more(one)
        args += (len(more), *more)
    names = (keys.held(worker_id), keys.beats, keys.dead, keys.reasons, keys.charges)
    return call("finish", names, args)


def retry(keys: QueueKeys, worker_id: str, settlements: Sequence[Settlement]) -> Command:
    """Build the call of RETRY. Records of unfinished jobs have no TTL."""
    args: list[Arg] = [worker_id]
    for settlement in settlements:
        push = settlement.again
        if push is None:
            raise TypeError("RETRY takes settlements with a next attempt only")
        args += (settlement.token, settlement.job_id, settlement.once, settlement.record)
        args += (*saved(settlement), push.queue, _due(push), push.body)
    return call("retry", (keys.held(worker_id), keys.beats, keys.charges), args)


def saved(settlement: Settlement) -> tuple[str, bytes]:
    """Whether there is a result (``"1"``, or ``""``; ``"-"``: never touch that key), and it.

    An ID that only Go takes would overwrite something else under ``tq:res:``.
    """
    if is_reserved(settlement.job_id):
        return "-", b""
    return ("", b"") if settlement.result is None else ("1", settlement.result)


def _more(one: Settlement) -> list[Arg]:
    """What most jobs do not have: copies, a group, a reason to be kept, jobs that they release."""
    if not (one.once or one.dead or one.member or one.closes or one.pushes):
        return []
    group_id, place = one.member or ("", None)
    more: list[Arg] = [one.once, one.dead, group_id, "" if place is None else place, one.closes]
    for push in one.pushes:
        more += (push.queue, _due(push), push.job_id, push.record, push.body)
    return more


def _due(push: Push) -> Arg:
    return "" if push.due_ns is None else push.due_ns


def _jobs(settlement: Settlement) -> int:
    """It, and those that it releases."""
    return 1 + len(settlement.pushes)


def _weight(settlement: Settlement) -> int:
    pushes = settlement.pushes if settlement.again is None else [settlement.again]
    released = sum(len(push.body) + len(push.record) for push in pushes)
    return len(settlement.record) + len(settlement.result or b"") + released
