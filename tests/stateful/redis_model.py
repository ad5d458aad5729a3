"""The model of a queue: what it knows, and what must hold after each step."""

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, ClassVar

from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant

from tasqueue.core.blame import Blame
from tasqueue.core.ports import Answer, Push, Settlement
from tasqueue.drivers.redis.blocking import BlockingDriver
from tasqueue.drivers.redis.command import Steps, ask, call
from tasqueue.drivers.redis.keys import RESULT
from tasqueue.drivers.redis.liveness import Watch
from tasqueue.drivers.redis.script import library_name
from tasqueue.drivers.redis.settlement import settle
from tasqueue.drivers.redis.solitude import claim
from tests.stateful.redis_message import (
    HERE,
    RECORD,
    WORKERS,
    Call,
    Facts,
    K,
    Q,
    body,
    facts,
    script_of,
    sha1,
)


class QueueModel(RuleBasedStateMachine):
    """What the rules share. Bind ``client`` and ``driver`` in a subclass.

    The database is flushed at each start.
    """

    client: ClassVar[Any]
    driver: ClassVar[BlockingDriver]
    once_keys: ClassVar[bool] = True
    """False is a worker that passes no once-key; the model finds it."""
    turns: ClassVar[bool] = True
    """False is a worker that does not make the bytes of its retries unique; likewise."""
    # -- the tools ---------------------------------------------------------------------------

    def run(self, steps: Steps[Any]) -> Any:
        return self.driver.run(steps)

    def call(self, name: str, keys: list[str], *args: str | bytes | int) -> Any:
        (reply,) = self.run(ask(call(name, keys, args)))
        return reply

    def tick(self) -> int:
        self.n += 1
        return self.n

    def facts(self, raw: bytes) -> Facts:
        known = self.known.get(raw)
        if known is None:
            known = self.known[raw] = facts(raw)
        return known

    def once(self, raw: bytes) -> str:
        copies = self.once_keys and self.facts(raw).may_have_copies
        return sha1(raw) if copies else ""

    # -- the start ---------------------------------------------------------------------------

    @initialize()
    def start(self) -> None:
        self.client.flushdb()
        self.client.script_flush()
        self.client.function_flush()
        self.n = 0
        self.known: dict[bytes, Facts] = {}
        self.want: Counter[bytes] = Counter()  # message -> copies that must be in the store
        self.family: dict[bytes, bytes] = {}  # message -> the message that it came from
        self.lives: Counter[bytes] = Counter()  # root -> times it was enqueued
        self.ended: Counter[bytes] = Counter()  # root -> final decisions that were applied
        self.spoilt: set[bytes] = set()  # roots that Go touched: it counts on its own
        self.own: dict[tuple[str, str], bytes] = {}  # (worker, token) -> message, the truth
        self.held: dict[tuple[str, str], bytes] = {}  # what processes believe, zombies too
        self.started: set[tuple[str, str]] = set()
        self.decided: set[str] = set()
        self.worker = {w: f"{w}0" for w in WORKERS}
        self.ghosts: list[str] = []
        self.leaving: set[str] = set()  # workers that were told to stop, and said so
        self.records: dict[str, bytes] = {}
        self.results: dict[str, bytes] = {}
        self.lists: dict[str, set[str]] = {"success": set(), "failed": set()}
        self.dead: Counter[bytes] = Counter()
        self.suspects: Counter[bytes] = Counter()
        self.convicts: Counter[bytes] = Counter()
        self.losses: Counter[bytes] = Counter()  # message -> lost hosts
        self.points: Counter[bytes] = Counter()  # message -> what is charged to it
        self.calls: list[Call] = []
        self.go_hands: list[bytes] = []
        self.go_reads: list[bytes] = []
        self.watch = Watch(HERE)
        self.my_beats = 0
        for name in self.worker.values():
            self.beat_as(name, first=True)

    # -- bookkeeping -------------------------------------------------------------------------

    def born(self, raw: bytes, root: bytes | None = None) -> None:
        self.want[raw] += 1
        self.family.setdefault(raw, root or raw)

    def record(self, job_id: str, text: str) -> bytes:
        """A record that differs from every other, so that a late write shows."""
        return f"{text}:{job_id}:{self.tick()}".encode()

    def gone(self, key: tuple[str, str]) -> bytes:
        raw = self.own.pop(key)
        self.want[raw] -= 1
        return raw

    def jobs_of(self, worker: str) -> list[tuple[str, str]]:
        return [key for key in self.own if key[0] == worker]

    def given_back(
        self,
        worker: str,
        why: str = "",
        begun: Sequence[str] = (),
        *,
        lone: bool = True,
        blame: Blame = Blame.JOB,
    ) -> None:
        """Every job goes back to where it came from, or is a suspect now, or convicted."""
        jobs = self.jobs_of(worker)
        if why == "host":
            blame = self.loss_of(worker)
        for key in jobs:
            raw, kind = self.own.pop(key), key[1][0]
            guilty = why == "child" and key[1] in begun
            if kind == "c":
                self.convicts[raw] += 1
            elif kind == "s":
                lone = lone and len(jobs) == 1
                charged = bool(blame) and lone and (guilty or why == "host")
                self.points[raw] += blame if charged else 0
                condemned = charged and self.points[raw] >= 12
                assert not condemned or self.facts(raw).task == "poison", "an innocent"
                (self.convicts if condemned else self.suspects)[raw] += 1
            else:
                lost = why == "host" and bool(blame)
                self.losses[raw] += lost
                if guilty or (lost and self.losses[raw] >= 2):
                    self.suspects[raw] += 1

    def may_end(self, worker: str, blame: Blame = Blame.ANYBODY) -> bool:
        """Whether an end from outside would not convict an innocent.

        It may look like the doing of what ran alone: two that seem its own, or eleven that
        anybody may have brought about, are what an innocent survives.
        """
        jobs = self.jobs_of(worker)
        if len(jobs) != 1 or jobs[0][1][0] != "s":
            return True
        raw = self.own[jobs[0]]
        return self.facts(raw).task == "poison" or self.points[raw] + blame < 12

    def registered(self, worker: str) -> bool:
        return bool(self.client.hexists(K.beats, worker))

    def beat_as(self, worker: str, *, first: bool = False, leaving: bool = False) -> int:
        flags = ["1" if flag else "" for flag in (first, leaving)]
        names = [K.beats, K.workers]
        beats = int(self.call("beat", names, worker, flags[0], HERE.text(), flags[1]))
        if beats:
            self.leaving |= {worker} if leaving else set()
            told = "|leaving" * (worker in self.leaving)
            assert self.client.hget(K.workers, worker).decode() == HERE.text() + told
        return beats

    def loss_of(self, worker: str) -> Blame:
        """Whose fault it may be that a worker is gone."""
        return Blame.NOBODY if worker in self.leaving else Blame.ANYBODY

    def claim_as(self, worker: str, limit: int, *, alone: bool = True) -> list[bytes]:
        """Claim, and check that the reply is of the kind that it must be."""
        drains, left = self.client.get(K.drainer), self.client.pttl(K.drainer)
        tired = drains is not None and left <= 30_000
        drainer = drains is None or (drains == worker.encode()) != tired
        wanted = self.kind_of_reply(worker, alone=alone, drainer=drainer)
        reply: list[bytes]
        (reply,) = self.run(ask(claim(K, worker, limit=limit, alone=alone)))
        assert reply[0] == (wanted.encode() if wanted in {"fenced", "drain"} else b"ok")
        if wanted in {"fenced", "drain", "s"}:
            assert not self.client.exists(K.landing(worker)), "a message would wait there"
        if wanted == "s":
            assert not self.client.exists(K.drainer)
        if wanted in {"c", "s"}:
            assert {token[:1].decode() for token in reply[1::2]} == {wanted}
            taken = self.convicts if wanted == "c" else self.suspects
            taken.subtract(reply[2::2])
            assert min(taken.values()) >= 0
        elif wanted == "ok":
            assert all(token[:1].isdigit() for token in reply[1::2])
        assert len(reply) <= 1 + 2 * (1 if wanted == "s" else limit)
        return reply

    def kind_of_reply(self, worker: str, *, alone: bool, drainer: bool) -> str:
        jobs = self.jobs_of(worker)
        if not self.registered(worker):
            return "fenced"
        if [token[0] for _, token in jobs] == ["s"]:
            return "drain"
        if self.convicts.total():
            return "c"
        if self.suspects.total():
            if alone and not jobs:
                return "s"
            if drainer:
                return "drain"
        return "ok"

    def claimed(self, worker: str, reply: list[bytes], *, lost: bool = False) -> None:
        for token, raw in zip(reply[1::2], reply[2::2], strict=True):
            key = (worker, token.decode())
            assert key not in self.own, "a token came twice"
            assert key not in self.held, "a token came twice"
            self.own[key] = raw
            if not lost:
                self.held[key] = raw
        numbers = [int(token.lstrip(b"sc").partition(b":")[0]) for token in reply[1::2]]
        kinds = {token[0] for _, token in self.jobs_of(worker)}
        assert "s" not in kinds or len(self.jobs_of(worker)) == 1, "a suspect beside other jobs"
        assert all(a + 1 == b for a, b in pairwise(numbers))

    # -- settling ----------------------------------------------------------------------------

    def ending(self, key: tuple[str, str], *, ok: bool) -> Settlement:
        told = self.facts(self.held[key])
        pushes = []
        if ok and told.kids:
            child = f"{told.id}.0"
            raw = body(child, kids=told.kids - 1)
            pushes.append(Push(Q, child, self.record(child, "queued"), raw))
        return Settlement(
            key[1],
            told.id,
            self.record(told.id, "successful" if ok else "failed"),
            once=self.once(self.held[key]),
            listing="success" if ok else "failed",
            result=f"result {self.tick()}".encode() if ok else None,
            pushes=pushes,
            dead="" if ok or self.n % 3 else "it was hopeless",
            ttl_ms=0 if ok else 60_000,
        )

    def next_attempt(self, key: tuple[str, str], *, failed: bool, due: int | None) -> Settlement:
        raw = self.held[key]
        told = self.facts(raw)
        successor = body(
            told.id,
            task=told.task,
            eta=told.eta,
            kids=told.kids,
            retried=told.retried + failed,
            turn=key[1] if self.turns else "",
        )
        record = self.record(told.id, "retrying")
        result = f"saved {self.tick()}".encode() if self.n % 2 else None
        again = Push(Q, told.id, record, successor, due)
        return Settlement(key[1], told.id, record, once=self.once(raw), again=again, result=result)

    def settle(self, worker: str, settlements: list[Settlement]) -> list[Answer]:
        answers: list[Answer] = self.run(settle(K, worker, settlements, now_ns=self.tick()))
        return answers

    def decide_all(self, keys: list[tuple[str, str]], batch: list[Settlement]) -> None:
        """Settle a batch, which may hold two copies of one message, or two lives of one ID.

        The server carries them out in their order, but one whose script it has lost is sent
        again after the others.
        """
        mixed = len({script_of(sent) for sent in batch}) > 1
        late = {name for name in ("finish", "retry") if mixed and not self.knows(name)}
        answers = self.settle(keys[0][0], batch) if keys else []
        told = list(zip(keys, batch, answers, strict=True))
        for key, sent, answer in sorted(told, key=lambda one: script_of(one[1]) in late):
            self.decide(key, sent, answer)

    def knows(self, name: str) -> bool:
        """Say whether the server has a script in its cache, or the library that it is in."""
        known = call(name, (), ()).script
        assert known is not None
        if known.function:
            return bool(self.client.function_list(library_name()))
        return bool(self.client.script_exists(known.sha)[0])

    def decide(self, key: tuple[str, str], sent: Settlement, answer: Answer) -> None:
        """Check one answer, and apply what it says to the model."""
        if key not in self.own:
            there = self.registered(key[0])
            assert answer == (Answer.DECIDED if there else Answer.FENCED), "without a token"
            return
        raw = self.own[key]
        copy = bool(sent.once) and sent.once in self.decided
        assert answer == (Answer.DECIDED if copy else Answer.APPLIED)
        self.gone(key)
        if copy:
            return
        if sent.once:
            self.decided.add(sent.once)
        self.losses.pop(raw, None)
        self.points.pop(raw, None)
        self.records[sent.job_id] = sent.record
        if sent.result is not None:
            self.results[sent.job_id] = sent.result
        for push in sent.pushes:
            self.records[push.job_id] = push.record
            self.lives[push.body] += 1
            self.born(push.body)
        root = self.family[raw]
        if sent.again is not None:
            self.born(sent.again.body, root)
            return
        self.lists[sent.listing].add(sent.job_id)
        self.dead[raw] += bool(sent.dead)
        self.ended[root] += 1
        assert self.ended[root] <= self.lives[root] or root in self.spoilt, "ended twice"

    # -- what must hold ----------------------------------------------------------------------

    @invariant()
    def the_server_holds_what_the_model_says(self) -> None:
        """All of it in one round trip: there are a hundred thousand steps."""
        workers = [*self.worker.values(), *self.ghosts]
        pipe = self.client.pipeline(transaction=False)
        for name in (Q, K.parked_jobs("unknown"), K.suspects, K.convicts):
            pipe.lrange(name, 0, -1)
        for name in (K.scheduled, RESULT + "success", RESULT + "failed", K.dead):
            pipe.zrange(name, 0, -1)
        pipe.hkeys(K.reasons)
        pipe.hgetall(K.charges)
        pipe.mget([RECORD + name for name in self.records] or ["nothing"])
        pipe.mget([RESULT + name for name in self.results] or ["nothing"])
        for worker in workers:
            pipe.lrange(K.landing(worker), 0, -1)
            pipe.hvals(K.held(worker))
        queue, parked, suspects, convicts, scheduled, *rest = pipe.execute()
        succeeded, failed, dead, reasons, charges, records, results, *hands = rest
        self.every_message_is_in_one_place([queue, parked, suspects, convicts, scheduled, *hands])
        self.who_is_charged_is_what_the_crashes_said(suspects, convicts, charges)
        assert not self.records or records == list(self.records.values())
        assert not self.results or results == list(self.results.values())
        assert {name.decode() for name in succeeded} == self.lists["success"]
        assert {name.decode() for name in failed} == self.lists["failed"]
        assert set(dead) == set(+self.dead)
        assert len(reasons) == len(dead)

    def every_message_is_in_one_place(self, places: list[list[bytes]]) -> None:
        there = Counter(raw for part in places for raw in part)
        assert there == +self.want, (there - self.want, self.want - there)

    def who_is_charged_is_what_the_crashes_said(
        self, suspects: list[bytes], convicts: list[bytes], charges: dict[bytes, bytes]
    ) -> None:
        assert Counter(suspects) == +self.suspects
        assert Counter(convicts) == +self.convicts
        told = {"c" + sha1(raw): n for raw, n in (+self.points).items()}
        told |= {"h" + sha1(raw): n for raw, n in (+self.losses).items()}
        assert {name.decode(): int(n) for name, n in charges.items()} == told
