"""What becomes of a function: a task with a name and options, or a refusal."""

import subprocess
import sys
from pathlib import Path

import pytest

from tasqueue.core.errors import ConfigurationError, DuplicateTask
from tasqueue.sdk.app import App


def nothing() -> None: ...


def test_a_tasks_name_is_its_module_and_qualified_name(memory_app: App) -> None:
    @memory_app.task
    def local() -> None: ...

    here = __name__
    assert local.name == f"{here}.test_a_tasks_name_is_its_module_and_qualified_name.local"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"retrys": 3}, "no option 'retrys'; the options are: name, queue, retries"),
        ({"retries": -1}, "retries=-1"),
        ({"retries": 1, "max_retries": 2}, "one option"),
        ({"timeout": 0}, "timeout=0"),
        ({"timeout": "30"}, "timeout='30'"),
        ({"queue": "no spaces"}, "queue='no spaces'"),
        ({"name": ""}, "name=''"),
        ({"backoff": -1}, "backoff=-1"),
        ({"result_ttl": 0}, "result_ttl=0"),
        ({"result_ttl": 0.0001}, "result_ttl=0.0001"),
        ({"queue": 7}, "queue=7: a text is needed"),
        ({"backoff": "1s"}, "backoff='1s'"),
        ({"raw": 1}, "raw=1"),
        ({"priority": "high"}, "no option 'priority'"),
    ],
)
def test_an_option_that_is_no_use_is_refused_at_decoration(
    memory_app: App, options: dict[str, object], said: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        memory_app.task(**options)  # type: ignore[call-overload]
    assert said in str(caught.value)


def test_two_functions_cannot_have_one_name(memory_app: App) -> None:
    memory_app.task(name="shop.add")(nothing)
    with pytest.raises(DuplicateTask, match=r"'shop\.add', .*:\d+ and .*:\d+: give"):
        memory_app.task(name="shop.add")(test_two_functions_cannot_have_one_name)


def test_what_yields_or_is_no_function_is_no_task(memory_app: App) -> None:
    def many() -> object:
        yield 1

    for wrong in (many, dict, lambda: 1):
        with pytest.raises(ConfigurationError):
            memory_app.task(wrong)


def test_max_retries_is_another_name_for_retries(memory_app: App) -> None:
    task = memory_app.task(max_retries=4)(nothing)
    assert task.spec.settings.retries == 4


def test_a_scripts_tasks_have_the_name_under_which_a_worker_imports_it(tmp_path: Path) -> None:
    script = tmp_path / "shop.py"
    script.write_text(
        "from tasqueue.sdk.app import App\napp = App('redis://x')\n"
        "@app.task\ndef add(a: int) -> int: return a\n"
        "if __name__ == '__main__': print(add.name, app._client.hint)\n"
    )
    run = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert run.stdout.split() == ["shop.add", "tasqueue", "worker", "shop:app"]
