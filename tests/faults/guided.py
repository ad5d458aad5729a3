"""The fuzz led by coverage: ``python -m tests.faults.guided --inputs 1000000``, with Atheris.

libFuzzer starts from the messages that Go wrote, keeps what reaches a new branch of our decoders,
and changes that further. It sees our Python only: msgspec and msgpack are C that was not built for
it. Any error but `DecodeError` is a finding, as in `tests.faults.fuzz`.
"""

import argparse
import importlib
import io
import os
import tempfile
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

_LONGEST: Final = 4096
"""Bytes of an input; nothing that a decoder does begins beyond that."""


def installed() -> bool:
    """Whether Atheris is there; it has wheels for Linux on x86-64 only."""
    return find_spec("atheris") is not None


def _dictionary(pieces: Sequence[bytes]) -> str:
    """Pieces as libFuzzer reads them."""
    return "".join('"' + "".join(f"\\x{byte:02x}" for byte in p) + '"\n' for p in pieces)


def _seeds(folder: Path, fuzz: Any) -> list[str]:
    """Write the real messages and the dictionary out; returns the arguments that name them."""
    corpus = folder / "corpus"
    corpus.mkdir()
    for at, body in enumerate(fuzz.corpus()):
        (corpus / str(at)).write_bytes(body)
    (folder / "dictionary").write_text(_dictionary(fuzz.INTERESTING))
    return [f"-dict={folder / 'dictionary'}", str(corpus)]


def run(atheris: Any, *, inputs: int, seed: int, end: Callable[[int], object] = os._exit) -> None:
    """Feed the decoders, say what was found, and end the process: libFuzzer knows no other way."""
    names = io.StringIO()  # of every module that it instruments
    with redirect_stderr(names), atheris.instrument_imports(include=["tasqueue"]):
        fuzz: Any = importlib.import_module("tests.faults.fuzz")
    tally = fuzz.Tally("atheris", seed)
    folder = tempfile.TemporaryDirectory(prefix="tasqueue-fuzz-")

    def feed(body: bytes) -> None:
        tally.feed(body)
        if tally.inputs == inputs:
            folder.cleanup()
            end(tally.told())

    limits = [f"-max_len={_LONGEST}", f"-seed={seed}", "-verbosity=0"]
    atheris.Setup(["guided", *limits, *_seeds(Path(folder.name), fuzz)], feed)
    atheris.Fuzz()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.guided")
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    flags = parser.parse_args()
    run(importlib.import_module("atheris"), inputs=flags.inputs, seed=flags.seed)


if __name__ == "__main__":
    main()
