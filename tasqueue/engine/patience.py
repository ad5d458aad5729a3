"""Waiting out a store that is away: a step is tried until it is answered."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from tasqueue.core.errors import BackendError, BackendRejected, WrongType
from tasqueue.engine.clock import Clock
from tasqueue.engine.context import LOGGER

T = TypeVar("T")

OUTAGE: Final = 0.5
"""Seconds between tries."""
_LONGEST: Final = 4.0
"""Seconds between tries of a worker that starts while its broker is away."""


async def insist(what: str, step: Callable[[], Awaitable[T]], clock: Clock) -> T:
    """Do a step that may be done twice, again and again until the store answers.

    The driver's log says when an outage begins and ends; here ``what`` waits quietly.
    """
    while True:
        try:
            return await step()
        except BackendError as error:
            LOGGER.debug("%s waits for the store: %s", what, error)
            await clock.sleep(OUTAGE)


class Refusals:
    """Says once what the server refuses: there is a key that somebody else wrote, or no right.

    An outage is said by the driver, for all queues; such a thing only hurts one step of one queue.
    """

    def __init__(self) -> None:
        self._said: dict[str, str] = {}

    def note(self, step: str, error: BackendError | None = None) -> None:
        """Note how a step ended; ``step`` names the queue, too. Says what is new.

        An outage is no news of it: nothing was refused, or all is.
        """
        if error is not None and (error.logged or not isinstance(error, BackendRejected)):
            return
        text = str(error or "")
        if text != self._said.pop(step, ""):
            if text:
                until = "that key is gone" if isinstance(error, WrongType) else "it is taken"
                LOGGER.error("%s: %s. It waits until %s.", step, text.rstrip(". "), until)
            else:
                LOGGER.info("%s: goes on", step)
        if text:
            self._said[step] = text


async def insist_aloud(step: Callable[[], Awaitable[T]], clock: Clock) -> T:
    """As `insist`, ever more slowly, and with one line in the log for each try."""
    wait = OUTAGE
    while True:
        try:
            return await step()
        except BackendError as error:
            LOGGER.warning("cannot reach the broker, trying again in %g s: %s", wait, error)
            await clock.sleep(wait)
            wait = min(2 * wait, _LONGEST)
