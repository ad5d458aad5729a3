"""A worker that was told to stop says so: whoever kills it before it is empty blames nobody."""

import asyncio

import pytest

from tasqueue.drivers.memory.lease import MemoryLease
from tasqueue.engine.notes import Notes
from tests.engine.rig import Rig, until


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """What each beat says: whether its worker leaves."""
    found: list[bool] = []
    beat = MemoryLease.beat

    def heard(self: MemoryLease, *, leaving: bool = False) -> bool:
        found.append(leaving)
        return beat(self, leaving=leaving)

    monkeypatch.setattr(MemoryLease, "beat", heard)
    return found


async def test_a_worker_that_is_told_to_stop_says_so_while_its_jobs_still_run(
    said: list[bool],
) -> None:
    rig = Rig()
    async with rig.running():
        job_id = await rig.send("gated")
        await until(lambda: rig.runs[job_id])
        assert True not in said
        stopping = asyncio.create_task(rig.server.stop())
        await until(lambda: True in said)
        assert await rig.status(job_id) != "successful"
        rig.gate.set()
        await stopping
    assert await rig.status(job_id) == "successful"


async def test_a_worker_with_a_supervisor_leaves_it_to_him_who_knows_why_it_is_to_stop(
    said: list[bool],
) -> None:
    """It may have been told to make room for another, since it had grown too large."""
    rig, notes = Rig(), Notes()
    notes.supervisor_pid = 1
    running = asyncio.create_task(rig.server.start(notes))
    job_id = await rig.send("quick")
    await rig.ended(job_id)
    await rig.server.stop()
    await running
    assert said
    assert True not in said
