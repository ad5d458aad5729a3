"""Mutated real messages for the decoders: ``python -m tests.faults.fuzz --inputs 1000000``.

Each input is a message that Go wrote (tests/parity/vectors.json), changed in one to eight places,
and every decoder reads it: the only error they may raise is `DecodeError`.
"""

import argparse
import json
import random
import resource
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

from tasqueue.core.errors import DecodeError
from tasqueue.core.wire import decode_chain, decode_group, decode_job, decode_task
from tests.parity.program import ROOT

DECODERS: Final[dict[str, Callable[[bytes], object]]] = {
    "job": decode_job,
    "group": decode_group,
    "chain": decode_chain,
    "task": decode_task,
}
GROWTH_LIMIT: Final = 64 << 20
"""Bytes that the process may grow by; the inputs have a few hundred bytes each."""

_INTERESTING: Final = (
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
    body[at:at] = chance.choice(_INTERESTING)


def _overwrite(chance: random.Random, body: bytearray, _corpus: list[bytes]) -> None:
    at, piece = chance.randint(0, len(body)), chance.choice(_INTERESTING)
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


def fuzz(inputs: int, seed: int) -> dict[str, Any]:
    """Run it; the findings are printed as they come, the figures are returned."""
    chance, real, seen = random.Random(seed), corpus(), Counter[str]()
    for body in real:
        attempt(body, seen)
    before, started, found, largest = _peak(), time.monotonic(), 0, 0
    for _ in range(inputs):
        body = mutated(chance, real)
        largest = max(largest, len(body))
        error = attempt(body, seen)
        if error is not None:
            found += 1
            sys.stderr.write(f"{body.hex()}\n{''.join(traceback.format_exception(error))}\n")
    return {
        "inputs": inputs,
        "seed": seed,
        "real_messages": len(real),
        "read": seen["read"],
        "refused": seen["refused"],
        "other_errors": found,
        "largest_input": largest,
        "peak_growth_mib": round((_peak() - before) / (1 << 20), 1),
        "seconds": round(time.monotonic() - started),
    }


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.fuzz")
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    flags = parser.parse_args()
    figures = fuzz(flags.inputs, flags.seed)
    sys.stdout.write(json.dumps(figures) + "\n")
    grown = figures["peak_growth_mib"] * (1 << 20) > GROWTH_LIMIT
    return 1 if figures["other_errors"] or grown else 0


if __name__ == "__main__":
    sys.exit(main())
