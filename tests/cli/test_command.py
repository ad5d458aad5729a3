"""The command line: what it says when it cannot do what was asked."""

from pathlib import Path

import pytest

from tasqueue.cli import main

BROKEN = "import a_module_that_is_not_there\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delenv("TASQUEUE_APP", raising=False)
    (tmp_path / "shop_of_tests.py").write_text(
        "from tasqueue import App\napp = App('memory://')\nnumber = 3\n"
    )
    (tmp_path / "broken_of_tests.py").write_text(BROKEN)
    return tmp_path


def test_version_prints_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["version"]) == 0
    assert capsys.readouterr().out.strip()[0].isdigit()


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        ([], 2, "TASQUEUE_APP"),
        (["shop_of_tests"], 2, "MODULE:APP"),
        (["no_such_shop:app"], 3, "no_such_shop"),
        (["shop_of_tests:apq"], 3, "use that"),
        (["shop_of_tests:number"], 3, "not a tasqueue App"),
        (["shop_of_tests:app"], 2, "memory://"),
        (["shop_of_tests:app", "--concurrency", "many"], 2, "many"),
    ],
)
def test_a_mistake_is_one_paragraph_that_says_what_to_do(
    folder: Path, capsys: pytest.CaptureFixture[str], args: list[str], code: int, words: str
) -> None:
    assert main(["worker", *args]) == code
    said = capsys.readouterr().err
    assert words in said
    assert "Traceback" not in said


def test_an_import_that_fails_inside_the_module_is_shown_as_it_is(folder: Path) -> None:
    with pytest.raises(ModuleNotFoundError, match="a_module_that_is_not_there"):
        main(["worker", "broken_of_tests:app"])
