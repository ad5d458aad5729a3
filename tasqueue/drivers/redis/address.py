"""Where a Redis or Valkey server is and how to talk to it; secrets never show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, cast
from urllib.parse import parse_qsl, unquote, urlsplit

from redis import asyncio as redis_asyncio
from redis import connection as redis_blocking
from redis.backoff import NoBackoff
from redis.retry import Retry

from tasqueue.core.errors import ConfigurationError, Unsupported

CONNECT_TIMEOUT: Final = 1.4
TIMEOUT: Final = 1.4
"""Seconds to connect, and for one reply: a caller waits less than 3 s, one repeat included."""

_SCHEMES: Final = {
    "redis": "redis", "valkey": "redis",
    "rediss": "rediss", "valkeys": "rediss",
    "unix": "unix",
}  # fmt: skip
_OPTIONS: Final[Mapping[str, type]] = {
    "db": int,
    "username": str,
    "password": str,
    "client_name": str,
    "ssl_cert_reqs": str,
    "ssl_ca_certs": str,
    "ssl_ca_path": str,
    "ssl_certfile": str,
    "ssl_keyfile": str,
}


class BlockingWire(Protocol):
    """What we use of redis-py's blocking connection."""

    def send_packed_command(self, command: list[bytes], *, check_health: bool) -> None:
        """Connect if needed, and send."""
        ...

    def read_response(self) -> Any:
        """Return the next reply, or raise the error that it is."""
        ...

    def can_read(self, timeout: float = 0) -> bool:
        """Whether something arrived unasked, such as the end of the connection."""
        ...

    def disconnect(self) -> None:
        """Close the socket."""
        ...


class AsyncWire(Protocol):
    """What we use of redis-py's asyncio connection."""

    async def connect(self) -> None:
        """Connect and be let in; does nothing if connected."""
        ...

    async def send_packed_command(self, command: list[bytes], *, check_health: bool) -> None:
        """Connect if needed, and send."""
        ...

    async def read_response(self) -> Any:
        """Return the next reply, or raise the error that it is."""
        ...

    async def can_read_destructive(self) -> bool:
        """Whether something arrived unasked, such as the end of the connection."""
        ...

    async def disconnect(self, *, nowait: bool) -> None:
        """Close the socket."""
        ...


@dataclass(frozen=True, slots=True)
class Address:
    """A server, a database in it, and how to be let in."""

    shown: str
    """As a URL without user and password, for people."""
    kind: str = field(repr=False)
    """``redis``, ``rediss`` or ``unix``."""
    options: Mapping[str, Any] = field(repr=False)
    """redis-py's names for the settings."""
    origin: str = field(default="", repr=False)
    """Where the address was written down; named in errors."""

    @classmethod
    def from_url(cls, url: str, *, origin: str = "") -> Address:
        """Read ``redis://``, ``rediss://`` (TLS), ``valkey://``, ``valkeys://`` or ``unix://``.

        Raises:
            ConfigurationError: the URL cannot be read; the text shows no password.
            Unsupported: it names a cluster or sentinels.
        """
        scheme, _, rest = url.partition("://")
        if scheme.partition("+")[0] in _SCHEMES and "+" in scheme:
            raise Unsupported(
                f"{scheme}:// is not supported yet: name one server with redis:// or rediss://"
            )
        if scheme not in _SCHEMES or not rest:
            raise ConfigurationError(
                f"cannot read a Redis URL that begins with {scheme[:20]!r}: "
                "write redis://host:port/db, rediss://, valkey:// or unix:///path?db=0"
            )
        kind = _SCHEMES[scheme]
        options = _from_url(url, kind)
        return cls(_shown(scheme, kind, options), kind, options, origin)

    @classmethod
    def from_parts(cls, options: Mapping[str, Any], *, tls: bool, origin: str = "") -> Address:
        """Take settings by redis-py's names: ``host``, ``port``, ``db`` and so on."""
        kind = "rediss" if tls else "redis"
        given = {name: value for name, value in options.items() if value is not None}
        return cls(_shown(kind, kind, given), kind, given, origin)

    @property
    def db(self) -> int:
        """The number of the database."""
        return int(self.options.get("db", 0))

    def blocking_wire(self) -> BlockingWire:
        """Make a connection for threads; it connects when something is sent."""
        kinds: dict[str, Any] = {
            "redis": redis_blocking.Connection,
            "rediss": redis_blocking.SSLConnection,
            "unix": redis_blocking.UnixDomainSocketConnection,
        }
        made = kinds[self.kind](**self._settings(), socket_timeout=TIMEOUT)
        return cast("BlockingWire", made)

    def async_wire(self) -> AsyncWire:
        """Make a connection for the running event loop; it connects when something is sent.

        It has no time limit of its own: the driver sets one around the whole exchange.
        """
        kinds: dict[str, Any] = {
            "redis": redis_asyncio.Connection,
            "rediss": redis_asyncio.SSLConnection,
            "unix": redis_asyncio.UnixDomainSocketConnection,
        }
        made = kinds[self.kind](**self._settings(), socket_timeout=None)
        return cast("AsyncWire", made)

    def _settings(self) -> dict[str, Any]:
        # redis-py's own retry sent an LPUSH twice (measured): only we know what may be repeated.
        settings = {
            "socket_connect_timeout": CONNECT_TIMEOUT,
            "retry": Retry(NoBackoff(), 0),
            "protocol": 2,
            "health_check_interval": 0,
            **self.options,
        }
        if self.kind != "unix":
            settings["socket_keepalive"] = True
        if self.kind == "rediss":
            # redis-py before 6 does not look at the host's name by itself.
            settings.setdefault("ssl_check_hostname", settings.get("ssl_cert_reqs") != "none")
        return settings


def _from_url(url: str, kind: str) -> dict[str, Any]:
    parts = urlsplit(url)
    options: dict[str, Any] = {}
    for name, value in parse_qsl(parts.query):
        if name not in _OPTIONS:
            raise ConfigurationError(
                f"a Redis URL has no option {name!r}; there are {', '.join(sorted(_OPTIONS))}"
            )
        options[name] = _number(name, value) if _OPTIONS[name] is int else value
    for name, given in (("username", parts.username), ("password", parts.password)):
        if given:
            options[name] = unquote(given)
    if kind == "unix":
        options["path"] = unquote(parts.path)
        return options
    options["host"] = parts.hostname or "localhost"
    try:
        options["port"] = parts.port or 6379
    except ValueError:
        raise ConfigurationError("the port of a Redis URL is a number up to 65535") from None
    db = unquote(parts.path).strip("/")
    if db:
        options.setdefault("db", _number("database", db))
    return options


def _number(what: str, value: str) -> int:
    if not value.isdecimal():
        raise ConfigurationError(f"the {what} of a Redis URL is a number, not {value!r}")
    return int(value)


def _shown(scheme: str, kind: str, options: Mapping[str, Any]) -> str:
    db = options.get("db", 0)
    if kind == "unix":
        return f"{scheme}://{options['path']}?db={db}"
    host = str(options.get("host", "localhost"))
    host = f"[{host}]" if ":" in host else host
    return f"{scheme}://{host}:{options.get('port', 6379)}/{db}"
