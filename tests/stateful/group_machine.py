"""A machine over the scripts of groups: FINISH, Go's workers, sweeps and repeats in any order.

The model knows what each job really came to, and what the store was told: a FINISH that says
where the job belongs tells it, a Go worker tells nothing, a sweep tells what it read. From that
follows which groups must have called their callbacks, which callbacks can never come, and which
keys may stay.
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tasqueue.core.group import Membership
from tasqueue.core.job import Job, JobMessage, JobStatus, Meta
from tasqueue.core.ports import GroupResults, OpenGroup, Push, Settlement, Submit
from tasqueue.core.wire import decode_job, encode_job
from tasqueue.drivers.redis.blocking import BlockingDriver
from tasqueue.drivers.redis.command import Command, ask
from tasqueue.drivers.redis.group import Sweeper
from tasqueue.drivers.redis.keys import queue_keys
from tasqueue.drivers.redis.request import KeepOpts, steps_of
from tasqueue.drivers.redis.settlement import settle

JOBS, CALLBACKS = "jobs", "callbacks"
KEEP = KeepOpts(expiry_ms=3_600_000)
WORKERS = st.sampled_from(["w", "v"])


def push(job_id: str, queue: str = JOBS) -> Push:
    body = encode_job(JobMessage(Meta(job_id, queue=queue), Job("task")))
    return Push(queue, job_id, body, body)


def record(job_id: str, error: str = "") -> bytes:
    status = JobStatus.FAILED if error else JobStatus.SUCCESSFUL
    return encode_job(JobMessage(Meta(job_id, status=status, prev_err=error), Job("task")))


@dataclass
class ModelJob:
    """A job, and what it came to."""

    id: str
    group: "ModelGroup"
    place: int
    queue: str = JOBS
    came_to: str = ""
    """``"ok"`` or ``"failed"``, or "" for one that has not ended."""

    @property
    def path(self) -> list[str]:
        return self.group.members[self.place]

    @property
    def follower(self) -> str:
        at = self.path.index(self.id)
        return self.path[at + 1] if at + 1 < len(self.path) else ""


@dataclass
class ModelGroup:
    """A group, and what the store was told of it."""

    id: str
    members: list[list[str]]
    on_error: bool
    outer: "ModelGroup | None" = None
    """The group whose last member this one's callback is."""
    sealed: bool = False
    fired: bool = False
    closed: bool = False
    known: dict[int, bool] = field(default_factory=dict)
    """Member → whether it failed, as the store knows it."""
    saved: dict[int, bytes | None] = field(default_factory=dict)

    @property
    def ok(self) -> str:
        return f"{self.id}-ok"

    @property
    def bad(self) -> str:
        return f"{self.id}-bad"

    @property
    def failed(self) -> bool:
        return any(self.known.values())

    @property
    def callback(self) -> str:
        """The callback that fires, or "" where none does."""
        if not self.failed:
            return self.ok
        return self.bad if self.on_error else ""

    def request(self) -> OpenGroup:
        return OpenGroup(
            self.id,
            self.members,
            push(self.ok, CALLBACKS),
            push(self.bad, CALLBACKS) if self.on_error else None,
            outer=Membership(self.outer.id, len(self.outer.members) - 1) if self.outer else None,
        )


Look = Generator[Sequence[Command], list[Any], bool]


class GroupMachine(RuleBasedStateMachine):
    """See the module."""

    client: ClassVar[Any]
    driver: ClassVar[BlockingDriver]

    def __init__(self) -> None:
        super().__init__()
        self.groups: dict[str, ModelGroup] = {}
        self.jobs: dict[str, ModelJob] = {}
        self.numbers = count(1)
        self.sent: dict[str, list[str]] = {}
        """Unsealed group → heads that were not sent yet."""
        self.held: dict[str, tuple[str, str]] = {}
        """Job → (worker, token)."""
        self.done: list[tuple[str, Settlement]] = []
        self.pushed: dict[str, int] = {}
        """Callback → how often it came out of its queue."""
        self.looks: list[tuple[Look, Sequence[Command]]] = []
        self.swept: list[Command] = []
        self.sweeper = Sweeper()

    @initialize()
    def start(self) -> None:
        self.client.flushdb()
        for worker in ("w", "v"):
            self.register(worker)

    def register(self, worker: str) -> None:
        for queue in (JOBS, CALLBACKS):
            keys = queue_keys(queue)
            self.client.hset(keys.beats, worker, 1)

    def do(self, steps: Any) -> Any:
        return self.driver.run(steps)

    # -- groups are opened, sent and sealed ------------------------------------------------------

    @rule(
        shape=st.lists(st.integers(1, 3), max_size=4),
        on_error=st.booleans(),
        nested=st.booleans(),
    )
    def open(self, *, shape: list[int], on_error: bool, nested: bool) -> None:
        group = ModelGroup(f"g{next(self.numbers)}", self.paths(shape), on_error)
        if nested:
            inner = ModelGroup(f"g{next(self.numbers)}", self.paths([1, 1]), False, group)
            group.members.append([inner.ok])
            self.know(group)
            self.know(inner)
        else:
            self.know(group)

    def paths(self, shape: list[int]) -> list[list[str]]:
        return [[f"j{next(self.numbers)}" for _ in range(links)] for links in shape]

    def know(self, group: ModelGroup) -> None:
        self.groups[group.id] = group
        for place, path in enumerate(group.members):
            for job_id in path:
                queue = CALLBACKS if job_id.endswith("-ok") else JOBS
                self.jobs[job_id] = ModelJob(job_id, group, place, queue)
        self.do(steps_of(group.request(), KEEP))
        self.sent[group.id] = [path[0] for path in group.members if path[0] in self.jobs]
        self.sent[group.id] = [one for one in self.sent[group.id] if not one.endswith("-ok")]
        if not group.members:
            self.seal_in_model(group)

    @precondition(lambda self: self.groups)
    @rule(data=st.data())
    def open_again(self, data: st.DataObject) -> None:
        group = data.draw(st.sampled_from(list(self.groups.values())))
        self.do(steps_of(group.request(), KEEP))

    def unsealed(self) -> list[ModelGroup]:
        return [group for group in self.groups.values() if not group.sealed]

    @precondition(lambda self: any(self.sent.values()))
    @rule(data=st.data(), whole=st.booleans())
    def send_without_the_seal(self, data: st.DataObject, *, whole: bool) -> None:
        """A producer that may die after this: the group is never sealed then."""
        group_id = data.draw(st.sampled_from([g for g, heads in self.sent.items() if heads]))
        self.send(self.groups[group_id], whole=whole)

    def send(self, group: ModelGroup, *, whole: bool) -> None:
        heads = self.sent[group.id]
        some, self.sent[group.id] = (heads, []) if whole else (heads[:1], heads[1:])
        self.do(steps_of(Submit([push(job_id) for job_id in some]), KEEP))

    @precondition(lambda self: self.unsealed())
    @rule(data=st.data(), again=st.booleans())
    def send_the_rest_and_seal(self, data: st.DataObject, *, again: bool) -> None:
        self.send_and_seal(data.draw(st.sampled_from(self.unsealed())), again=again)

    def send_and_seal(self, group: ModelGroup, *, again: bool = False) -> None:
        heads = self.sent[group.id]
        submit = Submit([push(job_id) for job_id in heads], seals=[group.id])
        self.do(steps_of(submit, KEEP))
        self.sent[group.id] = []
        self.seal_in_model(group)
        if again:
            self.do(steps_of(Submit(submit.pushes, again=True, seals=[group.id]), KEEP))

    # -- jobs run, in Python or in Go ------------------------------------------------------------

    @precondition(lambda self: self.client.llen(JOBS) or self.client.llen(CALLBACKS))
    @rule(worker=WORKERS, queue=st.sampled_from([JOBS, CALLBACKS]))
    def claim(self, worker: str, queue: str) -> None:
        raw = self.client.rpop(queue)
        if not isinstance(raw, bytes):
            return
        job_id = decode_job(raw).id
        self.note_pushed(job_id, queue)
        token = f"{next(self.numbers)}:t"
        self.client.hset(queue_keys(queue).held(worker), token, raw)
        self.held[job_id] = (worker, token)

    def note_pushed(self, job_id: str, queue: str) -> None:
        if queue == CALLBACKS:
            self.pushed[job_id] = self.pushed.get(job_id, 0) + 1

    def settlement(self, job_id: str, *, fails: bool, hint: bool) -> Settlement:
        job, token = self.jobs.get(job_id), self.held[job_id][1]
        made = Settlement(token, job_id, record(job_id, "oh" if fails else ""))
        made.listing = "failed" if fails else "success"
        made.result = None if fails else job_id.encode()
        made.ttl_ms = 3_600_000
        if job is not None:
            single = len(job.path) == 1
            if hint:
                made.member = Membership(job.group.id, None if single else job.place)
            if job.follower and not fails:
                made.pushes = [push(job.follower)]
        if group := self.group_of_callback(job_id):
            made.closes = group.id
        return made

    def group_of_callback(self, job_id: str) -> ModelGroup | None:
        return self.groups.get(job_id.partition("-")[0]) if "-" in job_id else None

    @precondition(lambda self: self.held)
    @rule(data=st.data(), fails=st.booleans(), hint=st.booleans(), twice=st.booleans())
    def finish(self, data: st.DataObject, *, fails: bool, hint: bool, twice: bool) -> None:
        """Without ``hint``: a Go worker had the job before, and dropped what only Python knows."""
        job_id = data.draw(st.sampled_from(sorted(self.held)))
        self.finish_one(job_id, fails=fails, hint=hint, twice=twice)

    @rule(
        failing=st.integers(0, 6),
        sends=st.sampled_from(["", "all", "all and the seal"]),
        hint=st.booleans(),
        queue=st.sampled_from([JOBS, CALLBACKS]),
    )
    def a_day_of_work(self, *, failing: int, sends: str, hint: bool, queue: str) -> None:
        """All that waits runs in Python, and one of it fails."""
        for group in self.unsealed() if sends else ():
            if sends == "all":
                self.send(group, whole=True)
            else:
                self.send_and_seal(group)
        while self.client.llen(queue):
            self.claim(worker="w", queue=queue)
        for at, job_id in enumerate(sorted(self.held)):
            self.finish_one(job_id, fails=at == failing, hint=hint)
        if not hint:
            self.sweep()

    def finish_one(self, job_id: str, *, fails: bool, hint: bool, twice: bool = False) -> None:
        worker = self.held[job_id][0]
        made = self.settlement(job_id, fails=fails, hint=hint)
        del self.held[job_id]
        queue = CALLBACKS if "-" in job_id else JOBS
        answers = self.do(settle(queue_keys(queue), worker, [made], now_ns=1))
        assert answers == [1]
        self.done.append((worker, made))
        self.came_to(job_id, fails=fails)
        if made.closes:
            self.close_in_model(self.groups[made.closes])
        if made.member:
            self.tell(self.jobs[job_id], fails=fails)
        if twice:
            assert self.do(settle(queue_keys(queue), worker, [made], now_ns=1)) == [2]

    @precondition(lambda self: self.done)
    @rule(data=st.data(), other=st.booleans())
    def a_late_finish_changes_nothing(self, data: st.DataObject, *, other: bool) -> None:
        worker, made = data.draw(st.sampled_from(self.done))
        queue = CALLBACKS if "-" in made.job_id else JOBS
        worker = "zombie" if other else worker
        (answer,) = self.do(settle(queue_keys(queue), worker, [made], now_ns=1))
        assert answer in {0, 2}

    @precondition(lambda self: self.client.llen(JOBS) or self.client.llen(CALLBACKS))
    @rule(queue=st.sampled_from([JOBS, CALLBACKS]), fails=st.booleans())
    def go_runs_the_youngest(self, queue: str, *, fails: bool) -> None:
        raw = self.client.lpop(queue)
        if not isinstance(raw, bytes):
            return
        job_id = decode_job(raw).id
        self.note_pushed(job_id, queue)
        if not fails:
            self.client.set(f"tq:res:{job_id}", job_id, px=3_600_000)
            job = self.jobs.get(job_id)
            if job is not None and job.follower:
                self.client.set(f"tq:res:job:msg:{job.follower}", push(job.follower).record)
                self.client.lpush(JOBS, push(job.follower).body)
        self.client.set(f"tq:res:job:msg:{job_id}", record(job_id, "oh" if fails else ""))
        self.came_to(job_id, fails=fails)

    def came_to(self, job_id: str, *, fails: bool) -> None:
        if job_id in self.jobs:
            self.jobs[job_id].came_to = "failed" if fails else "ok"

    # -- sweeps, whole or in the middle of everything --------------------------------------------

    @rule()
    def sweep(self) -> None:
        look = self.sweeper.look()
        commands = next(look)
        while commands:
            commands = self.exchange(look, commands)

    @rule()
    def begin_a_look(self) -> None:
        look = Sweeper().look()
        self.looks.append((look, next(look)))

    @precondition(lambda self: self.looks)
    @rule(data=st.data())
    def go_on_with_a_look(self, data: st.DataObject) -> None:
        at = data.draw(st.integers(0, len(self.looks) - 1))
        look, commands = self.looks.pop(at)
        commands = self.exchange(look, commands)
        if commands:
            self.looks.append((look, commands))

    def exchange(self, look: Look, commands: Sequence[Command]) -> Sequence[Command]:
        """One round trip of a sweep; the model is told what the sweep tells the store."""

        def steps() -> Generator[Sequence[Command], list[Any], list[Any]]:
            return (yield commands)

        replies = self.do(steps())
        for one in commands:
            if one.script is not None:
                self.swept.append(one)
                self.told_by_a_sweep([str(arg) for arg in map(_text, one.args[4:])])
        try:
            return look.send(replies)
        except StopIteration:
            return ()

    @precondition(lambda self: self.swept)
    @rule(data=st.data())
    def another_sweep_says_the_same_later(self, data: st.DataObject) -> None:
        self.do(ask(data.draw(st.sampled_from(self.swept))))

    def told_by_a_sweep(self, args: list[str]) -> None:
        group = self.groups[args[0]]
        if args[1]:
            ended = self.record_is_final(group.ok) or self.record_is_final(group.bad)
            assert ended, "closed before the callback has ended"
            self.close_in_model(group)
        for name, failed in zip(args[2::4], args[3::4], strict=True):
            path = name.split(">")
            job = self.jobs[path[-1]]
            states = [self.jobs[one].came_to for one in path]
            truly = "failed" in states or states[-1] == "ok" or self.never(path)
            assert truly, "a sweep took a member that had not ended"
            self.tell(job, fails=bool(failed))

    def never(self, path: list[str]) -> bool:
        return any(self.record_is_final(one) for one in path if one.endswith("-ok"))

    def record_is_final(self, job_id: str) -> bool:
        raw = self.client.get(f"tq:res:job:msg:{job_id}")
        return isinstance(raw, bytes) and decode_job(raw).status in {"successful", "failed"}

    # -- the model --------------------------------------------------------------------------------

    def tell(self, job: ModelJob, *, fails: bool) -> None:
        group = job.group
        final = fails or not job.follower
        if not final or group.closed or job.place in group.known:
            return
        group.known[job.place] = fails
        group.saved[job.place] = None if fails else job.path[-1].encode()
        self.fire_in_model(group)

    def seal_in_model(self, group: ModelGroup) -> None:
        group.sealed = True
        self.fire_in_model(group)

    def fire_in_model(self, group: ModelGroup) -> None:
        if not group.sealed or group.fired or len(group.known) < len(group.members):
            return
        group.fired = True
        if group.failed:
            if group.outer is not None:
                self.jobs[group.ok].came_to = "failed"
                self.tell(self.jobs[group.ok], fails=True)
            if not group.on_error:
                self.close_in_model(group)

    def close_in_model(self, group: ModelGroup) -> None:
        group.closed = True

    # -- what always holds ------------------------------------------------------------------------

    @invariant()
    def each_callback_came_as_often_as_its_group_fired(self) -> None:
        there = dict(self.pushed)
        for raw in self.client.lrange(CALLBACKS, 0, -1):
            job_id = decode_job(raw).id
            there[job_id] = there.get(job_id, 0) + 1
        assert there == {g.callback: 1 for g in self.groups.values() if g.fired and g.callback}

    @invariant()
    def a_callback_that_cannot_come_counts_as_failed(self) -> None:
        for group in self.groups.values():
            raw = self.client.get(f"tq:res:job:msg:{group.ok}")
            if group.fired and group.failed:
                assert isinstance(raw, bytes)
                assert decode_job(raw).status == JobStatus.FAILED
                assert self.client.zscore("tq:res:failed", group.ok) is not None

    @invariant()
    def an_open_group_has_what_its_members_saved(self) -> None:
        for group in self.groups.values():
            found = self.do(steps_of(GroupResults(group.id), KEEP))
            if group.closed:
                assert found is None
                continue
            assert found is not None
            want = [group.saved.get(place) for place in range(len(group.members))]
            assert found == want

    @invariant()
    def the_open_members_are_those_whose_end_nobody_told(self) -> None:
        for group in self.groups.values():
            names = {">".join(path) for path in group.members}
            known = {">".join(group.members[place]) for place in group.known}
            there = self.client.smembers(f"tq:gp:{{{group.id}}}:p")
            assert there == (set() if group.closed else {one.encode() for one in names - known})

    @invariant()
    def only_groups_that_are_needed_are_kept_for_ever(self) -> None:
        listed = {one.decode() for one in self.client.smembers("tq:gp:open")}
        alive = {g.id for g in self.groups.values() if g.sealed and not g.closed}
        assert listed == alive
        for key in self.client.scan_iter("tq:gp:{*"):
            group_id = key.decode().split("{")[1].split("}")[0]
            lives = self.client.ttl(key) == -1
            assert lives == (group_id in alive), key
        for group in self.groups.values():
            if not group.sealed:
                assert self.client.ttl(f"tq:res:job:msg:{group.ok}") > 0

    def teardown(self) -> None:
        """Whatever happened, everything comes to its end when somebody works and looks."""
        for look, _ in self.looks:
            look.close()
        for _ in range(50):
            self.finish_all()
            self.sweep()
            if all(group.closed for group in self.groups.values() if group.sealed):
                break
        else:
            # A callback of a group that is not sealed may be what an outer group waits for.
            waiting = [g for g in self.groups.values() if g.sealed and not g.closed]
            inner = [g.outer for g in self.groups.values() if not g.sealed]
            assert all(any(g is one for one in inner) for g in waiting)
        self.each_callback_came_as_often_as_its_group_fired()
        self.only_groups_that_are_needed_are_kept_for_ever()

    def finish_all(self) -> None:
        """A worker runs all that waits; nothing tells it which groups that belongs to."""
        for queue in (JOBS, CALLBACKS):
            while self.client.llen(queue):
                self.claim(worker="w", queue=queue)
        for job_id in sorted(self.held):
            queue = CALLBACKS if "-" in job_id else JOBS
            worker = self.held[job_id][0]
            made = self.settlement(job_id, fails=False, hint=False)
            del self.held[job_id]
            assert self.do(settle(queue_keys(queue), worker, [made], now_ns=1)) == [1]
            self.came_to(job_id, fails=False)
            if made.closes:
                self.close_in_model(self.groups[made.closes])


def _text(arg: Any) -> str:
    return arg.decode(errors="replace") if isinstance(arg, bytes) else str(arg)
