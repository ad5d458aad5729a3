"""What a supervisor does for its children: beats that user code cannot stop, and their end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from tasqueue.core.blame import Blame
from tasqueue.drivers.redis.command import Steps, ask, call, command, text
from tasqueue.drivers.redis.keys import queue_keys
from tasqueue.drivers.redis.upkeep import reap

if TYPE_CHECKING:
    from tasqueue.drivers.redis.blocking import BlockingDriver


class RedisReaper:
    """See `tasqueue.core.ports.Reaper`. It knows that a child is dead: it compares no counter."""

    def __init__(self, driver: BlockingDriver) -> None:
        self._driver = driver

    def beat(self, worker_id: str, queues: Sequence[str], *, leaving: bool) -> bool:
        """Say that a child lives. False: it is not registered everywhere, yet or any more."""
        keys = [queue_keys(queue) for queue in queues]
        args = (worker_id, "", "", "1" if leaving else "")
        beats = [call("beat", (k.beats, k.workers), args) for k in keys]
        return 0 not in self._driver.run(ask(*beats))

    def reap(
        self,
        worker_id: str,
        queues: Sequence[str],
        started: Mapping[str, Sequence[str]],
        *,
        blame: Blame,
    ) -> int:
        """Give the jobs of a child that has ended back; returns how many. Safe to repeat."""
        return self._driver.run(_reap(worker_id, queues, started, blame=blame))


def _reap(
    worker_id: str, queues: Sequence[str], started: Mapping[str, Sequence[str]], *, blame: Blame
) -> Steps[int]:
    keys = [queue_keys(queue) for queue in queues]
    held = yield from ask(*[command("HKEYS", k.held(worker_id)) for k in keys])
    tokens = [text(token) for some in held for token in some]
    alone = len(tokens) == 1 and tokens == [token for some in started.values() for token in some]
    whose = blame if alone else Blame.NOBODY
    ends = [
        reap(k, worker_id, "child", started=started.get(k.queue, ()), whose=whose) for k in keys
    ]
    # A peer may have been faster, before a doorbell that was still blocked on the server rang.
    rest = [reap(k, worker_id, "orphan") for k in keys]
    replies: list[int] = yield from ask(*ends, *rest)
    return sum(max(0, reply) for reply in replies)
