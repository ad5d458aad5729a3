"""Where a Redis or Valkey server is and how to talk to it; secrets never show."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, cast

from redis import asyncio as redis_asyncio
from redis import connection as redis_blocking
from redis.backoff import NoBackoff
from redis.retry import Retry

from tasqueue.drivers.redis.sentinel import (
    AsyncSentinelWire,
    BlockingSentinelWire,
    Host,
    Sentinels,
    Ways,
)
from tasqueue.drivers.redis.url import Parts, parse, shown
from tasqueue.drivers.redis.wire import AsyncWire, BlockingWire

CONNECT_TIMEOUT: Final = 1.4
TIMEOUT: Final = 1.4
"""Seconds to connect, and for one reply: a caller waits less than 3 s, one repeat included."""
_SENTINEL_TIMEOUT: Final = 0.4
"""Seconds that one sentinel may take, of those that a connection may."""
_WATCH: Final = {"KEEPIDLE": 2, "KEEPALIVE": 2, "KEEPINTVL": 1, "KEEPCNT": 2}
"""A line that was silent for 2 s is asked whether its server is there, and given up when there was
no answer twice, a second apart. The systems do it: an idle worker, whose claim is parked, says
nothing by itself that a dead or a new host could refuse. (macOS calls the first one KEEPALIVE.)"""


@dataclass(frozen=True, slots=True)
class Address:
    """A server, a database in it, and how to be let in."""

    shown: str
    """As a URL without user and password, for people."""
    kind: str = field(repr=False)
    """``redis``, ``rediss`` or ``unix``: how its connections are made."""
    options: Mapping[str, Any] = field(repr=False)
    """redis-py's names for the settings."""
    origin: str = field(default="", repr=False)
    """Where the address was written down; named in errors."""
    sentinels: Sentinels | None = field(default=None, repr=False)
    """Who knows the server's host and port, if they change."""
    sentinel_options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """How to be let in by them."""

    nodes: tuple[Host, ...] = field(default=(), repr=False)
    """Some servers of the cluster, if it is one."""

    @classmethod
    def from_url(cls, url: str, *, origin: str = "") -> Address:
        """Read a URL; see `tasqueue.drivers.redis.url`.

        Raises:
            ConfigurationError: the URL cannot be read; the text shows no password.
        """
        parts: Parts = parse(url)
        return cls(
            parts.shown,
            parts.kind,
            parts.options,
            origin,
            Sentinels(parts.hosts, parts.service) if parts.service else None,
            parts.sentinel_options,
            parts.hosts if parts.cluster else (),
        )

    @classmethod
    def from_parts(cls, options: Mapping[str, Any], *, tls: bool, origin: str = "") -> Address:
        """Take settings by redis-py's names: ``host``, ``port``, ``db`` and so on."""
        kind = "rediss" if tls else "redis"
        given = {name: value for name, value in options.items() if value is not None}
        return cls(shown(kind, kind, given), kind, given, origin)

    @property
    def db(self) -> int:
        """The number of the database."""
        return int(self.options.get("db", 0))

    def meets(self, other: Address) -> bool:
        """Whether both name the same database, by what is written down alone.

        One sentinel, or one server of a cluster, that both name is enough: it knows one primary
        by a name, and is in one cluster. False may mean that the same one is written differently.
        """
        return not self._names().isdisjoint(other._names())

    def _names(self) -> set[tuple[str | Host, str, int]]:
        """All that name the database, each by itself."""
        if self.sentinels is not None:
            return {(host, self.sentinels.service, self.db) for host in self.sentinels.hosts}
        if self.nodes:
            return {(host, "cluster", 0) for host in self.nodes}
        own = (str(self.options.get("host", "localhost")), int(self.options.get("port", 6379)))
        return {(str(self.options.get("path", "")) or own, "", self.db)}

    def node(self, host: Host) -> Address:
        """One server of a cluster, with the same rights."""
        options = {**self.options, "host": host[0], "port": host[1]}
        named = shown(self.kind, self.kind, options)
        return replace(self, shown=named, options=options, nodes=())

    def dangers(self) -> list[str]:
        """What of the address itself is unsafe, for the log."""
        if self.kind != "rediss" or self.options.get("ssl_cert_reqs", "required") == "required":
            return []
        line = (
            f"{self.shown}: ssl_cert_reqs={self.options['ssl_cert_reqs']}, so anybody may pose as "
            "this server: take it out of the URL, and name the authority with ssl_ca_certs"
        )
        return [line]

    def blocking_wire(self) -> BlockingWire:
        """Make a connection for threads; it connects when something is sent."""
        if self.sentinels is None:
            return self._blocking_wire(self.options)
        ways = Ways(
            lambda host: self._blocking_wire(self._of_sentinel(host), _SENTINEL_TIMEOUT),
            lambda host: self._blocking_wire(self._of_server(host)),
        )
        return BlockingSentinelWire(self.sentinels, ways)

    def async_wire(self) -> AsyncWire:
        """Make a connection for the running event loop; it connects when something is sent.

        It has no time limit of its own: the driver sets one around the whole exchange.
        """
        if self.sentinels is None:
            return self._async_wire(self.options, None)
        ways = Ways(
            lambda host: self._async_wire(self._of_sentinel(host), _SENTINEL_TIMEOUT),
            lambda host: self._async_wire(self._of_server(host), None),
        )
        return AsyncSentinelWire(self.sentinels, ways)

    def _of_sentinel(self, host: Host) -> dict[str, Any]:
        tls = {name: value for name, value in self.options.items() if name.startswith("ssl_")}
        return {
            **tls, **self.sentinel_options, "host": host[0], "port": host[1],
            "socket_connect_timeout": _SENTINEL_TIMEOUT,
        }  # fmt: skip

    def _of_server(self, host: Host) -> dict[str, Any]:
        return {**self.options, "host": host[0], "port": host[1]}

    def _blocking_wire(self, options: Mapping[str, Any], timeout: float = TIMEOUT) -> BlockingWire:
        kinds: dict[str, Any] = {
            "redis": redis_blocking.Connection,
            "rediss": redis_blocking.SSLConnection,
            "unix": redis_blocking.UnixDomainSocketConnection,
        }
        made = kinds[self.kind](**self._settings(options), socket_timeout=timeout)
        return cast("BlockingWire", made)

    def _async_wire(self, options: Mapping[str, Any], timeout: float | None) -> AsyncWire:
        kinds: dict[str, Any] = {
            "redis": redis_asyncio.Connection,
            "rediss": redis_asyncio.SSLConnection,
            "unix": redis_asyncio.UnixDomainSocketConnection,
        }
        made = kinds[self.kind](**self._settings(options), socket_timeout=timeout)
        return cast("AsyncWire", made)

    def _settings(self, options: Mapping[str, Any]) -> dict[str, Any]:
        # redis-py's own retry sent an LPUSH twice (measured): only we know what may be repeated.
        settings = {
            "socket_connect_timeout": CONNECT_TIMEOUT,
            "retry": Retry(NoBackoff(), 0),
            "protocol": 2,
            "health_check_interval": 0,
            **options,
        }
        if self.kind != "unix":
            settings["socket_keepalive"] = True
            settings["socket_keepalive_options"] = {
                getattr(socket, f"TCP_{name}"): value
                for name, value in _WATCH.items()
                if hasattr(socket, f"TCP_{name}")
            }
        if self.kind == "rediss":
            # redis-py before 6 does not look at the host's name by itself.
            settings.setdefault("ssl_check_hostname", settings.get("ssl_cert_reqs") != "none")
        return settings
