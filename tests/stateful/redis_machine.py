"""A model of a queue on Redis: every message is in one place, every decision is applied once.

The rules are what can happen: calls of producers and workers whose requests or replies are lost
or sent twice, processes that stop or come back too late, Go workers beside ours. The scripts and
the commands are the real ones, on a real Valkey; the messages are real wire messages.
"""

from hypothesis import strategies as st
from hypothesis.stateful import rule

from tasqueue.core.blame import Blame
from tasqueue.core.ports import Push
from tasqueue.drivers.redis.command import ask
from tasqueue.drivers.redis.request import KeepOpts
from tasqueue.drivers.redis.upkeep import Upkeep, _promote, _unpark, reap
from tests.stateful.redis_jobs import Jobs
from tests.stateful.redis_message import WORKERS, Call, K, Q, body


class QueueMachine(Jobs):
    """All rules, and the end."""

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
        crowd=st.booleans(),
        blame=st.sampled_from(Blame),
    )
    def killed_again_and_again(
        self, *, w: str, limit: int, times: int, share: int, how: str, crowd: bool, blame: Blame
    ) -> None:
        """From outside: the child, or the whole host; some of its jobs had begun.

        ``blame``: what the end of the child looks like.

        ``crowd``: a job came in beside, which no claim of ours allows with a suspect.
        """
        for _ in range(times):
            worker = self.worker[w]
            self.claimed(worker, self.claim_as(worker, limit))
            if not self.registered(worker):
                return
            if crowd:
                self.slips_in(worker)
            elif not self.may_end(worker, Blame.ANYBODY if how == "host" else blame):
                return
            if how == "host":
                seen = self.client.hget(K.beats, worker)
                assert self.lost(worker, seen) >= 0
                self.given_back(worker, "host")
                self.held = {key: raw for key, raw in self.held.items() if key[0] != worker}
                self.starts_anew(w)
            else:
                begun = [token for _, token in self.jobs_of(worker)][:share]
                self.child_ends(w, begun, beside=how != "child", blame=blame)

    def lost(self, worker: str, seen: bytes | None) -> int:
        """A peer takes a worker for dead, and has read whether it was told to stop."""
        whose = self.loss_of(worker)
        (back,) = self.run(ask(reap(K, worker, "host", seen=seen or b"", whose=whose)))
        return int(back)

    def slips_in(self, worker: str) -> None:
        job_id = f"j{self.tick()}"
        self.send(Call(Push(Q, job_id, self.record(job_id, "queued"), body(job_id))))
        raw, token = self.client.lpop(Q), f"1:{job_id}"
        self.client.hset(K.held(worker), token, raw)
        self.own[worker, token] = raw

    @rule(w=st.sampled_from(WORKERS), ghost=st.booleans(), stale=st.booleans())
    def reap(self, *, w: str, ghost: bool, stale: bool) -> None:
        """Somebody's lease is over, or so it was thought: with ``stale`` it has beaten since."""
        worker = self.ghost_or(w, ghost=ghost)
        seen = self.client.hget(K.beats, worker) or b"none"
        if stale:
            self.beat_as(worker)
        elif not self.may_end(worker):
            return
        back = self.lost(worker, seen)
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
        if not all(self.may_end(worker) for worker in {key[0] for key in self.own}):
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

    # -- the end: everything comes to rest ---------------------------------------------------

    def teardown(self) -> None:
        if not hasattr(self, "watch"):
            return
        self.go_hands, self.go_reads = [], []
        everybody = [*self.ghosts, *self.worker.values()]
        whys = ("exit", "orphan")
        self.run(ask(*[reap(K, worker, why) for worker in everybody for why in whys]))
        for worker in everybody:
            self.given_back(worker)
        self.ghosts = everybody
        self.worker = {"z": "last"}
        self.beat_as("last", first=True)
        self.run(_promote(K))
        self.run(_unpark(K, frozenset({"unknown"})))
        for _ in range(400):
            worker = self.worker["z"]
            reply = self.claim_as(worker, 20)
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
        self.the_server_holds_what_the_model_says()
        assert not +self.want, f"does not come to rest: {+self.want}"
        for root, lives in self.lives.items():
            assert root in self.spoilt or self.ended[root] == lives, (root, lives)
