"""A model of whole servers: jobs, chains and groups end as their handlers make them end, once.

The rules are what producers and operators do: enqueue, start servers, stop them, cut them off and
let them come back, all while requests and replies get lost. What a handler does depends on the
job and the attempt alone, so the end of every job is known beforehand.
"""

import asyncio
import json
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from tasqueue import Chain, Group, Job, JobContext, JobOpts, Server, ServerOpts, TaskOpts
from tasqueue.core.chain import ChainOpts
from tasqueue.core.errors import JobNotFound
from tasqueue.core.group import GroupOpts
from tasqueue.core.job import FINAL_STATUSES
from tasqueue.engine.clock import Clock
from tasqueue.engine.registry import Task
from tests.stateful.faulty import FaultyStore, Weather

QUEUES = ("one", "two")
LEASE = 0.5  # seconds
_PATIENCE = 1000  # looks of 10 ms each; only a hang ends there


class FastClock(Clock):
    """Waits a fiftieth of what it is asked to."""

    async def sleep(self, seconds: float) -> None:
        """Wait, leaving the event loop to others."""
        await asyncio.sleep(seconds / 50)


@dataclass
class Play:
    """What is to become of one job: it fails so often, then succeeds, if it may try so often."""

    name: str
    queue: str
    fails: int
    retries: int
    good: list["Play"] = field(default_factory=list)
    bad: list["Play"] = field(default_factory=list)

    @property
    def succeeds(self) -> bool:
        return self.fails <= self.retries

    @property
    def followers(self) -> list["Play"]:
        return self.good if self.succeeds else self.bad

    def job(self, job_id: str = "") -> Job:
        """The job as it is enqueued; those that follow get their IDs when they are released."""
        payload = json.dumps({"name": self.name, "fails": self.fails}).encode()
        opts = JobOpts(id=job_id, queue=self.queue, max_retries=self.retries)
        good, bad = [one.job() for one in self.good], [one.job() for one in self.bad]
        return Job("play", payload, opts, on_success=good, on_error=bad)


PLAYS = st.recursive(
    st.builds(
        Play, st.just(""), st.sampled_from(QUEUES), st.integers(0, 3), st.integers(0, 2)
    ),
    lambda below: st.builds(
        Play, st.just(""), st.sampled_from(QUEUES), st.integers(0, 3), st.integers(0, 2),
        good=st.lists(below, max_size=2), bad=st.lists(below, max_size=2),
    ),
    max_leaves=4,
)  # fmt: skip


@dataclass
class Staff:
    """A server at work, and the weather on its line."""

    server: Server
    line: FaultyStore
    weather: Weather
    running: asyncio.Task[None]


class ServerMachine(RuleBasedStateMachine):
    """Make an empty store in a subclass, and say whether a silent worker's jobs go to others."""

    rescues: ClassVar[bool]

    def start_store(self) -> Any:
        """An empty store."""
        raise NotImplementedError

    @initialize(seed=st.integers(0, 2**32), share=st.sampled_from([0.0, 0.05, 0.2]))
    def start(self, *, seed: int, share: float) -> None:
        self.runner = asyncio.Runner()
        self.store = self.start_store()
        self.seed, self.share = seed, share
        self.n = 0
        self.staff: list[Staff] = []
        self.expected: dict[str, tuple[Play, str]] = {}  # name -> play, name of its parent
        self.runs: defaultdict[str, set[tuple[str, int]]] = defaultdict(set)
        self.before: defaultdict[str, set[str]] = defaultdict(set)  # what came from the parent
        self.groups: dict[str, list[Play]] = {}
        self.chains: dict[str, list[Play]] = {}
        producing = Weather(seed, share, twice=False)
        self.producer = self.made(FaultyStore(self.store, producing))

    # -- tools -------------------------------------------------------------------------------

    def made(self, store: Any) -> Server:
        opts = ServerOpts(
            broker=store, results=store, clock=FastClock(), lease_seconds=LEASE, grace=0.05
        )
        return Server(opts)

    def fresh(self, kind: str) -> str:
        self.n += 1
        return f"{kind}{self.n}"

    def cast(self, play: Play) -> Play:
        """Give a play, and all below it, names; remember those that will be played."""
        self.name(play)
        self.foresee(play, "")
        return play

    def name(self, play: Play) -> None:
        play.name = self.fresh("p")
        for follower in (*play.good, *play.bad):
            self.name(follower)

    def foresee(self, play: Play, parent: str) -> None:
        self.expected[play.name] = play, parent
        for follower in play.followers:
            self.foresee(follower, play.name if play.succeeds else "")

    async def play(self, payload: bytes, ctx: JobContext) -> None:
        told = json.loads(payload)
        attempt = ctx.meta.retried
        self.runs[told["name"]].add((ctx.id, attempt))
        self.before[told["name"]].add((ctx.meta.prev_job_result or b"").decode())
        await asyncio.sleep(0)
        if attempt < told["fails"]:
            raise ValueError(f"{told['name']} fails")
        await ctx.save(told["name"].encode())

    # -- producers ---------------------------------------------------------------------------

    @rule(play=PLAYS)
    def enqueue(self, *, play: Play) -> None:
        self.runner.run(self.producer.enqueue(self.cast(play).job(self.fresh("j"))))

    @rule(plays=st.lists(PLAYS, min_size=1, max_size=3))
    def enqueue_group(self, *, plays: list[Play]) -> None:
        group_id = self.fresh("g")
        jobs = [self.cast(play).job(self.fresh("j")) for play in plays]
        self.runner.run(self.producer.enqueue_group(Group.create(jobs, GroupOpts(id=group_id))))
        self.groups[group_id] = plays

    @rule(fails=st.lists(st.integers(0, 2), min_size=2, max_size=4), retries=st.integers(0, 1))
    def enqueue_chain(self, *, fails: list[int], retries: int) -> None:
        chain_id = self.fresh("c")
        links = [Play("", QUEUES[n % 2], times, retries) for n, times in enumerate(fails)]
        for link in links:
            self.name(link)
        jobs = [link.job() for link in links]
        for link, after in pairwise(links):
            link.good = [after]
        self.foresee(links[0], "")
        self.runner.run(self.producer.enqueue_chain(Chain.create(jobs, ChainOpts(id=chain_id))))
        self.chains[chain_id] = links

    # -- operators ---------------------------------------------------------------------------

    @precondition(lambda self: len(self.staff) < 3)
    @rule()
    def hire(self) -> None:
        self.runner.run(self._hire(Weather(self.seed + self.n, self.share)))

    async def _hire(self, weather: Weather) -> None:
        line = FaultyStore(self.store, weather)
        server = self.made(line)
        for name, queue in zip(("play", "another"), QUEUES, strict=True):
            server.add_task(Task(name=name, handler=self.play, opts=TaskOpts(queue=queue)))
        running = asyncio.create_task(server.start())
        self.staff.append(Staff(server, line, weather, running))

    @rule(looks=st.integers(1, 8))
    def let_them_work(self, *, looks: int) -> None:
        async def a_while() -> None:
            for _ in range(looks):
                await asyncio.sleep(0.002)

        self.runner.run(a_while())

    @precondition(lambda self: self.staff)
    @rule(data=st.data())
    def dismiss(self, *, data: st.DataObject) -> None:
        """Stop a server in good order, whatever the weather."""
        one = self.one_of_them(data)
        self.staff.remove(one)
        one.weather.cut = False
        self.runner.run(self._dismiss(one))

    async def _dismiss(self, one: Staff) -> None:
        one.weather.calm = True
        await one.server.stop()
        await one.running

    @precondition(lambda self: self.staff and self.rescues)
    @rule(data=st.data())
    def kill(self, *, data: st.DataObject) -> None:
        """Cut a server off for ever, and end it: nothing of it reaches the store any more."""
        one = self.one_of_them(data)
        self.staff.remove(one)
        one.weather.cut = True
        self.runner.run(self._cancel(one))

    async def _cancel(self, one: Staff) -> None:
        one.running.cancel()
        with suppress(asyncio.CancelledError):
            await one.running
        await one.line.hang_up()

    @precondition(lambda self: self.staff and self.rescues)
    @rule(data=st.data())
    def cut_off_or_let_back(self, *, data: st.DataObject) -> None:
        """A server without its line; when it comes back others may have its jobs."""
        one = self.one_of_them(data)
        one.weather.cut = not one.weather.cut

    def one_of_them(self, data: st.DataObject) -> Staff:
        place: int = data.draw(st.integers(0, len(self.staff) - 1))
        return self.staff[place]

    # -- the end -----------------------------------------------------------------------------

    def teardown(self) -> None:
        if not hasattr(self, "staff"):
            return
        try:
            self.runner.run(self._come_to_rest())
        finally:
            for one in self.staff:
                self.runner.run(self._cancel(one))
            self.runner.close()

    async def _come_to_rest(self) -> None:
        await self._hire(Weather(0, 0.0))
        for one in self.staff:
            one.weather.cut, one.weather.calm = False, True
        reader = self.made(FaultyStore(self.store, Weather(0, 0.0)))
        for name, (play, _) in self.expected.items():
            await self._ended(reader, name, play)
        while self.staff:
            await self._dismiss(self.staff.pop())
        await self._as_foreseen(reader)
        await self.store.aclose()

    async def _ended(self, reader: Server, name: str, play: Play) -> None:
        """Wait until a job has ended; afterwards nothing may change it."""
        for _ in range(_PATIENCE):
            for job_id, _ in tuple(self.runs[name]):
                with suppress(JobNotFound):
                    if (await reader.get_job(job_id)).status in FINAL_STATUSES:
                        return
            await asyncio.sleep(0.01)
        raise AssertionError(f"{name} did not end: {play}, it ran as {self.runs[name]}")

    async def _as_foreseen(self, reader: Server) -> None:
        assert set(self.runs) == set(self.expected), "jobs that nobody was to run, or lost ones"
        for name, (play, parent) in self.expected.items():
            ids = {job_id for job_id, _ in self.runs[name]}
            assert len(ids) == 1, f"{name} was released twice: {ids}"
            attempts = {attempt for _, attempt in self.runs[name]}
            assert attempts == set(range(min(play.fails, play.retries) + 1)), (name, attempts)
            assert self.before[name] == {parent}, (name, self.before[name])
            message = await reader.get_job(ids.pop())
            assert message.status == ("successful" if play.succeeds else "failed"), name
            if play.succeeds:
                assert await reader.get_result(message.id) == name.encode()
        for group_id, plays in self.groups.items():
            status = (await reader.get_group(group_id)).meta.status
            assert status == _together(plays), group_id
        for chain_id, links in self.chains.items():
            status = (await reader.get_chain(chain_id)).meta.status
            assert status == _together(links), chain_id
        for queue in QUEUES:
            assert await reader.get_pending_count(queue) == 0


def _together(plays: list[Play]) -> str:
    return "successful" if all(play.succeeds for play in plays) else "failed"
