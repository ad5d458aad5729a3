"""One run of the soak: send, harm, wait, count."""

import os
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from tasqueue.core.ports import Answer
from tests.faults import diary
from tests.faults.diary import Note
from tests.faults.load import QUEUE, Fate, Load
from tests.faults.oracle import judge
from tests.faults.proxy import FaultProxy
from tests.faults.site import Site, site, until
from tests.faults.soak.copies import copies
from tests.faults.soak.harm import Harm, Kill
from tests.faults.witness import listen
from tests.parity.live.fleet import GoProducer, GoWorker, JobSpec
from tests.parity.program import build_program

PORTION: Final = 100
"""Jobs of one portion, about."""
BACKLOG: Final = 4_000
"""Jobs that may wait while more is sent."""
STALLED: Final = 180.0
"""Seconds without any end of a job, after which a run is given up and judged as it stands."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a run is to do."""

    jobs: int
    kills: int
    seed: int
    go: bool = False
    delays: bool = False
    """Jobs with an ETA and retries that wait, although a Go worker is there and may copy them."""
    poison: int = 0
    """Jobs that take down each process that runs them."""

    def harms(self, harm: Harm) -> dict[Callable[[], None], int]:
        """How often each harm is done; with Go beside ours the server lives.

        A Go worker pops a job before it runs it: killing the server then loses what Go holds,
        which is Go's own limit and would blur the count.
        """
        server = 0 if self.go else max(1, self.kills // 20)
        return {
            harm.kill: self.kills,
            harm.stop: max(1, self.kills // 2),
            harm.disturb: max(2, self.kills // 3),
            harm.kill_server: server,
        }


def portion(plan: Plan, number: int) -> Load:
    """A portion of every kind of work, under IDs of its own."""
    load = Load(name=f"p{number}-", ms=20)
    load.plain(36).retrying(6, times=1).failing(4).chains(6).fanning(4, 2)
    # A Go worker may leave copies in the scheduled set, and completes the one that it takes.
    if plan.go and not plan.delays:
        return load.groups_of(4, 3)
    return load.groups_of(4, 2).later(4, seconds=2)


def soak(plan: Plan, folder: Path) -> dict[str, Any]:
    """Run it, and return what is counted."""
    with ExitStack() as stack:
        os.environ["TQ_LOG"] = "WARNING"
        # A retry that waits passes the scheduled set, where a Go worker may leave a copy.
        os.environ["TQ_BACKOFF"] = "0" if plan.go and not plan.delays else "0.5"
        here = stack.enter_context(site(folder))
        proxy = stack.enter_context(FaultProxy(here.server.port, folder))
        program = build_program(folder) if plan.go else None
        harm = Harm(here, proxy, random.Random(plan.seed))
        started = time.monotonic()
        sender = Sender(plan, here, harm)
        if program:
            port = here.server.port
            tasks = ["work=echo", "flaky", "bad=fail"]
            stack.enter_context(
                GoWorker(program, port=port, tasks=tasks, queues=[QUEUE], concurrency=SLOTS_OF_GO)
            )
            sender.go = stack.enter_context(GoProducer(program, port=port))
        harm.fleet()
        sender.run()
        harm.over()
        sender.wait()
        seconds = time.monotonic() - started
        here.sign_off()
        return counted(plan, sender, seconds)


SLOTS_OF_GO: Final = 4


class Sender:
    """Sends portions while the backlog is short, and does each harm at its share of the work."""

    def __init__(self, plan: Plan, here: Site, harm: Harm) -> None:
        self.plan = plan
        self.here = here
        self.harm = harm
        self.go: GoProducer | None = None
        self.fates: dict[str, Fate] = {}
        self.extra_runs = 0
        self._harms = sorted(
            [*_spread(plan, harm), *_spread_evenly(plan.poison, self._poison)],
            key=lambda entry: entry[0],
        )
        self._ended = 0

    def run(self) -> None:
        number = 0
        while len(self.fates) < self.plan.jobs or self._harms:
            self._look()
            if len(self.fates) < self.plan.jobs and len(self.fates) - self._ended < BACKLOG:
                self._send(number)
                number += 1
            else:
                time.sleep(0.05)

    def wait(self) -> None:
        """Wait for the end of all work, or for its standstill."""
        last, seen = time.monotonic(), -1
        while self._ended < len(self.fates) and time.monotonic() - last < STALLED:
            self._ended = until(self.here.ended, "the server")
            self.harm.make_up()
            if self._ended != seen:
                last, seen = time.monotonic(), self._ended
            time.sleep(0.2)

    def _look(self) -> None:
        self._ended = until(lambda: self.here.ended() + 1, "the server") - 1
        self.harm.tick()
        self.harm.make_up()
        share = self._ended / self.plan.jobs
        while self._harms and (self._harms[0][0] <= share or self._ended >= len(self.fates) > 0):
            if self._harms[0][0] > share and len(self.fates) < self.plan.jobs:
                break
            self._harms.pop(0)[1]()

    def _poison(self) -> None:
        load = Load(name=f"poison-{len(self.fates)}-")
        load.alone(f"{load.name}job", "crash", fate=Fate.DEAD, how="kill")
        load.send(self.here.server.url)
        self.fates |= load.fates

    def _send(self, number: int) -> None:
        load = portion(self.plan, number)
        load.send(self.here.server.url)
        if self.go is not None:
            for at in range(PORTION // 4):
                job_id = f"p{number}-go-{at}"
                self.go.enqueue(JobSpec(task="work", id=job_id, queue=QUEUE, payload=b"{}"))
                load.fates[job_id] = Fate.COMPLETED
        self.fates |= load.fates
        self.extra_runs += load.extra_runs


def _spread(plan: Plan, harm: Harm) -> Iterator[tuple[float, Callable[[], None]]]:
    """Each harm with the share of the work at which it comes, in that order."""
    entries = [
        (harm.random.uniform(0.01, 0.97), step)
        for step, count in plan.harms(harm).items()
        for _ in range(count)
    ]
    return iter(sorted(entries, key=lambda entry: entry[0]))


def _spread_evenly(
    count: int, step: Callable[[], None]
) -> Iterator[tuple[float, Callable[[], None]]]:
    return (((at + 1) / (count + 1), step) for at in range(count))


def counted(plan: Plan, sender: Sender, seconds: float) -> dict[str, Any]:
    """What the run comes to."""
    here, harm = sender.here, sender.harm
    witness = listen(here.server.folder)
    verdict = judge(here.conn, QUEUE, sender.fates, witness)
    twice = {*verdict.completed_twice, *verdict.entered_twice}
    ours_twice = witness.ours_twice() if plan.go else twice
    beside_go = twice - ours_twice
    by_kind = copies(here.server.folder, verdict.completed_twice)
    notes = here.notes()
    fates = Counter(sender.fates.values())
    runs = diary.runs(notes)
    by_go: Any = here.conn.hgetall(f"runs:{QUEUE}")
    ran_in_go = sum(map(int, by_go.values()))
    children = [job_id for job_id in verdict.entered_twice if "." in job_id]
    for job_id, fate in sender.fates.items():
        if fate is Fate.DEAD:
            runs[job_id] = 1  # it runs until it is convicted: no harm of ours is to blame
    again = runs.total() + ran_in_go - len(sender.fates) - sender.extra_runs
    times = sorted(recoveries(harm.kills, notes))
    # Go's worker counts its runs there, and keeps its results for ever.
    left = [key for key in verdict.left if not (plan.go and key.startswith(("runs:", "tq:res:")))]
    return {
        **asdict(plan),
        "sent": len(sender.fates),
        "completed": fates[Fate.COMPLETED] - len(verdict.misplaced),
        "failed": fates[Fate.FAILED],
        "dead": fates[Fate.DEAD],
        "lost": len(verdict.lost),
        "completed_twice": len(verdict.completed_twice),
        "children_twice": len(children),
        "twice_by_us_alone": len(ours_twice),
        "twice_beside_go": len(beside_go),
        "completed_twice_how": dict(sorted(by_kind.items())),
        "entered_twice": len(verdict.entered_twice) - len(children),
        "wrong": len(verdict.misplaced) + len(verdict.doubled) + len(verdict.strangers) + len(left),
        "run_again": again,
        "bound_on_duplicates": harm.exposed,
        "runs_in_go": ran_in_go,
        "zombies_refused": diary.answers(notes, Answer.FENCED).total(),
        "decided_before": diary.answers(notes, Answer.DECIDED).total(),
        "recovery_p50_s": _at(times, 0.5),
        "recovery_p99_s": _at(times, 0.99),
        "recovered_jobs": len(times),
        "harm": dict(sorted(harm.counts.items())),
        "seconds": round(seconds),
        "details": {
            "lost": verdict.lost[:5],
            "twice_by_us_alone": sorted(ours_twice)[:5],
            "completed_twice": verdict.completed_twice[:5],
            "misplaced": dict(list(verdict.misplaced.items())[:5]),
            "doubled": dict(list(verdict.doubled.items())[:5]),
            "left": left[:5],
        },
    }


def recoveries(kills: list[Kill], notes: list[Note]) -> Iterator[float]:
    """Seconds from a kill to the next start of each job that the killed process was running."""
    starts: dict[str, list[int]] = {}
    for note in notes:
        if note.event == "start":
            starts.setdefault(note.words[0], []).append(note.at_ns)
    for kill in kills:
        for job_id in _cut_short(kill):
            later = [at for at in starts[job_id] if at > kill.at_ns]
            if later:
                yield (min(later) - kill.at_ns) / 1e9


def _cut_short(kill: Kill) -> set[str]:
    """What a process had started, and had not ended, when it was killed."""
    running: set[str] = set()
    for note in kill.hand.notes():
        if note.at_ns > kill.at_ns:
            break
        if note.event == "start" and note.words[-1] == str(kill.pid):
            running.add(note.words[0])
        elif note.event == "end" and note.words[-1] == str(kill.pid):
            running.discard(note.words[0])
    return running


def _at(times: list[float], share: float) -> float | None:
    return round(times[min(len(times) - 1, int(share * len(times)))], 2) if times else None
