"""A short run of the fuzz: damaged messages of Go raise DecodeError and nothing else."""

import json
import random
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytest

from tests.faults import guided
from tests.faults.fuzz import DECODERS, GROWTH_LIMIT, attempt, corpus, fuzz, mutated


def test_damaged_messages_raise_decode_error_and_nothing_else() -> None:
    figures = fuzz(3_000, seed=random.SystemRandom().randrange(1 << 32)).figures()
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


class _Engine:
    """What we use of Atheris, which is not installed everywhere."""

    def instrument_imports(self, *, include: Sequence[str]) -> AbstractContextManager[None]:
        assert include == ["tasqueue"]
        return nullcontext()

    def Setup(self, flags: Sequence[str], feed: Callable[[bytes], None]) -> None:  # noqa: N802
        self._seeds, self._feed = Path(flags[-1]), feed

    def Fuzz(self) -> None:  # noqa: N802
        for seed in [path.read_bytes() for path in self._seeds.iterdir()]:
            self._feed(seed)


def test_the_guided_fuzz_starts_from_the_real_messages_and_says_who_chose(
    capsys: pytest.CaptureFixture[str],
) -> None:
    codes: list[int] = []
    guided.run(_Engine(), inputs=len(corpus()), seed=1, end=codes.append)
    figures = json.loads(capsys.readouterr().out)
    assert codes == [0]
    assert (figures["engine"], figures["inputs"]) == ("atheris", len(corpus()))
