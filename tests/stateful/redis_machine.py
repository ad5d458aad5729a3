"""A model of a queue on Redis: every message is in one place, every decision is applied once.

The rules are what can happen: calls of producers and workers whose requests or replies are lost
or sent twice, processes that stop or come back too late, Go workers beside ours. The scripts and
the commands are the real ones, on a real Valkey; the messages are real wire messages.
"""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tasqueue.core.job import Job, JobMessage, JobOpts, Meta
from tasqueue.core.ports import Answer, Push, Settlement, Submit
from tasqueue.core.wire import decode_job, encode_job
from tasqueue.drivers.redis.blocking import BlockingDriver
from tasqueue.drivers.redis.command import Steps, ask, call
from tasqueue.drivers.redis.holding import release
from tasqueue.drivers.redis.keys import RESULT, TASKS, queue_keys
from tasqueue.drivers.redis.liveness import Watch
from tasqueue.drivers.redis.process import Place
from tasqueue.drivers.redis.reaper import _reap
from tasqueue.drivers.redis.request import KeepOpts, steps_of
from tasqueue.drivers.redis.script import library_name
from tasqueue.drivers.redis.settlement import settle
from tasqueue.drivers.redis.solitude import claim
from tasqueue.drivers.redis.upkeep import Upkeep, _promote, _unpark, reap

Q = "q"
K = queue_keys(Q)
WORKERS = "abc"
HERE = Place("", "", 0, "", 30)
FATES = st.sampled_from(["ok", "twice", "batch twice", "lost reply", "lost request"])
RECORD = RESULT + "job:msg:"


def body(
    job_id: str,
    *,
    task: str = "ok",
    eta: int | None = None,
    kids: int = 0,
    retried: int = 0,
    turn: str = "",
) -> bytes:
    """Write a message; ``kids`` is the length of the chain below it, ``turn`` its ``Ext.t``."""
    opts = JobOpts(id=job_id, queue=Q, eta_ns=eta)
    ext: dict[str, object] = {"t": turn} if turn else {}
    job = Job(task, b"\xff" * kids, opts, ext=ext)
    return encode_job(JobMessage(Meta(job_id, queue=Q, retried=retried), job))


@dataclass(frozen=True)
class Facts:
    """What a message says, as far as the rules depend on it."""

    id: str
    task: str
    eta: int | None
    kids: int
    retried: int
    turn: str

    @property
    def may_have_copies(self) -> bool:
        return self.eta is not None or bool(self.turn)


def facts(raw: bytes) -> Facts:
    message = decode_job(raw)
    job = message.job
    turn = job.ext.get("t", "")
    assert isinstance(turn, str)
    kids = len(job.payload or b"")
    return Facts(message.id, job.task, job.opts.eta_ns, kids, message.meta.retried, turn)


def sha1(raw: bytes) -> str:
    return hashlib.sha1(raw, usedforsecurity=False).hexdigest()


def script_of(settlement: Settlement) -> str:
    return "finish" if settlement.again is None else "retry"


@dataclass
class Call:
    """One enqueue call of a producer, which may send it more than once."""

    push: Push
    tries: int = 0
    applied: bool = False


class QueueMachine(RuleBasedStateMachine):
    """Bind ``client`` and ``driver`` in a subclass; the database is flushed at each start."""

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
        self, worker: str, why: str = "", begun: Sequence[str] = (), *, lone: bool = True
    ) -> None:
        """Every job goes back to where it came from, or is a suspect now, or convicted."""
        jobs = self.jobs_of(worker)
        for key in jobs:
            raw, kind = self.own.pop(key), key[1][0]
            guilty = why == "child" and key[1] in begun
            if kind == "c":
                self.convicts[raw] += 1
            elif kind == "s":
                lone = lone and len(jobs) == 1
                self.points[raw] += 4 if lone and guilty else lone and why == "host"
                condemned = lone and (guilty or why == "host") and self.points[raw] >= 12
                assert not condemned or self.facts(raw).task == "poison", "an innocent"
                (self.convicts if condemned else self.suspects)[raw] += 1
            else:
                self.losses[raw] += why == "host"
                if guilty or (why == "host" and self.losses[raw] >= 2):
                    self.suspects[raw] += 1

    def may_end(self, worker: str, why: str) -> bool:
        """Whether a kill from outside would not convict an innocent.

        A kill of what holds a lone suspect cannot be told from its own crash: two of a child, or
        eleven of a host, are what an innocent survives.
        """
        jobs = self.jobs_of(worker)
        if len(jobs) != 1 or jobs[0][1][0] != "s":
            return True
        raw = self.own[jobs[0]]
        weight = {"child": 4, "host": 1}[why]
        return self.facts(raw).task == "poison" or self.points[raw] + weight < 12

    def registered(self, worker: str) -> bool:
        return bool(self.client.hexists(K.beats, worker))

    def beat_as(self, worker: str, *, first: bool = False) -> int:
        flag = "1" if first else ""
        return int(self.call("beat", [K.beats, K.workers], worker, flag, HERE.text()))

    # -- producers ---------------------------------------------------------------------------

    def send(self, sent: Call) -> None:
        again = sent.tries > 0
        sent.tries += 1
        (pushed,) = self.run(steps_of(Submit((sent.push,), again=again), KeepOpts()))
        assert pushed != sent.applied, "a call was applied twice, or not at all"
        if pushed:
            sent.applied = True
            self.records[sent.push.job_id] = sent.push.record
            self.lives[sent.push.body] += 1
            self.born(sent.push.body)

    @rule(
        task=st.sampled_from(["ok", "ok", "ok", "unknown", "poison"]),
        user=st.sampled_from(["", "", "u0", "u1"]),
        eta=st.sampled_from([None, None, 1, 2]),
        kids=st.sampled_from([0, 0, 1, 2]),
        fate=st.sampled_from(["ok", "lost request", "lost reply"]),
    )
    def enqueue(self, *, task: str, user: str, eta: int | None, kids: int, fate: str) -> None:
        job_id = user or f"j{self.tick()}"
        token = f"call{self.tick()}" if user else ""
        turn = token if user and eta else ""
        raw = body(job_id, task=task, eta=eta, kids=kids, turn=turn)
        made = Call(Push(Q, job_id, self.record(job_id, "queued"), raw, eta, token))
        if fate == "lost request":
            made.tries += 1
        else:
            self.send(made)
            assert made.applied
        if fate != "ok":
            self.calls.append(made)

    @rule(n=st.integers(2, 4), fate=st.sampled_from(["ok", "twice"]))
    def enqueue_many(self, *, n: int, fate: str) -> None:
        pushes = []
        for _ in range(n):
            job_id = f"j{self.tick()}"
            pushes.append(Push(Q, job_id, self.record(job_id, "queued"), body(job_id)))
        assert self.run(steps_of(Submit(pushes), KeepOpts())) == [True] * n
        if fate == "twice":
            assert self.run(steps_of(Submit(pushes, again=True), KeepOpts())) == [False] * n
        for push in pushes:
            self.records[push.job_id] = push.record
            self.lives[push.body] += 1
            self.born(push.body)

    @precondition(lambda self: self.calls)
    @rule(data=st.data(), more=st.booleans())
    def send_again(self, *, data: st.DataObject, more: bool) -> None:
        place = data.draw(st.integers(0, len(self.calls) - 1))
        self.send(self.calls[place])
        assert self.calls[place].applied
        if not more:
            del self.calls[place]

    @rule(user=st.sampled_from(["", "u0", "u1"]), scheduled=st.booleans(), kids=st.integers(0, 1))
    def go_enqueues(self, *, user: str, scheduled: bool, kids: int) -> None:
        """Go checks nothing: a plain job with a user's ID is the very same bytes each time."""
        job_id = user or f"j{self.tick()}"
        due = self.tick() if scheduled else None
        raw = body(job_id, eta=due, kids=kids)
        self.records[job_id] = self.record(job_id, "queued")
        self.client.set(RECORD + job_id, self.records[job_id])
        if due is None:
            self.client.lpush(Q, raw)
        else:
            self.client.zadd(K.scheduled, {raw: due})
        self.lives[raw] += 1
        self.born(raw)

    # -- the scheduled set: ours and Go's ----------------------------------------------------

    @rule(all_of_them=st.booleans())
    def promote(self, *, all_of_them: bool) -> None:
        if all_of_them:
            assert self.run(_promote(K)).seconds is None
            assert not self.client.exists(K.scheduled)
        else:
            names = [K.scheduled, Q, K.suspects, K.convicts]
            moved, _, _, silent = self.call("promote", names, 1, 1)
            assert moved <= 1
            assert silent == self.suspects.total() + self.convicts.total()

    @precondition(lambda self: len(self.go_reads) < 3)
    @rule()
    def go_promoter_reads(self) -> None:
        self.go_enqueues(user="", scheduled=True, kids=1)
        found = self.client.zrevrangebyscore(K.scheduled, "+inf", 0, 0, 1)
        self.go_reads.append(found[0])

    @precondition(lambda self: self.go_reads)
    @rule(another=st.booleans())
    def go_promoter_pushes(self, *, another: bool) -> None:
        """With ``another``, two Go workers have read the same member."""
        raw = self.go_reads[0] if another else self.go_reads.pop(0)
        self.client.lpush(Q, raw)
        self.want[raw] += 1
        self.want[raw] -= self.client.zrem(K.scheduled, raw)

    @rule()
    def go_promoters_double(self) -> None:
        """Two Go workers at once: read, read, push, push, remove."""
        self.go_enqueues(user="", scheduled=True, kids=1)
        for raw in self.client.zrevrangebyscore(K.scheduled, "+inf", 0, 0, 1):
            self.client.lpush(Q, raw, raw)
            self.client.zrem(K.scheduled, raw)
            self.want[raw] += 1

    # -- workers: staying, and taking --------------------------------------------------------

    def ghost_or(self, worker: str, *, ghost: bool) -> str:
        return self.ghosts[-1] if ghost and self.ghosts else self.worker[worker]

    def starts_anew(self, w: str) -> None:
        self.ghosts.append(self.worker[w])
        self.worker[w] = f"{w}{self.tick()}"
        self.beat_as(self.worker[w], first=True)

    def finds_itself_fenced(self, w: str) -> None:
        """As `RedisLease.renew`: reap the old self, whatever others did to it, and start anew."""
        old = self.worker[w]
        self.run(ask(reap(K, old, "exit"), reap(K, old, "orphan")))
        self.given_back(old)
        self.starts_anew(w)

    @rule(points=st.sampled_from([0, 4, 8, 11]), guilty=st.booleans())
    def a_suspect_with_a_history(self, *, points: int, guilty: bool) -> None:
        """What many crashes lead to."""
        job_id = f"j{self.tick()}"
        raw = body(job_id, task="poison" if guilty else "ok")
        self.send(Call(Push(Q, job_id, self.record(job_id, "queued"), raw)))
        self.client.lmove(Q, K.suspects, "LEFT", "LEFT")
        self.suspects[raw] += 1
        self.points[raw] = points
        if points:
            self.client.hset(K.charges, "c" + sha1(raw), points)

    @rule(w=st.sampled_from(WORKERS), late=st.booleans())
    def doorbell(self, *, w: str, late: bool) -> None:
        """A blocked move fires, perhaps after its worker was given up."""
        landing = K.landing(self.ghost_or(w, ghost=late))
        self.client.lmove(Q, landing, "RIGHT", "LEFT")

    @rule(w=st.sampled_from(WORKERS), ghost=st.booleans())
    def beat(self, *, w: str, ghost: bool) -> None:
        worker = self.ghost_or(w, ghost=ghost)
        there = self.registered(worker)
        assert (self.beat_as(worker) > 0) == there, "a reaped worker came back"

    def claim_as(self, worker: str, limit: int, *, alone: bool = True) -> list[bytes]:
        """Claim, and check that the reply is of the kind that it must be."""
        drains = self.client.get(K.drainer)
        wanted = self.kind_of_reply(worker, alone=alone, drains=drains)
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

    def kind_of_reply(self, worker: str, *, alone: bool, drains: bytes | None) -> str:
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
            if drains in {None, worker.encode()}:
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

    @rule(
        w=st.sampled_from(WORKERS),
        limit=st.integers(1, 4),
        lost=st.booleans(),
        ghost=st.sampled_from([False, False, False, True]),
        alone=st.booleans(),
    )
    def claim(self, *, w: str, limit: int, lost: bool, ghost: bool, alone: bool) -> None:
        """With ``alone`` false, a worker of several queues that has not looked at the others."""
        worker = self.ghost_or(w, ghost=ghost)
        reply = self.claim_as(worker, limit, alone=alone)
        if reply[0] == b"fenced" and worker == self.worker[w]:
            self.finds_itself_fenced(w)
        self.claimed(worker, reply, lost=lost)

    @rule(w=st.sampled_from(WORKERS))
    def adopt(self, *, w: str) -> None:
        """After a lost reply a worker asks what it holds."""
        worker = self.worker[w]
        if self.registered(worker):
            for token, raw in self.client.hgetall(K.held(worker)).items():
                self.held[worker, token.decode()] = raw

    # -- workers: the end of jobs ------------------------------------------------------------

    def pick(
        self, data: st.DataObject, *, task: str = "ok", fresh: bool = False
    ) -> tuple[str, str] | None:
        """One of the jobs that a process believes it holds; a worker takes one if need be.

        None if there is none, and a suspect or a convict comes first.
        """
        keys = [
            key
            for key, raw in sorted(self.held.items())
            if self.facts(raw).task == task and not (fresh and key in self.started)
        ]
        waiting: bool = data.draw(st.booleans())
        if keys and waiting:
            place: int = data.draw(st.integers(0, len(keys) - 1))
            return keys[place]
        w: str = data.draw(st.sampled_from(WORKERS))
        if not self.registered(self.worker[w]):
            self.finds_itself_fenced(w)
        job_id = f"j{self.tick()}"
        push = Push(
            Q, job_id, self.record(job_id, "queued"), body(job_id, task=task, kids=self.n % 2)
        )
        self.send(Call(push))
        worker = self.worker[w]
        self.claimed(worker, self.claim_as(worker, 100))
        return next((key for key in reversed(self.held) if self.held[key] == push.body), None)

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
        late = {name for name in ("finish", "retry") if not self.knows(name)}
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

    @rule(data=st.data(), ok=st.booleans(), fate=FATES)
    def an_attempt_ends_the_job(self, *, data: st.DataObject, ok: bool, fate: str) -> None:
        if key := self.pick(data):
            self.send_settlement(key, self.ending(key, ok=ok), fate)

    @precondition(lambda self: self.convicts.total() or any(t[0] == "c" for _, t in self.held))
    @rule(w=st.sampled_from(WORKERS), fate=FATES)
    def a_convict_is_buried(self, *, w: str, fate: str) -> None:
        """Whoever claims it does not run it, but ends it as failed, and keeps its bytes."""
        worker = self.worker[w]
        self.claimed(worker, self.claim_as(worker, 4))
        for key in [key for key in self.held if key[1][0] == "c"]:
            self.send_settlement(key, self.burial(key), fate)

    def burial(self, key: tuple[str, str]) -> Settlement:
        sent = self.ending(key, ok=False)
        sent.dead = "dead: it was convicted"
        return sent

    @rule(data=st.data(), failed=st.booleans(), due=st.sampled_from([None, 1]), fate=FATES)
    def an_attempt_is_followed(
        self, *, data: st.DataObject, failed: bool, due: int | None, fate: str
    ) -> None:
        """By another one after a failure, or by a later one without having failed."""
        if key := self.pick(data):
            self.send_settlement(key, self.next_attempt(key, failed=failed, due=due), fate)

    def send_settlement(self, key: tuple[str, str], sent: Settlement, fate: str) -> None:
        self.started.add(key)
        if fate == "lost request":
            return
        answers = self.settle(key[0], [sent, sent] if fate == "batch twice" else [sent])
        if fate == "twice":
            answers += self.settle(key[0], [sent])
        for answer in answers:
            self.decide(key, sent, answer)
        if fate == "ok":
            del self.held[key]

    @rule(
        w=st.sampled_from(WORKERS),
        limit=st.integers(1, 6),
        later=st.booleans(),
        nth=st.integers(1, 3),
        copies=st.booleans(),
    )
    def a_good_day(
        self, *, w: str, limit: int, later: bool, nth: int = 3, copies: bool = False
    ) -> None:
        """Claim, run all, and settle all in one call, each nth of them for another attempt.

        ``copies``: Go workers have just doubled a message.
        """
        if copies:
            self.go_promoters_double()
        worker = self.worker[w]
        reply = self.claim_as(worker, limit)
        if reply[0] == b"fenced":
            self.finds_itself_fenced(w)
            return
        self.claimed(worker, reply)
        keys = [(worker, token.decode()) for token in reply[1::2]]
        if self.dies_of_poison(w, keys):
            return
        batch = [
            self.burial(key)
            if key[1][0] == "c"
            else self.next_attempt(key, failed=True, due=1 if later else None)
            if i % nth == nth - 1
            else self.ending(key, ok=i % 2 == 0)
            for i, key in enumerate(keys)
        ]
        self.decide_all(keys, batch)
        for key in keys:
            del self.held[key]

    def dies_of_poison(self, w: str, keys: list[tuple[str, str]]) -> bool:
        """Begin jobs one by one; the first poisonous one is the end of the process."""
        begun = []
        for worker, token in keys:
            begun.append(token)
            if token[0] != "c" and self.facts(self.own[worker, token]).task == "poison":
                self.child_ends(w, begun)
                return True
        return False

    def child_ends(self, w: str, begun: list[str], *, beside: bool = False) -> None:
        """The supervisor's waitpid returns; it knows what had begun, and starts another child.

        ``beside``: it held a job of another queue too.
        """
        old = self.worker[w]
        there = self.registered(old)
        other = queue_keys("other")
        if beside:
            self.client.hset(other.held(old), "1:n", "another job")
        for _ in range(2):
            self.run(_reap(old, [Q, "other"], {Q: begun}))
        assert self.client.lrange("other", 0, -1) == [b"another job"] * beside
        self.client.delete("other", other.tombs)
        self.given_back(old, "child" if there else "", begun, lone=not beside)
        self.held = {key: raw for key, raw in self.held.items() if key[0] != old}
        self.starts_anew(w)

    @rule(data=st.data())
    def mark(self, *, data: st.DataObject) -> None:
        """A ``processing`` record, perhaps long after the job was given to others or ended."""
        key = self.pick(data)
        if key is None:
            return
        told = self.facts(self.held[key])
        record = self.record(told.id, "processing")
        written = self.call("mark", [K.held(key[0])], key[1], told.id, record)
        assert written == (key in self.own), "the record of a job that is not held was written"
        if written:
            self.records[told.id] = record

    @rule(data=st.data(), twice=st.booleans())
    def release(self, *, data: st.DataObject, twice: bool) -> None:
        key = self.pick(data, fresh=True)
        if key is None:
            return
        there = key in self.own
        for _ in range(1 + twice):
            assert self.run(ask(release(K, key[0], [key[1]]))) == [there]
            there = False
        if key in self.own and key[1][0] == "s":
            self.suspects[self.own[key]] += 1
        self.own.pop(key, None)
        del self.held[key]

    @precondition(lambda self: any(t[0] == "c" for _, t in self.own))
    @rule()
    def release_a_convict(self) -> None:
        key = next(key for key in self.own if key[1][0] == "c")
        assert self.run(ask(release(K, key[0], [key[1]]))) == [1]
        self.convicts[self.own.pop(key)] += 1
        self.held.pop(key, None)

    @rule(data=st.data(), twice=st.booleans())
    def park(self, *, data: st.DataObject, twice: bool) -> None:
        key = self.pick(data, task="unknown", fresh=True)
        if key is None:
            return
        there = key in self.own
        names = [K.held(key[0]), K.parked, K.parked_jobs("unknown")]
        for _ in range(1 + twice):
            assert self.call("park", names, key[1], "unknown") == there
            there = False
        self.own.pop(key, None)
        del self.held[key]

    @rule(how=st.sampled_from(["known here", "known elsewhere", "not known"]))
    def unpark(self, *, how: str) -> None:
        parked = self.client.llen(K.parked_jobs("unknown"))
        assert bool(parked) == self.client.sismember(K.parked, "unknown")
        if how == "known elsewhere":
            self.client.sadd(TASKS, "unknown")
        moved = self.run(_unpark(K, frozenset({"unknown"} if how == "known here" else ())))
        assert moved == (0 if how == "not known" else parked)
        self.client.delete(TASKS)

    @rule(data=st.data())
    def bury(self, *, data: st.DataObject) -> None:
        """As if the bytes were no message; the scripts do not read them."""
        key = self.pick(data, fresh=True)
        if key is None:
            return
        there = key in self.own
        names = [K.held(key[0]), K.dead, K.reasons]
        assert self.call("bury", names, key[1], self.tick(), "no message") == there
        if there:
            raw = self.gone(key)
            self.dead[raw] += 1
            self.spoilt.add(self.family[raw])
        del self.held[key]

    # -- workers: the end of workers ---------------------------------------------------------

    @rule(w=st.sampled_from(WORKERS))
    def crash(self, *, w: str) -> None:
        """A kill -9, and a new process; the old one stays registered until somebody reaps it."""
        old = self.worker[w]
        self.held = {key: raw for key, raw in self.held.items() if key[0] != old}
        self.starts_anew(w)

    @rule(
        w=st.sampled_from(WORKERS),
        limit=st.integers(1, 3),
        times=st.integers(1, 6),
        share=st.integers(0, 3),
        how=st.sampled_from(["child", "host", "child with another queue"]),
    )
    def killed_again_and_again(
        self, *, w: str, limit: int, times: int, share: int, how: str
    ) -> None:
        """From outside: the child, or the whole host; some of its jobs had begun."""
        for _ in range(times):
            worker = self.worker[w]
            self.claimed(worker, self.claim_as(worker, limit))
            if not self.registered(worker) or not self.may_end(worker, how.split(maxsplit=1)[0]):
                return
            if how == "host":
                seen = self.client.hget(K.beats, worker)
                assert self.run(ask(reap(K, worker, "host", seen=seen)))[0] >= 0
                self.given_back(worker, "host")
                self.held = {key: raw for key, raw in self.held.items() if key[0] != worker}
                self.starts_anew(w)
            else:
                begun = [token for _, token in self.jobs_of(worker)][:share]
                self.child_ends(w, begun, beside=how != "child")

    @rule(w=st.sampled_from(WORKERS), ghost=st.booleans(), stale=st.booleans())
    def reap(self, *, w: str, ghost: bool, stale: bool) -> None:
        """Somebody's lease is over, or so it was thought: with ``stale`` it has beaten since."""
        worker = self.ghost_or(w, ghost=ghost)
        seen = self.client.hget(K.beats, worker) or b"none"
        if stale:
            self.beat_as(worker)
        elif not self.may_end(worker, "host"):
            return
        (back,) = self.run(ask(reap(K, worker, "host", seen=seen)))
        assert (back >= 0) == (seen != b"none" and not stale), "reaped although it had beaten"
        if back >= 0:
            self.given_back(worker, "host")
            assert not self.registered(worker)

    @rule(w=st.sampled_from(WORKERS), ghost=st.booleans())
    def sweep(self, *, w: str, ghost: bool) -> None:
        """A tombstone, or what was one when somebody looked."""
        worker = self.ghost_or(w, ghost=ghost)
        there = self.registered(worker)
        (back,) = self.run(ask(reap(K, worker, "orphan")))
        assert (back < 0) == there, "a living worker was swept away"
        if not there:
            self.given_back(worker)

    @rule(w=st.sampled_from(WORKERS))
    def leave(self, *, w: str) -> None:
        worker = self.worker[w]
        there = self.registered(worker)
        (back,) = self.run(ask(reap(K, worker, "exit")))
        assert (back >= 0) == there
        assert not self.registered(worker)
        if there:
            self.given_back(worker)
        self.held = {key: raw for key, raw in self.held.items() if key[0] != worker}
        self.starts_anew(w)

    @rule(beats=st.integers(1, 3))
    def rescue(self, *, beats: int) -> None:
        """What each worker does for the others every few seconds, with its real steps."""
        if not all(self.may_end(worker, "host") for worker in {key[0] for key in self.own}):
            return
        self.my_beats += beats
        upkeep = Upkeep.__new__(Upkeep)
        upkeep._keep = KeepOpts()
        upkeep._id, upkeep._beats = "me", self.my_beats
        before = {w.decode() for w in self.client.hkeys(K.beats)}
        found = self.run(upkeep._rescue(K, self.watch))
        after = {w.decode() for w in self.client.hkeys(K.beats)}
        for worker in before - after:
            self.given_back(worker, "host")
        for worker in [*self.ghosts, *self.worker.values()]:
            if worker not in after:
                self.given_back(worker)
        assert found >= len(before - after)
        for worker in self.ghosts:
            left = self.client.exists(K.landing(worker), K.held(worker))
            assert worker in after or not left, "something of the dead was left"

    # -- Go workers --------------------------------------------------------------------------

    @rule()
    def go_takes(self) -> None:
        """BLPOP: the youngest, and from then on it exists in that worker only."""
        raw = self.client.lpop(Q)
        if raw:
            assert isinstance(raw, bytes)
            self.want[raw] -= 1
            self.spoilt.add(self.family[raw])
            self.go_hands.append(raw)

    def go_pushes(self, raw: bytes, root: bytes) -> None:
        self.client.lpush(Q, raw)
        self.want[raw] += 1
        self.family.setdefault(raw, root)
        self.lives[self.family[raw]] += 1
        self.spoilt |= {root, self.family[raw]}

    def go_records(self, job_id: str, text: str) -> None:
        self.records[job_id] = self.record(job_id, text)
        self.client.set(RECORD + job_id, self.records[job_id])

    @precondition(lambda self: self.go_hands)
    @rule(end=st.sampled_from(["succeeds", "succeeds", "fails", "retries", "is lost"]))
    def go_ends(self, *, end: str) -> None:
        raw = self.go_hands.pop(0)
        told = self.facts(raw)
        if end == "retries":
            # Go drops what it does not know.
            successor = body(
                told.id, task=told.task, eta=told.eta, kids=told.kids, retried=told.retried + 1
            )
            self.go_records(told.id, "retrying")
            self.go_pushes(successor, self.family[raw])
        elif end == "succeeds":
            if told.kids:
                child = body(f"{told.id}.0", kids=told.kids - 1)
                self.go_records(f"{told.id}.0", "queued")
                self.go_pushes(child, child)
            self.go_records(told.id, "successful")
        elif end == "fails":
            self.go_records(told.id, "failed")

    # -- vandalism ---------------------------------------------------------------------------

    @rule(what=st.sampled_from(["sequence", "beats", "scripts", "drainer"]))
    def lose(self, *, what: str) -> None:
        if what == "scripts":
            self.client.script_flush()
            self.client.function_flush()
        elif what == "sequence":
            self.client.delete(K.sequence)
        elif what == "drainer":
            self.client.delete(K.drainer)
        else:
            self.client.delete(K.beats)

    # -- what must hold ----------------------------------------------------------------------

    def places(self) -> Counter[bytes]:
        pipe = self.client.pipeline(transaction=False)
        pipe.lrange(Q, 0, -1)
        pipe.zrange(K.scheduled, 0, -1)
        pipe.lrange(K.parked_jobs("unknown"), 0, -1)
        pipe.lrange(K.suspects, 0, -1)
        pipe.lrange(K.convicts, 0, -1)
        for worker in [*self.worker.values(), *self.ghosts]:
            pipe.lrange(K.landing(worker), 0, -1)
            pipe.hvals(K.held(worker))
        return Counter(raw for part in pipe.execute() for raw in part)

    @invariant()
    def every_message_is_in_one_place(self) -> None:
        there = self.places()
        assert there == +self.want, (there - self.want, self.want - there)

    @invariant()
    def who_is_suspected_and_charged_is_what_the_crashes_said(self) -> None:
        pipe = self.client.pipeline(transaction=False)
        pipe.lrange(K.suspects, 0, -1)
        pipe.lrange(K.convicts, 0, -1)
        pipe.hgetall(K.charges)
        suspects, convicts, charges = pipe.execute()
        assert Counter(suspects) == +self.suspects
        assert Counter(convicts) == +self.convicts
        told = {"c" + sha1(raw): n for raw, n in (+self.points).items()}
        told |= {"h" + sha1(raw): n for raw, n in (+self.losses).items()}
        assert {name.decode(): int(n) for name, n in charges.items()} == told

    @invariant()
    def every_record_is_the_last_that_was_allowed(self) -> None:
        pipe = self.client.pipeline(transaction=False)
        pipe.mget([RECORD + name for name in self.records] or ["nothing"])
        pipe.mget([RESULT + name for name in self.results] or ["nothing"])
        pipe.zrange(RESULT + "success", 0, -1)
        pipe.zrange(RESULT + "failed", 0, -1)
        pipe.zrange(K.dead, 0, -1)
        pipe.hkeys(K.reasons)
        records, results, succeeded, failed, dead, reasons = pipe.execute()
        assert not self.records or records == list(self.records.values())
        assert not self.results or results == list(self.results.values())
        assert {name.decode() for name in succeeded} == self.lists["success"]
        assert {name.decode() for name in failed} == self.lists["failed"]
        assert set(dead) == set(+self.dead)
        assert len(reasons) == len(dead)

    # -- the end: everything comes to rest ---------------------------------------------------

    def teardown(self) -> None:
        if not hasattr(self, "watch"):
            return
        self.go_hands, self.go_reads = [], []
        everybody = [*self.ghosts, *self.worker.values()]
        for worker in everybody:
            self.run(ask(reap(K, worker, "exit"), reap(K, worker, "orphan")))
            self.given_back(worker)
        self.ghosts = everybody
        self.worker = {"z": "last"}
        self.beat_as("last", first=True)
        for _ in range(400):
            self.run(_promote(K))
            self.run(_unpark(K, frozenset({"unknown"})))
            worker = self.worker["z"]
            reply = self.claim_as(worker, 5)
            self.claimed(worker, reply)
            if len(reply) == 1:
                break
            keys = [(worker, token.decode()) for token in reply[1::2]]
            if not self.dies_of_poison("z", keys):
                ends = [
                    self.burial(key) if key[1][0] == "c" else self.ending(key, ok=True)
                    for key in keys
                ]
                self.decide_all(keys, ends)
        self.every_message_is_in_one_place()
        self.every_record_is_the_last_that_was_allowed()
        assert not +self.want, f"does not come to rest: {+self.want}"
        for root, lives in self.lives.items():
            assert root in self.spoilt or self.ended[root] == lives, (root, lives)
