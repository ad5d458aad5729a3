"""The names of a queue's keys; those of Go as Go has them, our own under one hash tag."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

RESULT: Final = "tq:res:"
"""Before the name of anything in the results (Go: results/redis, resultPrefix)."""
TASK: Final = "tq:task:"
TASKS: Final = "tq:tasks"
OPEN_GROUPS: Final = "tq:gp:open"
"""SET of the groups whose callback has not ended."""

_TAG: Final = re.compile(r"\{[^}]+\}")


def hash_tag(name: str) -> str:
    """Return the ``{tag}`` that a name holds, or else the name wrapped whole."""
    tag = _TAG.search(name)
    return tag[0] if tag else "{" + name + "}"


@dataclass(frozen=True, slots=True, init=False)
class QueueKeys:
    """Where a queue's messages and its workers lie.

    A queue whose name holds a ``{tag}`` keeps it, any other name is wrapped whole: then all of
    ours lies in the queue's own hash slot. Wrapping twice would not.
    """

    queue: str
    """LIST, Go's: the left end is young."""
    scheduled: str
    """ZSET, Go's: message by due time in ns."""
    beats: str
    """HASH worker ID → counter: there is registered, moving is alive."""
    workers: str
    """HASH worker ID → where its process runs."""
    sequence: str
    """Counter of deliveries."""
    tombs: str
    """ZSET of ended workers, whose landing may still receive."""
    dead: str
    """ZSET of messages that nobody will run, by time in ns."""
    reasons: str
    """HASH sha1 of a dead message → why."""
    parked: str
    """SET of task names that nobody knows and that have jobs here."""
    suspects: str
    """LIST of jobs whose process died under them, and may have died of them."""
    convicts: str
    """LIST of jobs that killed their process when they ran alone; nobody runs them again."""
    charges: str
    """HASH 'h' or 'c' + sha1 of a message → lost hosts, or points against it."""
    drainer: str
    """The worker that makes itself empty for a suspect; expires."""
    _tag: str

    def __init__(self, queue: str) -> None:
        tag = queue if _TAG.search(queue) else "{" + queue + "}"
        keep = object.__setattr__
        keep(self, "queue", queue)
        keep(self, "scheduled", f"tasqueue:ss:{queue}")
        keep(self, "beats", f"tq:hb:{tag}")
        keep(self, "workers", f"tq:wk:{tag}")
        keep(self, "sequence", f"tq:sq:{tag}")
        keep(self, "tombs", f"tq:tb:{tag}")
        keep(self, "dead", f"tq:dl:{tag}")
        keep(self, "reasons", f"tq:dx:{tag}")
        keep(self, "parked", f"tq:pk:{tag}")
        keep(self, "suspects", f"tq:su:{tag}")
        keep(self, "convicts", f"tq:cv:{tag}")
        keep(self, "charges", f"tq:cr:{tag}")
        keep(self, "drainer", f"tq:sg:{tag}")
        keep(self, "_tag", tag)

    @property
    def sync(self) -> str:
        """A write without meaning, for a producer that waits until its writes are safe."""
        return f"tq:sy:{self._tag}"

    def held(self, worker_id: str) -> str:
        """HASH token → message: presence of the field is the lease, and the fence."""
        return f"tq:if:{self._tag}:{worker_id}"

    def landing(self, worker_id: str) -> str:
        """LIST where the doorbell puts the message that rang it."""
        return f"tq:ld:{self._tag}:{worker_id}"

    def parked_jobs(self, task: str) -> str:
        """LIST of the parked jobs of one task."""
        return f"{self.parked}:{task}"


def group_key(group_id: str) -> str:
    """HASH of a group with a callback; its other keys begin with it (``group_common.lua``)."""
    return f"tq:gp:{{{group_id}}}"


@lru_cache(maxsize=1024)
def queue_keys(queue: str) -> QueueKeys:
    """Return the keys of a queue, built once."""
    return QueueKeys(queue)
