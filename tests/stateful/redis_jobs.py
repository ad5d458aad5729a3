"""What a worker does with jobs: takes, ends, gives back."""

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from tasqueue.core.blame import Blame
from tasqueue.core.ports import Push, Settlement
from tasqueue.drivers.redis.command import ask
from tasqueue.drivers.redis.holding import release
from tasqueue.drivers.redis.keys import TASKS, queue_keys
from tasqueue.drivers.redis.reaper import _reap
from tasqueue.drivers.redis.upkeep import _unpark, reap
from tests.stateful.redis_clients import Clients
from tests.stateful.redis_message import FATES, WORKERS, Call, K, Q, body, sha1


class Jobs(Clients):
    """Rules."""

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

    @rule(turns=st.lists(st.tuples(st.sampled_from(WORKERS), st.booleans()), max_size=5))
    def nobody_drains_for_ever(self, *, turns: list[tuple[str, bool]]) -> None:
        """Busy workers see a suspect; between their claims doorbells ring, and time may pass."""
        self.enqueue_many(n=2, fate="ok")
        self.a_suspect_with_a_history(points=0, guilty=False)
        for w, later in turns:
            if self.registered(self.worker[w]):
                self.doorbell(w=w, late=False)
                worker = self.worker[w]
                self.claimed(worker, self.claim_as(worker, 1, alone=False))
                if later:
                    self.client.pexpire(K.drainer, 29_000)

    @rule(w=st.sampled_from(WORKERS), late=st.booleans())
    def doorbell(self, *, w: str, late: bool) -> None:
        """A blocked move fires, perhaps after its worker was given up."""
        landing = K.landing(self.ghost_or(w, ghost=late))
        self.client.lmove(Q, landing, "RIGHT", "LEFT")

    @rule(
        w=st.sampled_from(WORKERS),
        ghost=st.booleans(),
        leaving=st.sampled_from([False, False, True]),
    )
    def beat(self, *, w: str, ghost: bool, leaving: bool) -> None:
        worker = self.ghost_or(w, ghost=ghost)
        there = self.registered(worker)
        assert (self.beat_as(worker, leaving=leaving) > 0) == there, "a reaped worker came back"

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

    def child_ends(
        self, w: str, begun: list[str], *, beside: bool = False, blame: Blame = Blame.JOB
    ) -> None:
        """The supervisor's waitpid returns; it knows what had begun, and starts another child.

        ``beside``: it held a job of another queue too.
        """
        old = self.worker[w]
        there = self.registered(old)
        other = queue_keys("other")
        if beside:
            self.client.hset(other.held(old), "1:n", "another job")
        for _ in range(2):
            self.run(_reap(old, [Q, "other"], {Q: begun}, blame=blame))
        assert self.client.lrange("other", 0, -1) == [b"another job"] * beside
        self.client.delete("other", other.tombs)
        self.given_back(old, "child" if there else "", begun, lone=not beside, blame=blame)
        self.held = {key: raw for key, raw in self.held.items() if key[0] != old}
        self.starts_anew(w)

    @rule(data=st.data())
    def mark(self, *, data: st.DataObject) -> None:
        """A ``processing`` record, perhaps long after the job was given to others or ended."""
        key = self.pick(data)
        if key is None:
            return
        told, once = self.facts(self.held[key]), self.once(self.held[key])
        record = self.record(told.id, "processing")
        written = self.call("mark", [K.held(key[0])], key[1], told.id, record, once)
        assert written == (key in self.own and once not in self.decided), (
            "the record of a job that is not held, or that a copy ended, was written"
        )
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
