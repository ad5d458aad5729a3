"""Where outcomes are kept. Results that need a driver are loaded when they are asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tasqueue.results.memory_results import MemoryResults

if TYPE_CHECKING:
    from tasqueue.results.redis_results import RedisResults

__all__ = ["MemoryResults", "RedisResults"]


def __getattr__(name: str) -> Any:
    if name == "RedisResults":
        from tasqueue.results.redis_results import RedisResults  # noqa: PLC0415 -- loads redis

        return RedisResults
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
