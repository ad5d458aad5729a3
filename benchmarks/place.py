"""Where contestants live: a virtual environment each, and the Go program, outside of the tree."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Final

from benchmarks.contest import Entry

HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parent
CACHE: Final = Path(
    os.environ.get("BENCH_CACHE") or Path.home() / ".cache" / "tasqueue-bench"
).absolute()

_VERSIONS: Final = """
import json, sys
from importlib.metadata import distributions
print(json.dumps({d.metadata["Name"]: d.version for d in distributions()}))
"""


def command(entry: Entry, *arguments: str) -> list[str]:
    """How a contestant is started; its place is made if it is not there."""
    if entry.adapter == "go":
        return [str(go_program()), *arguments]
    script = HERE / "contestants" / f"{entry.adapter}.py"
    return [str(python(entry)), str(script), *arguments]


def environment(entry: Entry, port: int, **more: str) -> dict[str, str]:
    """The variables that it is started with."""
    inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    own = {
        "BENCH_PORT": str(port),
        "PYTHONUNBUFFERED": "1",
        "PYTHONPATH": f"{HERE / 'contestants'}" + (f"{os.pathsep}{ROOT}" if entry.ours else ""),
    }
    return inherited | own | entry.env | more


def python(entry: Entry) -> Path:
    """The interpreter of an environment."""
    return _python(entry.library, entry.packages)


@cache
def _python(name: str, packages: tuple[str, ...]) -> Path:
    folder = CACHE / "env" / name
    stamp = folder / "packages.json"
    if not stamp.exists() or json.loads(stamp.read_text()) != list(packages):
        shutil.rmtree(folder, ignore_errors=True)
        folder.parent.mkdir(parents=True, exist_ok=True)
        print(f"making {folder}: {' '.join(packages)}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
        pip = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python"]
        subprocess.run([*pip, folder / "bin" / "python", *packages], check=True, cwd=ROOT)
        stamp.write_text(json.dumps(packages))
    return folder / "bin" / "python"


@cache
def go_program() -> Path:
    """The Go contestant, compiled."""
    go = shutil.which("go")
    if go is None:
        raise SystemExit("Go Tasqueue takes part: install Go, or leave it out with --without Go")
    CACHE.mkdir(parents=True, exist_ok=True)
    target = CACHE / "go-contestant"
    subprocess.run([go, "build", "-buildvcs=false", "-o", target, "."], cwd=HERE / "go", check=True)
    return target


def versions(entry: Entry) -> dict[str, str]:
    """The packages of an environment, by name."""
    if entry.adapter == "go":
        go = subprocess.run(["go", "version"], capture_output=True, text=True, check=True).stdout
        return {"github.com/kalbhor/tasqueue/v2": "v2.3.0", "go": go.split()[2].removeprefix("go")}
    found = subprocess.run(
        [python(entry), "-c", _VERSIONS], capture_output=True, text=True, check=True
    )
    listed: dict[str, str] = json.loads(found.stdout)
    return listed
