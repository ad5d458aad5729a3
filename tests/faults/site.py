"""Where a fault happens: a server with a journal, worker processes, and a proxy between them."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from redis import Redis
from redis.exceptions import RedisError

from tasqueue.drivers.redis.keys import queue_keys
from tasqueue.drivers.redis.process import parse
from tests.faults import diary
from tests.faults.diary import Note
from tests.faults.failpoint import EXIT
from tests.faults.load import QUEUE, Load
from tests.faults.oracle import RSS_LIMIT, Verdict, judge, places
from tests.faults.witness import AOF, Witness, commands, listen
from tests.parity.program import ROOT
from tests.servers import Valkey, valkey

LEASE: Final = 3.0
PATIENCE: Final = 90.0
"""Seconds after which something hangs; no fault needs so long, on any machine."""


def until(look: Callable[[], Any], what: str, *, within: float = PATIENCE) -> Any:
    """What ``look`` returns once that is true; the server may be away meanwhile."""
    end = time.monotonic() + within
    while time.monotonic() < end:
        try:
            if seen := look():
                return seen
        except RedisError:
            pass
        time.sleep(0.03)
    raise AssertionError(f"waited {within:.0f} s in vain for {what}")


def lasting(seconds: float) -> None:
    """Let a fault last; how long it lasts is the fault itself, and nothing is expected by then."""
    time.sleep(seconds)


class Hand:
    """One worker process."""

    def __init__(
        self, name: str, folder: Path, command: Sequence[str], env: dict[str, str]
    ) -> None:
        self.name = name
        self.diary = folder / f"{name}.diary"
        self._log = folder / f"{name}.log"
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env=os.environ | env, stdout=subprocess.DEVNULL, stderr=log
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def log(self) -> str:
        return self._log.read_text()

    def notes(self, event: str = "") -> list[Note]:
        return [note for note in diary.read([self.diary]) if event in {"", note.event}]

    def up_or_gone(self) -> bool:
        """Whether it works, or has ended already."""
        return bool(self.notes("ready")) or self.process.poll() is not None

    def children(self) -> list[int]:
        """The process IDs of a supervisor's workers."""
        try:
            text = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()
        except OSError:
            return []
        return [int(pid) for pid in text.split()]

    def pids(self) -> list[int]:
        """Itself, and its children."""
        return [self.pid, *self.children()]

    def kill(self) -> None:
        """``kill -9``."""
        self.process.kill()
        self.process.wait()

    def kill_child(self, pid: int) -> None:
        """``kill -9`` of one of a supervisor's workers."""
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    def pause(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def term(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def stop(self) -> int:
        """End in good order; returns the exit code."""
        if self.process.poll() is None:
            self.resume()
            until(self.up_or_gone, "its start")
            self.term()
        return self.process.wait(timeout=PATIENCE)


def peak_memory(pid: int) -> int:
    """Bytes of a process's largest resident set so far; 0 for one that is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    sizes = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")]
    return int(sizes[0]) * 1024 if sizes else 0


class Site:
    """One test's world."""

    def __init__(self, server: Valkey, folder: Path, *, journal: bool) -> None:
        self.server = server
        self.url = server.url
        self.queue = QUEUE
        self.folder = folder
        self.conn: Redis = server.client()
        self.hands: list[Hand] = []
        self._journal = journal

    def hire(
        self,
        count: int = 1,
        *,
        url: str = "",
        fail: str = "",
        env: dict[str, str] | None = None,
        **flags: object,
    ) -> list[Hand]:
        """Start workers; ``fail`` is a failpoint, which one of them will die at.

        One that a job kills as it comes up is no news here; one that ends by itself is.
        """
        made = [self._hire(url or self.url, fail, env or {}, flags) for _ in range(count)]
        for hand in made:
            until(hand.up_or_gone, "a worker")
            assert hand.process.poll() in {None, EXIT, -signal.SIGKILL}, hand.log[-3000:]
        return made

    def _hire(self, url: str, fail: str, env: dict[str, str], flags: dict[str, object]) -> Hand:
        name = f"worker-{len(self.hands)}"
        command = [sys.executable, "-m", "tests.faults.worker", "--url", url]
        command += ["--diary", str(self.folder / f"{name}.diary")]
        for flag, value in ({"queue": self.queue, "lease": LEASE} | flags).items():
            command += [f"--{flag}", str(value)]
        if fail:
            env = env | {"TQ_FAIL": fail, "TQ_FAIL_ONCE": str(self.folder / "failed")}
        hand = Hand(name, self.folder, command, env)
        self.hands.append(hand)
        return hand

    def supervise(
        self, processes: int = 2, *, url: str = "", fail: str = "", **flags: object
    ) -> Hand:
        """Start a supervisor with worker processes, by the command line."""
        name = f"worker-{len(self.hands)}"
        command = [sys.executable, "-m", "tasqueue", "worker", "tests.faults.program:app"]
        command += ["--processes", str(processes)]
        for flag, value in ({"lease": LEASE, "concurrency": 8, "grace": 10} | flags).items():
            command += [f"--{flag}", str(value)]
        env = {"TASQUEUE_URL": url or self.url, "PYTHONPATH": str(ROOT)}
        env["TQ_DIARY"] = str(self.folder / f"{name}.diary")
        if fail:
            env |= {"TQ_FAIL": fail, "TQ_FAIL_ONCE": str(self.folder / "failed")}
        hand = Hand(name, self.folder, command, env)
        self.hands.append(hand)
        until(lambda: len(hand.notes("ready")) >= processes or hand.process.poll(), "processes")
        assert hand.process.poll() is None, hand.log[-3000:]
        return hand

    @property
    def failed(self) -> bool:
        """Whether a process has died at its failpoint."""
        return (self.folder / "failed").exists()

    def notes(self, event: str = "") -> list[Note]:
        """What all workers wrote down."""
        return [note for hand in self.hands for note in hand.notes(event)]

    def started(self) -> int:
        return len(self.notes("start"))

    def registered(self) -> int:
        found: Any = self.conn.hlen(queue_keys(self.queue).beats)
        return int(found)

    def _registered_pids(self) -> set[int]:
        found: Any = self.conn.hvals(queue_keys(self.queue).workers)
        places = [parse(place.decode()) for place in found]
        return {place.pid for place in places if place is not None}

    def ended(self) -> int:
        """How many jobs have come to their end, whatever it is."""
        keys, conn = queue_keys(self.queue), self.conn
        store: Any = conn
        parked = sum(store.llen(keys.parked_jobs(n.decode())) for n in store.smembers(keys.parked))
        return int(store.zcard("tq:res:success") + store.zcard("tq:res:failed") + parked)

    def progress(self, harm: Callable[[], object], load: Load | None = None) -> None:
        """Do harm, and wait for some job to end after it; of a load, if any is left."""
        before = self.ended()
        harm()
        all_of_it = len(load.fates) if load else before + 1
        until(lambda: self.ended() >= min(before + 1, all_of_it), "progress")

    def finish(self, load: Load, *, within: float = PATIENCE) -> Verdict:
        """Wait for the end of all work, stop the workers in good order, and judge."""
        until(lambda: self.ended() >= len(load.fates), "the end of all jobs", within=within)
        peak = max((peak_memory(pid) for hand in self.hands for pid in hand.pids()), default=0)
        assert peak < RSS_LIMIT, f"a worker took {peak:,} bytes"
        self.sign_off()
        return judge(self.conn, self.queue, load.fates, self.witness())

    def sign_off(self) -> None:
        """Let the workers reap their dead, and stop them; each must end with 0."""
        alive = [hand for hand in self.hands if hand.process.poll() is None]
        if alive:
            until(
                lambda: self._registered_pids() <= {p for hand in alive for p in hand.pids()},
                "the reaping of the dead",
            )
        codes = {hand.name: hand.stop() for hand in alive}
        assert set(codes.values()) <= {0}, codes

    def witness(self) -> Witness | None:
        return listen(self.server.folder) if self._journal else None

    def dismiss(self) -> None:
        for hand in self.hands:
            if hand.process.poll() is None:
                hand.resume()
                hand.kill()
        self.conn.close()


@contextmanager
def site(folder: Path, *, journal: bool = True, **options: str) -> Iterator[Site]:
    """Open a site; ``options`` are the server's."""
    kept = {name.replace("-", "_"): value for name, value in AOF.items()} if journal else {}
    with valkey(aof=journal, **(kept | options)) as server:
        here = Site(server, folder, journal=journal)
        try:
            yield here
        finally:
            here.dismiss()


def assert_each_tick_once(here: Site) -> None:
    """Each firing of the scheduled jobs entered once, and ended once; one comes next."""
    due: Counter[bytes] = Counter()
    scheduled = queue_keys(QUEUE).scheduled.encode()
    for command in commands(here.server.folder):
        if command[0].upper() == b"ZADD" and command[1] == scheduled:
            due[command[2]] += 1
    assert set(due.values()) == {1}
    witness = here.witness()
    assert witness is not None
    assert not witness.completed_twice()
    assert not witness.entered_twice()
    assert places(here.conn, QUEUE).pending.total() == 1
