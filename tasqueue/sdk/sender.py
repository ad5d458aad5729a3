"""Jobs by their tasks' names: for tasks that live in Go or in another repository."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Unpack

from tasqueue.core.errors import ArgumentError
from tasqueue.core.limits import check_name
from tasqueue.sdk.client import Client
from tasqueue.sdk.definition import Call, Spec
from tasqueue.sdk.handle import JobHandle
from tasqueue.sdk.options import PLAIN, CallOptions, Wishes, call_wishes
from tasqueue.sdk.signature import Signature


class Sender:
    """Sends by name, with the options it was given. A task of this app is checked as usual."""

    def __init__(
        self, client: Client, spec_of: Callable[[str], Spec], wishes: Wishes = PLAIN
    ) -> None:
        self._client = client
        self._spec_of = spec_of
        self._wishes = wishes

    def send(self, name: str, /, **arguments: Any) -> JobHandle[Any]:
        """Send a job; its payload is a JSON object of the arguments.

        Raises:
            ConfigurationError: the name is not usable, or an argument does not fit or is no JSON.
            BackendError: the broker could not be reached, or refused.
            EnqueueUnconfirmed: it may be stored or not, or less safe than ``durability`` asks for.
        """
        return self.signature(name, **arguments).delay()

    async def asend(self, name: str, /, **arguments: Any) -> JobHandle[Any]:
        """As `send`, awaited."""
        return await self.signature(name, **arguments).adelay()

    def signature(self, name: str, /, **arguments: Any) -> Signature[Any]:
        """A call, not sent."""
        spec = self._spec_of(_checked(name))
        call = Call(spec, spec.bind((), arguments), self._wishes)
        return Signature(self._client, (call,))

    def using(self, **options: Unpack[CallOptions]) -> Sender:
        """The same with more options: see `BaseTask.using`.

        Raises:
            ConfigurationError: an option is unknown or of no use.
        """
        return Sender(self._client, self._spec_of, call_wishes(options, self._wishes))


def _checked(name: object) -> str:
    if isinstance(name, str):
        return check_name("task", name)
    msg = f"{name!r} is no task's name: a task of this program has its own delay()"
    raise ArgumentError(msg)
