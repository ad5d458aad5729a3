"""Go's wire: captured bytes come back to the byte, and hostile ones are only ever DecodeErrors."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasqueue.core.errors import DecodeError, EncodeError
from tasqueue.core.job import Job, JobMessage, JobOpts, Meta
from tasqueue.core.wire import (
    decode_chain,
    decode_group,
    decode_job,
    encode_chain,
    encode_group,
    encode_job,
)

VECTORS = json.loads((Path(__file__).parents[1] / "parity" / "vectors.json").read_text())
CODECS: dict[str, Any] = {
    "job": (decode_job, encode_job),
    "group": (decode_group, encode_group),
    "chain": (decode_chain, encode_chain),
}
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
