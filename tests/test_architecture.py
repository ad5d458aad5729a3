"""The rules of the house that no linter can see; `pyproject.toml` holds the others."""

import ast
import io
import re
import subprocess
import sys
import token
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "tasqueue"
MODULES = sorted(PACKAGE.rglob("*.py"))
SCRIPTS = sorted(PACKAGE.rglob("*.lua"))

MAX_CODE_LINES = 300
MAX_POSITIONAL = 3
MAX_PUBLIC_METHODS = 12
# Façades: what they offer is the product's own list (Server: Go's; App: the SDK's front door).
FACADES = {"Server": 20, "App": 20}

HEAVY = {"redis", "hiredis", "rich", "rich_click", "click", "nats", "sqlite3"}
CODE_IN_DATA = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "jsonpickle"}
RUNS_TEXT = {"eval", "exec", "compile", "__import__"}
# Modules that may import by a name, and whose word they take for it. Never a message's.
IMPORTS_BY_NAME: dict[str, str] = {
    "tasqueue/__init__.py": "its own table of names that load late",
    "tasqueue/brokers/__init__.py": "its own table of names that load late",
    "tasqueue/results/__init__.py": "its own table of names that load late",
    "tasqueue/sdk/app.py": "App(imports=[...]), written by the program's author",
    "tasqueue/sdk/apart.py": "the worker that started it, for a task that is registered there",
    "tasqueue/sdk/opening.py": "its own table of URL schemes",
    "tasqueue/cli/loading.py": "the command line: tasqueue worker module:app",
}


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _docstring_starts(tree: ast.AST) -> set[int]:
    """First lines of docstrings, of the field docstrings under dataclass fields too."""
    bodies = (getattr(node, "body", None) for node in ast.walk(tree))
    blocks = [body for body in bodies if isinstance(body, list)]
    return {
        statement.lineno
        for block in blocks
        for statement in block
        if isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    }


def _code_lines(source: str) -> int:
    """Lines with a token that is neither comment nor docstring."""
    docstrings = _docstring_starts(ast.parse(source))
    silent = {
        token.COMMENT, token.NL, token.NEWLINE, token.INDENT, token.DEDENT, token.ENDMARKER,
    }  # fmt: skip
    lines: set[int] = set()
    for found in tokenize.generate_tokens(io.StringIO(source).readline):
        is_docstring = found.type == token.STRING and found.start[0] in docstrings
        if found.type not in silent and not is_docstring:
            lines.update(range(found.start[0], found.end[0] + 1))
    return len(lines)


def _functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def _each(paths: list[Path]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("path", paths, ids=_name)


@_each(MODULES)
def test_a_module_has_at_most_300_lines_of_code(path: Path) -> None:
    assert _code_lines(path.read_text()) <= MAX_CODE_LINES


@_each(MODULES)
def test_a_module_opens_by_saying_what_it_is_for(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text()))


@_each(MODULES)
def test_a_function_takes_at_most_three_positional_parameters(path: Path) -> None:
    tree = ast.parse(path.read_text())
    long = {
        function.name: len(named)
        for function in _functions(tree)
        if len(
            named := [
                argument.arg
                for argument in [*function.args.posonlyargs, *function.args.args]
                if argument.arg not in {"self", "cls"}
            ]
        )
        > MAX_POSITIONAL
    }
    assert not long


@_each(MODULES)
def test_a_class_has_at_most_twelve_public_methods(path: Path) -> None:
    wide: dict[str, int] = {}
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ClassDef):
            public = {f.name for f in _functions(ast.Module(node.body, [])) if f in node.body}
            public = {name for name in public if not name.startswith("_")}
            if len(public) > FACADES.get(node.name, MAX_PUBLIC_METHODS):
                wide[node.name] = len(public)
    assert not wide


@_each(MODULES)
def test_nothing_is_unpickled_evaluated_or_imported_by_a_name_in_data(path: Path) -> None:
    imported: set[str] = set()
    called: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Import(names=names):
                imported |= {alias.name.partition(".")[0] for alias in names}
            case ast.ImportFrom(module=str(module)):
                imported.add(module.partition(".")[0])
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)):
                called.add(name)
            case _:
                pass
    assert not imported & CODE_IN_DATA
    # `re.compile` and a task's own `compile` are other things: only the bare builtins run text.
    assert not called & (RUNS_TEXT - {"compile"})
    if called & {"import_module", "spec_from_file_location", "run_path", "run_module"}:
        assert _name(path) in IMPORTS_BY_NAME


def test_core_asks_no_clock() -> None:
    asks = re.compile(r"\b(datetime|date)\.(now|today|utcnow)\(|\btime\.(time|monotonic)")
    assert [_name(p) for p in PACKAGE.glob("core/**/*.py") if asks.search(p.read_text())] == []


def test_every_lua_script_says_first_what_it_keeps_true() -> None:
    silent = [
        _name(path) for path in SCRIPTS if not re.match(r"(#!lua.*\n)?--+ *\S", path.read_text())
    ]
    assert SCRIPTS
    assert silent == []


def test_importing_the_package_loads_no_driver_and_no_terminal() -> None:
    program = (
        "import sys, tasqueue; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert not HEAVY & set(run.stdout.split())


def _listed() -> list[str]:
    """Every file that is, or could be, committed."""
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    run = subprocess.run(listing, capture_output=True, text=True, check=True, cwd=ROOT)
    return [name for name in run.stdout.splitlines() if (ROOT / name).is_file()]


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a clone")
def test_no_package_registry_is_named_in_the_tree() -> None:
    registries = ("pypi org", "pythonhosted org", "proxy golang org", "npmjs org", "crates io")
    hosts = [name.replace(" ", ".") for name in registries]
    texts = {name: (ROOT / name).read_text(errors="replace") for name in _listed()}
    assert [name for name, text in texts.items() if any(host in text for host in hosts)] == []


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a clone")
def test_the_top_level_stays_short() -> None:
    folders = {"tasqueue", "tests", "examples", "docs", "benchmarks"}
    files = {"mkdocs.yml", "pyproject.toml", "README.md", "LICENSE"}
    top = {name.partition("/")[0] for name in _listed() if not name.startswith(".")}
    assert top <= folders | files
