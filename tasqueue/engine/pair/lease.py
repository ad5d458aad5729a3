"""One worker's place in two stores: what it holds lies in the broker, what it reports elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tasqueue.core.digest import sha1
from tasqueue.core.ports import JOB_KEY, Answer, Lease, Mark, Push, Results, Settlement, TellEnd
from tasqueue.engine.pair.step import Pair, follow


class PairLease:
    """A lease on the broker; settlements and marks go to the results as well."""

    def __init__(self, lease: Lease, pair: Pair, results: Results) -> None:
        self._lease = lease
        self._pair = pair
        self._results = results
        self._recorded: set[str] = set()
        """Pushes whose records are written, by name, until what releases them is settled."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._lease, name)

    async def mark(self, queue: str, marks: Sequence[Mark]) -> None:
        """Write ``processing`` records of jobs that are still held."""
        held = await self._held(queue)
        known = await follow(self._pair.decided([mark.once for mark in marks if mark.once]))
        for mark in marks:
            if mark.token in held and mark.once not in known:
                await self._results.set(JOB_KEY + mark.job_id, mark.record)

    async def settle(self, queue: str, settlements: Sequence[Settlement]) -> list[Answer]:
        """Carry settlements out in the safe order."""
        held, answers, done = await self._held(queue), list[Answer](), list[str]()
        names = {one.token: _once(one, held.get(one.token, b"")) for one in settlements}
        known = await follow(self._pair.decided([n for n in names.values() if n]))
        try:
            for one in settlements:
                once = names[one.token]
                is_new = one.token in held and once not in known
                if is_new:
                    await self._carry_out(queue, one, once)
                    self._recorded -= {push.call for push in _pushes(one)}
                    known.update([once] if once else [])
                done += [one.token] if one.token in held else []
                answers.append(Answer.APPLIED if is_new else Answer.DECIDED)
        finally:
            await self._lease.drop(queue, done)
        return answers

    async def _held(self, queue: str) -> dict[str, bytes]:
        return {claim.token: claim.body for claim in await self._lease.adopt(queue)}

    async def _carry_out(self, queue: str, one: Settlement, once: str) -> None:
        await self._release(one)
        if one.result is not None:
            await self._results.set(one.job_id, one.result)
        if one.again is None:  # else it was written before the message, whose end may follow soon
            await self._results.set(JOB_KEY + one.job_id, one.record)
        if one.listing == "success":
            await self._results.set_success(one.job_id)
        elif one.listing:
            await self._results.set_failed(one.job_id)
        await self._tell(one, once)
        if one.dead:
            await self._lease.bury(queue, one.token, one.dead)

    async def _release(self, one: Settlement) -> None:
        """Push what a job releases, or its own next attempt.

        By their names they are known, should this settlement be sent again after an error; their
        records are not written again then: they may have run and ended meanwhile.
        """
        pushes = _pushes(one)
        for push in pushes:
            if push.call not in self._recorded:
                await self._results.set(JOB_KEY + push.job_id, push.record)
                self._recorded.add(push.call)
        await follow(self._pair.push(pushes, again=True))

    async def _tell(self, one: Settlement, once: str) -> None:
        """Tell the group, and that this message is decided; close a group whose callback ended."""
        closes = one.closes if one.again is None else ""
        if not self._pair.results.fan_in or not (one.member or once or closes):
            return
        failed = one.listing == "failed"
        saved = None if failed else one.result
        if saved is None and one.member and not failed:
            saved = await self._results.get(one.job_id)  # of an earlier attempt
        end = TellEnd(one.job_id, failed, saved, one.member, once, closes)
        await follow(self._pair.tell(end))


def _pushes(one: Settlement) -> list[Push]:
    """What follows, by names that are the same each time; two children may have one ID."""
    following = [*one.pushes, *((one.again,) if one.again else ())]
    return [
        push._replace(call=f"{one.token}:{place}:{push.job_id}")
        for place, push in enumerate(following)
    ]


def _once(one: Settlement, body: bytes) -> str:
    """The name by which a message is decided once: callbacks may come twice after an outage."""
    if one.once or not one.closes:
        return one.once
    return sha1(body)
