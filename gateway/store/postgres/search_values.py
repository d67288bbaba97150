"""Strings, numbers, quantities and dates beside the main one: conditions on their rows. Part of `search_sql`.

`rows` gives a condition for each part of a term that an index can walk by itself; together they hold every row that
answers the term, and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from gateway.search import amounts
from gateway.search.query import (
    Amount,
    DateTerm,
    How,
    NumberTerm,
    Prefix,
    QuantityTerm,
    StringTerm,
    fold,
)
from gateway.store.postgres import search_dates as dates
from gateway.store.postgres.index_rows import KEY_CHARACTERS, OPEN, plain
from gateway.store.postgres.search_scope import Arguments, Scope

ValueTerm = StringTerm | NumberTerm | QuantityTerm | DateTerm

_LAST: Final = 0x10FFFF
_SURROGATES: Final = (0xD7FF, 0xE000)
_KEY: Final = "v.key"
_FOLDED: Final = "coalesce(v.folded, v.key)"
_WRITTEN: Final = "coalesce(v.exact, v.folded, v.key)"
_OPEN: Final = f"v.edge >= {OPEN}"
_CLOSED: Final = f"v.edge < {OPEN}"


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows that answer one part of a term, under the name `v`; `ranged`: an index finds them without reading others."""

    condition: str
    ranged: bool = True
    unit: int | None = None
    """Of a measure, the unit that the condition names; None where it is any: the index is in order for each."""


def table(term: ValueTerm) -> str:
    """Return the table that the rows of a term stand in."""
    match term:
        case StringTerm():
            return "string_of"
        case DateTerm():
            return "date_of"
        case _:
            return "measure_of"


def rows(scope: Scope, term: ValueTerm, resource_type: str) -> list[Rows]:
    """Return the parts of a term of a resource type; none where no row can answer it."""
    return [_of(scope, term, resource_type, [part]) for part in _parts(scope, term)]


def together(scope: Scope, terms: Sequence[ValueTerm], resource_type: str) -> list[Rows]:
    """Return the parts of what answers all of some terms of one parameter within one row: a range from the one bound to
    the other. That is every answer where a resource has one value of the parameter (`one_value`).
    """
    found: list[list[Rows]] = [[]]
    for term in terms:
        parts = _parts(scope, term)
        found = [[*some, part] for some in found for part in parts if _joins(some, part)]
    return [_of(scope, terms[0], resource_type, some) for some in found]


def _joins(some: Sequence[Rows], part: Rows) -> bool:
    return all(None in (one.unit, part.unit) or one.unit == part.unit for one in some)


def _of(scope: Scope, term: ValueTerm, resource_type: str, parts: Sequence[Rows]) -> Rows:
    # a part of a term is of one parameter of one type: what every index of these tables begins with
    of = f"v.type = {scope.type(resource_type)} and v.parameter = {scope.parameter(term.parameter)}"
    unit = next((part.unit for part in parts if part.unit is not None), None)
    return Rows(" and ".join([of, *(part.condition for part in parts)]), any(part.ranged for part in parts), unit)


def _parts(scope: Scope, term: ValueTerm) -> list[Rows]:
    match term:
        case StringTerm():
            return [_string(value, term.how, scope.put) for value in dict.fromkeys(term.values)]
        case DateTerm():
            return [_date(term, scope.put)]
        case NumberTerm():
            return [part for amount in term.values for part in _measure(amount, 0, scope.put)]
        case QuantityTerm():
            return list(_quantity(scope, term))


def every_unit(term: ValueTerm, one: Rows) -> bool:
    """Say whether a part is to be looked for in each unit."""
    return isinstance(term, QuantityTerm) and one.unit is None


def _date(term: DateTerm, put: Arguments) -> Rows:
    conditions = [dates.condition(term, "v.low", "v.high", put), *dates.range_of(term, "v.low", put)]
    return Rows(" and ".join(conditions), dates.narrows(term))


def _string(value: str, how: How, put: Arguments) -> Rows:
    value = plain(value)
    match how:
        case How.STARTS:
            return Rows(_starts(value, put))
        case How.EQUALS:
            return Rows(f"{_KEY} = {put(value[:KEY_CHARACTERS], 'text')} and {_FOLDED} = {put(value, 'text')}")
        case How.EXACT:
            key = put(plain(fold(value))[:KEY_CHARACTERS], "text")
            return Rows(f"{_KEY} = {key} and {_WRITTEN} = {put(value, 'text')}")
        case How.CONTAINS:
            return Rows(f"strpos({_FOLDED}, {put(value, 'text')}) > 0", ranged=False)
        case How.ENDS:
            return Rows(f"right({_FOLDED}, {put(len(value), 'integer')}) = {put(value, 'text')}", ranged=False)
        case _:  # BELOW
            below = put(value if value.endswith("/") else value + "/", "text")
            whole = f"({_WRITTEN} = {put(value, 'text')} or starts_with({_WRITTEN}, {below}))"
            return Rows(f"{_starts(plain(fold(value)), put)} and {whole}")


def _starts(value: str, put: Arguments) -> str:
    key = value[:KEY_CHARACTERS]
    if len(value) > KEY_CHARACTERS:
        return f"{_KEY} = {put(key, 'text')} and starts_with({_FOLDED}, {put(value, 'text')})"
    above = after(key)
    upper = f" and {_KEY} < {put(above, 'text')}" if above else ""
    return f"{_KEY} >= {put(key, 'text')}{upper}"


def after(prefix: str) -> str:
    """Return the least text above all that start so, by code points, as collation C compares; '' where there is none."""
    while prefix:
        last = ord(prefix[-1])
        if last < _LAST:
            return prefix[:-1] + chr(_SURROGATES[1] if last == _SURROGATES[0] else last + 1)
        prefix = prefix[:-1]
    return ""


def _quantity(scope: Scope, term: QuantityTerm) -> Iterator[Rows]:
    """Yield the parts of each unit that compares with an amount, its bounds told in that unit."""
    for amount in term.values:
        if amount.system is None:
            yield from _measure(amount, None, scope.put)
            continue
        for unit, code in scope.units.items():
            here = amounts.in_unit(amount, unit.system, unit.code, unit.display) if code else None
            if here is not None:
                yield from _measure(here, code, scope.put)


def _measure(amount: Amount, unit: int | None, put: Arguments) -> Iterator[Rows]:
    """Yield what answers an amount (`amounts.compare`) in one unit, or whatever the unit.

    A row that is open below (`edge`) has its upper end in `low`; one that has a lower end, and another upper, in both.
    """
    of = "" if unit is None else f"v.unit = {put(unit, 'integer')} and "
    for condition, ranged in _compared(amount, put):
        yield Rows(of + condition, ranged, unit)


def _compared(amount: Amount, put: Arguments) -> Iterator[tuple[str, bool]]:
    """Yield the conditions on `low` and `high`, and whether the index has a range of what answers."""
    match amount.prefix:
        case Prefix.EQ | Prefix.NE:
            low, high = put(amount.low, "numeric"), put(amount.high, "numeric")
            within = f"v.low >= {low} and v.low < {high} and coalesce(v.high, v.low) < {high} and {_CLOSED}"
            yield (within, True) if amount.prefix is Prefix.EQ else (f"not ({within})", False)
        case Prefix.AP:
            low, high = put(amount.low, "numeric"), put(amount.high, "numeric")
            yield f"v.low >= {low} and v.low <= {high}", True
            yield f"v.high >= {low} and v.low < {low}", True
            yield f"{_OPEN} and v.low > {high}", True
        case _:
            yield from _one_sided(amount.prefix, put(amount.value, "numeric"))


def _one_sided(prefix: Prefix, value: str) -> Iterator[tuple[str, bool]]:
    match prefix:
        case Prefix.GT | Prefix.GE:
            sign = ">" if prefix is Prefix.GT else ">="
            yield f"v.low {sign} {value}", True
            yield f"v.high {sign} {value} and not v.low {sign} {value}", True
        case Prefix.SA:
            yield f"v.low > {value} and {_CLOSED}", True
        case Prefix.LT | Prefix.LE:
            sign = "<" if prefix is Prefix.LT else "<="
            yield f"v.low {sign} {value}", True
            yield f"{_OPEN} and not v.low {sign} {value}", True
        case _:  # EB
            yield f"v.low < {value} and coalesce(v.high, v.low) < {value}", True
