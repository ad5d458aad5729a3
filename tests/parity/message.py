"""Messages to send past Go: strategies for any of ours, and the loose forms that Go also reads."""

import struct
from collections.abc import Callable, Iterator
from random import Random
from typing import Any, Final

import msgpack
from hypothesis import strategies as st

from tasqueue.core.chain import ChainMessage, ChainMeta
from tasqueue.core.group import Group, GroupMessage, GroupMeta, GroupOpts
from tasqueue.core.job import Job, JobMessage, JobOpts, Meta

_SECOND: Final = 1_000_000_000
_GO_STATUSES: Final = ("queued", "processing", "retrying", "successful", "failed")

# -- any message ----------------------------------------------------------------------------------

TEXTS: Final = st.one_of(
    st.text(max_size=40),
    st.sampled_from(["", "tasqueue:tasks", "grüße"]),
    st.sampled_from([31, 32, 255, 256]).map("x".__mul__),  # at the borders of the widths
    st.binary(max_size=8).map(lambda raw: raw.decode("utf-8", "surrogateescape")),
)
BLOBS: Final = st.one_of(
    st.none(),
    st.binary(max_size=40),
    st.sampled_from([0, 255, 256, 65_535, 65_536]).map(bytes),  # at the borders of the widths
)
COUNTS: Final = st.one_of(st.integers(0, 3), st.integers(0, 2**32 - 1))
INSTANTS: Final = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.integers(0, 2**35).map(lambda seconds: seconds * _SECOND),
    st.sampled_from([0, -1, (2**32 - 1) * _SECOND, 2**32 * _SECOND, 2**34 * _SECOND - 1]),
)
SPANS: Final = st.one_of(st.just(0), st.integers(-(2**63), 2**63 - 1))

_OPTS: Final = st.builds(
    JobOpts,
    id=TEXTS,
    queue=TEXTS,
    max_retries=COUNTS,
    schedule=TEXTS,
    eta_ns=INSTANTS,
    timeout_ns=SPANS,
)


def _jobs(children: st.SearchStrategy[Job]) -> st.SearchStrategy[Job]:
    lists = st.lists(children, max_size=3)
    return st.builds(Job, task=TEXTS, payload=BLOBS, opts=_OPTS, on_success=lists, on_error=lists)


JOBS: Final = st.recursive(
    st.builds(Job, task=TEXTS, payload=BLOBS, opts=_OPTS), _jobs, max_leaves=6
)
_METAS: Final = st.builds(
    Meta,
    id=TEXTS,
    status=st.one_of(st.sampled_from(_GO_STATUSES), TEXTS),
    queue=TEXTS,
    schedule=TEXTS,
    max_retry=COUNTS,
    retried=COUNTS,
    prev_err=TEXTS,
    processed_at_ns=INSTANTS,
    prev_job_result=BLOBS,
    on_success_ids=st.lists(TEXTS, max_size=20),
)
JOB_MESSAGES: Final = st.builds(JobMessage, _METAS, JOBS)
GROUP_MESSAGES: Final = st.builds(
    GroupMessage,
    st.builds(
        GroupMeta,
        id=TEXTS,
        status=st.sampled_from(_GO_STATUSES),
        job_status=st.dictionaries(TEXTS, st.sampled_from(_GO_STATUSES), max_size=20),
    ),
    st.none() | st.builds(Group, st.lists(JOBS, max_size=3), st.builds(GroupOpts, id=TEXTS)),
)
CHAIN_MESSAGES: Final = st.builds(
    ChainMessage,
    st.builds(
        ChainMeta,
        id=TEXTS,
        status=st.sampled_from(_GO_STATUSES),
        job_id=TEXTS,
        prev_jobs=st.lists(TEXTS, max_size=20),
    ),
)

# -- the same meaning, written as only a foreign client would -------------------------------------

_ZERO_TIME: Final = msgpack.Timestamp(-62_135_596_800, 0)
_ZEROES: Final = (None, 0, "", _ZERO_TIME)
_UNKNOWN: Final = (None, True, 1.5, [1, [2]], {"a": {"b": b"c"}}, msgpack.ExtType(7, b"seven"))


def written_loosely(body: bytes, rng: Random) -> bytes:
    """``body`` once more, in one of the other forms that mean the same to Go's decoder."""
    tree = msgpack.unpackb(body, unicode_errors="surrogateescape")
    return b"".join(_value(tree, rng)) + rng.choice([b"", b"", b"\xc1", b"trailing"])


def _value(value: Any, rng: Random) -> Iterator[bytes]:
    if isinstance(value, dict):
        yield from _struct(value, rng)
    elif isinstance(value, list):
        yield _head(rng, len(value), fix=(0x90, 16), wide=(None, 0xDC, 0xDD))
        for item in value:
            yield from _value(item, rng)
    elif value == "" or (type(value) is int and value == 0):
        yield rng.choice([b"\xc0", *_scalar(value, rng)])
    else:
        yield rng.choice([*_scalar(value, rng)])


def _scalar(value: Any, rng: Random) -> Iterator[bytes]:
    if isinstance(value, str):
        yield _bytes(value.encode("utf-8", "surrogateescape"), rng)
    elif isinstance(value, bytes):
        yield _bytes(value, rng)
    elif isinstance(value, int):
        yield from _integers(value)
    elif isinstance(value, msgpack.Timestamp):
        yield from _instants(value)
    else:
        yield msgpack.packb(value)


def _struct(fields: dict[str, Any], rng: Random) -> Iterator[bytes]:
    if "JobStatus" not in fields and rng.random() < 0.15:
        yield _head(rng, len(fields), fix=(0x90, 16), wide=(None, 0xDC, 0xDD))
        for value in fields.values():
            yield from _value(value, rng)
        return
    kept = [item for item in fields.items() if item[1] not in _ZEROES or rng.random() < 0.7]
    if rng.random() < 0.5:
        rng.shuffle(kept)
    extra = {f"Unknown{at}": rng.choice(_UNKNOWN) for at in range(rng.choice([0, 0, 1, 3]))}
    yield _head(rng, len(kept) + len(extra), fix=(0x80, 16), wide=(None, 0xDE, 0xDF))
    for key, value in extra.items():
        yield _bytes(key.encode(), rng) + msgpack.packb(value)
    for key, value in kept:
        yield _bytes(key.encode(), rng)
        yield from (
            _states(value, rng) if key == "JobStatus" and value is not None else _value(value, rng)
        )


def _states(states: dict[str, str], rng: Random) -> Iterator[bytes]:
    yield _head(rng, len(states), fix=(0x80, 16), wide=(None, 0xDE, 0xDF))
    for text in (text for item in states.items() for text in item):
        yield _bytes(text.encode("utf-8", "surrogateescape"), rng)


def _head(
    rng: Random, size: int, *, fix: tuple[int, int], wide: tuple[int | None, int, int]
) -> bytes:
    """A header for ``size`` in one of the widths that hold it."""
    heads = [bytes([fix[0] | size])] if size < fix[1] else []
    for code, form, limit in zip(wide, (">BB", ">BH", ">BI"), (2**8, 2**16, 2**32), strict=True):
        if code is not None and size < limit:
            heads.append(struct.pack(form, code, size))
    return rng.choice(heads)


def _bytes(data: bytes, rng: Random) -> bytes:
    """Text or bytes, as str or as bin, in any width."""
    if rng.random() < 0.5:
        return _head(rng, len(data), fix=(0xA0, 32), wide=(0xD9, 0xDA, 0xDB)) + data
    return _head(rng, len(data), fix=(0, 0), wide=(0xC4, 0xC5, 0xC6)) + data


def _integers(value: int) -> Iterator[bytes]:
    forms: list[tuple[int, str, Callable[[], bool]]] = [
        (0xCC, ">BB", lambda: 0 <= value < 2**8),
        (0xCD, ">BH", lambda: 0 <= value < 2**16),
        (0xCE, ">BI", lambda: 0 <= value < 2**32),
        (0xCF, ">BQ", lambda: 0 <= value < 2**64),
        (0xD0, ">Bb", lambda: -(2**7) <= value < 2**7),
        (0xD1, ">Bh", lambda: -(2**15) <= value < 2**15),
        (0xD2, ">Bi", lambda: -(2**31) <= value < 2**31),
        (0xD3, ">Bq", lambda: -(2**63) <= value < 2**63),
    ]
    if -32 <= value < 128:
        yield struct.pack(">b", value)
    for code, form, fits in forms:
        if fits():
            yield struct.pack(form, code, value)


def _instants(at: msgpack.Timestamp) -> Iterator[bytes]:
    if at.nanoseconds == 0 and 0 <= at.seconds < 2**32:
        yield struct.pack(">BBI", 0xD6, 0xFF, at.seconds)
        yield struct.pack(">BBBI", 0xC7, 4, 0xFF, at.seconds)
    if 0 <= at.seconds < 2**34:
        both = at.nanoseconds << 34 | at.seconds
        yield struct.pack(">BBQ", 0xD7, 0xFF, both)
        yield struct.pack(">BBBQ", 0xC7, 8, 0xFF, both)
    yield struct.pack(">BBBIq", 0xC7, 12, 0xFF, at.nanoseconds, at.seconds)
    yield struct.pack(">BHBIq", 0xC8, 12, 0xFF, at.nanoseconds, at.seconds)
