"""Sends into a pair of stores, one of which does not answer: what is told, and done after it."""

from typing import Any

import pytest

from tasqueue import Job, JobOpts
from tasqueue.core.errors import BackendError, BackendUnavailable, EnqueueUnconfirmed
from tasqueue.core.ports import JOB_KEY, OpenGroup, Pending, Read, Submit, Write
from tasqueue.core.wire import decode_job
from tasqueue.drivers.memory import MemoryStore
from tasqueue.engine.pair import PairStore
from tasqueue.engine.plan import enqueue, run, submit
from tasqueue.engine.prepare import prepare
from tasqueue.results import MemoryResults

Q = "q"


class Half(MemoryStore):
    """A store that does the next requests of a kind and does not answer, or never gets them."""

    def __init__(self) -> None:
        super().__init__()
        self.kind: type = Submit
        self.unanswered = 0
        self.lost = 0
        """As `unanswered` for whoever sent them."""
        self.refused = 0

    async def perform(self, request: Any) -> Any:
        error = BackendUnavailable("gone on command")
        if isinstance(request, self.kind) and self.refused:
            self.refused -= 1
            raise error
        if isinstance(request, self.kind) and self.lost:
            self.lost -= 1
            error.in_doubt = True
            raise error
        answer = await super().perform(request)
        if isinstance(request, self.kind) and self.unanswered:
            self.unanswered -= 1
            error.in_doubt = True
            raise error
        return answer


class Site:
    def __init__(self) -> None:
        self.broker, self.results = Half(), Half()
        self.store = PairStore(self.broker, self.results, MemoryResults())

    async def sent(self, job_id: str = "") -> BackendError:
        """What the sender of a job is told."""
        with pytest.raises(BackendUnavailable) as caught:
            await run(enqueue(self.job(job_id)), self.store)
        return caught.value

    def job(self, job_id: str = "") -> Job:
        return Job("note", b"", JobOpts(id=job_id, queue=Q))

    async def waiting(self) -> int:
        total: int = (await self.store.perform(Pending(Q))).total
        return total


@pytest.mark.parametrize("job_id", ["", "mine"])
async def test_a_job_that_has_ended_before_it_is_sent_again_keeps_the_record_of_its_end(
    job_id: str,
) -> None:
    site = Site()
    site.broker.unanswered = 2
    told = await site.sent(job_id)
    assert isinstance(told, EnqueueUnconfirmed)
    name = JOB_KEY + told.job_id
    await site.store.perform(Write(name, b"its end"))
    await run(enqueue(site.job(told.job_id)), site.store)
    assert await site.store.perform(Read((name,))) == [b"its end"]
    assert await site.waiting() == 1


@pytest.mark.parametrize("how", ["refused", "lost", "unanswered"])
async def test_a_new_run_of_an_id_whose_record_cannot_be_written_at_once_gets_a_new_record(
    how: str,
) -> None:
    """Nothing of it can have run yet: what lies there is the end of the run before."""
    site, name = Site(), JOB_KEY + "mine"
    await site.store.perform(Write(name, b"the end of the run before"))
    site.results.kind = Write
    setattr(site.results, how, 1)
    await run(enqueue(site.job("mine")), site.store)
    (record,) = await site.store.perform(Read((name,)))
    assert decode_job(record).status == "queued"
    assert await site.waiting() == 1


async def test_a_repeat_whose_record_cannot_be_looked_up_is_still_in_doubt() -> None:
    """What the first send may have put into the queue is there all the same."""
    site = Site()
    site.broker.unanswered = 2
    told = await site.sent()
    assert isinstance(told, EnqueueUnconfirmed)
    site.results.kind, site.results.refused = Read, 2
    assert isinstance(await site.sent(told.job_id), EnqueueUnconfirmed)
    assert await site.waiting() == 1


async def test_once_it_was_answered_the_id_is_that_of_a_new_run() -> None:
    site = Site()
    site.broker.unanswered = 2
    await site.sent("mine")
    await run(enqueue(site.job("mine")), site.store)
    name = JOB_KEY + "mine"
    await site.store.perform(Write(name, b"its end"))
    await run(enqueue(site.job("mine")), site.store)
    assert await site.store.perform(Read((name,))) != [b"its end"]
    assert await site.waiting() == 2


async def test_a_broker_that_refuses_leaves_no_doubt() -> None:
    site = Site()
    site.broker.refused = 2
    told = await site.sent()
    assert not isinstance(told, EnqueueUnconfirmed)
    assert await site.waiting() == 0


async def test_the_members_of_a_group_that_could_not_be_sealed_are_told() -> None:
    """They are there: who took them for lost would send them twice."""
    site = Site()
    member = prepare(site.job())
    await site.store.perform(OpenGroup("g", [[member.job_id]], None, None))
    site.results.refused = 2
    with pytest.raises(EnqueueUnconfirmed) as caught:
        await run(submit([member], ["g"]), site.store)
    assert caught.value.job_ids == (member.job_id,)
    assert await site.waiting() == 1
