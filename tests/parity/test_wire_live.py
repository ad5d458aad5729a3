"""Our wire against Go's own msgpack codec: what we write it reads, what it reads we read."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any, Final, get_args

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from tasqueue.core.errors import DecodeError
from tasqueue.core.group import GroupMessage
from tasqueue.core.job import Job, JobMessage, JobOpts, Meta
from tasqueue.core.signing import Signing, sign
from tasqueue.core.wire import (
    decode_chain,
    decode_group,
    decode_job,
    encode_chain,
    encode_group,
    encode_job,
)
from tests.parity.message import CHAIN_MESSAGES, GROUP_MESSAGES, JOB_MESSAGES, written_loosely
from tests.parity.program import GoDecoder, GoRefusedError, MessageKind

KINDS: Final = get_args(MessageKind)
MESSAGES: Final = {"job": JOB_MESSAGES, "group": GROUP_MESSAGES, "chain": CHAIN_MESSAGES}
VECTORS: Final = [
    vector
    for vector in json.loads(Path(__file__).with_name("vectors.json").read_text())
    if vector["type"] in KINDS
]

# What Go reads although msgpack forbids it: a second with more nanoseconds than it has, and an
# extension header in front of a map. No encoder writes either; we refuse both.
BEYOND_MSGPACK: Final = ("not greater than 999999999", "is a map, not ExtType")

_DECODE: Final[dict[str, Callable[[bytes], Any]]] = {
    "job": decode_job,
    "group": decode_group,
    "chain": decode_chain,
}
_ENCODE: Final[dict[str, Callable[[Any], bytes]]] = {
    "job": encode_job,
    "group": encode_group,
    "chain": encode_chain,
}


def _raw(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def written(kind: MessageKind, message: Any) -> bytes:
    """Our bytes of ``message``, with the keys of JobStatus in the order of the Go program."""
    if isinstance(message, GroupMessage):
        states = message.meta.job_status
        ordered = [(job_id, states[job_id]) for job_id in sorted(states, key=_raw)]
        states.clear()
        states.update(ordered)
    return _ENCODE[kind](message)


def read(kind: MessageKind, body: bytes) -> Any:
    return _DECODE[kind](body)


def assert_we_read_what_go_reads(go: GoDecoder, kind: MessageKind, body: bytes) -> None:
    """If Go accepts ``body``, so do we, with the same meaning."""
    try:
        reading = go.decode(kind, body)
    except GoRefusedError as refused:
        event("Go panics" if refused.panicked else "Go refuses")
        return
    event("Go accepts")
    try:
        message = read(kind, body)
    except DecodeError as error:
        if str(error).rstrip(".").endswith(BEYOND_MSGPACK):
            return
        pytest.fail(f"Go reads {body.hex()} as {reading.value}, we say: {error}")
    assert written(kind, message) == reading.rewritten


def test_go_reads_a_signed_message_as_the_plain_one(go_decoder: GoDecoder) -> None:
    plain = encode_job(JobMessage(Meta("a", queue="q"), Job("add", b"{}", JobOpts(id="a"))))
    signed = sign(plain, "q", Signing(keys={"2026-11": b"k" * 32}))
    assert go_decoder.decode("job", signed).rewritten == plain


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_go_reads_its_captured_vectors_as_we_do(go_decoder: GoDecoder, vector: Any) -> None:
    body = bytes.fromhex(vector["hex"])
    reading = go_decoder.decode(vector["type"], body)
    assert written(vector["type"], read(vector["type"], body)) == reading.rewritten
    assert reading.value == vector["value"]


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_go_reads_what_we_write_and_writes_the_same_bytes(
    go_decoder: GoDecoder, kind: MessageKind, data: st.DataObject
) -> None:
    body = written(kind, data.draw(MESSAGES[kind]))
    assert go_decoder.decode(kind, body).rewritten == body


@given(message=JOB_MESSAGES, ext=st.dictionaries(st.text(), st.text() | st.integers(0, 9)))
def test_go_reads_past_our_extra_facts(
    go_decoder: GoDecoder, message: JobMessage, ext: dict[str, object]
) -> None:
    job = dataclasses.replace(message.job, ext=ext)
    child = dataclasses.replace(job, on_error=[job])
    carrying = JobMessage(message.meta, dataclasses.replace(job, on_success=[child, job]))
    bare_child = dataclasses.replace(message.job, on_error=[message.job])
    bare = dataclasses.replace(message.job, on_success=[bare_child, message.job])
    reading = go_decoder.decode("job", encode_job(carrying))
    assert reading.rewritten == encode_job(JobMessage(message.meta, bare))


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("job", b"\xc0"),
        ("job", b"\x80"),
        ("job", b"\x90"),  # an empty array is an empty struct
        ("job", b"\x81\xa3Job\xc0"),
        ("job", b"\x81\xa3Job\x90"),
        ("job", b"\x81\xa3New\x81\x80\x80"),  # a map as the key of a map that is skipped
        ("job", b"\x81\xa3New\xd4\xfe\x00"),  # an extension type of msgpack's own that is skipped
        ("job", b"\x81\xa8MaxRetry\xff"),
        ("group", b"\x81\xa5Group\x81\xa4Jobs\x91\xc0"),  # a nil where Go keeps no pointer
        ("group", b"\x81\xa5Group\x90"),
        ("group", b"\x81\xa9JobStatus\x81\xc0\xc0"),
        ("chain", b"\x81\xa8PrevJobs\x92\xc0\xc4\x01x"),
    ],
)
def test_oddities_that_go_accepts_mean_the_same_to_us(
    go_decoder: GoDecoder, kind: MessageKind, body: bytes
) -> None:
    reading = go_decoder.decode(kind, body)
    assert written(kind, read(kind, body)) == reading.rewritten


@pytest.mark.parametrize("field", ["ProcessedAt", "ETA"])
def test_a_nil_time_kills_go_and_not_us(go_decoder: GoDecoder, field: str) -> None:
    key = bytes([0xA0 | len(field)]) + field.encode() + b"\xc0"
    body = b"\x81" + (key if field == "ProcessedAt" else b"\xa3Job\x81\xa4Opts\x81" + key)
    with pytest.raises(GoRefusedError, match="panic"):
        go_decoder.decode("job", body)
    mended = encode_job(decode_job(body))
    assert go_decoder.decode("job", mended).rewritten == mended


def test_go_reads_a_chain_of_the_longest_length_that_we_send(go_decoder: GoDecoder) -> None:
    job = Job("last")
    for _ in range(200):
        job = Job("link", b"{}", on_success=[job])
    body = encode_job(JobMessage(Meta("deep"), job))
    assert go_decoder.decode("job", body).rewritten == body
    assert encode_job(decode_job(body)) == body


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data(), rng=st.randoms(use_true_random=False))
def test_forms_that_mean_the_same_to_go_mean_the_same_to_us(
    go_decoder: GoDecoder, kind: MessageKind, data: st.DataObject, rng: Random
) -> None:
    body = written(kind, data.draw(MESSAGES[kind]))
    loose = written_loosely(body, rng)
    assert go_decoder.decode(kind, loose).rewritten == body, "the test's own writer is wrong"
    assert written(kind, read(kind, loose)) == body


_HEADS: Final = b"\x80\x90\xa0\xc0\xc2\xc4\xc7\xcb\xcc\xcf\xd0\xd4\xd6\xd9\xdc\xde\x00\xff"


@given(
    vector=st.sampled_from(VECTORS),
    loosely=st.none() | st.randoms(use_true_random=False),
    changes=st.lists(
        st.tuples(
            st.integers(0, 4000),
            st.integers(0, 2),
            st.sampled_from(_HEADS).map(lambda head: bytes([head])) | st.binary(max_size=2),
        ),
        min_size=1,
        max_size=3,
    ),
)
def test_whatever_go_accepts_of_damaged_bytes_we_accept(
    go_decoder: GoDecoder,
    vector: Any,
    loosely: Random | None,
    changes: list[tuple[int, int, bytes]],
) -> None:
    body = bytes.fromhex(vector["hex"])
    if loosely is not None:
        body = written_loosely(body, loosely)
    for place, cut, new in changes:
        at = place % (len(body) + 1)
        body = body[:at] + new + body[at + cut :]
    assert_we_read_what_go_reads(go_decoder, vector["type"], body)
