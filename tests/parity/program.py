"""Our Go program (tests/parity/go): how it is built, and the calls a test makes to it."""

import json
import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

SOURCE = Path(__file__).with_name("go")
ROOT = Path(__file__).parent.parent.parent

MessageKind = Literal["job", "group", "chain"]


def build_program(folder: Path) -> Path:
    """Compile the Go program into ``folder``; fails loudly, with what the compiler said."""
    go = shutil.which("go")
    assert go is not None, "ask for the fixture go_program, which skips without Go"
    target = folder / "tasqueue-parity"
    built = subprocess.run(
        [go, "build", "-buildvcs=false", "-o", str(target), "."],
        cwd=SOURCE,
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, f"the Go program does not build:\n{built.stderr}"
    return target


class GoRefusedError(Exception):
    """Go answered with an error, or panicked."""

    def __init__(self, answer: dict[str, Any]) -> None:
        self.text: str = answer["error"]
        self.panicked: bool = answer.get("panic", False)
        """Go would have died of it; the program recovered."""
        self.not_found: bool = answer.get("not_found", False)
        super().__init__(f"panic: {self.text}" if self.panicked else self.text)


class LineProcess:
    """A child process that answers JSON lines with JSON lines. Its log goes to a file."""

    def __init__(self, *command: str | Path, log: Path) -> None:
        self._log = log.open("ab")
        self._process = subprocess.Popen(
            [str(part) for part in command],
            cwd=ROOT,
            env={**os.environ, "TZ": "UTC"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the process, at once; may be called twice."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._log):
            assert stream is not None
            stream.close()

    def ask(self, **request: Any) -> dict[str, Any]:
        """Send one request and return its answer.

        Raises:
            GoRefusedError: the answer is an error.
        """
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        self._process.stdin.flush()
        answer = self.read()
        if not answer["ok"]:
            raise GoRefusedError(answer)
        return answer

    def read(self) -> dict[str, Any]:
        """The next line that the process prints."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"the process has ended, and said:\n{Path(self._log.name).read_text()[-4000:]}"
        answer: dict[str, Any] = json.loads(line)
        return answer


@dataclass(frozen=True, kw_only=True)
class GoReading:
    """What Go's decoder made of some bytes."""

    rewritten: bytes
    """Go's own encoding of what it read; the keys of JobStatus are sorted."""
    value: dict[str, Any] = field(default_factory=dict)
    """As Go writes it in JSON (bytes in base64); empty if a time has no JSON form."""


class GoProcess(LineProcess):
    """One subcommand of our Go program."""

    def __init__(self, program: Path, *arguments: str) -> None:
        log = program.with_name(f"{program.name}-{arguments[0]}.log")
        super().__init__(program, *arguments, log=log)


class GoDecoder(GoProcess):
    """The msgpack decoder of Go Tasqueue."""

    def __init__(self, program: Path) -> None:
        super().__init__(program, "decode")

    def decode(self, kind: MessageKind, body: bytes) -> GoReading:
        """Decode as a Go worker or client would.

        Raises:
            GoRefusedError: the decoder refused the bytes, or panicked.
        """
        answer = self.ask(kind=kind, hex=body.hex())
        return GoReading(rewritten=bytes.fromhex(answer["hex"]), value=answer.get("value", {}))


class GoCron(GoProcess):
    """robfig's cron, as Go Tasqueue asks it."""

    def __init__(self, program: Path) -> None:
        super().__init__(program, "cron")

    def runs(self, expr: str, from_ns: int, *, zone: str, steps: int = 1) -> list[int | None]:
        """The runs that follow ``from_ns``, in unix nanoseconds; a last None is "never".

        Raises:
            GoRefusedError: the expression is refused, or its parser panicked.
        """
        answer = self.ask(expr=expr, **{"from": from_ns}, tz=zone, steps=steps)
        return [None if run is None else run * 1_000_000_000 for run in answer["next"]]
