"""What producers, and programs of Go, do to a queue."""

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from tasqueue.core.ports import Push, Submit
from tasqueue.drivers.redis.request import KeepOpts, steps_of
from tasqueue.drivers.redis.upkeep import _promote
from tests.stateful.redis_message import RECORD, Call, K, Q, body
from tests.stateful.redis_model import QueueModel


class Clients(QueueModel):
    """Rules."""

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

    @rule(
        n=st.integers(2, 4),
        fate=st.sampled_from(["ok", "twice", "with more", "doubled"]),
        due=st.booleans(),
        refused=st.booleans(),
    )
    def enqueue_many(self, *, n: int, fate: str, due: bool = False, refused: bool = False) -> None:
        """One call; it comes again by itself, or with one more, or has a job twice in it.

        ``due``: the first has a due time. ``refused``: a producer with the rights of yesterday.
        """
        pushes = []
        for place in range(n + 1):
            job_id, at = f"j{self.tick()}", 1 if due and place == 0 else None
            raw = body(job_id, eta=at)
            pushes.append(Push(Q, job_id, self.record(job_id, "queued"), raw, at))
        more = pushes.pop()
        self.may_msetnx(right=not refused)
        try:
            self.send_many(pushes, [True] * n, doubled=fate == "doubled")
            if fate == "twice":
                self.send_many(pushes, [False] * n)
            elif fate == "with more":
                self.send_many([*pushes, more], [*[False] * n, True])
        finally:
            self.may_msetnx(right=True)

    def may_msetnx(self, *, right: bool) -> None:
        self.client.execute_command("ACL", "SETUSER", "default", "+msetnx" if right else "-msetnx")

    def send_many(self, pushes: list[Push], new: list[bool], *, doubled: bool = False) -> None:
        sent = pushes + pushes[:1] * doubled
        answers = self.run(steps_of(Submit(sent), KeepOpts()))
        assert answers == new + [False] * doubled, "a job of many counted twice, or not at all"
        for push in [push for push, is_new in zip(pushes, new, strict=True) if is_new]:
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
