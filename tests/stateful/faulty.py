"""A store whose requests get lost on the way, or whose replies do: two different faults."""

from collections.abc import Callable
from random import Random
from typing import Any

from tasqueue.core.errors import BackendUnavailable
from tasqueue.core.ports import Request

_OVER_THE_WIRE = frozenset({
    "adopt", "beat", "bury", "claim", "drop", "end", "known_elsewhere", "mark", "park",
    "promote", "release", "renew", "rescue", "settle", "unpark",
})  # fmt: skip


class Weather:
    """Which calls get lost; ``calm`` stops it, ``cut`` loses every request."""

    def __init__(self, seed: int, share: float, *, twice: bool = True) -> None:
        self._random = Random(seed)
        self._share = share
        self._twice = twice
        self._lost_before = False
        self.calm = False
        self.cut = False

    def fate(self) -> str:
        """``"request"`` or ``"reply"`` where that is lost, else ""."""
        if self.cut:
            return "request"
        lost = not self.calm and self._random.random() < self._share
        if lost and self._lost_before and not self._twice:
            lost = False
        self._lost_before = lost
        return self._random.choice(["request", "reply"]) if lost else ""

    def check(self, lost: str, part: str) -> None:
        """Raise if this part of a call was lost."""
        if lost == part:
            error = BackendUnavailable(f"test: the {part} was lost")
            error.in_doubt = True
            raise error


class FaultyStore:
    """Any store, in this weather; stands for broker and results too."""

    def __init__(self, store: Any, weather: Weather) -> None:
        self._store = store
        self._weather = weather
        self._leases: list[Any] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    @property
    def store(self) -> "FaultyStore":
        """The store behind this broker, and these results."""
        return self

    async def perform(self, request: Request) -> Any:
        """Do what the request says, unless it is lost."""
        lost = self._weather.fate()
        self._weather.check(lost, "request")
        answer = await self._store.perform(request)
        self._weather.check(lost, "reply")
        return answer

    def lease(self, worker: Any) -> Any:
        """A lease in the same weather."""
        lease = self._store.lease(worker)
        self._leases.append(lease)
        return _FaultyLease(lease, self._weather)

    async def hang_up(self) -> None:
        """Close what a killed process would have closed: the lines on which its leases wait."""
        for lease in self._leases:
            for bell in getattr(lease, "_bells", {}).values():
                await bell.close()

    async def aclose(self) -> None:
        """Leave the connections to others who use the same store."""


class _FaultyLease:
    def __init__(self, lease: Any, weather: Weather) -> None:
        self._lease = lease
        self._weather = weather

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._lease, name)
        if name == "beat":
            return self._blocking(found)
        return self._awaited(found) if name in _OVER_THE_WIRE else found

    def _blocking(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def over_the_wire(*arguments: Any, **named: Any) -> Any:
            lost = self._weather.fate()
            self._weather.check(lost, "request")
            answer = call(*arguments, **named)
            self._weather.check(lost, "reply")
            return answer

        return over_the_wire

    def _awaited(self, call: Callable[..., Any]) -> Callable[..., Any]:
        async def over_the_wire(*arguments: Any) -> Any:
            lost = self._weather.fate()
            self._weather.check(lost, "request")
            answer = await call(*arguments)
            self._weather.check(lost, "reply")
            return answer

        return over_the_wire
