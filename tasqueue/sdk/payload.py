"""Arguments to payloads and back: bound to the signature, checked, JSON objects by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from inspect import Parameter
from typing import Any, Final, NamedTuple

import msgspec

from tasqueue.core.errors import ArgumentError, Reject
from tasqueue.sdk.conversion import Misfit, join, to_json
from tasqueue.sdk.options import CALL_OPTIONS
from tasqueue.sdk.shape import Shape

_RAW: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])


class Given(NamedTuple):
    """A function's arguments, as it is called with them."""

    args: list[Any]
    kwargs: dict[str, Any]


def bind(shape: Shape, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bytes:
    """The payload of a complete call.

    Raises:
        ArgumentError: an argument is missing, too many, of the wrong type, or no JSON.
    """
    values = _placed(shape, args, kwargs)
    missing = [name for name in shape.kinds.required if name not in values]
    if missing:
        raise _refusal(shape, f"is missing {_names(missing)}")
    return _written(shape, values)


def bind_rest(shape: Shape, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bytes:
    """The payload of a link: everything but the parameter that the result before it fills.

    Raises:
        ArgumentError: as `bind`; or there is no parameter to fill, or it was given.
    """
    first = shape.first
    if not first:
        problem = "has no parameter for the result of the job before it: as a link take s()"
        raise _refusal(shape, problem)
    if first == shape.kinds.rest and args:
        problem = f"gets the result before it as its *{first}, which leaves no place for more"
        raise _refusal(shape, problem)
    if first in kwargs:
        raise _refusal(shape, f"gets {first!r} from the job before it, and was given it too")
    hole = () if first not in shape.kinds.positional else (None,)
    values = _placed(shape, (*hole, *args), kwargs)
    values.pop(first, None)
    missing = [name for name in shape.kinds.required if name not in values and name != first]
    if missing:
        raise _refusal(shape, f"is missing {_names(missing)} beside the result before it")
    return _written(shape, values)


def bind_raw(shape: Shape, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bytes:
    """The payload of a ``raw=True`` task: its one argument as it is.

    Raises:
        ArgumentError: there is not exactly one argument, or it is no bytes.
    """
    values = list(_placed(shape, args, kwargs).values())
    if len(values) != 1 or not isinstance(values[0], bytes | bytearray | memoryview):
        raise _refusal(shape, "is raw: it takes one argument, the bytes of the payload")
    return bytes(values[0])


def sealed(shape: Shape, payload: bytes) -> bytes:
    """A complete call's payload with the first parameter's default written out.

    So a complete signature stays complete in a chain: the result before it finds no gap.
    """
    first = shape.first
    given = _RAW.decode(payload)
    if not first or first in given:
        return payload
    default = [] if first == shape.kinds.rest else shape.parameters[first].default
    return to_json({first: default, **given})


def by_name(arguments: Mapping[str, Any], task: str) -> bytes:
    """The payload of a task that is known by name only.

    Raises:
        ArgumentError: an argument cannot be written as JSON.
    """
    try:
        return to_json(dict(arguments))
    except Misfit as error:
        msg = f"{task}: argument {error.path}: {error.reason}"
        raise ArgumentError(msg) from error


def unpack(shape: Shape, payload: bytes, previous: bytes | None = None) -> Given:
    """What the function is called with.

    The result of the job before goes to the first parameter if the payload lacks it, else to the
    first required one that it lacks, else nowhere.

    Raises:
        Reject: the payload, or the previous result, does not fit the signature.
    """
    given = _split(shape, payload or b"{}")
    if shape.is_plain and len(given) == len(shape.named):
        return Given([], given)
    if previous is not None:
        name = _gap(shape, given)
        if name:
            given[name] = _previous(shape, name, previous)
    missing = [name for name in shape.kinds.required if name not in given]
    if missing:
        msg = f"{shape.text} is missing {_names(missing)}"
        raise Reject(msg)
    return _arranged(shape, given)


def _placed(shape: Shape, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments by the names that the payload uses; nothing is missing yet."""
    kinds = shape.kinds
    values: dict[str, Any] = dict(zip(kinds.positional, args, strict=False))
    over = args[len(kinds.positional) :]
    if over:
        if not kinds.rest:
            count = len(kinds.positional)
            raise _refusal(shape, f"takes {count} positional arguments, and got {len(args)}")
        values[kinds.rest] = list(over)
    for name, value in kwargs.items():
        if name in values:
            raise _refusal(shape, f"got {name!r} twice")
        fixed = name in shape.parameters and name not in {kinds.rest, kinds.extra}
        if (fixed and name not in kinds.nameless) or (kinds.extra and name not in shape.named):
            values[name] = value
        else:
            hint = (
                f"; a call's options go before it: using({name}=…)" if name in CALL_OPTIONS else ""
            )
            raise _refusal(shape, f"got an unexpected argument {name!r}{hint}")
    return values


def _written(shape: Shape, values: dict[str, Any]) -> bytes:
    """Check each argument as it is and as it will be read, then write them."""
    try:
        payload = to_json(values)
        if shape.kinds.extra:
            _check_extra(shape, values)
            own = {name: value for name, value in values.items() if name in shape.named}
            shape.fields.read(payload if len(own) == len(values) else to_json(own))
            shape.fields.check(own)
        else:
            shape.fields.read(payload)
            shape.fields.check(values)
    except Misfit as error:
        msg = f"{shape.text}: argument {error.path}: {error.reason}"
        raise ArgumentError(msg) from error
    return payload


def _check_extra(shape: Shape, values: Mapping[str, Any]) -> None:
    reader = shape.readers[shape.kinds.extra]
    for name, value in values.items():
        if name not in shape.named:
            _inside(name, reader.check, value)
            _inside(name, reader.read, to_json(value))


def _inside(name: str, step: Any, value: Any) -> Any:
    """Do a step for one argument; what goes wrong names it."""
    try:
        return step(value)
    except Misfit as error:
        raise Misfit(error.reason, join(name, error.path)) from error


def _split(shape: Shape, payload: bytes) -> dict[str, Any]:
    """The arguments that a payload holds, read by their types."""
    try:
        if not shape.kinds.extra:
            return _present(shape, shape.fields.read(payload))
        raw = _RAW.decode(payload)
        own = {name: value for name, value in raw.items() if name in shape.named}
        given = _present(shape, shape.fields.read(msgspec.json.encode(own)))
        reader = shape.readers[shape.kinds.extra]
        others = (name for name in raw if name not in own)
        return given | {name: _inside(name, reader.read, bytes(raw[name])) for name in others}
    except (Misfit, msgspec.DecodeError, ValueError) as error:
        where = f"argument {error.path}: " if isinstance(error, Misfit) and error.path else ""
        msg = f"{shape.text}: {where}{getattr(error, 'reason', error)}"
        raise Reject(msg) from error


def _present(shape: Shape, read: Any) -> dict[str, Any]:
    pairs = zip(shape.named, msgspec.structs.astuple(read), strict=True)
    return {name: value for name, value in pairs if value is not msgspec.UNSET}


def _gap(shape: Shape, given: Mapping[str, Any]) -> str:
    """The parameter that takes the result of the job before, or ""."""
    if shape.first and shape.first not in given:
        return shape.first
    return next((name for name in shape.kinds.required if name not in given), "")


def _previous(shape: Shape, name: str, previous: bytes) -> Any:
    """The result of the job before, as its parameter's type; for ``*args`` a list of one."""
    body = b"[" + previous + b"]" if name == shape.kinds.rest else previous
    try:
        return shape.readers[name].read(body)
    except Misfit as error:
        path = join(name, error.path)
        msg = f"{shape.text}: the result of the job before does not fit {path}: {error.reason}"
        raise Reject(msg) from error


def _arranged(shape: Shape, given: dict[str, Any]) -> Given:
    """Values by name, as positional and keyword arguments."""
    kinds = shape.kinds
    rest = given.pop(kinds.rest, []) if kinds.rest else []
    by_place = kinds.positional if rest else [n for n in kinds.positional if n in kinds.nameless]
    call = Given([], {})
    for name in by_place:
        default = shape.parameters[name].default
        if name not in given and default is Parameter.empty:
            break
        call.args.append(given.pop(name, default))
    call.args.extend(rest)
    call.kwargs.update(given)
    return call


def _names(names: Iterable[str]) -> str:
    return ", ".join(repr(name) for name in names)


def _refusal(shape: Shape, problem: str) -> ArgumentError:
    return ArgumentError(f"{shape.text} {problem}")
