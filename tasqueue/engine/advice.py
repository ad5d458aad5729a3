"""What a store says of its own settings when a worker starts: one line each, never fatal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tasqueue.core.errors import BackendError
from tasqueue.core.ports import Advising
from tasqueue.engine.context import LOGGER

if TYPE_CHECKING:
    from tasqueue.core.ports import Store


async def advise(store: Store) -> None:
    """Log what endangers jobs in this store, if the store can tell."""
    if not isinstance(store, Advising):
        return
    try:
        lines = await store.advice()
    except BackendError as error:
        LOGGER.debug("the store's settings are not known: %s", error)
        return
    for line in lines:
        LOGGER.warning("%s", line)
