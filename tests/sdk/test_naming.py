"""The name of a task is the same in the script that sends and in the worker that imports it."""

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from tasqueue.core.errors import ConfigurationError
from tasqueue.sdk.naming import app_path, default_name, module_name, place
from tasqueue.sdk.opening import shown


def main_module(**attributes: object) -> ModuleType:
    module = ModuleType("__main__")
    vars(module).update({"__spec__": None} | attributes)
    return module


def test_a_script_goes_by_its_file_and_the_packages_around_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "shop" / "tasks"
    package.mkdir(parents=True)
    for folder in (package, package.parent):
        (folder / "__init__.py").touch()
    monkeypatch.setitem(sys.modules, "__main__", main_module(__file__=str(package / "mail.py")))
    assert module_name("__main__") == "shop.tasks.mail"
    monkeypatch.setitem(sys.modules, "__main__", main_module(__file__=str(tmp_path / "run.py")))
    assert module_name("__main__") == "run"


def test_a_module_run_with_m_goes_by_its_own_name(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = SimpleNamespace(name="shop.tasks")
    monkeypatch.setitem(sys.modules, "__main__", main_module(__spec__=spec))
    assert module_name("__main__") == "shop.tasks"
    assert module_name("shop") == "shop"


def test_what_has_no_file_stays_main(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "__main__", main_module())
    assert module_name("__main__") == "__main__"


def test_the_worker_command_names_the_app_where_it_is_known() -> None:
    app = object()
    module = ModuleType("shop_of_this_test")
    vars(module)["queue"] = app
    sys.modules["shop_of_this_test"] = module
    try:
        assert app_path(app, "shop_of_this_test") == "shop_of_this_test:queue"
    finally:
        del sys.modules["shop_of_this_test"]
    assert app_path(app, "shop_of_this_test") == "MODULE:APP"


def test_a_function_without_a_name_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="name="):
        default_name(lambda: 1)
    assert place(len) == "<built-in function len>"


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("redis://:secret@host/0", "redis://:***@host/0"),
        ("redis://me:secret@host:1/0", "redis://me:***@host:1/0"),
        ("redis://host/0", "redis://host/0"),
        ("redis://[bad", "redis://[bad"),
        ("redis://me@host:1/0", "redis://me@host:1/0"),
        ("redis://me:se:cret@host/0", "redis://me:***@host/0"),
        ("redis://me:se/cr@et@host/0", "redis://me:***@host/0"),
        ("redis+sentinel://me:secret@h:1,i:2/name/0", "redis+sentinel://me:***@h:1,i:2/name/0"),
        ("me:secret@host", "me:***@host"),
        ("localhost:6379", "localhost:6379"),
        ("redis://h/0?password=secret&db=1", "redis://h/0?password=***&db=1"),
        ("redis://h?sentinel_password=secret", "redis://h?sentinel_password=***"),
    ],
)
def test_an_address_is_shown_without_its_password(url: str, text: str) -> None:
    assert shown(url) == text
