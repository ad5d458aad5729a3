"""Whatever ends processes, in any order: no innocent is convicted, and a poison always is."""

import itertools
from collections.abc import Sequence
from enum import Enum
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasqueue.core.blame import Blame, blame
from tasqueue.drivers.redis.blocking import BlockingDriver
from tasqueue.drivers.redis.command import ask, call
from tasqueue.drivers.redis.keys import queue_keys
from tasqueue.drivers.redis.process import Place, parse
from tasqueue.drivers.redis.reaper import _reap
from tasqueue.drivers.redis.solitude import claim
from tasqueue.drivers.redis.upkeep import _blame, reap

Q = "q"
K = queue_keys(Q)
INNOCENT, POISON = b"innocent", b"poison"
SURVIVED = 11
"""Kills and lost hosts in a row, while it runs alone, that an innocent survives."""
CONVICTS = 14
"""Ends in a row, none of them in good order, after which a poison is convicted: two hosts, and 12
points of 1."""


class End(Enum):
    """How a worker process ends."""

    CRASH = -11
    EXIT = 0
    KILL = -9
    STOPPED = -15
    """A kill too, after it was told to stop."""
    HOST = "its host is lost"
    LEFT = "its host is lost, after it said that it was told to stop"
    CLEAN = "it signs off"


class Processes:
    """One worker process after the other."""

    def __init__(self, driver: BlockingDriver, client: Any) -> None:
        self.driver, self.client = driver, client
        self.name = ""
        self._names = itertools.count()

    def clean(self) -> None:
        """Forget the example before this one."""
        self.client.flushdb()

    def takes(self) -> dict[str, bytes]:
        """What the next process claims, by token."""
        self.name = f"w{next(self._names)}"
        self._beat()
        reply = self._do(claim(K, self.name, limit=2, alone=True))
        return {token.decode(): raw for token, raw in zip(reply[1::2], reply[2::2], strict=True)}

    def ends(self, end: End, begun: Sequence[str]) -> None:
        """As its supervisor tells it, a peer, or the process itself."""
        if end in {End.HOST, End.LEFT}:
            self._beat(leaving=end is End.LEFT)
            whose = _blame(parse(self.client.hget(K.workers, self.name).decode()))
            seen = self.client.hget(K.beats, self.name)
            assert self._do(reap(K, self.name, "host", seen=seen, whose=whose)) >= 0
        elif end is End.CLEAN:
            assert self._do(reap(K, self.name, "exit")) >= 0
        else:
            whose = blame(end.value, overtime=False, leaving=end is End.STOPPED)
            started = {Q: begun} if whose is not Blame.NOBODY else {}
            self.driver.run(_reap(self.name, [Q], started, blame=whose))

    def convicted(self) -> list[bytes]:
        found: list[bytes] = self.client.lrange(K.convicts, 0, -1)
        return found

    def _beat(self, *, leaving: bool = False) -> None:
        args = (self.name, "1", Place("", "", 1, "", 30).text(), "1" if leaving else "")
        assert self._do(call("beat", (K.beats, K.workers), args))

    def _do(self, command: Any) -> Any:
        (reply,) = self.driver.run(ask(command))
        return reply


@pytest.fixture
def processes(driver: BlockingDriver, redis_client: Any) -> Processes:
    return Processes(driver, redis_client)


_SHARED = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
_HARM = st.sampled_from([End.KILL, End.HOST])
_ORDER = st.sampled_from([End.STOPPED, End.LEFT, End.CLEAN])


@_SHARED
@given(
    harms=st.lists(_HARM, min_size=SURVIVED, max_size=SURVIVED),
    between=st.lists(st.lists(_ORDER, max_size=2), min_size=SURVIVED, max_size=SURVIVED),
    poisoned=st.booleans(),
)
def test_an_innocent_survives_what_is_promised_beside_a_poison_too(
    processes: Processes, *, harms: list[End], between: list[list[End]], poisoned: bool
) -> None:
    processes.clean()
    processes.client.lpush(Q, INNOCENT, *[POISON] * poisoned)
    left = [end for harm, calm in zip(harms, between, strict=True) for end in (*calm, harm)]
    # The first kill makes it a suspect and charges nothing; a crash of the poison does that too.
    left += [] if poisoned else [End.KILL]
    while left:
        held = processes.takes()
        if POISON not in held.values():
            processes.ends(left.pop(), list(held))
        elif next(iter(held)).startswith("c"):
            processes.client.delete(K.held(processes.name))  # it is buried
        else:
            processes.ends(End.CRASH, list(held))
        assert INNOCENT not in processes.convicted()
    assert INNOCENT in processes.takes().values()


@_SHARED
@given(
    ends=st.lists(st.sampled_from([End.CRASH, End.EXIT, End.KILL, End.HOST]), min_size=CONVICTS),
    between=st.lists(_ORDER, max_size=5),
    seed=st.randoms(use_true_random=False),
)
def test_a_poison_is_convicted_in_the_end_and_does_not_run_again(
    processes: Processes, ends: list[End], between: list[End], seed: Any
) -> None:
    processes.clean()
    processes.client.lpush(Q, POISON)
    left = [*ends[:CONVICTS], *between]
    seed.shuffle(left)
    for end in left:
        if processes.convicted():
            break
        processes.ends(end, list(processes.takes()))
    assert processes.convicted() == [POISON]
    (token,) = processes.takes()
    assert token.startswith("c")
