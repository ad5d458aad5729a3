"""The Go program itself: tidy, and built on exactly the library that we promise parity with."""

import subprocess
from pathlib import Path

import pytest

from tests.parity.program import SOURCE, GoDecoder, GoRefusedError


def run(*command: str) -> str:
    return subprocess.run(command, cwd=SOURCE, check=True, stdout=subprocess.PIPE, text=True).stdout


def test_the_go_program_is_formatted_and_passes_vet(go_program: Path) -> None:
    assert run("gofmt", "-l", ".") == ""
    run("go", "vet", ".")


def test_the_program_runs_the_published_release(go_program: Path) -> None:
    built_with = run("go", "version", "-m", str(go_program)).split("\n")
    libraries = {tuple(line.split()[1:3]) for line in built_with if "\tdep\t" in line}
    assert ("github.com/kalbhor/tasqueue/v2", "v2.3.0") in libraries
    assert ("github.com/vmihailenco/msgpack/v5", "v5.3.5") in libraries
    assert ("github.com/robfig/cron/v3", "v3.0.1") in libraries
    assert not any("=>" in line for line in built_with), "nothing is replaced"


def test_a_refusal_carries_gos_own_words(go_decoder: GoDecoder) -> None:
    with pytest.raises(GoRefusedError, match="unexpected code=a0 decoding map length"):
        go_decoder.decode("job", b"\xa0")
