"""The short way to read and write job messages says nothing that the long way would not."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasqueue.core.errors import DecodeError, EncodeError
from tasqueue.core.job import Job, JobMessage, JobOpts, JobStatus, Meta
from tasqueue.core.lifecycle import recorded
from tasqueue.core.wire import decode_job, encode_both, encode_job, encode_record
from tasqueue.core.wire.canonical import read_canonical, write_canonical
from tasqueue.core.wire.reading import read_job
from tests.parity.message import JOB_MESSAGES

VECTORS = json.loads((Path(__file__).parents[1] / "parity" / "vectors.json").read_text())
BODIES = [bytes.fromhex(one["hex"]) for one in VECTORS if one["type"] == "job"]


def agree(body: bytes) -> None:
    """The short way reads what the long way reads, or leaves it to that."""
    short = read_canonical(body)
    if short is None:
        return
    long = read_job(body)
    assert short == long
    # Equality does not see nil and empty; the bytes do.
    assert encode_job(short) == encode_job(long)


@pytest.mark.parametrize("body", BODIES)
def test_what_go_wrote_goes_the_short_way_wherever_its_text_is_utf_8(body: bytes) -> None:
    agree(body)
    utf_8 = not any("\udc80" <= sign <= "\udcff" for sign in _texts(read_job(body)))
    assert (read_canonical(body) is not None) == utf_8


def _texts(message: JobMessage) -> str:
    """All text of a message and its children, in one."""

    def of_job(job: Job) -> str:
        opts = job.opts
        own = job.task + opts.id + opts.queue + opts.schedule
        return own + "".join(map(of_job, [*job.on_success, *job.on_error]))

    meta = message.meta
    own = meta.id + meta.status + meta.queue + meta.schedule + meta.prev_err
    return own + "".join(meta.on_success_ids) + of_job(message.job)


@given(JOB_MESSAGES)
def test_both_ways_read_the_same(message: JobMessage) -> None:
    agree(encode_job(message))


@given(st.data())
def test_both_ways_read_the_same_of_damaged_bytes(data: st.DataObject) -> None:
    body = bytearray(data.draw(st.sampled_from(BODIES)))
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    agree(bytes(body))


@given(JOB_MESSAGES, st.integers(0, 2**62), st.text(), st.lists(st.text(), max_size=20))
def test_a_record_of_what_was_read_has_the_same_bytes_by_both_ways(
    message: JobMessage, now_ns: int, error: str, ids: list[str]
) -> None:
    read = decode_job(encode_job(message))
    record = recorded(read, JobStatus.FAILED, now_ns)
    record.meta.prev_err, record.meta.on_success_ids = error, ids
    assert encode_record(record) == encode_job(record)


@given(JOB_MESSAGES, st.integers(0, 2**62))
def test_a_message_and_its_record_have_the_bytes_that_each_has_alone(
    message: JobMessage, now_ns: int
) -> None:
    record = recorded(message, JobStatus.QUEUED, now_ns)
    assert encode_both(message, record) == (encode_job(message), encode_job(record))


def test_a_job_that_cannot_be_written_is_an_encode_error_for_both() -> None:
    message = JobMessage(Meta("j-1"), Job("t", opts=JobOpts(max_retries=-1)))
    with pytest.raises(EncodeError, match="j-1"):
        encode_both(message, recorded(message, JobStatus.QUEUED, 0))


def test_a_record_of_what_was_made_goes_the_long_way() -> None:
    made = JobMessage(Meta("j"), Job("t", b"", JobOpts(id="j")))
    assert write_canonical(made) is None
    assert encode_record(made) == encode_job(made)


def test_a_record_with_text_that_is_no_utf_8_goes_the_long_way() -> None:
    record = decode_job(encode_job(JobMessage(Meta("j"), Job("t"))))
    record.meta.prev_err = "not \udc80 text"
    assert write_canonical(record) is None
    assert encode_record(record) == encode_job(record)


def test_a_job_that_was_changed_after_it_was_read_is_encoded_as_it_is_now() -> None:
    message = decode_job(encode_job(JobMessage(Meta("j"), Job("t", b"before"))))
    message.job.payload = b"after"
    assert decode_job(encode_job(message)).job.payload == b"after"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xc0",
        b"\x80\x00",
        encode_job(JobMessage(Meta("j"), Job("t"))) + b"\x00",
        encode_job(JobMessage(Meta("j\udc80"), Job("t"))),
    ],
)
def test_what_is_out_of_the_ordinary_is_left_to_the_long_way(body: bytes) -> None:
    assert read_canonical(body) is None
    try:
        message: Any = decode_job(body)
    except DecodeError:
        with pytest.raises(DecodeError):
            read_job(body)
    else:
        assert message == read_job(body)
