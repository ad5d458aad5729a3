"""Where messages wait. Brokers that need a driver are loaded when they are asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tasqueue.brokers.memory_broker import MemoryBroker

if TYPE_CHECKING:
    from tasqueue.brokers.redis_broker import RedisBroker

__all__ = ["MemoryBroker", "RedisBroker"]


def __getattr__(name: str) -> Any:
    if name == "RedisBroker":
        from tasqueue.brokers.redis_broker import RedisBroker  # noqa: PLC0415 -- loads redis

        return RedisBroker
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
