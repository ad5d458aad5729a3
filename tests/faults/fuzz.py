"""Mutated real messages for the decoders: ``python -m tests.faults.fuzz --inputs 1000000``.

Each input is a message that Go wrote (tests/parity/vectors.json), changed in one to eight places,
and every decoder reads it: the only error they may raise is `DecodeError`. Where Atheris is
installed, it chooses the inputs instead (`tests.faults.guided`), unless ``--engine`` says other.
"""

import argparse
import json
import random
import resource
import subprocess
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

from tasqueue.core.errors import DecodeError
from tasqueue.core.wire import decode_chain, decode_group, decode_job, decode_task
from tests.faults import guided
from tests.parity.program import ROOT

DECODERS: Final[dict[str, Callable[[bytes], object]]] = {
    "job": decode_job,
    "group": decode_group,
    "chain": decode_chain,
    "task": decode_task,
}
GROWTH_LIMIT: Final = 64 << 20
"""Bytes that the process may grow by; the inputs have a few hundred bytes each."""

INTERESTING: Final = (
    b"\xc0", b"\xc1", b"\xc4\xff", b"\xc6\xff\xff\xff\xff", b"\xc9\xff\xff\xff\xff\x00",
    b"\xca\x7f\xc0\x00\x00", b"\xcb\x7f\xf0\x00\x00\x00\x00\x00\x00", b"\xcf" + b"\xff" * 8,
    b"\xd3\x80" + b"\x00" * 7, b"\xd6\xff\xff\xff\xff\xff", b"\xd7\xff" + b"\xff" * 8,
    b"\xdb\xff\xff\xff\xff", b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\x91" * 40,
    b"\x81\xa0" * 40, b"\x90", b"\x80", b"\xa0", b"\xed\xa0\x80", b"\xc7\x0c\xff" + b"\xff" * 12,
)  # fmt: skip
"""Nil, the byte that is never used, huge lengths, no numbers, deep nests, bad text, bad times."""


def mutated(chance: random.Random, corpus: list[bytes]) -> bytes:
    """A real message with some damage."""
    body = bytearray(chance.choice(corpus))
    for _ in range(chance.randint(1, 8)):
        chance.choice(_DAMAGES)(chance, body, corpus)
    return bytes(body)


def _flip(chance: random.Random, body: bytearray, _corpus: list[bytes]) -> None:
    if body:
        body[chance.randrange(len(body))] ^= 1 << chance.randrange(8)


def _replace(chance: random.Random, body: bytearray, _corpus: list[bytes]) -> None:
    if body:
        body[chance.randrange(len(body))] = chance.randrange(256)


def _insert(chance: random.Random, body: bytearray, _corpus: list[bytes]) -> None:
    at = chance.randint(0, len(body))
    body[at:at] = chance.choice(INTERESTING)


def _overwrite(chance: random.Random, body: bytearray, _corpus: list[bytes]) -> None:
    at, piece = chance.randint(0, len(body)), chance.choice(INTERESTING)
    body[at : at + len(piece)] = piece


def _cut(chance: random.Random, body: bytearray, _corpus: list[bytes]) -> None:
    start = chance.randint(0, len(body))
    del body[start : chance.randint(start, min(len(body), start + 40))]


def _truncate(chance: random.Random, body: bytearray, _corpus: list[bytes]) -> None:
    del body[chance.randint(0, len(body)) :]


def _repeat(chance: random.Random, body: bytearray, _corpus: list[bytes]) -> None:
    start = chance.randint(0, len(body))
    body[start:start] = body[start : start + 30] * chance.randint(1, 4)


def _splice(chance: random.Random, body: bytearray, corpus: list[bytes]) -> None:
    other = chance.choice(corpus)
    body[chance.randint(0, len(body)) :] = other[chance.randint(0, len(other)) :]


_DAMAGES: Final = (
    _flip, _flip, _replace, _replace, _insert, _overwrite, _cut, _truncate, _repeat, _splice,
)  # fmt: skip


def corpus() -> list[bytes]:
    """The messages that Go wrote."""
    vectors: list[dict[str, Any]] = json.loads((ROOT / "tests/parity/vectors.json").read_text())
    return [bytes.fromhex(vector["hex"]) for vector in vectors if vector.get("hex")]


def attempt(body: bytes, seen: Counter[str]) -> BaseException | None:
    """Have every decoder read an input; returns what none of them may raise."""
    for name, decode in DECODERS.items():
        try:
            decode(body)
        except DecodeError:
            seen["refused"] += 1
        except BaseException as error:  # noqa: BLE001 -- that is what is looked for
            seen[f"{name}: {type(error).__name__}"] += 1
            return error
        else:
            seen["read"] += 1
    return None


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


class Tally:
    """What came of a run; findings are printed as they come."""

    def __init__(self, engine: str, seed: int) -> None:
        self._engine, self._seed = engine, seed
        self._real, self._seen = corpus(), Counter[str]()
        for body in self._real:
            attempt(body, self._seen)
        self._before, self._started = _peak(), time.monotonic()
        self.inputs = self._found = self._largest = 0

    def feed(self, body: bytes) -> None:
        """Have every decoder read an input."""
        self.inputs += 1
        self._largest = max(self._largest, len(body))
        error = attempt(body, self._seen)
        if error is not None:
            self._found += 1
            sys.stderr.write(f"{body.hex()}\n{''.join(traceback.format_exception(error))}\n")

    def figures(self) -> dict[str, Any]:
        return {
            "engine": self._engine,
            "inputs": self.inputs,
            "seed": self._seed,
            "real_messages": len(self._real),
            "read": self._seen["read"],
            "refused": self._seen["refused"],
            "other_errors": self._found,
            "largest_input": self._largest,
            "peak_growth_mib": round((_peak() - self._before) / (1 << 20), 1),
            "seconds": round(time.monotonic() - self._started),
        }

    def told(self) -> int:
        """Say the figures in one line; returns the exit code that they call for."""
        figures = self.figures()
        sys.stdout.write(json.dumps(figures) + "\n")
        sys.stdout.flush()
        grown = figures["peak_growth_mib"] * (1 << 20) > GROWTH_LIMIT
        return 1 if figures["other_errors"] or grown else 0


def fuzz(inputs: int, seed: int) -> Tally:
    """Feed the decoders with messages that were damaged at random."""
    chance, real, tally = random.Random(seed), corpus(), Tally("mutations", seed)
    for _ in range(inputs):
        tally.feed(mutated(chance, real))
    return tally


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.fuzz")
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--engine", choices=["mutations", "atheris"])
    flags = parser.parse_args()
    if (flags.engine or ("atheris" if guided.installed() else "mutations")) == "mutations":
        return fuzz(flags.inputs, flags.seed).told()
    # In a process of its own: what it watches must be imported under its eyes.
    limits = ["--inputs", str(flags.inputs), "--seed", str(flags.seed)]
    command = [sys.executable, "-m", "tests.faults.guided", *limits]
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
