"""Which server of a cluster has a key, and what goes to which one; where keys have moved to."""

from __future__ import annotations

from binascii import crc_hqx
from collections.abc import Generator, Sequence
from typing import Any, Final, NamedTuple

from tasqueue.core.errors import BackendError, BackendUnavailable
from tasqueue.drivers.redis.command import Command, command
from tasqueue.drivers.redis.durability import TAIL, is_confirmed
from tasqueue.drivers.redis.error import Moved
from tasqueue.drivers.redis.sentinel import Host

SLOTS: Final = 16384
MAP: Final = command("CLUSTER", "SLOTS")
"""What a server is asked to learn where everything is."""

_KEYLESS: Final = frozenset(
    {"CLIENT", "CLUSTER", "CONFIG", "FUNCTION", "INFO", "PING", "SCRIPT", "TIME"}
)
_REDIRECTS: Final = 5
PAUSES: Final = (0.02, 0.05, 0.1, 0.2, 0.4)
"""Seconds before what was delayed is tried again; after that its caller is told."""
_ASKING: Final = command("ASKING")


def slot_of(key: str | bytes) -> int:
    """The slot of a key: that of its ``{tag}``, if it has one."""
    data = key.encode("utf-8", "surrogateescape") if isinstance(key, str) else key
    start = data.find(b"{") + 1
    end = data.find(b"}", start)
    if start and end > start:
        data = data[start:end]
    return crc_hqx(data, 0) % SLOTS


def key_of(sent: Command) -> str | bytes | None:
    """A key of the command, all of whose keys are in one slot; None if it goes to any server."""
    if sent.near:
        return sent.near
    if sent.args[0] in _KEYLESS:
        return None
    key = sent.args[3 if sent.script else 1]
    return key if isinstance(key, str | bytes) else str(key)


class Topology:
    """What is known of a cluster. Replaced as a whole, so threads may share it."""

    def __init__(self, seeds: Sequence[Host], shown: str) -> None:
        self._seeds = tuple(seeds)
        self._shown = shown
        self._hosts: list[Host | None] = []
        self._known = False
        self._away: Host | None = None

    @property
    def known(self) -> bool:
        """False until the first map, and after a server was out of reach."""
        return self._known

    def candidates(self) -> list[Host]:
        """Servers that may be asked for the map: those that had slots first, one away last."""
        known = dict.fromkeys([*filter(None, self._hosts), *self._seeds])
        return sorted(known, key=lambda host: host == self._away)

    def search(self) -> Generator[Host, Any, None]:
        """Yield servers to ask for the map, be sent their answers or errors, until it is known.

        Raises:
            BackendError: what the last of them answered, if none had a map.
        """
        error: BackendError | None = None
        for host in [] if self._known else self.candidates():
            reply = yield host
            if not isinstance(reply, BackendError):
                self.learn(reply, host)
                return
            error = reply
        if error is not None:
            raise error

    def learn(self, reply: Any, asked: Host) -> None:
        """Take the map that a server gave; one that does not know its own name is who was asked."""
        hosts: list[Host | None] = [None] * SLOTS
        for first, last, primary, *_ in reply:
            name = primary[0].decode() if primary[0] else asked[0]
            hosts[first : last + 1] = [(name, int(primary[1]))] * (last + 1 - first)
        self._hosts, self._known = hosts, True

    def forget(self, away: Host | None = None) -> None:
        """Have the map asked for again before the next use; ``away`` is a server that is gone."""
        self._known, self._away = False, away

    def move(self, moved: Moved) -> None:
        """Note where one slot is now; the rest is asked for before the next use."""
        if moved.asking:
            return
        if self._hosts:
            hosts = self._hosts.copy()
            hosts[moved.slot] = moved.host
            self._hosts = hosts
        self._known = False

    def host_of(self, key: str | bytes | None) -> Host:
        """The server of a key; None is any.

        Raises:
            BackendUnavailable: no server has the key's slot.
        """
        if key is None:
            return next(filter(None, self._hosts), self._seeds[0])
        host = self._hosts[slot_of(key)] if self._hosts else None
        if host is None:
            text = f"{self._shown} cannot serve now: CLUSTERDOWN no server has the slot of a key"
            raise BackendUnavailable(text, "CLUSTERDOWN")
        return host


def delayed(commands: Sequence[Command], replies: Sequence[Any]) -> list[int]:
    """The places of what was not done, because the keys of its slot are on their way.

    With what waits at the end of the exchange, if something does: it waited too early.
    """
    places = [
        i
        for i, reply in enumerate(replies)
        if isinstance(reply, BackendUnavailable) and reply.word == "TRYAGAIN"
    ]
    if places and is_confirmed(commands):
        places = sorted({*places, *range(len(commands) - TAIL, len(commands))})
    return places


class Batch(NamedTuple):
    """What goes to one server together."""

    host: Host
    commands: list[Command]
    places: list[int]
    """Where each reply belongs in the whole exchange; -1 is nowhere."""


def routed(
    commands: Sequence[Command], topology: Topology
) -> Generator[list[Batch], list[list[Any]], list[Any]]:
    """Yield batches, be sent the replies of each, and return all replies in the commands' order.

    What has moved is sent again to where it is. A reply that still says so after five times is
    returned as the `BackendUnavailable` that it is.
    """
    replies: list[Any] = [None] * len(commands)
    todo = [_Sent(i, topology.host_of(key_of(one))) for i, one in enumerate(commands)]
    for _ in range(_REDIRECTS):
        sent = _batches(todo, commands)
        todo = []
        for batch, answers in zip(sent, (yield sent), strict=True):
            for i, answer in zip(batch.places, answers, strict=True):
                if i >= 0:
                    replies[i] = answer
            moved = _moved(batch, answers, topology)
            if moved and is_confirmed(batch.commands):
                # It has waited for nothing: what it was to confirm is elsewhere.
                moved.append(_Sent(batch.places[-1], moved[-1].host))
            todo += moved
        if not todo:
            break
    return replies


class _Sent(NamedTuple):
    """A command by its place in the exchange, and where it goes."""

    place: int
    host: Host
    asking: bool = False


def _moved(batch: Batch, answers: Sequence[Any], topology: Topology) -> list[_Sent]:
    """What has to be sent again, and where to."""
    todo: list[_Sent] = []
    for i, answer in zip(batch.places, answers, strict=True):
        if i >= 0 and isinstance(answer, Moved):
            topology.move(answer)
            todo.append(_Sent(i, answer.host, answer.asking))
    return todo


def _batches(todo: Sequence[_Sent], commands: Sequence[Command]) -> list[Batch]:
    batches: dict[Host, Batch] = {}
    for one in todo:
        batch = batches.setdefault(one.host, Batch(one.host, [], []))
        if one.asking:
            batch.commands.append(_ASKING)
            batch.places.append(-1)
        batch.commands.append(commands[one.place])
        batch.places.append(one.place)
    return list(batches.values())
