"""What every broker keeps true. A back end inherits it and gives the fixture ``broker``."""

import asyncio
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import Any

from tasqueue.core.ports import Broker

Q = "contract"


async def _take(broker: Broker, count: int, *, ack: bool) -> list[bytes]:
    """Take so many messages, and stop."""
    bodies: list[bytes] = []
    consumer: Any = broker.consume(Q)
    async with aclosing(consumer):
        async for delivery in consumer:
            bodies.append(delivery.body)
            if ack:
                await delivery.ack()
            if len(bodies) == count:
                break
    return bodies


class BrokerContract:
    def test_it_is_a_broker(self, broker: Broker) -> None:
        assert isinstance(broker, Broker)

    async def test_pending_messages_are_listed_youngest_first(self, broker: Broker) -> None:
        for body in (b"a", b"b", b"c"):
            await broker.enqueue(body, Q)
        assert await broker.get_pending(Q) == [b"c", b"b", b"a"]
        assert await broker.get_pending("empty") == []

    async def test_the_oldest_message_is_taken_first(self, broker: Broker) -> None:
        for body in (b"a", b"b", b"c"):
            await broker.enqueue(body, Q)
        assert await _take(broker, 3, ack=True) == [b"a", b"b", b"c"]

    async def test_an_acknowledged_message_does_not_come_back(self, broker: Broker) -> None:
        await broker.enqueue(b"a", Q)
        await broker.enqueue(b"b", Q)
        assert await _take(broker, 1, ack=True) == [b"a"]
        assert await broker.get_pending(Q) == [b"b"]

    async def test_an_unacknowledged_message_comes_back(self, broker: Broker) -> None:
        await broker.enqueue(b"a", Q)
        await broker.enqueue(b"b", Q)
        assert await _take(broker, 2, ack=False) == [b"a", b"b"]
        assert await _take(broker, 2, ack=True) == [b"a", b"b"]

    async def test_two_consumers_share_the_messages(self, broker: Broker) -> None:
        bodies = [f"{i}".encode() for i in range(20)]
        for body in bodies:
            await broker.enqueue(body, Q)
        first, second = await asyncio.gather(
            _take(broker, 10, ack=True), _take(broker, 10, ack=True)
        )
        assert sorted(first + second) == sorted(bodies)

    async def test_a_waiting_consumer_gets_what_comes(self, broker: Broker) -> None:
        waiting = asyncio.create_task(_take(broker, 1, ack=True))
        await asyncio.sleep(0)
        await broker.enqueue(b"a", Q)
        assert await waiting == [b"a"]

    async def test_a_scheduled_message_is_not_pending(self, broker: Broker) -> None:
        await broker.enqueue_scheduled(b"a", Q, datetime.now(UTC) + timedelta(hours=1))
        assert await broker.get_pending(Q) == []

    async def test_a_message_whose_time_has_come_is_taken(self, broker: Broker) -> None:
        past = datetime.now(UTC) - timedelta(hours=1)
        await broker.enqueue_scheduled(b"later", Q, past + timedelta(minutes=1))
        await broker.enqueue_scheduled(b"first", Q, past)
        assert await _take(broker, 2, ack=True) == [b"first", b"later"]

    async def test_messages_are_any_bytes(self, broker: Broker) -> None:
        bodies = [b"", bytes(range(256)), b"x" * 200_000]
        for body in bodies:
            await broker.enqueue(body, Q)
        assert await _take(broker, 3, ack=True) == bodies
