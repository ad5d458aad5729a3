"""In which order jobs begin, and that no queue waits for another."""

from tasqueue import Job, JobContext, JobOpts
from tasqueue.engine.registry import Task, TaskOpts
from tests.engine.rig import Rig, until

SLOTS = 16


async def test_jobs_of_a_queue_begin_in_the_order_in_which_they_were_sent() -> None:
    """However many are claimed at once, and ahead: several times what fits into the slots."""
    rig, began = Rig(), list[str]()

    async def note(payload: bytes, ctx: JobContext) -> None:
        began.append(ctx.id)

    rig.add("note", note, concurrency=SLOTS)
    names = [await rig.send("note") for _ in range(20 * SLOTS)]
    async with rig.running():
        await rig.ended(*names)
    assert began == names


async def test_a_queue_whose_slots_are_taken_and_that_has_more_holds_no_other_up() -> None:
    rig = Rig()

    async def other(payload: bytes, ctx: JobContext) -> None:
        rig.runs[ctx.id] += 1

    rig.server.add_task(Task(name="other", handler=other, opts=TaskOpts(queue="other")))
    busy = [await rig.send("gated") for _ in range(10 * SLOTS)]
    async with rig.running():
        await until(lambda: len(rig.runs) == SLOTS)
        name = await rig.server.enqueue(Job.create("other", b"", JobOpts(queue="other")))
        await rig.ended(name)
        assert len(rig.runs) == SLOTS + 1
        rig.gate.set()
        await rig.ended(*busy)
