"""mappings/*.csv as look-up values. A table renames, looks up, sets a constant: the first `if` is Python elsewhere.

Every file in mappings/ is a CSV with a header; lines that start with `#` before the header are its legend (what it
is, the official source and its revision, the licence). Tables are named by their path without the ending:
`hl7v2/segments/OBX-Observation`. The column `row` is the official row id that lineage shows.
"""

from __future__ import annotations

import csv
import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
Row = Mapping[str, str]


class Tables:
    """All mapping tables, read once at start. Look-ups compiled from them are kept with them (`compiled`)."""

    def __init__(self, files: Mapping[str, Sequence[Row]]) -> None:
        self._files = dict(files)
        self._compiled: dict[tuple[str, str], object] = {}

    def rows(self, name: str) -> Sequence[Row]:
        """Return the rows of a table, in file order. Raises KeyError for a name that mappings/ does not have."""
        return self._files[name]

    def names(self) -> list[str]:
        """Return the names of all tables, sorted."""
        return sorted(self._files)

    def compiled(self, name: str, purpose: str, compile_rows: Callable[[Sequence[Row]], T]) -> T:
        """Return `compile_rows(rows)` of a table, made at the first call and kept."""
        key = (name, purpose)
        if key not in self._compiled:
            self._compiled[key] = compile_rows(self.rows(name))
        return self._compiled[key]  # type: ignore[return-value]


def parse_table(text: str) -> list[Row]:
    """Return the rows of one CSV file: comment lines dropped, cells stripped, empty cells kept as ''."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [{name: (cell or "").strip() for name, cell in row.items() if name} for row in csv.DictReader(lines)]


@functools.cache
def load(folder: Path) -> Tables:
    """Read every CSV below `folder`. The one look at the disk in this room; app.py calls it at start."""
    return Tables(
        {
            path.relative_to(folder).with_suffix("").as_posix(): parse_table(path.read_text("utf-8"))
            for path in sorted(folder.rglob("*.csv"))
        }
    )
