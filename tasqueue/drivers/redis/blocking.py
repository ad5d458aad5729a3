"""The blocking driver: one connection a process and thread, made at its first command."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final, TypeVar

from redis.exceptions import ConnectionError as LostConnectionError
from redis.exceptions import RedisError, ResponseError

from tasqueue.core.errors import BackendError
from tasqueue.drivers.redis.address import Address
from tasqueue.drivers.redis.calling import Calls
from tasqueue.drivers.redis.command import Command, Steps, pack, some_lost
from tasqueue.drivers.redis.ear import Ear
from tasqueue.drivers.redis.error import has_moved, translate
from tasqueue.drivers.redis.outage import Outage
from tasqueue.drivers.redis.wire import BlockingWire

T = TypeVar("T")

_IDLE: Final = 0.01
"""Seconds after which a connection is looked at before it is used again."""


class _Line:
    """A connection, the process that made it, and when it was used last; 0 is not connected."""

    __slots__ = ("pid", "used_at", "wire")

    def __init__(self, address: Address) -> None:
        self.pid = os.getpid()
        self.wire: BlockingWire = address.blocking_wire()
        self.used_at = 0.0

    def drop(self) -> None:
        """Close the socket; the next command connects again."""
        self.used_at = 0.0
        self.wire.disconnect()


class BlockingDriver:
    """Sends commands from any thread, also after a fork; never shares a connection.

    With an ``outage`` its user never gives up, and the log tells of it.
    """

    def __init__(self, address: Address, outage: Outage | None = None) -> None:
        self._address = address
        self._outage = outage
        self._calls = Calls()
        self._local = threading.local()

    def run(self, steps: Steps[T]) -> T:
        """Follow steps to their end.

        Raises:
            BackendUnavailable: the server is out of reach, or cannot serve now.
            BackendRejected: it refused a command.
        """
        begun = False
        try:
            commands = next(steps)
            while True:
                commands = steps.send(self.exchange(commands))
                begun = True
        except StopIteration as end:
            result: T = end.value
            return result
        except BackendError as error:
            error.in_doubt |= begun
            raise

    def exchange(self, commands: Sequence[Command]) -> list[Any]:
        """Send commands in one packet, and read their replies; errors among them are values.

        A script that the server lost is sent once more, and so runs after the others.
        """
        sent = self._outage.refusals if self._outage else 0
        replies = self._once(self._calls.written(commands), len(commands))
        if some_lost(replies):
            repair = self._calls.repair(commands, replies)
            with suppress(StopIteration):
                again = next(repair)
                while True:
                    again = repair.send(self._once(pack(again), len(again)))
        if has_moved(replies):
            self._line().drop()
        if self._outage:
            self._outage.answered(commands, replies, sent=sent)
        return replies

    def ear(self, key: str) -> Ear:
        """This thread's ear; ``key`` is what it waits at."""
        del key  # one server has them all
        ear: Ear | None = self._local.__dict__.get("ear")
        if ear is None or ear.pid != os.getpid():
            ear = self._local.ear = Ear(self._address)
        return ear

    def close(self) -> None:
        """Close this thread's connections; the next command makes a new one."""
        line: _Line | None = self._local.__dict__.pop("line", None)
        if line is not None:
            line.drop()
        ear: Ear | None = self._local.__dict__.pop("ear", None)
        if ear is not None:
            ear.close()

    def _line(self) -> _Line:
        line: _Line | None = self._local.__dict__.get("line")
        if line is None or line.pid != os.getpid():
            # A forked child leaves its parent's socket alone: redis-py then only forgets it.
            line = self._local.line = _Line(self._address)
        elif line.used_at and time.monotonic() - line.used_at > _IDLE:
            self._look(line)
        return line

    def _look(self, line: _Line) -> None:
        """Drop a connection that the server has closed meanwhile."""
        try:
            stale = line.wire.can_read(timeout=0)
        except (RedisError, OSError):
            stale = True
        if stale:
            line.drop()

    def _once(self, packet: bytes, count: int) -> list[Any]:
        line, sent = self._line(), False
        try:
            if not line.used_at:
                line.wire.connect()
            sent = True
            line.wire.send_packed_command([packet], check_health=False)
            replies = [self._reply(line.wire) for _ in range(count)]
        except (RedisError, OSError) as error:
            line.drop()
            told = translate(error, self._address.shown, self._address.origin)
            told.in_doubt = sent
            if self._outage:
                self._outage.lost(told)
            raise told from error
        line.used_at = time.monotonic()
        return replies

    def _reply(self, wire: BlockingWire) -> Any:
        try:
            return wire.read_response()
        except LostConnectionError:
            raise
        except ResponseError as error:
            return self._as_value(error)

    def _as_value(self, error: ResponseError) -> BackendError:
        return translate(error, self._address.shown, self._address.origin)
