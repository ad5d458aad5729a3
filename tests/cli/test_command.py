"""The command line: what it says when it cannot do what was asked."""

from pathlib import Path

import pytest

from tasqueue.cli import main
from tasqueue.cli.loading import chosen_target

FILES = {
    "shop_of_tests.py": "from tasqueue import App\napp = App('memory://')\nnumber = 3\n",
    "plain_of_tests.py": "number = 3\n",
    "broken_of_tests.py": "\nimport a_module_that_is_not_there\n",
    "raising_of_tests.py": "def start():\n    return 1 / 0\n\nstart()\n",
    "garbled_of_tests.py": "def start(:\n",
    "leaving_of_tests.py": "raise SystemExit(7)\n",
    "importing_of_tests.py": "from tasqueue import App\napp = App(imports=['no_such_tasks'])\n",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delenv("TASQUEUE_APP", raising=False)
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def test_version_prints_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["version"]) == 0
    assert capsys.readouterr().out.strip()[0].isdigit()


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        ([], 2, ["TASQUEUE_APP", "pyproject.toml"]),
        (["shop_of_tests"], 2, ["shop_of_tests", "MODULE:APP"]),
        (["shop_of_tests:app", "-A", "other:app"], 2, ["other:app", "leave one out"]),
        (["no_such_shop:app"], 3, ["no_such_shop", "the command line"]),
        (["plain_of_tests.below:app"], 3, ["plain_of_tests"]),
        (["shop_of_tests:apq"], 3, ["'apq'", "shop_of_tests:app: use that"]),
        (["shop_of_tests:number"], 3, ["type int", "not a tasqueue App"]),
        (["plain_of_tests:app"], 3, ["defines no App"]),
        (["broken_of_tests:app"], 3, ["a_module_that_is_not_there", "broken_of_tests.py, line 2"]),
        (["raising_of_tests:app"], 3, ["ZeroDivisionError", "raising_of_tests.py, line 2"]),
        (["garbled_of_tests:app"], 3, ["SyntaxError", "garbled_of_tests.py, line 1"]),
        (["leaving_of_tests:app"], 3, ["SystemExit", "leaving_of_tests.py, line 1"]),
        (["importing_of_tests:app"], 3, ["no_such_tasks", "App(imports=...)"]),
        (["shop_of_tests:app"], 2, ["memory://", "sqlite:///", "redis://"]),
        (["shop_of_tests:app", "--concurrency", "many"], 2, ["many"]),
        (["shop_of_tests:app", "--colour"], 2, ["--colour"]),
    ],
)
def test_a_mistake_is_one_paragraph_that_says_what_to_do(
    folder: Path, capsys: pytest.CaptureFixture[str], args: list[str], code: int, words: list[str]
) -> None:
    assert main(["worker", *args]) == code
    said = capsys.readouterr().err
    assert [word for word in words if word not in said] == []
    assert "Traceback" not in said
    assert said.count("\n") == 1


def test_the_command_line_goes_before_the_environment_and_that_before_the_project(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "pyproject.toml").write_text("[tool.tasqueue]\napp = 'project:app'\n")
    assert chosen_target(None).text == "project:app"
    monkeypatch.setenv("TASQUEUE_APP", "environment:app")
    assert chosen_target(None).text == "environment:app"
    assert chosen_target(None, "option:app").text == "option:app"
    assert chosen_target("argument:app").text == "argument:app"


@pytest.mark.parametrize("text", ["[tool\n", "[tool.tasqueue]\napp = 3\n"])
def test_a_project_file_that_cannot_be_used_is_named(
    folder: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    (folder / "pyproject.toml").write_text(text)
    assert main(["worker"]) == 2
    assert "pyproject.toml" in capsys.readouterr().err


@pytest.mark.parametrize(
    "text", ["tool = 1\n", "[tool]\nother = 1\n", "[tool]\ntasqueue = 3\n", ""]
)
def test_a_project_file_that_says_nothing_is_as_good_as_none(
    folder: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    (folder / "pyproject.toml").write_text(text)
    assert main(["worker"]) == 2
    assert "Which app?" in capsys.readouterr().err
