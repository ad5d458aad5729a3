"""From a URL to a back end: which schemes there are, and the driver of each, loaded late."""

from __future__ import annotations

import os
import re
from collections.abc import Generator
from contextlib import contextmanager
from datetime import timedelta
from typing import Final, NamedTuple, Protocol

from tasqueue.core.errors import ConfigurationError, Unsupported
from tasqueue.core.ports import BlockingStore, Broker, Results, Store

MEMORY: Final = "memory"
VARIABLE: Final = "TASQUEUE_URL"
_USER_SECRET: Final = re.compile(r"^((?:[^:/@]*://)?[^:/?#@]*):(?!//).*@", re.DOTALL)
_QUERY_SECRET: Final = re.compile(r"([?&]\w*password=)[^&#]*")
_REDIS: Final = frozenset({"redis", "rediss", "valkey", "valkeys", "unix"})
_SENTINEL: Final = frozenset(f"{kind}+sentinel" for kind in _REDIS)
_EXAMPLES: Final = (
    "redis://HOST:6379/0, rediss://, valkey://, unix://, redis+sentinel://HOST,HOST/NAME/0, "
    "redis+cluster://HOST,HOST or memory://"
)
CLUSTERS: Final = frozenset(f"{kind}+cluster" for kind in _REDIS)
_LATER: Final = frozenset({"nats", "sqlite"})


class ClientStore(Store, BlockingStore, Protocol):
    """A store that answers clients, awaited and blocking."""


class Opened(NamedTuple):
    """A back end: two faces for the engine, and the store behind both."""

    broker: Broker
    results: Results
    store: ClientStore
    is_pair: bool = False
    """Whether the two lie apart."""


def chosen_results(url: str | None, broker: str) -> str:
    """The URL where an app keeps records and results, if it is not that of its broker; else "".

    Raises:
        ConfigurationError: no back end goes by that scheme, or the two cannot be a pair.
        Unsupported: it is one that this version does not have yet.
    """
    if url is None or url == broker:
        return ""
    found = chosen_url(url)
    if MEMORY in {scheme(found), scheme(broker)}:
        msg = f"App(results=…): {MEMORY}:// lies in one process, and is no half of a back end"
        raise ConfigurationError(msg)
    return found


def chosen_url(url: str | None) -> str:
    """The URL that an app uses: its own, else ``TASQUEUE_URL``, else ``memory://``.

    Raises:
        ConfigurationError: no back end goes by that scheme.
        Unsupported: it is one that this version does not have yet.
    """
    found = _text(url if url is not None else os.environ.get(VARIABLE) or f"{MEMORY}://")
    where = "App(…)" if url is not None else f"the environment variable {VARIABLE}"
    kind = scheme(found)
    if kind in _LATER:
        msg = f"{kind}:// (from {where}) comes with a later version: use redis:// or memory://"
        raise Unsupported(msg)
    if kind != MEMORY and kind not in _REDIS | _SENTINEL | CLUSTERS:
        msg = f"{shown(found)!r} (from {where}) is not the address of a back end: use {_EXAMPLES}"
        raise ConfigurationError(msg)
    return found


def _text(url: object) -> str:
    if isinstance(url, str):
        return url
    msg = f"App({url!r}): the address of a back end is a text, such as {_EXAMPLES}"
    raise ConfigurationError(msg)


def scheme(url: str) -> str:
    """The part before ``://``, or ""."""
    kind, found, _ = url.partition("://")
    return kind.lower() if found else ""


def shown(url: str) -> str:
    """A URL without its passwords, however badly it is written: too much is hidden, if anything."""
    return _QUERY_SECRET.sub(r"\1***", _USER_SECRET.sub(r"\1:***@", url))


def open_backend(url: str, keep: timedelta | None, results_url: str = "") -> Opened:
    """Make the back end of a checked URL; nothing is connected yet.

    ``keep`` is how long records of groups and chains, and places in lists, are kept;
    ``results_url`` is where they are, if not at ``url``.
    """
    if scheme(url) == MEMORY:
        from tasqueue.brokers.memory_broker import MemoryBroker  # noqa: PLC0415 -- loaded late
        from tasqueue.drivers.memory import MemoryStore  # noqa: PLC0415 -- loaded late
        from tasqueue.results.memory_results import MemoryResults  # noqa: PLC0415 -- loaded late

        store = MemoryStore()
        return Opened(MemoryBroker(store), MemoryResults(store), store)
    from tasqueue.brokers.redis_broker import RedisBroker  # noqa: PLC0415 -- loads redis
    from tasqueue.results.redis_results import RedisResults  # noqa: PLC0415 -- loads redis

    origin = VARIABLE if os.environ.get(VARIABLE) == url else "App(…)"
    with _named(url, origin):
        broker = RedisBroker.from_url(url, origin=origin)
    with _named(results_url or url, origin):
        results = RedisResults.from_url(
            results_url or url, expiry=keep, meta_expiry=keep, origin=origin
        )
    if not results_url or broker.store.shares_place(results.store):
        return Opened(broker, results, results.store)
    from tasqueue.engine.pair import PairStore  # noqa: PLC0415 -- few need it

    return Opened(broker, results, PairStore(broker.store, results.store, results), is_pair=True)


@contextmanager
def _named(url: str, origin: str) -> Generator[None]:
    """Say of which URL an error speaks."""
    try:
        yield
    except ConfigurationError as error:
        msg = f"{shown(url)!r} (from {origin}): {error}"
        raise type(error)(msg) from error
