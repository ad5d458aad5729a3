"""A broker and its results as one thing that answers clients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from tasqueue.core.ports.lease import Lease, Reaper
    from tasqueue.core.ports.request import Request
    from tasqueue.core.ports.settlement import WorkerInfo


@runtime_checkable
class Store(Protocol):
    """A broker and its results as one thing that answers clients, from asyncio."""

    fan_in: bool
    """Whether it performs `OpenGroup`, `GroupResults` and `Sweep`, and seals groups.

    Then it also performs `Decided`, `TellEnd` and `Withdraw`, if it can be half of a pair.
    """

    async def perform(self, request: Request) -> Any:
        """Do what the request says.

        Raises:
            BackendUnavailable: the server is out of reach; the request may have been done.
            BackendRejected: the server refused it.
        """
        ...

    async def identity(self) -> str:
        """What tells whether two stores are the same one (a server's run ID and database)."""
        ...

    def lease(self, worker: WorkerInfo) -> Lease:
        """A worker's place in this store; nothing is sent before its first beat."""
        ...

    async def aclose(self) -> None:
        """Close the connections of this event loop."""
        ...


@runtime_checkable
class BlockingStore(Protocol):
    """The same store for code without an event loop; safe from many threads and after a fork."""

    def perform_blocking(self, request: Request) -> Any:
        """As `Store.perform`; fails within 3 s when the server is out of reach."""
        ...

    def close(self) -> None:
        """Close the connections of this thread."""
        ...


@runtime_checkable
class Supervised(Protocol):
    """A store whose workers may be processes that another one supervises."""

    def reaper(self) -> Reaper:
        """What a supervisor does there for its children; nothing is sent before it is used."""
        ...


@runtime_checkable
class Placed(Protocol):
    """A store that may know without asking that another one is the same."""

    def shares_place(self, other: object) -> bool:
        """Whether both were given the same place, whichever server answers there now.

        False is no answer: one place may have two names.
        """
        ...


@runtime_checkable
class Advising(Protocol):
    """A store that knows which of its own settings endanger jobs."""

    async def advice(self) -> list[str]:
        """One sentence for each danger: the setting, its value, and one action. No secrets."""
        ...


@runtime_checkable
class Stored(Protocol):
    """A broker or results store that is one face of a `Store`."""

    @property
    def store(self) -> Store:
        """The store behind this face."""
        ...
