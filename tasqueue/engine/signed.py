"""A store whose messages carry signatures: signed on the way in, checked on the way out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final, TypeVar

from tasqueue.core.ports import Answer, Claim, OpenGroup, Push, Request, Settlement, Submit
from tasqueue.core.signing import Signing, flaw, sign
from tasqueue.engine.context import LOGGER

S = TypeVar("S")


def signed(store: S, signing: Signing | None) -> S:
    """Put signatures between a store and those who use it; None leaves it as it is.

    The wrapper has every ability that the store has.
    """
    if signing is None:
        return store
    wrapper: Any = _SignedStore(store, signing)
    wrapped: S = wrapper
    return wrapped


class _SignedStore:
    def __init__(self, store: Any, signing: Signing) -> None:
        self._store: Final = store
        self._signing: Final = signing

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def perform(self, request: Request) -> Any:
        return await self._store.perform(_request(request, self._signing))

    def perform_blocking(self, request: Request) -> Any:
        return self._store.perform_blocking(_request(request, self._signing))

    def lease(self, worker: Any) -> Any:
        return _SignedLease(self._store.lease(worker), self._signing)


class _SignedLease:
    def __init__(self, lease: Any, signing: Signing) -> None:
        self._lease: Final = lease
        self._signing: Final = signing
        self._told: set[tuple[str, str]] = set()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._lease, name)

    async def claim(self, queue: str, limit: int) -> list[Claim]:
        return await self._sound(queue, await self._lease.claim(queue, limit))

    async def adopt(self, queue: str) -> list[Claim]:
        return await self._sound(queue, await self._lease.adopt(queue))

    async def settle(self, queue: str, settlements: Sequence[Settlement]) -> list[Answer]:
        with_signatures = [
            replace(
                one,
                pushes=[_push(push, self._signing) for push in one.pushes],
                again=one.again and _push(one.again, self._signing),
            )
            for one in settlements
        ]
        answers: list[Answer] = await self._lease.settle(queue, with_signatures)
        return answers

    async def _sound(self, queue: str, claims: list[Claim]) -> list[Claim]:
        """The claims that may be run; the others go to the dead letters."""
        found: list[Claim] = []
        for claim in claims:
            reason = flaw(claim.body, queue, self._signing)
            if reason and self._signing.mode == "require":
                LOGGER.error("queue %s: a message is kept as a dead letter: %s", queue, reason)
                await self._lease.bury(queue, claim.token, reason)
                continue
            if reason and (queue, reason) not in self._told:
                self._told.add((queue, reason))
                LOGGER.warning("queue %s: a message is run though %s (said once)", queue, reason)
            found.append(claim)
        return found


def _request(request: Request, signing: Signing) -> Request:
    if isinstance(request, Submit):
        return replace(request, pushes=[_push(push, signing) for push in request.pushes])
    if isinstance(request, OpenGroup):
        return replace(
            request,
            on_success=request.on_success and _push(request.on_success, signing),
            on_error=request.on_error and _push(request.on_error, signing),
        )
    return request


def _push(push: Push, signing: Signing) -> Push:
    return push._replace(body=sign(push.body, push.queue, signing))
