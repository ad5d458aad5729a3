"""Arguments to JSON and back: binding, checking, and where the result of the job before goes."""

import enum
import json
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, TypedDict

import attrs
import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasqueue.core.errors import ArgumentError, ConfigurationError, Reject
from tasqueue.engine.context import JobContext
from tasqueue.sdk.payload import Given, bind, bind_rest, sealed, unpack
from tasqueue.sdk.shape import Shape


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


@dataclass
class Item:
    price: float


@dataclass
class Order:
    items: list[Item]


@attrs.define
class Point:
    x: int
    y: int = 0


class Model(pydantic.BaseModel):
    count: int
    at: datetime


class Wrapped(pydantic.BaseModel):
    models: list[Model]


class Record(msgspec.Struct):
    name: str


class Line(TypedDict):
    price: Decimal


class Pair(NamedTuple):
    left: int
    right: str


def shape_of(function: Callable[..., Any]) -> Shape:
    return Shape(function, "shop.task")


def sent(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    return json.loads(bind(shape_of(function), args, kwargs))


def arrived(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Given:
    shape = shape_of(function)
    return unpack(shape, bind(shape, args, kwargs))


def refused(function: Callable[..., Any], *args: Any, **kwargs: Any) -> str:
    with pytest.raises(ArgumentError) as caught:
        bind(shape_of(function), args, kwargs)
    return str(caught.value)


def add(a: int, b: int = 2) -> int:
    return a + b


def test_a_payload_is_a_json_object_by_parameter_name() -> None:
    assert sent(add, 1, 2) == {"a": 1, "b": 2}
    assert sent(add, b=1, a=2) == {"a": 2, "b": 1}
    assert bind(shape_of(add), (1, 2), {}) == b'{"a":1,"b":2}'


def test_a_default_that_is_not_given_is_left_to_the_worker() -> None:
    assert sent(add, 1) == {"a": 1}


@pytest.mark.parametrize(
    ("args", "kwargs", "said"),
    [
        ((), {}, "is missing 'a'"),
        ((1, 2, 3), {}, "takes 2 positional arguments, and got 3"),
        ((1,), {"c": 1}, "unexpected argument 'c'"),
        ((1,), {"a": 1}, "got 'a' twice"),
        (("1",), {}, "argument a: expected `int`, got `str`"),
        ((1,), {"b": 1.5}, "argument b: expected `int`, got `float`"),
        ((None,), {}, "argument a: expected `int`, got `null`"),
    ],
)
def test_a_call_that_does_not_fit_is_refused_by_name(
    args: tuple[Any, ...], kwargs: dict[str, Any], said: str
) -> None:
    text = refused(add, *args, **kwargs)
    assert said in text
    assert text.startswith("shop.task(a: int, b: int = 2) -> int")


def test_a_refusal_names_the_path_inside_the_argument() -> None:
    def pay(order: Order) -> None: ...

    wrong = Order([Item(1.0), Item(2.0), Item("much")])  # type: ignore[arg-type]
    assert "argument order.items[2].price: expected `float`" in refused(pay, wrong)
    assert "argument order.items[0].price" in refused(pay, {"items": [{"price": None}]})


def test_what_json_cannot_carry_is_named_with_its_path() -> None:
    def hold(lock: Any) -> None: ...

    assert "argument lock: a lock cannot be" in refused(hold, threading.Lock())
    assert "argument lock.items[1]: a lock" in refused(hold, {"items": [1, threading.Lock()]})
    loop: list[Any] = []
    loop.append(loop)
    assert "argument lock" in refused(hold, loop)
    assert "argument lock: a str cannot be" in refused(hold, "\ud800")


def test_a_value_that_only_looks_right_in_json_is_refused() -> None:
    def shout(text: str) -> None: ...

    for value in (datetime.now(UTC), uuid.uuid4(), Decimal(1), b"x"):
        assert "argument text: expected `str`" in refused(shout, value)


def everything(
    at: datetime,
    day: date,
    span: timedelta,
    key: uuid.UUID,
    money: Decimal,
    colour: Colour,
    order: Order,
    point: Point,
    model: Model,
    wrapped: Wrapped,
    record: Record,
    line: Line,
    pair: Pair,
    path: Path,
    blob: bytes,
    numbers: set[int],
    by_key: dict[int, list[Point]],
    choice: Literal["a", "b"],
    maybe: int | None,
) -> None: ...


def test_every_kind_of_value_comes_back_as_its_annotation_says() -> None:
    model = Model(count=1, at=datetime(2026, 1, 2, tzinfo=UTC))
    values = {
        "at": datetime(2026, 11, 24, 3, 4, 5, 678901, tzinfo=UTC),
        "day": date(2026, 12, 24),
        "span": timedelta(hours=1, microseconds=5),
        "key": uuid.UUID(int=5),
        "money": Decimal("12.340"),
        "colour": Colour.BLUE,
        "order": Order([Item(1.5)]),
        "point": Point(1),
        "model": model,
        "wrapped": Wrapped(models=[model]),
        "record": Record("x"),
        "line": {"price": Decimal("0.1")},
        "pair": Pair(1, "x"),
        "path": Path("/tmp/x"),
        "blob": b"\x00\xff",
        "numbers": {1, 2},
        "by_key": {3: [Point(1, 2)]},
        "choice": "b",
        "maybe": None,
    }
    assert arrived(everything, **values).kwargs == values


def test_a_pydantic_model_is_checked_by_pydantic_with_its_path() -> None:
    def take(wrapped: Wrapped) -> None: ...

    text = refused(take, {"models": [{"count": "many", "at": "2026-01-01T00:00:00Z"}]})
    assert "argument wrapped.models[0].count:" in text


def test_unannotated_parameters_take_plain_json() -> None:
    def loose(a, b=None):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202 -- the case
        return a, b

    assert arrived(loose, {"x": [1, None]}, b=True).kwargs == {"a": {"x": [1, None]}, "b": True}


def test_star_args_travel_as_a_list_and_star_kwargs_beside_the_others() -> None:
    def variadic(first: int, *rest: int, **extra: str) -> None: ...

    assert sent(variadic, 1, 2, 3, x="y") == {"first": 1, "rest": [2, 3], "x": "y"}
    assert arrived(variadic, 1, 2, 3, x="y") == Given([1, 2, 3], {"x": "y"})
    assert arrived(variadic, 1) == Given([], {"first": 1})
    assert "argument rest[1]: expected `int`" in refused(variadic, 1, 2, "3")
    assert "argument x: expected `str`" in refused(variadic, 1, x=2)
    assert "unexpected argument 'rest'" in refused(variadic, 1, rest="x")


def test_positional_only_parameters_arrive_by_place() -> None:
    def by_place(a: int, b: int = 5, /, *, c: int = 0) -> None: ...

    assert arrived(by_place, 1) == Given([1, 5], {})
    assert arrived(by_place, 1, 2, c=3) == Given([1, 2], {"c": 3})
    assert "unexpected argument 'a'" in refused(by_place, a=1)


def test_a_leading_context_is_no_parameter_of_the_payload() -> None:
    def with_context(ctx: JobContext, a: int) -> None: ...

    def in_quotes(ctx: "JobContext", a: int) -> None: ...

    for function in (with_context, in_quotes):
        assert shape_of(function).wants_context
        assert sent(function, 1) == {"a": 1}


def test_a_first_parameter_of_any_type_is_no_context() -> None:
    def anything(ctx: Any) -> None: ...

    assert not shape_of(anything).wants_context


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"\xff\xfe", "not JSON"),
        (b"[1]", "expected `object`, got `array`"),
        (b"{", "not JSON"),
        (b'{"b":1}', "is missing 'a'"),
        (b'{"a":"1"}', "argument a: expected `int`"),
        (b'{"a":1,"z":1}', "unknown field `z`"),
        (b"", "is missing 'a'"),
        (b'{"a":' + b"[" * 100_000, "argument a"),
    ],
)
def test_a_payload_that_does_not_fit_is_rejected_for_good(body: bytes, said: str) -> None:
    with pytest.raises(Reject, match=said.replace("(", "\\(")):
        unpack(shape_of(add), body)


def test_an_annotation_that_json_cannot_tell_apart_is_refused_by_name() -> None:
    def unclear(at: str | datetime) -> None: ...

    with pytest.raises(ConfigurationError, match=r"shop\.task: at is annotated .*Any"):
        bind(shape_of(unclear), ("x",), {})


def test_an_annotation_that_is_not_there_at_run_time_is_named() -> None:
    def unresolved(a: "Nowhere") -> None: ...  # type: ignore[name-defined]  # noqa: F821 -- the case

    with pytest.raises(ConfigurationError, match=r"Nowhere.*TYPE_CHECKING"):
        bind(shape_of(unresolved), (1,), {})


# -- the result of the job before ----------------------------------------------------------------


def follows(function: Callable[..., Any], payload: bytes, previous: bytes) -> Given:
    return unpack(shape_of(function), payload, previous)


def test_the_previous_result_goes_to_the_first_parameter_if_the_payload_lacks_it() -> None:
    assert follows(add, b'{"b":3}', b"4").kwargs == {"a": 4, "b": 3}
    assert follows(add, b"{}", b"4").kwargs == {"a": 4}


def test_else_it_goes_to_the_first_required_parameter_that_is_lacking() -> None:
    def three(a: int, b: int = 1, *, c: int) -> None: ...

    assert follows(three, b'{"a":1}', b"4").kwargs == {"a": 1, "c": 4}


def test_else_it_is_dropped_and_fills_no_default() -> None:
    assert follows(add, b'{"a":1}', b"4").kwargs == {"a": 1}

    def nothing() -> None: ...

    assert follows(nothing, b"", b"4") == Given([], {})


def test_the_previous_result_is_converted_by_the_parameters_type() -> None:
    def pay(order: Order) -> None: ...

    def many(*values: float) -> None: ...

    assert follows(pay, b"", b'{"items":[{"price":1}]}').kwargs == {"order": Order([Item(1.0)])}
    assert follows(many, b"", b"3").args == [3.0]
    with pytest.raises(Reject, match=r"job before does not fit order\.items\[0\]\.price"):
        follows(pay, b"", b'{"items":[{"price":"x"}]}')
    with pytest.raises(Reject, match="job before does not fit"):
        follows(pay, b"", b"\xff")


def test_a_link_is_bound_without_its_first_parameter() -> None:
    shape = shape_of(add)
    assert bind_rest(shape, (10,), {}) == b'{"b":10}'
    assert bind_rest(shape, (), {}) == b"{}"
    for args, kwargs in [((1, 2), {}), ((), {"a": 1}), (("x",), {}), ((), {"z": 1})]:
        with pytest.raises(ArgumentError):
            bind_rest(shape, args, kwargs)


def test_a_function_without_parameters_cannot_follow_a_result() -> None:
    def nothing() -> None: ...

    with pytest.raises(ArgumentError, match="no parameter for the result"):
        bind_rest(shape_of(nothing), (), {})


def test_a_complete_signature_stays_complete_behind_another_job() -> None:
    def greet(name: str = "you") -> None: ...

    shape = shape_of(greet)
    assert unpack(shape, sealed(shape, bind(shape, (), {})), b'"me"').kwargs == {"name": "you"}


# -- laws ----------------------------------------------------------------------------------------

_TYPES: dict[Any, st.SearchStrategy[Any]] = {
    int: st.integers(-(2**63), 2**63 - 1),
    str: st.text(),
    float: st.floats(allow_nan=False, allow_infinity=False),
    bool: st.booleans(),
    bytes: st.binary(),
    list[int]: st.lists(st.integers(0, 9)),
    datetime: st.datetimes(timezones=st.just(UTC)),
    Decimal: st.decimals(allow_nan=False, allow_infinity=False),
    uuid.UUID: st.uuids(),
    Colour: st.sampled_from(Colour),
}


@st.composite
def calls(draw: st.DrawFn) -> tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]:
    """A function of any signature, and arguments that fit it."""
    kinds = draw(st.lists(st.sampled_from(["only", "plain", "keyword"]), max_size=5))
    kinds.sort(key=["only", "plain", "keyword"].index)
    types = [draw(st.sampled_from(list(_TYPES))) for _ in kinds]
    values = [draw(_TYPES[type_]) for type_ in types]
    names = [f"p{index}" for index in range(len(kinds))]
    parts: list[str] = []
    for index, (name, kind) in enumerate(zip(names, kinds, strict=True)):
        if kind == "keyword" and "keyword" not in kinds[:index]:
            parts.append("*")
        parts.append(f"{name}: types[{index}]")
        if kind == "only" and "only" not in kinds[index + 1 :]:
            parts.append("/")
    space: dict[str, Any] = {"types": types}
    body = f"def made({', '.join(parts)}):\n    return [{', '.join(names)}]"
    exec(body, space)  # noqa: S102 -- the test's own text
    by_place = {"only": len(kinds), "plain": draw(st.integers(0, len(kinds))), "keyword": 0}
    args = [v for i, (v, k) in enumerate(zip(values, kinds, strict=True)) if i < by_place[k]]
    named = dict(zip(names[len(args) :], values[len(args) :], strict=True))
    return space["made"], tuple(args), named


@given(calls())
def test_a_function_gets_in_the_worker_what_it_was_sent(
    call: tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]],
) -> None:
    function, args, kwargs = call
    given_args, given_kwargs = arrived(function, *args, **kwargs)
    assert function(*given_args, **given_kwargs) == function(*args, **kwargs)


@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode), st.none() | st.binary())
def test_hostile_bytes_are_rejected_and_nothing_worse(body: bytes, previous: bytes | None) -> None:
    try:
        unpack(shape_of(everything), body, previous)
    except Reject:
        return
    pytest.fail("nothing short fits all these parameters")


class Euro(int):
    """A number with a name."""


class Address(str):
    """A text with a name."""

    __slots__ = ()


def test_a_subclass_of_a_plain_type_arrives_as_itself() -> None:
    def pay(amount: Euro, to: Address, rest: Any = None) -> None: ...

    given = arrived(pay, Euro(3), Address("x"), MappingProxyType({"a": Euro(1)}))
    assert given.kwargs == {"amount": 3, "to": "x", "rest": {"a": 1}}
    assert (type(given.kwargs["amount"]), type(given.kwargs["to"])) == (Euro, Address)
    assert "argument amount: expected `Euro`, got `str`" in refused(pay, "3", Address("x"))


def test_what_cannot_be_written_is_found_in_records_of_every_kind() -> None:
    def take(value: Any) -> None: ...

    lock = threading.Lock()
    for record, path in (
        (attrs.make_class("Door", ["lock"])(lock), "value.lock"),
        (msgspec.defstruct("Gate", [("lock", Any)])(lock), "value.lock"),
        ({1: (lock,)}, "value[1][0]"),
    ):
        assert f"argument {path}: a lock cannot be written as JSON" in refused(take, record)


def test_a_link_whose_arguments_would_stand_before_the_result_is_refused() -> None:
    def many(*values: int) -> None: ...

    with pytest.raises(ArgumentError, match=r"its \*values, which leaves no place for more"):
        bind_rest(shape_of(many), (1,), {})
    with pytest.raises(ArgumentError, match="gets 'a' from the job before it"):
        bind_rest(shape_of(add), (), {"a": 1})


def test_a_callable_without_a_signature_cannot_be_a_task() -> None:
    with pytest.raises(ConfigurationError, match="no signature to check its arguments against"):
        shape_of(max)
