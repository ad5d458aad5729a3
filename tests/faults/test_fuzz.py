"""A short run of the fuzz: damaged messages of Go raise DecodeError and nothing else."""

import random
from collections import Counter

import pytest

from tests.faults.fuzz import DECODERS, GROWTH_LIMIT, attempt, corpus, fuzz, mutated


def test_damaged_messages_raise_decode_error_and_nothing_else() -> None:
    figures = fuzz(3_000, seed=random.SystemRandom().randrange(1 << 32))
    assert figures["other_errors"] == 0, figures
    assert figures["peak_growth_mib"] < GROWTH_LIMIT >> 20


def test_the_same_seed_damages_in_the_same_way() -> None:
    real = corpus()
    first, second = random.Random(5), random.Random(5)
    assert [mutated(first, real) for _ in range(50)] == [mutated(second, real) for _ in range(50)]


def test_the_fuzz_sees_an_error_of_another_type(monkeypatch: pytest.MonkeyPatch) -> None:

    def wrong(_body: bytes) -> object:
        raise KeyError("not a DecodeError")

    monkeypatch.setitem(DECODERS, "job", wrong)
    assert isinstance(attempt(b"", Counter()), KeyError)
