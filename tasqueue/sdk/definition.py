"""What is known of a task wherever it runs: its name, options, shape, and the client behind it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Generic, ParamSpec, TypeVar

from tasqueue.core.errors import ArgumentError, DecodeError
from tasqueue.core.job import Job
from tasqueue.engine.clock import SYSTEM
from tasqueue.sdk import payload
from tasqueue.sdk.client import Client
from tasqueue.sdk.conversion import Misfit, Reader
from tasqueue.sdk.options import PLAIN, Settings, Wishes
from tasqueue.sdk.shape import Shape

P = ParamSpec("P")
R_co = TypeVar("R_co", covariant=True)

ReadResult = Callable[[bytes], Any]
"""What makes a Python value of saved bytes; raises DecodeError."""

_ANYTHING: Final = Reader(Any)


@dataclass(frozen=True, slots=True)
class Spec:
    """A task as the parts of the SDK see it."""

    client: Client
    settings: Settings
    shape: Shape | None = None
    """None for a task that is known by its name only."""

    @property
    def name(self) -> str:
        """The task's name."""
        return self.settings.name

    def bind(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bytes:
        """The payload of a complete call.

        Raises:
            ArgumentError: the arguments do not fit the signature.
        """
        if self.shape is None:
            return payload.by_name(kwargs, self.name)
        if self.settings.raw:
            return payload.bind_raw(self.shape, args, kwargs)
        return payload.bind(self.shape, args, kwargs)

    def bind_rest(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bytes:
        """The payload of a link: all but the parameter that the result before it fills.

        Raises:
            ArgumentError: the arguments do not fit the signature, or leave no place for a result.
        """
        if self.shape is None:
            return payload.by_name(kwargs, self.name)
        if self.settings.raw and not args and not kwargs:
            return b""
        return payload.bind_rest(self.shape, args, kwargs)

    def sealed(self, body: bytes) -> bytes:
        """A complete call's payload, such that no result before it finds a gap."""
        if self.shape is None or self.settings.raw:
            return body
        return payload.sealed(self.shape, body)

    def read_result(self, body: bytes) -> Any:
        """What the task returned, as its annotation says.

        Raises:
            DecodeError: the bytes are no JSON, or not of that type.
        """
        if self.settings.raw:
            return body
        reader = self.shape.result if self.shape else _ANYTHING
        return read_result(body, reader, self.name)


def read_result(body: bytes, reader: Reader = _ANYTHING, what: str = "the job") -> Any:
    """What was saved, as a type.

    Raises:
        DecodeError: the bytes are no JSON, or not of that type.
    """
    try:
        return reader.read(body)
    except Misfit as error:
        at = f" at {error.path}" if error.path else ""
        msg = f"what {what} saved is not what it was to return{at}: {error.reason}"
        raise DecodeError(msg, body) from error


class Definition(Generic[P, R_co]):
    """A task as its callers know it: what can be a link of a chain."""

    def __init__(self, spec: Spec, wishes: Wishes = PLAIN) -> None:
        self.spec = spec
        self.wishes = wishes

    @property
    def name(self) -> str:
        """The name by which workers, in any language, know the task."""
        return self.spec.settings.name

    def __repr__(self) -> str:
        shape = self.spec.shape
        return f"<{type(self).__name__} {shape.text if shape else self.name}>"


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a task, bound and checked, not sent."""

    spec: Spec
    payload: bytes = field(repr=False)
    wishes: Wishes = PLAIN
    on_error: tuple[Call, ...] = ()
    waits: bool = False
    """Whether its payload has a gap that only the result of a job before it can fill."""

    def job(self, job_id: str = "") -> Job:
        """The engine's job for it; an ID that the caller chose goes before ``job_id``."""
        opts = self.wishes.opts(self.spec.settings, SYSTEM.now_ns(), job_id)
        on_error = [call.job() for call in self.on_error]
        return Job(self.spec.name, self.payload, opts, on_error=on_error)

    def linked(self) -> Call:
        """The same call as a link: if it is complete, the result before it finds no gap."""
        if self.waits:
            return self
        sealed = self.spec.sealed(self.payload)
        return Call(self.spec, sealed, self.wishes, on_error=self.on_error)

    def ready(self) -> Call:
        """The same call, if it can run with nothing before it.

        Raises:
            ArgumentError: it waits for a result.
        """
        if self.waits:
            msg = f"{self.spec.name} waits for the result of a job before it: put it in a chain"
            raise ArgumentError(msg)
        return self
