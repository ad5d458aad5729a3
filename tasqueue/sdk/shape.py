"""A function as its callers and its payloads see it: parameters, their types, what it returns."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from inspect import Parameter
from types import GenericAlias
from typing import Any, Final, NamedTuple

import msgspec

from tasqueue.core.errors import ConfigurationError
from tasqueue.engine.context import JobContext
from tasqueue.sdk.conversion import Reader

_EXPANDING: Final = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)


class Kinds(NamedTuple):
    """The parameters that a caller gives, by how they are given."""

    positional: tuple[str, ...]
    """By place (some of them also by name), in order."""
    rest: str
    """The ``*args``, or ""."""
    extra: str
    """The ``**kwargs``, or ""."""
    nameless: frozenset[str]
    """By place only."""
    required: tuple[str, ...]


@dataclass(eq=False)
class Shape:
    """A task's function, read once. Annotations are resolved at the first use, not before."""

    function: Callable[..., Any]
    name: str
    """The task's name, for messages."""

    def __post_init__(self) -> None:
        """Read the parameters.

        Raises:
            ConfigurationError: the function has no signature that Python can read.
        """
        try:
            signature = inspect.signature(self.function)
        except (TypeError, ValueError) as error:
            msg = f"task {self.name!r} has no signature to check its arguments against: {error}"
            raise ConfigurationError(msg) from error
        found = list(signature.parameters.values())
        self.wants_context: bool = bool(found) and _is_context(self.function, found[0])
        self.parameters: dict[str, Parameter] = {
            one.name: one for one in found[self.wants_context :]
        }
        self.text: str = (
            f"{self.name}{signature.replace(parameters=list(self.parameters.values()))}"
        )

    @cached_property
    def kinds(self) -> Kinds:
        """The parameters sorted by kind."""
        of = self.parameters.values()
        by_place = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
        return Kinds(
            positional=tuple(one.name for one in of if one.kind in by_place),
            rest="".join(one.name for one in of if one.kind is Parameter.VAR_POSITIONAL),
            extra="".join(one.name for one in of if one.kind is Parameter.VAR_KEYWORD),
            nameless=frozenset(one.name for one in of if one.kind is Parameter.POSITIONAL_ONLY),
            required=tuple(
                one.name
                for one in of
                if one.default is Parameter.empty and one.kind not in _EXPANDING
            ),
        )

    @property
    def first(self) -> str:
        """The parameter that takes the result of the job before, or ""."""
        return next((n for n, one in self.parameters.items() if one.kind in _FED), "")

    @cached_property
    def readers(self) -> dict[str, Reader]:
        """What reads each parameter; for ``*args`` the whole list, for ``**kwargs`` one value.

        Raises:
            ConfigurationError: an annotation cannot be resolved, or JSON cannot tell its types.
        """
        known = self.parameters.items()
        return {name: self._reader(name, self._type_of(one)) for name, one in known}

    @cached_property
    def fields(self) -> Reader:
        """What reads a payload's object into one value per parameter, UNSET where it has none."""
        fields = [
            (f"p{index}", self.readers[name].type, msgspec.UNSET)
            for index, name in enumerate(self.named)
        ]
        names = {f"p{index}": name for index, name in enumerate(self.named)}
        struct = msgspec.defstruct(
            "Arguments", fields, rename=names, forbid_unknown_fields=True, gc=False
        )
        return Reader(struct)

    @cached_property
    def named(self) -> tuple[str, ...]:
        """The parameters that have a place of their own in the payload."""
        return tuple(name for name in self.parameters if name != self.kinds.extra)

    @cached_property
    def is_plain(self) -> bool:
        """Whether all arguments may be given by name."""
        return not (self.kinds.rest or self.kinds.extra or self.kinds.nameless)

    @cached_property
    def result(self) -> Reader:
        """What reads the result."""
        return self._reader("return", self._hints.get("return", Any))

    def _type_of(self, parameter: Parameter) -> Any:
        hint = self._hints.get(parameter.name, Any)
        if parameter.kind is Parameter.VAR_POSITIONAL:
            return GenericAlias(list, (hint,))
        return hint

    def _reader(self, name: str, hint: Any) -> Reader:
        try:
            return Reader(hint)
        except (TypeError, ValueError, NotImplementedError) as error:
            msg = (
                f"{self.name}: {name} is annotated {hint!r}, which JSON cannot carry: {error}. "
                "Annotate it as Any to pass plain JSON"
            )
            raise ConfigurationError(msg) from error

    @cached_property
    def _hints(self) -> Mapping[str, Any]:
        function = inspect.unwrap(self.function)
        try:
            return typing.get_type_hints(function, include_extras=True)
        except TypeError:  # no function, but something that can be called
            return {}
        except NameError as error:
            return self._hints_one_by_one(function, error)

    def _hints_one_by_one(self, function: Any, error: NameError) -> Mapping[str, Any]:
        """The hints of the caller's parameters alone: the context's may be for checkers only."""
        wanted = {*self.parameters, "return"}
        hints = {n: h for n, h in inspect.get_annotations(function).items() if n in wanted}
        names = getattr(function, "__globals__", {})
        try:
            return {n: _evaluated(h, names) for n, h in hints.items()}
        except NameError:
            msg = (
                f"{self.name}: an annotation cannot be resolved at run time ({error}). Import what "
                "it names outside of `if TYPE_CHECKING:`, and define it at the top of a module"
            )
            raise ConfigurationError(msg) from error


_FED: Final = (
    Parameter.POSITIONAL_ONLY,
    Parameter.POSITIONAL_OR_KEYWORD,
    Parameter.VAR_POSITIONAL,
    Parameter.KEYWORD_ONLY,
)


def _evaluated(hint: Any, names: dict[str, Any]) -> Any:
    """One annotation, resolved against the function's module alone."""
    holder = type("Holder", (), {"__annotations__": {"hint": hint}})
    return typing.get_type_hints(holder, globalns=names, include_extras=True)["hint"]


def _is_context(function: Callable[..., Any], parameter: Parameter) -> bool:
    """Whether a parameter asks for the `JobContext`; its annotation may still be a text."""
    hint = parameter.annotation
    if isinstance(hint, str):
        names = getattr(inspect.unwrap(function), "__globals__", {})
        hint = hint.strip("'\" ")
        module, _, name = hint.rpartition(".")
        holder = names.get(module.split(".")[0]) if module else None
        found = getattr(holder, name, None) if module else names.get(name)
        return found is JobContext or (found is None and name == JobContext.__name__)
    return hint is JobContext
