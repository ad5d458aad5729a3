"""Signatures: what they hold to, and what they refuse."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasqueue.core.errors import ConfigurationError
from tasqueue.core.job import Job, JobMessage, JobOpts, Meta
from tasqueue.core.signing import Signing, flaw, sign
from tasqueue.core.wire import decode_job, encode_job

OLD, NEW = b"o" * 32, b"n" * 32
NOW = Signing(keys={"2026-11": NEW})
QUEUES = st.text(min_size=1, max_size=20)


@given(st.binary(), QUEUES)
def test_what_is_signed_for_a_queue_is_sound_there(body: bytes, queue: str) -> None:
    assert not flaw(sign(body, queue, NOW), queue, NOW)


@given(st.binary(), QUEUES, QUEUES)
def test_a_message_of_another_queue_is_refused(body: bytes, queue: str, other: str) -> None:
    assert bool(flaw(sign(body, queue, NOW), other, NOW)) == (queue != other)


@given(st.binary(max_size=40), st.data())
def test_a_signature_does_not_outlive_any_changed_bit(body: bytes, data: st.DataObject) -> None:
    whole = bytearray(sign(body, "q", NOW))
    bit = data.draw(st.integers(0, 8 * len(whole) - 1))
    whole[bit // 8] ^= 1 << bit % 8
    assert flaw(bytes(whole), "q", NOW)


@given(st.binary(max_size=200))
def test_any_bytes_are_judged_without_an_exception(body: bytes) -> None:
    assert flaw(body, "q", NOW)
    assert flaw(body + b"\x00tqs1", "q", NOW)


def test_the_first_key_signs_and_every_listed_key_is_accepted() -> None:
    before = sign(b"body", "q", Signing(keys={"2026-05": OLD}))
    changing = Signing(keys={"2026-11": NEW, "2026-05": OLD})
    assert not flaw(before, "q", changing)
    assert not flaw(sign(b"body", "q", changing), "q", NOW)
    assert "'2026-05', which is not known" in flaw(before, "q", NOW)


def test_a_key_that_only_bears_the_right_name_signs_nothing() -> None:
    assert flaw(sign(b"body", "q", Signing(keys={"2026-11": OLD})), "q", NOW)


def test_the_decoder_reads_a_signed_message_as_the_plain_one() -> None:
    plain = encode_job(JobMessage(Meta("a", queue="q"), Job("add", b"{}", JobOpts(id="a"))))
    assert encode_job(decode_job(sign(plain, "q", NOW))) == plain


@pytest.mark.parametrize(
    ("keys", "mode", "says"),
    [
        ({}, "require", "at least one key"),
        ({"": NEW}, "require", "1 to 64 bytes, not ''"),
        ({"k" * 65: NEW}, "require", "1 to 64 bytes"),
        ({"k": b"short"}, "require", "'k' has 5 bytes, at least 16"),
        ({"k": NEW}, "off", "mode='off'"),
    ],
)
def test_settings_of_no_use_are_refused(keys: dict[str, bytes], mode: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        Signing(keys=keys, mode=mode)  # type: ignore[arg-type]


def test_a_key_is_not_shown() -> None:
    secret = Signing(keys={"2026-11": b"canary-canary-canary"})
    assert "canary" not in f"{secret!r} {secret}"
