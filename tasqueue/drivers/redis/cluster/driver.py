"""The two drivers over a cluster: each sends to the servers' own drivers what belongs there."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from tasqueue.core.errors import BackendUnavailable
from tasqueue.drivers.redis.address import Address
from tasqueue.drivers.redis.aio import AsyncDriver, Line
from tasqueue.drivers.redis.blocking import BlockingDriver
from tasqueue.drivers.redis.cluster.topology import MAP, PAUSES, Batch, Topology, delayed, routed
from tasqueue.drivers.redis.command import Command
from tasqueue.drivers.redis.ear import Ear, SharedEar
from tasqueue.drivers.redis.error import Moved
from tasqueue.drivers.redis.outage import Outage
from tasqueue.drivers.redis.sentinel import Host


class ClusterAsyncDriver(AsyncDriver):
    """See `AsyncDriver`. ``patient`` is one whose user never gives up."""

    def __init__(self, address: Address, topology: Topology, *, patient: bool) -> None:
        super().__init__(address)
        self._topology = topology
        self._patient = patient
        self._nodes: dict[Host, AsyncDriver] = {}

    async def exchange(self, commands: Sequence[Command], patience: float = 0.0) -> list[Any]:
        """Send each command to the server of its keys, all servers at once."""
        replies = await self._routed(commands, patience)
        for pause in PAUSES:
            places = delayed(commands, replies)
            if not places:
                break
            await asyncio.sleep(pause)
            late = await self._routed([commands[i] for i in places], patience)
            for i, reply in zip(places, late, strict=True):
                replies[i] = reply
        return replies

    async def _routed(self, commands: Sequence[Command], patience: float) -> list[Any]:
        await self.learn()
        steps = routed(commands, self._topology)
        try:
            batches = next(steps)
            while True:
                batches = steps.send(await self._all(batches, patience))
        except StopIteration as end:
            replies: list[Any] = end.value
            return replies

    def line(self, key: str = "") -> Line:
        """Make one more connection, to whichever server has the key."""
        return ClusterLine(self, key)

    def ear(self, key: str) -> SharedEar:
        """This event loop's ear at the server that has the key."""
        return self.node(self.host_of(key)).ear(key)

    def node(self, host: Host) -> AsyncDriver:
        """The driver of one server."""
        made = self._nodes.get(host)
        if made is None:
            address = self._address.node(host)
            outage = Outage(address.shown) if self._patient else None
            made = self._nodes[host] = AsyncDriver(address, outage)
        return made

    def host_of(self, key: str) -> Host:
        """The server that has a key, as far as is known."""
        return self._topology.host_of(key)

    def forget(self, away: Host | None = None) -> None:
        """Have the map asked for again."""
        self._topology.forget(away)

    async def learn(self) -> None:
        """Ask for the map if it is not known.

        Raises:
            BackendError: no server has told it.
        """
        search = self._topology.search()
        with suppress(StopIteration):
            host = next(search)
            while True:
                host = search.send(await self._asked(host))

    async def _asked(self, host: Host) -> Any:
        try:
            (reply,) = await self.node(host).exchange([MAP])
        except BackendUnavailable as error:
            error.in_doubt = False  # nothing was asked for yet
            return error
        return reply

    async def close(self) -> None:
        """Close this event loop's connections."""
        for node in list(self._nodes.values()):
            await node.close()

    async def _all(self, batches: list[Batch], patience: float) -> list[list[Any]]:
        sent = [self.node(batch.host).exchange(batch.commands, patience) for batch in batches]
        if len(sent) == 1:
            try:
                return [await sent[0]]
            except BackendUnavailable:
                self._topology.forget(batches[0].host)
                raise
        told = await asyncio.gather(*sent, return_exceptions=True)
        for batch, one in zip(batches, told, strict=True):
            if isinstance(one, BaseException):
                self._topology.forget(batch.host)
                raise one
        return [one for one in told if not isinstance(one, BaseException)]


class ClusterLine(Line):
    """A connection to the server of one key, made anew when the key has moved."""

    def __init__(self, driver: ClusterAsyncDriver, key: str) -> None:
        self._driver = driver
        self._key = key
        self._host: Host | None = None
        self._inner: Line | None = None

    async def is_fresh(self) -> bool:
        """Whether it is connected, still, to the server that has the key."""
        return await (await self._here()).is_fresh()

    async def exchange(
        self, commands: Sequence[Command], *, packet: bytes = b"", patience: float = 0.0
    ) -> list[Any]:
        """As `Line.exchange`; a reply that says that the key has moved is an error among them."""
        inner = await self._here()
        try:
            replies = await inner.exchange(commands, packet=packet, patience=patience)
        except BackendUnavailable:
            self._driver.forget(self._host)
            raise
        if any(isinstance(reply, Moved) for reply in replies):
            self._driver.forget()
        return replies

    async def close(self) -> None:
        """Close the connection."""
        inner, self._inner = self._inner, None
        if inner is not None:
            await inner.close()

    async def _here(self) -> Line:
        await self._driver.learn()
        host = self._driver.host_of(self._key)
        if self._inner is None or host != self._host:
            await self.close()
            self._host, self._inner = host, self._driver.node(host).line()
        return self._inner


class ClusterBlockingDriver(BlockingDriver):
    """See `BlockingDriver`."""

    def __init__(self, address: Address, topology: Topology, *, patient: bool) -> None:
        super().__init__(address)
        self._topology = topology
        self._patient = patient
        self._nodes: dict[Host, BlockingDriver] = {}
        self._making = threading.Lock()

    def exchange(self, commands: Sequence[Command]) -> list[Any]:
        """Send each command to the server of its keys, one server after the other."""
        replies = self._routed(commands)
        for pause in PAUSES:
            places = delayed(commands, replies)
            if not places:
                break
            time.sleep(pause)
            late = self._routed([commands[i] for i in places])
            for i, reply in zip(places, late, strict=True):
                replies[i] = reply
        return replies

    def _routed(self, commands: Sequence[Command]) -> list[Any]:
        self._learn()
        steps = routed(commands, self._topology)
        try:
            batches = next(steps)
            while True:
                batches = steps.send([self._one(batch) for batch in batches])
        except StopIteration as end:
            replies: list[Any] = end.value
            return replies

    def ear(self, key: str) -> Ear:
        """This thread's ear at the server that has the key."""
        return self._node(self._topology.host_of(key)).ear(key)

    def close(self) -> None:
        """Close this thread's connections."""
        for node in list(self._nodes.values()):
            node.close()

    def _one(self, batch: Batch) -> list[Any]:
        try:
            return self._node(batch.host).exchange(batch.commands)
        except BackendUnavailable:
            self._topology.forget(batch.host)
            raise

    def _learn(self) -> None:
        search = self._topology.search()
        with suppress(StopIteration):
            host = next(search)
            while True:
                host = search.send(self._asked(host))

    def _asked(self, host: Host) -> Any:
        try:
            (reply,) = self._node(host).exchange([MAP])
        except BackendUnavailable as error:
            error.in_doubt = False  # nothing was asked for yet
            return error
        return reply

    def _node(self, host: Host) -> BlockingDriver:
        with self._making:
            made = self._nodes.get(host)
            if made is None:
                address = self._address.node(host)
                outage = Outage(address.shown) if self._patient else None
                made = self._nodes[host] = BlockingDriver(address, outage)
            return made
