"""Go's wire: captured bytes come back to the byte, and hostile ones are only ever DecodeErrors."""

import json
from pathlib import Path
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasqueue.core.errors import DecodeError, EncodeError
from tasqueue.core.job import Job, JobMessage, JobOpts, Meta
from tasqueue.core.limits import MAX_DECODE
from tasqueue.core.wire import (
    TaskRecord,
    decode_chain,
    decode_group,
    decode_job,
    decode_task,
    encode_chain,
    encode_group,
    encode_job,
    encode_task,
    is_message_of,
)
from tests.parity.message import CHAIN_MESSAGES, GROUP_MESSAGES, JOB_MESSAGES

VECTORS = json.loads((Path(__file__).parents[1] / "parity" / "vectors.json").read_text())
CODECS: dict[str, Any] = {
    "job": (decode_job, encode_job),
    "group": (decode_group, encode_group),
    "chain": (decode_chain, encode_chain),
}
KINDS = {"job": JOB_MESSAGES, "group": GROUP_MESSAGES, "chain": CHAIN_MESSAGES}
MESSAGES = [vector for vector in VECTORS if vector["type"] in CODECS]


@pytest.mark.parametrize("vector", MESSAGES, ids=[vector["name"] for vector in MESSAGES])
def test_a_vector_of_go_comes_back_to_the_same_bytes(vector: dict[str, Any]) -> None:
    decode, encode = CODECS[vector["type"]]
    body = bytes.fromhex(vector["hex"])
    assert encode(decode(body)) == body


@pytest.mark.parametrize("kind", CODECS)
@given(body=st.binary(max_size=200))
def test_hostile_bytes_are_a_decode_error_that_keeps_them(kind: str, body: bytes) -> None:
    decode, encode = CODECS[kind]
    try:
        message = decode(body)
    except DecodeError as error:
        assert error.body == body  # noqa: PT017 -- either outcome is allowed
    else:
        assert decode(encode(message)) == message


@given(data=st.data())
def test_a_damaged_message_is_read_or_a_decode_error(data: st.DataObject) -> None:
    body = bytearray.fromhex(data.draw(st.sampled_from(MESSAGES))["hex"])
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    for decode, encode in CODECS.values():
        try:
            message = decode(bytes(body))
        except DecodeError as error:
            assert error.body == body  # noqa: PT017 -- either outcome is allowed
        else:
            assert decode(encode(message)) == message


def test_what_go_cannot_hold_is_an_encode_error_that_names_the_job() -> None:
    message = JobMessage(Meta("j-1", max_retry=-1), Job("t", opts=JobOpts(id="j-1")))
    with pytest.raises(EncodeError, match="j-1"):
        encode_job(message)


def test_deep_nesting_is_a_decode_error() -> None:
    with pytest.raises(DecodeError):
        decode_job(b"\x91" * 100_000)


@given(st.one_of(*(st.tuples(st.just(kind), of) for kind, of in KINDS.items())))
def test_any_message_round_trips(sent: tuple[str, Any]) -> None:
    kind, message = sent
    decode, encode = CODECS[kind]
    assert decode(encode(message)) == message


@pytest.mark.parametrize(
    ("kind", "fields", "says"),
    [
        ("job", {"ID": 1}, "text was expected, not int"),
        ("job", {"PrevJobResult": 1}, "bytes were expected, not int"),
        ("job", {"MaxRetry": "many"}, "an integer was expected, not str"),
        ("job", {"ProcessedAt": "now"}, "a msgpack timestamp was expected, not str"),
        ("job", {"OnSuccessIDs": "a"}, "a list was expected, not str"),
        ("job", {"Job": [1, 2]}, "a job is a map, not list"),
        ("job", {"Job": {"Opts": "none"}}, "a opts is a map, not str"),
        ("group", {"JobStatus": []}, "JobStatus is a map, not list"),
        ("chain", {"PrevJobs": {}}, "a list was expected, not dict"),
    ],
)
def test_a_field_of_another_kind_is_named_by_what_was_expected(
    kind: str, fields: dict[str, object], says: str
) -> None:
    body = msgpack.packb(fields)
    with pytest.raises(DecodeError, match=f"no {kind} message: {says}") as caught:
        CODECS[kind][0](body)
    assert caught.value.body == body


def test_a_message_over_the_limit_is_refused_before_it_is_read() -> None:
    with pytest.raises(DecodeError, match="67,108,865 bytes, the limit is 67,108,864"):
        decode_job(b"\x80" * (MAX_DECODE + 1))


def test_names_may_be_bytes_and_structs_may_be_arrays() -> None:
    spelt = decode_job(msgpack.packb({b"ID": b"a", "Job": [None, "t", "pay", None, {}]}))
    assert (spelt.id, spelt.job.task, spelt.job.payload) == ("a", "t", b"pay")


def test_too_deep_a_job_is_an_encode_error_that_names_it() -> None:
    job = Job("last")
    for _ in range(100_000):
        job = Job("link", on_success=[job])
    with pytest.raises(EncodeError, match="'deep' nests deeper than can be written"):
        encode_job(JobMessage(Meta("deep"), job))


@given(st.text(), st.text(), st.integers(0, 2**31))
def test_a_task_record_round_trips(name: str, queue: str, concurrency: int) -> None:
    record = TaskRecord(name, queue, concurrency)
    assert decode_task(encode_task(record)) == record


@pytest.mark.parametrize("body", [b"", b"\xc0", b"\x01", b"\x80", b"\xc1"])
def test_what_is_no_task_record_is_a_decode_error(body: bytes) -> None:
    with pytest.raises(DecodeError, match="no task record"):
        decode_task(body)


@pytest.mark.parametrize("depth", [480, 900])  # deeper than Python calls; than msgpack reads
def test_children_that_nest_too_deep_are_a_decode_error(depth: int) -> None:
    child = b"\x81\xa9OnSuccess\x91"
    with pytest.raises(DecodeError, match="it nests deeper than can be read"):
        decode_job(b"\x81\xa3Job" + child * depth + b"\xc0")


@given(st.dictionaries(st.text(max_size=3), st.integers(0, 9) | st.text(max_size=5), min_size=1))
def test_what_only_python_knows_round_trips_beside_gos_fields(ext: dict[str, object]) -> None:
    message = JobMessage(Meta("a"), Job("t", b"p", ext=ext))
    assert decode_job(encode_job(message)) == message


def test_a_map_that_python_cannot_hold_is_passed_over_where_go_skips_it() -> None:
    odd = b"\x82\x91\x01\x01\x81\x01\x02\x03"  # {[1]: 1, {1: 2}: 3}
    extension = b"\xd4\xfe\x00"  # of a negative code, which Python's type refuses
    for value in (odd, extension):
        body = b"\x82\xa6Status\xa4done\xa7Unknown" + value
        assert decode_job(body).meta.status == "done"
        assert decode_job(body + b"\x00").meta.status == "done"  # bytes after it: the long way


def test_bytes_are_the_message_of_a_job_only_by_its_whole_id() -> None:
    body = encode_job(JobMessage(Meta("one"), Job("task", b'{"id":"on"}')))
    assert is_message_of(body, "one")
    assert not is_message_of(body, "on")
    assert not is_message_of(body, "two")
    assert not is_message_of(b"no message, though it says one", "one")
