"""docs/reference/operations.md has a line for every operation and every parameter, as the rows say."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.serve.operation import Operation
from gateway.serve.operations import ROWS

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "reference" / "operations.md").read_text("utf-8")
SECTIONS = dict(part.split("\n", 1) for part in PAGE.split("\n## ")[1:])


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.code}-{'-'.join(row.types)}")
def test_every_operation_and_parameter_has_its_line(row: Operation) -> None:
    section = SECTIONS[f"{row.types[0]}/${row.code}" if row.types else f"${row.code}"]
    assert row.definition in section
    for field in row.fields:
        text = field.text.replace("|", "\\|")
        assert f"| `{field.name}` | {field.type} | {field.minimum}..{field.maximum} | {text} |" in section
    assert section.count("\n| `") == len(row.fields)
