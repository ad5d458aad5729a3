"""Between Python values and JSON, by annotations: what msgspec knows, pydantic models and paths."""

from __future__ import annotations

import dataclasses
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Any, Final, NamedTuple, get_origin

import msgspec

_AT: Final = re.compile(r"(.*?)(?: - at `(?:key in )?\$\.?(.*)`)?", re.DOTALL)


class Misfit(ValueError):
    """A value that does not fit, and where in it the trouble lies."""

    def __init__(self, reason: str, path: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.path = path


class _Place(NamedTuple):
    """A value inside another, and how to get to it."""

    path: str
    value: object


def to_json(value: object) -> bytes:
    """Write a value as JSON.

    Raises:
        Misfit: JSON has no place for it, or for something in it; the path says where.
    """
    try:
        return _ENCODER.encode(value)
    except _UNWRITABLE:
        path, culprit = _culprit(_Place("", value))
        msg = f"a {type(culprit).__qualname__} cannot be written as JSON"
        raise Misfit(msg, path) from None


class Reader:
    """Reads JSON as one type, strictly: ``"1"`` is no int."""

    __slots__ = ("_decoder", "type")

    def __init__(self, type_: Any) -> None:
        """Prepare for a type.

        Raises:
            TypeError: no JSON tells the members of such a union apart.
        """
        self.type: Any = type_
        self._decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(type_, dec_hook=_made)

    def read(self, body: bytes) -> Any:
        """The value.

        Raises:
            Misfit: the bytes are not JSON, or not of the type.
        """
        try:
            return self._decoder.decode(body)
        except msgspec.ValidationError as error:
            raise misfit(error) from error
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            msg = f"not JSON: {error}"
            raise Misfit(msg) from error

    def check(self, value: object) -> None:
        """Look at a Python value: may it be written, to be read as this type?

        Raises:
            Misfit: it is of another type.
        """
        try:
            msgspec.convert(value, self.type, dec_hook=_made)
        except msgspec.ValidationError as error:
            raise misfit(error) from error


def misfit(error: msgspec.ValidationError) -> Misfit:
    """What msgspec found, with its path as one writes it in Python: ``items[2].price``."""
    found = _AT.fullmatch(str(error))
    reason, path = (found[1], found[2] or "") if found else (str(error), "")
    path = path.replace("[...]", "[…]")
    if isinstance(error.__cause__, Misfit):
        reason = error.__cause__.reason
        path = join(path, error.__cause__.path)
    return Misfit(reason[:1].lower() + reason[1:], path)


def join(outer: str, inner: str) -> str:
    """Two paths as one: ``order`` and ``items[2]`` make ``order.items[2]``."""
    between = "." if outer and inner and not inner.startswith("[") else ""
    return f"{outer}{between}{inner}"


_UNWRITABLE: Final = (TypeError, ValueError, OverflowError, NotImplementedError, RecursionError)


def _plain(value: Any) -> Any:
    """A value that msgspec cannot write, as one that it can (its ``enc_hook``)."""
    if is_pydantic(type(value)):
        return value.model_dump(mode="json")
    if isinstance(value, PurePath):
        return str(value)
    basics: tuple[Any, ...] = (str, int, float, dict, list, tuple, set, frozenset)
    for basic in basics:
        if isinstance(value, basic):
            return basic(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise NotImplementedError


def _made(type_: Any, value: Any) -> Any:
    """A value of a type that msgspec does not know (its ``dec_hook``)."""
    made: Any = get_origin(type_) or type_
    if is_pydantic(made):
        return _validated(made, value)
    if not isinstance(made, type) or isinstance(value, made):
        return value
    if issubclass(made, PurePath) and isinstance(value, str):
        return made(value)
    basics: tuple[Any, ...] = (str, int, float, dict, list)
    for basic in basics:
        if issubclass(made, basic) and isinstance(value, basic):
            return made(value)
    msg = f"Expected `{made.__qualname__}`, got `{type(value).__qualname__}`"
    raise Misfit(msg)


def is_pydantic(type_: Any) -> bool:
    """Whether it is a pydantic model; pydantic itself is never imported from here."""
    pydantic = sys.modules.get("pydantic")
    return (
        pydantic is not None and isinstance(type_, type) and issubclass(type_, pydantic.BaseModel)
    )


def _validated(model: Any, value: Any) -> Any:
    """A pydantic model made of plain data, in pydantic's JSON mode."""
    if isinstance(value, model):
        return value
    try:
        return model.model_validate_json(_ENCODER.encode(value))
    except sys.modules["pydantic"].ValidationError as error:
        first: Any = error.errors(include_url=False, include_context=False)[0]
        path = "".join(f"[{at}]" if isinstance(at, int) else f".{at}" for at in first["loc"])
        raise Misfit(str(first["msg"]), path.removeprefix(".")) from None


def _culprit(place: _Place, depth: int = 0) -> _Place:
    """The innermost value that keeps ``place`` from being written."""
    if depth > 50:
        return place
    for inner in _parts(place.value):
        try:
            _ENCODER.encode(inner.value)
        except _UNWRITABLE:
            return _culprit(_Place(join(place.path, inner.path), inner.value), depth + 1)
    return place


def _parts(value: Any) -> Iterator[_Place]:
    """The values directly inside a container or a record."""
    if isinstance(value, Mapping):
        yield from (
            _Place(key if isinstance(key, str) else f"[{key!r}]", part)
            for key, part in value.items()
        )
    elif isinstance(value, list | tuple | set | frozenset):
        yield from (_Place(f"[{index}]", part) for index, part in enumerate(value))
    else:
        yield from (_Place(name, getattr(value, name, None)) for name in _field_names(value))


def _field_names(value: Any) -> list[str]:
    """The fields of a record, whoever made its class."""
    if dataclasses.is_dataclass(value):
        return [field.name for field in dataclasses.fields(value)]
    attrs = getattr(type(value), "__attrs_attrs__", ())
    return list(getattr(type(value), "__struct_fields__", ())) or [field.name for field in attrs]


_ENCODER: Final = msgspec.json.Encoder(enc_hook=_plain)
