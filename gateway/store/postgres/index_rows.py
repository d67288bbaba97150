"""An index as rows beside the resource: dates, strings and measures, each under small numbers. Pure; COPY sends them.

Not the columns of the resource itself, which are `rows.py`'s.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final, TypeVar

from gateway.search.query import Index, Measure, token
from gateway.store.postgres.units import Unit

DATE_COLUMNS: Final = ("rid", "low", "high", "type", "parameter", "edge")
STRING_COLUMNS: Final = ("rid", "type", "parameter", "edge", "key", "folded", "exact")
MEASURE_COLUMNS: Final = ("rid", "unit", "type", "parameter", "edge", "low", "high")

NO_STRINGS: Final = frozenset({"_profile", "_source"})
"""Addresses that nearly every resource has: a row each would cost more than the rest of its index. Whole ones are among
the tokens; `:below` looks at the bodies (`search_recheck`)."""
KEY_CHARACTERS: Final = 64
"""How much of a string its index holds, and a sort compares (the migration search_index names the same figure)."""
LEAST: Final = 1
GREATEST: Final = 2
OPEN: Final = 4
"""Beside an edge: a measure without a lower end, whose upper one stands in its place (what it is sorted by)."""

_UP: Final = Decimal("Infinity")
Value = TypeVar("Value")


@dataclass(slots=True)
class IndexRows:
    """The rows of some resources, as the columns above name them. `add` every resource."""

    parameters: Mapping[str, int]
    units: Mapping[Unit, int]
    addresses: AbstractSet[tuple[int, str]]
    """(type, parameter) of what holds addresses, which are sorted as written."""
    dates: list[tuple[Any, ...]] = field(default_factory=list)
    strings: list[tuple[Any, ...]] = field(default_factory=list)
    measures: list[tuple[Any, ...]] = field(default_factory=list)

    def tables(self) -> list[tuple[str, tuple[str, ...], list[tuple[Any, ...]]]]:
        """Return table, columns and rows of each."""
        return [
            ("date_of", DATE_COLUMNS, self.dates),
            ("string_of", STRING_COLUMNS, self.strings),
            ("measure_of", MEASURE_COLUMNS, self.measures),
        ]

    def add(self, rid: int, type_code: int, index: Index) -> None:
        """Add what stands in `index` beside its tokens."""
        if index.dates:
            self._dates(rid, type_code, index)
        if index.strings:
            self._strings(rid, type_code, index)
        if index.measures:
            self._measures(rid, type_code, index)

    def _dates(self, rid: int, type_code: int, index: Index) -> None:
        for name, low, high, edge in _edged(dict.fromkeys(index.dates), lambda one: one[1]):
            self.dates.append((rid, low, high, type_code, self.parameters[name], edge))

    def _strings(self, rid: int, type_code: int, index: Index) -> None:
        kept = {
            (name, plain(folded), plain(exact)): None for name, folded, exact in index.strings if name not in NO_STRINGS
        }
        addresses = self.addresses
        key = lambda one: one[2] if (type_code, one[0]) in addresses else one[1][:KEY_CHARACTERS]  # noqa: E731
        for name, folded, exact, edge in _edged(kept, key):
            cut = folded[:KEY_CHARACTERS]
            written = (None if cut == folded else folded, None if exact == folded else exact)
            self.strings.append((rid, type_code, self.parameters[name], edge, cut, *written))

    def _measures(self, rid: int, type_code: int, index: Index) -> None:
        kept: dict[tuple[Any, ...], None] = {}
        for one in index.measures:
            unit = self.units[unit_of(one)]
            if one.low is None:
                kept[one.parameter, one.high, None, unit, OPEN] = None
            else:
                wide = None if one.low == one.high else _UP if one.high is None else one.high
                kept[one.parameter, one.low, wide, unit, 0] = None
        for name, low, wide, unit, is_open, edge in _edged(kept, lambda one: one[1]):
            self.measures.append((rid, unit, type_code, self.parameters[name], edge | is_open, low, wide))


def grams(type_code: int, strings: Iterable[tuple[str, str, str]], addresses: AbstractSet[tuple[int, str]]) -> set[int]:
    """Return the tokens by which `:contains` finds strings: of every three characters that follow one another, whatever
    the parameter; of a resource with a text longer than its key, the one that stands for `longer`.
    """
    found: set[int] = set()
    for name, folded, _ in strings:
        if name in NO_STRINGS or (type_code, name) in addresses:
            continue
        if len(folded) > KEY_CHARACTERS:
            found.add(longer(type_code))
        else:
            found.update(grams_of(plain(folded)))
    return found


def grams_of(text: str) -> set[int]:
    """Return the tokens of every three characters of a folded text; none of a shorter one."""
    return {_gram(text[at : at + 3]) for at in range(len(text) - 2)}


@functools.lru_cache(maxsize=1 << 14)
def _gram(three: str) -> int:
    return token("gram", None, three)


@functools.cache
def longer(type_code: int) -> int:
    """Return the token of resources of a type that have a text which `grams` leave out."""
    return token("gram", "longer", str(type_code))


def unit_of(measure: Measure) -> Unit:
    """Return what the dictionary of units knows a measure's unit by; three times nothing is a number's."""
    return Unit(plain(measure.system), plain(measure.code), plain(measure.unit))


def plain(text: str) -> str:
    """Return text without what PostgreSQL's text cannot hold: NUL, half a surrogate pair."""
    return text if text.isprintable() else text.encode("utf-8", "replace").decode().replace("\0", "\ufffd")


def _edged(rows: Iterable[tuple[Any, ...]], key: Callable[[tuple[Any, ...]], Any]) -> list[tuple[Any, ...]]:
    """Return the rows, each with its edge behind it: exactly one least and one greatest of every parameter (row[0])."""
    rows = list(rows)
    if len(rows) == 1:
        return [(*rows[0], LEAST | GREATEST)]
    edges = [0] * len(rows)
    for choose, bit in ((min, LEAST), (max, GREATEST)):
        best: dict[str, int] = {}
        for place, row in enumerate(rows):
            at = best.get(row[0])
            if at is None or (choose(key(row), key(rows[at])) != key(rows[at])):
                best[row[0]] = place
        for at in best.values():
            edges[at] |= bit
    return [(*row, edge) for row, edge in zip(rows, edges, strict=True)]
