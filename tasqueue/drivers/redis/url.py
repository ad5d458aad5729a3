"""URLs of Redis and Valkey, read; what is said of them never shows a password.

``redis://user:password@host:port/db`` and ``valkey://`` are one server, ``rediss://`` and
``valkeys://`` one over TLS, ``unix:///path?db=0`` one on this host. With ``+sentinel`` after the
scheme the hosts are sentinels and the path is ``/NAME/db``; with ``+cluster`` they are some
servers of a cluster.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from tasqueue.core.errors import ConfigurationError

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
_SENTINEL_OPTIONS: Final = {"sentinel_username": "username", "sentinel_password": "password"}
_Hosts = tuple[tuple[str, int], ...]
_PORTS: Final = {"": 6379, "cluster": 6379, "sentinel": 26379}
_EXAMPLES: Final = (
    "write redis://host:port/db, rediss://, valkey://, unix:///path?db=0, "
    "redis+sentinel://host,host/name/db or redis+cluster://host,host"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a URL says."""

    shown: str
    kind: str
    options: Mapping[str, Any] = field(repr=False)
    hosts: _Hosts = ()
    service: str = ""
    """The primary's name among the sentinels."""
    cluster: bool = False
    sentinel_options: Mapping[str, Any] = field(default_factory=dict, repr=False)


def parse(url: str) -> Parts:
    """Read a URL.

    Raises:
        ConfigurationError: it cannot be read; the text shows no password.
    """
    scheme, _, rest = url.partition("://")
    family, _, manner = scheme.partition("+")
    known = family in _SCHEMES and manner in _PORTS and not (manner and family == "unix")
    if not known or not rest or scheme.endswith("+"):
        raise ConfigurationError(f"no Redis URL begins with {scheme[:20]!r}: {_EXAMPLES}")
    parts = urlsplit(url)
    options = _query(parts, manner)
    if family == "unix":
        options["path"] = unquote(parts.path)
        return Parts(shown=shown(scheme, family, options), kind=family, options=options)
    user, _, netloc = parts.netloc.rpartition("@")
    for name, given in zip(("username", "password"), user.partition(":")[::2], strict=True):
        if given:
            options[name] = unquote(given)
    hosts = tuple(_host(host, _PORTS[manner]) for host in netloc.split(","))
    read = {"": _one_server, "sentinel": _sentinels, "cluster": _cluster}[manner]
    return read(scheme, hosts, path=unquote(parts.path).strip("/"), options=options)


def shown(scheme: str, kind: str, options: Mapping[str, Any]) -> str:
    """Write the address of one server for people."""
    db = options.get("db", 0)
    if kind == "unix":
        return f"{scheme}://{options['path']}?db={db}"
    host = (str(options.get("host", "localhost")), int(options.get("port", 6379)))
    return f"{scheme}://{_joined(host)}/{db}"


def _one_server(scheme: str, hosts: _Hosts, *, path: str, options: dict[str, Any]) -> Parts:
    first, *others = hosts
    if others:
        raise ConfigurationError(
            "several hosts are sentinels or a cluster: redis+sentinel:// or redis+cluster://"
        )
    options["host"], options["port"] = first
    if path:
        options.setdefault("db", _number("database", path))
    kind = _SCHEMES[scheme]
    return Parts(shown=shown(scheme, kind, options), kind=kind, options=options)


def _sentinels(scheme: str, hosts: _Hosts, *, path: str, options: dict[str, Any]) -> Parts:
    service, _, db = path.partition("/")
    if not service:
        raise ConfigurationError(
            "a URL of sentinels ends in the name of the primary: redis+sentinel://host,host/NAME/db"
        )
    given = _SENTINEL_OPTIONS.keys() & options.keys()
    sentinel = {_SENTINEL_OPTIONS[name]: options.pop(name) for name in given}
    options.setdefault("db", _number("database", db or "0"))
    return Parts(
        shown=f"{scheme}://{_all(hosts)}/{service}/{options['db']}",
        kind=_SCHEMES[scheme.partition("+")[0]],
        options=options,
        hosts=hosts,
        service=service,
        sentinel_options=sentinel,
    )


def _cluster(scheme: str, hosts: _Hosts, *, path: str, options: dict[str, Any]) -> Parts:
    if path not in {"", "0"} or options.pop("db", 0):
        raise ConfigurationError("a Redis cluster has no databases: leave the number out")
    return Parts(
        shown=f"{scheme}://{_all(hosts)}",
        kind=_SCHEMES[scheme.partition("+")[0]],
        options=options,
        hosts=hosts,
        cluster=True,
    )


def _query(parts: SplitResult, manner: str) -> dict[str, Any]:
    known = _OPTIONS.keys() | (_SENTINEL_OPTIONS.keys() if manner == "sentinel" else set())
    options: dict[str, Any] = {}
    for name, value in parse_qsl(parts.query):
        if name not in known:
            raise ConfigurationError(
                f"a Redis URL has no option {name!r}; there are {', '.join(sorted(known))}"
            )
        options[name] = _number(name, value) if _OPTIONS.get(name) is int else value
    return options


def _host(text: str, port: int) -> tuple[str, int]:
    """Read ``host``, ``host:port`` or ``[v6]:port``."""
    parts = urlsplit(f"//{text}")
    try:
        number = parts.port
    except ValueError:
        raise ConfigurationError("the port of a Redis URL is a number up to 65535") from None
    return parts.hostname or "localhost", number or port


def _all(hosts: _Hosts) -> str:
    return ",".join(_joined(host) for host in hosts)


def _joined(host: tuple[str, int]) -> str:
    name = f"[{host[0]}]" if ":" in host[0] else host[0]
    return f"{name}:{host[1]}"


def _number(what: str, value: str) -> int:
    if not value.isdecimal():
        # With an @ it may be the end of a password that was not quoted.
        found = "what stands there" if "@" in value else repr(value)
        raise ConfigurationError(f"the {what} of a Redis URL is a number, not {found}")
    return int(value)
