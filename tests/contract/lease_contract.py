"""What a worker may rely on in every store. A back end gives the fixture ``store``."""

import asyncio
from typing import Any

import pytest

from tasqueue.core.ports import (
    Answer,
    Claim,
    Mark,
    Pending,
    Push,
    PutTask,
    Read,
    Settlement,
    Submit,
)
from tests.contract.store_contract import Q, registered


def settled(claim: Claim, **said: Any) -> Settlement:
    """End a job whose ID is its body, well unless something else is said."""
    given: dict[str, Any] = {"listing": "success"} | said
    return Settlement(claim.token, claim.body.decode(), b"ended", **given)


async def submit(store: Any, *names: str) -> None:
    pushes = [Push(Q, name, b"queued", name.encode()) for name in names]
    assert await store.perform(Submit(pushes)) == [True] * len(names)


async def waiting(store: Any) -> list[bytes]:
    """The waiting messages, oldest first."""
    page = await store.perform(Pending(Q))
    return list(reversed(page.bodies))


def bodies(claims: list[Claim]) -> list[bytes]:
    return [claim.body for claim in claims]


class LeaseContract:
    async def test_the_oldest_job_is_claimed_first_and_by_one_worker(self, store: Any) -> None:
        one, two = await registered(store), await registered(store)
        await submit(store, "a", "b", "c")
        assert bodies(await one.claim(Q, 2)) == [b"a", b"b"]
        assert bodies(await two.claim(Q, 2)) == [b"c"]
        for lease in (one, two):
            await lease.end(Q)

    async def test_all_that_is_held_is_told_oldest_first_however_much_it_is(
        self, store: Any
    ) -> None:
        lease = await registered(store)
        names = [f"job-{n}" for n in range(50)]
        await submit(store, *names)
        assert len(await lease.claim(Q, 50)) == 50
        assert bodies(await lease.adopt(Q)) == [name.encode() for name in names]
        await lease.end(Q)

    async def test_a_claim_waits_for_a_job(self, store: Any) -> None:
        lease = await registered(store)
        claiming = asyncio.create_task(lease.claim(Q, 5))
        await asyncio.sleep(0)
        await submit(store, "a")
        assert bodies(await claiming) == [b"a"]
        await lease.end(Q)

    async def test_a_waiting_claim_can_be_woken(self, store: Any) -> None:
        lease = await registered(store)
        claiming = asyncio.create_task(lease.claim(Q, 5))
        await asyncio.sleep(0)
        await lease.wake()
        assert await claiming == []
        await lease.end(Q)

    async def test_a_claim_waits_again_after_one_that_was_woken(self, store: Any) -> None:
        lease = await registered(store)
        claiming = asyncio.create_task(lease.claim(Q, 5))
        await asyncio.sleep(0)
        await lease.wake()
        await claiming
        claiming = asyncio.create_task(lease.claim(Q, 5))
        await asyncio.sleep(0)
        await submit(store, "a")
        assert bodies(await claiming) == [b"a"]
        await lease.end(Q)

    async def test_no_token_is_ever_used_again(self, store: Any) -> None:
        tokens = set()
        for names in ("abc", "def", "ghi"):
            lease = await registered(store)
            for name in names:
                await submit(store, name)
                (claim,) = await lease.claim(Q, 1)
                tokens.add(claim.token)
                await lease.settle(Q, [settled(claim)])
            await lease.end(Q)
        assert len(tokens) == 9

    async def test_what_is_held_can_be_asked_for(self, store: Any) -> None:
        lease = await registered(store)
        await submit(store, "a", "b")
        assert await lease.adopt(Q) == []
        held = await lease.claim(Q, 2)
        assert await lease.adopt(Q) == held
        assert await lease.adopt("another") == []
        await lease.settle(Q, [settled(held[0])])
        assert await lease.adopt(Q) == held[1:]
        await lease.end(Q)

    async def test_an_end_is_applied_once_with_all_that_follows(self, store: Any) -> None:
        lease = await registered(store)
        await submit(store, "a")
        (claim,) = await lease.claim(Q, 1)
        child = Push(Q, "child", b"queued", b"child")
        end = settled(claim, result=b"result", pushes=[child])
        assert await lease.settle(Q, [end]) == [Answer.APPLIED]
        assert await lease.settle(Q, [end]) == [Answer.DECIDED]
        names = ["a", "job:msg:a", "job:msg:child"]
        assert await store.perform(Read(names)) == [b"result", b"ended", b"queued"]
        assert await waiting(store) == [b"child"]
        await lease.end(Q)

    async def test_two_children_of_one_id_are_two_jobs(self, store: Any) -> None:
        lease = await registered(store)
        await submit(store, "a")
        (claim,) = await lease.claim(Q, 1)
        children = [Push(Q, "child", b"queued", body) for body in (b"one", b"two")]
        assert await lease.settle(Q, [settled(claim, pushes=children)]) == [Answer.APPLIED]
        assert sorted(await waiting(store)) == [b"one", b"two"]
        await lease.end(Q)

    @pytest.mark.parametrize("call", ["", "a token"])
    async def test_a_repeated_call_leaves_the_record_of_a_job_that_has_ended(
        self, store: Any, call: str
    ) -> None:
        lease = await registered(store)
        push = Push(Q, "a", b"queued", b"a", call=call)
        await store.perform(Submit([push]))
        (claim,) = await lease.claim(Q, 1)
        assert await lease.settle(Q, [settled(claim)]) == [Answer.APPLIED]
        assert await store.perform(Submit([push], again=True)) == [False]
        assert await store.perform(Read(["job:msg:a"])) == [b"ended"]
        await lease.end(Q)

    async def test_copies_of_a_message_are_decided_once(self, store: Any) -> None:
        lease = await registered(store)
        await submit(store, "a", "b")
        copies = [settled(claim, once="sha1") for claim in await lease.claim(Q, 2)]
        assert await lease.settle(Q, copies) == [Answer.APPLIED, Answer.DECIDED]
        assert await lease.adopt(Q) == []
        await lease.end(Q)

    async def test_a_job_that_runs_again_waits_under_its_new_bytes(self, store: Any) -> None:
        lease = await registered(store)
        await submit(store, "a")
        (claim,) = await lease.claim(Q, 1)
        again = Push(Q, "a", b"retrying", b"a again")
        assert await lease.settle(Q, [settled(claim, listing="", again=again)]) == [1]
        assert await waiting(store) == [b"a again"]
        assert await store.perform(Read(["job:msg:a"])) in ([b"retrying"], [b"ended"])
        await lease.end(Q)

    async def test_a_due_job_is_promoted_and_a_later_one_is_not(self, store: Any) -> None:
        lease = await registered(store)
        far = 4_000_000_000_000_000_000
        pushes = [Push(Q, "due", b"r", b"due", 1), Push(Q, "late", b"r", b"late", far)]
        await store.perform(Submit(pushes))
        assert await waiting(store) == []
        assert (await lease.promote(Q) or 0) > 0
        assert await waiting(store) == [b"due"]
        await lease.end(Q)

    async def test_released_jobs_come_back_in_their_order_before_the_younger(
        self, store: Any
    ) -> None:
        lease = await registered(store)
        await submit(store, "a", "b", "c")
        held = await lease.claim(Q, 2)
        assert await lease.release(Q, [claim.token for claim in held]) == 2
        assert await lease.release(Q, [claim.token for claim in held]) == 0
        assert await waiting(store) == [b"a", b"b", b"c"]
        await lease.end(Q)

    async def test_whoever_leaves_gives_back_what_it_held_and_decides_nothing_any_more(
        self, store: Any
    ) -> None:
        one, two = await registered(store), await registered(store)
        await submit(store, "a", "b", "c")
        held = await one.claim(Q, 2)
        await one.end(Q)
        assert bodies(await two.claim(Q, 5)) == [b"a", b"b", b"c"]
        late = await one.settle(Q, [settled(claim, result=b"late") for claim in held])
        assert not {Answer.APPLIED, Answer.BAD_KEY} & set(late)
        assert await one.release(Q, [claim.token for claim in held]) == 0
        assert await store.perform(Read(["a", "job:msg:a"])) == [None, b"queued"]
        await two.end(Q)

    async def test_nobody_settles_what_another_holds(self, store: Any) -> None:
        one, two = await registered(store), await registered(store)
        await submit(store, "a")
        (claim,) = await one.claim(Q, 1)
        assert await two.settle(Q, [settled(claim)]) == [Answer.DECIDED]
        assert await one.settle(Q, [settled(claim)]) == [Answer.APPLIED]
        for lease in (one, two):
            await lease.end(Q)

    async def test_a_renewed_worker_is_another_and_has_given_everything_back(
        self, store: Any
    ) -> None:
        lease = await registered(store)
        await submit(store, "a")
        (claim,) = await lease.claim(Q, 1)
        before = lease.worker_id
        await lease.renew()
        assert lease.worker_id != before
        assert not lease.fenced
        assert await waiting(store) == [b"a"]
        assert await lease.settle(Q, [settled(claim)]) != [Answer.APPLIED]
        await lease.end(Q)

    async def test_a_mark_is_written_while_the_job_is_held_and_never_after(
        self, store: Any
    ) -> None:
        lease = await registered(store)
        await submit(store, "a")
        (claim,) = await lease.claim(Q, 1)
        mark = Mark(claim.token, "a", b"processing")
        await lease.mark(Q, [mark])
        assert await store.perform(Read(["job:msg:a"])) == [b"processing"]
        await lease.settle(Q, [settled(claim)])
        await lease.mark(Q, [mark])
        assert await store.perform(Read(["job:msg:a"])) == [b"ended"]
        await lease.end(Q)

    async def test_a_mark_of_a_copy_whose_message_was_decided_before_is_not_written(
        self, store: Any
    ) -> None:
        lease = await registered(store)
        await store.perform(Submit([Push(Q, "a", b"queued", b"a", call=c) for c in ("1", "2")]))
        claims: list[Claim] = []
        while len(claims) < 2:
            claims += await lease.claim(Q, 2)
        first, copy = claims
        await lease.mark(Q, [Mark(copy.token, "a", b"processing", once="sha1")])
        assert await store.perform(Read(["job:msg:a"])) == [b"processing"]
        assert await lease.settle(Q, [settled(first, once="sha1")]) == [Answer.APPLIED]
        await lease.mark(Q, [Mark(copy.token, "a", b"processing", once="sha1")])
        assert await lease.settle(Q, [settled(copy, once="sha1")]) == [Answer.DECIDED]
        assert await store.perform(Read(["job:msg:a"])) == [b"ended"]
        await lease.end(Q)

    async def test_what_is_buried_or_dropped_does_not_come_back(self, store: Any) -> None:
        lease = await registered(store)
        await submit(store, "a", "b")
        first, second = await lease.claim(Q, 2)
        await lease.bury(Q, first.token, "no message")
        await lease.drop(Q, [second.token])
        assert await lease.adopt(Q) == []
        await lease.end(Q)
        assert await waiting(store) == []

    async def test_a_task_is_known_elsewhere_when_it_is_registered(self, store: Any) -> None:
        lease = await registered(store)
        assert not await lease.known_elsewhere("task")
        await store.perform(PutTask("task", b"record"))
        assert await lease.known_elsewhere("task")
        await lease.end(Q)
