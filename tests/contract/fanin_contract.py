"""What every store with fan-in keeps true. A back end gives the fixture ``store``."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from tasqueue.core.group import Membership
from tasqueue.core.job import Job, JobMessage, JobStatus, Meta
from tasqueue.core.ports import (
    JOB_KEY,
    Answer,
    Claim,
    GroupResults,
    OpenGroup,
    Pending,
    Push,
    Read,
    Settlement,
    Submit,
    Sweep,
    WorkerInfo,
    Write,
)
from tasqueue.core.wire import decode_job, encode_job

Q = "contract"


def push(job_id: str, queue: str = Q) -> Push:
    body = encode_job(JobMessage(Meta(job_id, queue=queue), Job("task")))
    return Push(queue, job_id, body, body)


def opening(group_id: str, *members: str, **options: Any) -> OpenGroup:
    """A group that calls ``<id>-ok``; members as paths, ``"a>b"``."""
    return OpenGroup(
        group_id,
        [member.split(">") for member in members],
        push(f"{group_id}-ok"),
        options.pop("on_error", None),
        **options,
    )


class Hand:
    """A worker whose every step a test decides."""

    def __init__(self, store: Any, lease: Any) -> None:
        self.store = store
        self.lease = lease
        self.held: dict[str, str] = {}

    async def send(self, *job_ids: str, seals: Sequence[str] = (), again: bool = False) -> None:
        pushes = [push(job_id) for job_id in job_ids]
        await self.store.perform(Submit(pushes, again=again, seals=seals))

    async def claim(self) -> list[str]:
        """Take all that waits; returns the IDs, oldest first."""
        found: list[str] = []
        while await self.waiting():
            for claim in await self.lease.claim(Q, 100):
                job_id = decode_job(claim.body).id
                self.held[job_id] = claim.token
                found.append(job_id)
        return found

    async def waiting(self) -> int:
        page = await self.store.perform(Pending(Q, limit=0))
        return int(page.total)

    async def end(
        self,
        job_id: str,
        result: bytes | None = None,
        *,
        error: str = "",
        of: Membership | None = None,
        **more: Any,
    ) -> Answer:
        """End a held job; ``error`` fails it."""
        status = JobStatus.FAILED if error else JobStatus.SUCCESSFUL
        meta = Meta(job_id, queue=Q, status=status, prev_err=error)
        settlement = Settlement(
            self.held[job_id],
            job_id,
            encode_job(JobMessage(meta, Job("task"))),
            listing="failed" if error else "success",
            result=result,
            member=of,
            **more,
        )
        (answer,) = await self.lease.settle(Q, [settlement])
        assert isinstance(answer, Answer)
        return answer

    async def status(self, job_id: str) -> str:
        (record,) = await self.store.perform(Read([JOB_KEY + job_id]))
        return decode_job(record).status if record else ""

    async def results(self, group_id: str) -> Any:
        return await self.store.perform(GroupResults(group_id))


class FanInContract:
    many: int = 1_200
    """More than one script call carries."""

    @pytest.fixture
    async def hand(self, store: Any) -> AsyncIterator[Hand]:
        lease = store.lease(WorkerInfo(queues=(Q,)))

        def beat() -> bool:
            try:
                return bool(lease.beat())
            finally:
                store.close()

        assert await asyncio.to_thread(beat)
        yield Hand(store, lease)
        await lease.end(Q)

    async def test_the_last_member_calls_the_callback_once(self, hand: Hand) -> None:
        await hand.store.perform(opening("g", "a", "b"))
        await hand.send("a", "b", seals=["g"])
        assert await hand.claim() == ["a", "b"]
        assert await hand.end("b", b"2", of=Membership("g")) == Answer.APPLIED
        assert await hand.claim() == []
        assert await hand.status("g-ok") == JobStatus.QUEUED
        assert await hand.end("a", b"1", of=Membership("g")) == Answer.APPLIED
        assert await hand.claim() == ["g-ok"]
        assert await hand.end("a", b"1", of=Membership("g")) == Answer.DECIDED
        assert await hand.claim() == []

    async def test_results_come_in_the_members_order_until_the_callback_has_ended(
        self, hand: Hand
    ) -> None:
        await hand.store.perform(opening("g", "a", "b", "c"))
        await hand.send("a", "b", "c", seals=["g"])
        await hand.claim()
        for job_id, result in (("c", b"3"), ("a", b"1"), ("b", None)):
            await hand.end(job_id, result, of=Membership("g"))
        assert await hand.results("g") == [b"1", None, b"3"]
        await hand.claim()
        assert await hand.results("g") == [b"1", None, b"3"]
        await hand.end("g-ok", closes="g")
        assert await hand.results("g") is None

    async def test_a_group_cannot_fire_before_it_is_sealed(self, hand: Hand) -> None:
        await hand.store.perform(opening("g", "a", "b"))
        await hand.send("a")
        await hand.claim()
        await hand.end("a", of=Membership("g"))
        await hand.send("b")
        await hand.claim()
        await hand.end("b", of=Membership("g"))
        assert await hand.claim() == []
        await hand.send(seals=["g"])
        assert await hand.claim() == ["g-ok"]

    async def test_what_is_sent_again_counts_once(self, hand: Hand) -> None:
        for _ in range(2):
            await hand.store.perform(opening("g", "a", "b"))
        await hand.send("a", "b", seals=["g"])
        await hand.send("a", "b", seals=["g"], again=True)
        assert await hand.claim() == ["a", "b"]
        await hand.end("a", b"1", of=Membership("g"))
        await hand.store.perform(opening("g", "a", "b"))
        await hand.end("b", b"2", of=Membership("g"))
        await hand.send("a", "b", seals=["g"], again=True)
        assert await hand.claim() == ["g-ok"]
        assert await hand.results("g") == [b"1", b"2"]
        await hand.end("g-ok", closes="g")
        await hand.store.perform(opening("g", "a", "b"))
        await hand.send("a", "b", seals=["g"], again=True)
        assert await hand.claim() == []

    async def test_a_group_without_members_fires_as_it_is_opened(self, hand: Hand) -> None:
        for _ in range(2):
            await hand.store.perform(opening("g"))
        assert await hand.claim() == ["g-ok"]
        assert await hand.results("g") == []
        await hand.end("g-ok", closes="g")
        await hand.store.perform(opening("g"))
        assert await hand.claim() == []

    async def test_a_chain_is_a_member_that_ends_with_its_last_link(self, hand: Hand) -> None:
        await hand.store.perform(opening("g", "a>b", "c"))
        await hand.send("a", "c", seals=["g"])
        await hand.claim()
        await hand.end("c", b"3", of=Membership("g"))
        await hand.end("a", b"1", of=Membership("g", 0), pushes=[push("b")])
        assert await hand.claim() == ["b"]
        await hand.end("b", b"2", of=Membership("g", 0))
        assert await hand.claim() == ["g-ok"]
        assert await hand.results("g") == [b"2", b"3"]

    async def test_a_chain_fails_with_any_of_its_links(self, hand: Hand) -> None:
        await hand.store.perform(opening("g", "c", "a>b>d", on_error=push("bad")))
        await hand.send("a", "c", seals=["g"])
        await hand.claim()
        await hand.end("a", of=Membership("g", 1), pushes=[push("b")])
        await hand.claim()
        await hand.end("b", error="oh", of=Membership("g", 1))
        assert await hand.claim() == []
        await hand.end("c", b"3", of=Membership("g"))
        assert await hand.claim() == ["bad"]
        assert await hand.results("g") == [b"3", None]

    async def test_a_member_that_saved_something_and_failed_gives_no_result(
        self, hand: Hand
    ) -> None:
        await hand.store.perform(opening("g", "a", "b", "c", on_error=push("bad")))
        await hand.send("a", "b", "c", seals=["g"])
        await hand.claim()
        await hand.end("a", b"half", error="oh", of=Membership("g"))
        await hand.store.perform(Write("b", b"of an earlier attempt"))
        await hand.end("b", error="oh", of=Membership("g"))
        await hand.end("c", b"3", of=Membership("g"))
        assert await hand.claim() == ["bad"]
        assert await hand.results("g") == [None, None, b"3"]

    async def test_a_group_stays_until_its_error_callback_has_ended(self, hand: Hand) -> None:
        await hand.store.perform(opening("g", "a", "b", on_error=push("bad")))
        await hand.send("a", "b", seals=["g"])
        await hand.claim()
        await hand.end("a", error="oh", of=Membership("g"))
        await hand.end("b", b"1", of=Membership("g"))
        assert await hand.claim() == ["bad"]
        for _ in range(3):
            await hand.store.perform(Sweep())
        assert await hand.results("g") == [None, b"1"]
        await hand.end("bad", closes="g")
        assert await hand.results("g") is None

    async def test_a_failed_member_fails_the_callback_without_running_it(self, hand: Hand) -> None:
        await hand.store.perform(opening("g", "a", "b"))
        await hand.send("a", "b", seals=["g"])
        await hand.claim()
        await hand.end("a", error="oh", of=Membership("g"))
        assert await hand.status("g-ok") == JobStatus.QUEUED
        await hand.end("b", of=Membership("g"))
        assert await hand.claim() == []
        assert await hand.status("g-ok") == JobStatus.FAILED
        assert await hand.results("g") is None

    async def test_a_callback_that_fails_with_its_group_fails_the_group_around_it(
        self, hand: Hand
    ) -> None:
        await hand.store.perform(opening("out", "in-ok>x", "c", on_error=push("bad")))
        await hand.store.perform(opening("in", "a", "b", outer=Membership("out", 0)))
        await hand.send("a", "b", "c", seals=["in", "out"])
        await hand.claim()
        await hand.end("c", of=Membership("out"))
        await hand.end("a", error="oh", of=Membership("in"))
        assert await hand.claim() == []
        await hand.end("b", of=Membership("in"))
        assert await hand.claim() == ["bad"]
        assert await hand.status("in-ok") == JobStatus.FAILED
        assert await hand.status("out-ok") == JobStatus.FAILED

    async def test_a_callback_can_be_a_member_of_another_group(self, hand: Hand) -> None:
        await hand.store.perform(opening("out", "in-ok", "c"))
        await hand.store.perform(opening("in", "a", outer=Membership("out")))
        await hand.send("a", "c", seals=["in", "out"])
        await hand.claim()
        await hand.end("c", b"3", of=Membership("out"))
        await hand.end("a", b"1", of=Membership("in"))
        assert await hand.claim() == ["in-ok"]
        await hand.end("in-ok", b"4", of=Membership("out"), closes="in")
        assert await hand.claim() == ["out-ok"]
        assert await hand.results("out") == [b"4", b"3"]

    async def test_a_callback_that_comes_back_finds_the_results_again(self, hand: Hand) -> None:
        await hand.store.perform(opening("g", "a"))
        await hand.send("a", seals=["g"])
        await hand.claim()
        await hand.end("a", b"1", of=Membership("g"))
        assert await hand.claim() == ["g-ok"]
        record, later = push("g-ok").record, push("g-ok")._replace(body=push("g-ok").body + b" ")
        again = Settlement(hand.held["g-ok"], "g-ok", record, again=later, closes="g")
        assert await hand.lease.settle(Q, [again]) == [Answer.APPLIED]
        assert await hand.claim() == ["g-ok"]
        assert await hand.results("g") == [b"1"]
        await hand.end("g-ok", closes="g")
        assert await hand.results("g") is None

    async def test_a_result_of_an_earlier_attempt_counts(self, hand: Hand) -> None:
        await hand.store.perform(opening("g", "a"))
        await hand.send("a", seals=["g"])
        await hand.claim()
        record = push("a").record
        again = Settlement(hand.held["a"], "a", record, result=b"early", again=push("a"))
        assert await hand.lease.settle(Q, [again]) == [Answer.APPLIED]
        await hand.claim()
        await hand.end("a", of=Membership("g"))
        assert await hand.results("g") == [b"early"]

    async def test_very_many_members_are_known_in_their_order(self, hand: Hand) -> None:
        names = [f"m{at}" for at in range(self.many)]
        await hand.store.perform(opening("g", *names))
        await hand.send(*names, seals=["g"])
        assert len(await hand.claim()) == len(names)
        for name in reversed(names):
            await hand.end(name, name.encode(), of=Membership("g"))
        assert await hand.claim() == ["g-ok"]
        assert await hand.results("g") == [name.encode() for name in names]

    async def test_the_last_member_of_many_groups_seals_them_all(self, hand: Hand) -> None:
        groups = [f"g{at}" for at in range(self.many)]
        for group in groups:
            await hand.store.perform(opening(group, "a"))
        await hand.send("a", seals=groups)
        await hand.claim()
        await hand.end("a", of=Membership("g0"))
        while await hand.store.perform(Sweep()):
            pass
        assert sorted(await hand.claim()) == sorted(f"{group}-ok" for group in groups)

    async def test_a_sweep_of_what_nothing_is_wrong_with_changes_nothing(self, hand: Hand) -> None:
        assert not await hand.store.perform(Sweep())
        await hand.store.perform(opening("g", "a"))
        await hand.send("a", seals=["g"])
        await hand.claim()
        assert not await hand.store.perform(Sweep())
        await hand.end("a", b"1", of=Membership("g"))
        assert not await hand.store.perform(Sweep())
        assert await hand.claim() == ["g-ok"]
        assert await hand.results("g") == [b"1"]


class CallbackCopiesContract:
    """Where a group fires in steps, a callback may come twice after a long outage between two."""

    @pytest.mark.parametrize("comes_back", [False, True])
    @pytest.mark.parametrize("together", [False, True])
    async def test_copies_of_a_callback_are_decided_once(
        self, store: Any, *, comes_back: bool, together: bool
    ) -> None:
        lease = store.lease(WorkerInfo(queues=(Q,)))

        def beat() -> None:
            assert lease.beat()
            store.close()

        await asyncio.to_thread(beat)
        body = push("g-ok").body
        for call in ("one", "two"):
            await store.perform(Submit([Push(Q, "g-ok", body, body, call=call)]))
        claims: list[Claim] = []
        while len(claims) < 2:
            claims += await lease.claim(Q, 2)
        again = push("g-ok")._replace(body=body + b" ") if comes_back else None
        listing = "" if comes_back else "success"
        ends = [
            Settlement(one.token, "g-ok", body, listing=listing, again=again, closes="g")
            for one in claims
        ]
        if together:
            answers = await lease.settle(Q, ends)
        else:
            answers = [(await lease.settle(Q, [end]))[0] for end in ends]
        assert answers == [Answer.APPLIED, Answer.DECIDED]
        assert await lease.adopt(Q) == []
        page = await store.perform(Pending(Q))
        assert page.total == comes_back
        await lease.end(Q)
