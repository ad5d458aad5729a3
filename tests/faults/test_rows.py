"""Every row of the matrix has a test or a reason, and its line in the docs."""

import re
from pathlib import Path

from tests.faults.rows import NOT_HERE, ROWS
from tests.parity.program import ROOT


def test_every_row_has_a_test_or_a_reason() -> None:
    tests = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    tested = {int(row) for row in re.findall(r"def test_row_(\d\d)_", tests)}
    assert tested | set(NOT_HERE) == set(ROWS)
    assert not tested & set(NOT_HERE)


def test_every_row_has_its_line_in_the_docs() -> None:
    page = (ROOT / "docs" / "design" / "faults.md").read_text()
    lines = dict(re.findall(r"^\| (\d+) \| ([^|]+) \|", page, re.MULTILINE))
    assert lines == {str(row): fault for row, fault in ROWS.items()}
