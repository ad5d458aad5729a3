"""What the soak does to its workers, its server and its network."""

import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from tests.faults.proxy import FaultProxy
from tests.faults.site import Hand, Site

LEASE: Final = 3.0
SLOTS: Final = 8
CHILDREN: Final = 2


@dataclass
class Kill:
    """One kill -9, for the time that recovery takes."""

    at_ns: int
    pid: int
    hand: Hand


@dataclass
class Harm:
    """Everything that goes wrong in one run."""

    site: Site
    proxy: FaultProxy
    random: random.Random
    counts: Counter[str] = field(default_factory=Counter)
    kills: list[Kill] = field(default_factory=list)
    exposed: int = 0
    """Jobs that may run again because of a harm: the slots of what was killed or cut off."""
    _gone: list[Hand] = field(default_factory=list)
    _wake: list[tuple[float, Callable[[], None]]] = field(default_factory=list)

    def fleet(self) -> None:
        """Two workers at the server, two behind the proxy, one supervisor with two processes."""
        self.site.hire(2, lease=LEASE, concurrency=SLOTS)
        self.site.hire(2, url=self.proxy.url, lease=LEASE, concurrency=SLOTS)
        self.site.supervise(CHILDREN, lease=LEASE, concurrency=SLOTS)

    # -- one after the other ---------------------------------------------------------------------

    def kill(self) -> None:
        """Kill -9 of a worker, a supervisor or a child of one; another takes its place."""
        hand = self.random.choice(self._alive())
        children = hand.children()
        if children and self.random.random() < 0.7:
            self._kill_child(hand, self.random.choice(children))
            return
        self.counts["supervisors killed" if children else "workers killed"] += 1
        self.exposed += SLOTS * max(1, len(children))
        self.kills.append(Kill(time.time_ns(), hand.pid, hand))
        hand.kill()
        self._gone.append(hand)
        if children:
            self.site.supervise(CHILDREN, lease=LEASE, concurrency=SLOTS)
        else:
            url = self.proxy.url if self.random.random() < 0.5 else self.site.server.url
            self.site.hire(url=url, lease=LEASE, concurrency=SLOTS)

    def _kill_child(self, hand: Hand, pid: int) -> None:
        self.counts["children killed"] += 1
        self.exposed += SLOTS
        self.kills.append(Kill(time.time_ns(), pid, hand))
        hand.kill_child(pid)

    def make_up(self) -> None:
        """Replace the workers that a job took down."""
        for hand in self.site.hands:
            if hand.process.poll() is not None and hand not in self._gone:
                self._gone.append(hand)
                self.counts["workers taken down by a job"] += 1
                self.exposed += SLOTS
                self.site.hire(lease=LEASE, concurrency=SLOTS)

    def stop(self) -> None:
        """SIGSTOP of a worker for less than its lease, or for more."""
        hand = self.random.choice([hand for hand in self._alive() if not hand.children()])
        seconds = LEASE * self.random.choice([0.4, 2.5, 2.5, 2.5])
        self.counts["stopped beyond the lease" if seconds > LEASE else "stopped shortly"] += 1
        self.exposed += SLOTS
        hand.pause()
        self._later(seconds, hand.resume)

    def kill_server(self) -> None:
        """Kill -9 of the server; it comes back from its journal."""
        self.counts["server killed"] += 1
        self.site.server.kill()
        time.sleep(self.random.uniform(0.05, 1.5))
        self.site.server.start()

    def disturb(self) -> None:
        """Bad weather for those behind the proxy."""
        kind = self.random.choice(
            ["cut_replies", "cut_requests", "reset", "lose_replies", "lose_requests", "latency"]
        )
        self.counts[f"network: {kind}"] += 1
        if kind == "reset":
            self.proxy.reset()
        elif kind.startswith("cut"):
            self.proxy.weather(**{kind: self.random.randint(1, 4)})
        else:
            # Cut off for longer than a lease counts as two killed workers.
            self.exposed += 0 if kind == "latency" else 2 * SLOTS
            self.proxy.weather(**{kind: 0.1 if kind == "latency" else True})
            self._later(self.random.uniform(0.5, 6), self.proxy.fair)

    # -- afterwards ------------------------------------------------------------------------------

    def tick(self) -> None:
        """Undo what was for a while."""
        now = time.monotonic()
        due = [step for at, step in self._wake if at <= now]
        self._wake = [entry for entry in self._wake if entry[0] > now]
        for step in due:
            step()

    def over(self) -> None:
        """Wait until everything is undone."""
        while self._wake:
            self.tick()
            time.sleep(0.05)
        self.proxy.fair()

    def _later(self, seconds: float, step: Callable[[], None]) -> None:
        self._wake.append((time.monotonic() + seconds, step))

    def _alive(self) -> list[Hand]:
        return [hand for hand in self.site.hands if hand.process.poll() is None]
