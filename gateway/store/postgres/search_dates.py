"""Dates in SQL: the condition a term asks for, and what follows from it that an index can use. Part of `search_sql`.

A row's interval is [low, high). `high` has an index for long intervals only, so a question like `ge2026-11-01` (`high`
is later) is cut in two windows: short intervals, whose `low` cannot be much earlier, and long ones by their own index.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from gateway.search.query import DateTerm, Prefix

LONG: Final = dt.timedelta(days=32)
"""An interval longer than this stands in the index `resource_long` (migration 0002, which writes the same figure). Most
encounters are shorter; what is open at its end, or known by its year alone, is longer."""
_LONG_SQL: Final = "r.high - r.low > interval '32 days'"
RESOURCE: Final = "resource r"
_EXACT: Final = frozenset({Prefix.EQ, Prefix.SA})
_EARLIEST: Final = dt.datetime(1, 1, 1, tzinfo=dt.UTC)


@dataclass(slots=True)
class Arguments:
    """The arguments of a statement: `put(value)` notes one and returns its placeholder."""

    values: list[Any] = field(default_factory=list)

    def __call__(self, value: Any, cast: str = "") -> str:
        """Note a value; return its placeholder, with `cast` behind it."""
        self.values.append(value)
        return f"${len(self.values)}{cast}"


def condition(term: DateTerm, from_: str, to: str, put: Arguments) -> str:
    """Return the condition that a row's [from_, to) answers the term (`search.times.compare`); null does not."""
    parts = [_compare(prefix, (low, high), (from_, to), put) for prefix, low, high in term.values]
    return parts[0] if len(parts) == 1 else f"({' or '.join(parts)})"


def _compare(prefix: Prefix, asked: tuple[dt.datetime, dt.datetime], row: tuple[str, str], put: Arguments) -> str:
    (low, high), (from_, to) = asked, row
    match prefix:
        case Prefix.EQ:
            return f"({from_} >= {put(low)} and {to} <= {put(high)})"
        case Prefix.NE:
            return f"not ({from_} >= {put(low)} and {to} <= {put(high)})"
        case Prefix.GT:
            return f"{to} > {put(high)}"
        case Prefix.LT:
            return f"{from_} < {put(low)}"
        case Prefix.GE:
            return f"({to} > {put(high)} or ({from_} >= {put(low)} and {to} <= {put(high)}))"
        case Prefix.LE:
            return f"({from_} < {put(low)} or ({from_} >= {put(low)} and {to} <= {put(high)}))"
        case Prefix.SA:
            return f"{from_} >= {put(high)}"
        case Prefix.EB:
            return f"{to} <= {put(low)}"
        case Prefix.AP:
            return f"({from_} < {put(high)} and {to} > {put(low)})"


def range_of(term: DateTerm, from_: str, put: Arguments) -> list[str]:
    """Return what follows for `from_` alone: its upper end, and its lower one where the prefix gives it exactly."""
    bounds = []
    if (top := _bound(term, _top, max)) is not None:
        bounds.append(f"{from_} <= {put(top)}")
    if all(prefix in _EXACT for prefix, _, _ in term.values) and (bottom := _bound(term, _bottom, min)) is not None:
        bounds.append(f"{from_} >= {put(bottom)}")
    return bounds


def range_of_updated(term: DateTerm, put: Arguments) -> list[str]:
    """Return what follows for `r.updated`, whose interval is a millisecond."""
    bottom = _bound(term, _bottom, min)
    lower = [] if bottom is None else [f"r.updated >= {put(_back(bottom, dt.timedelta(milliseconds=1)))}"]
    return [*range_of(term, "r.updated", put), *lower]


@dataclass(frozen=True, slots=True)
class Branch:
    """Conditions of a branch, and what it reads from."""

    conditions: list[str]
    source: str = RESOURCE


def windows(terms: Sequence[DateTerm], type_code: int, put: Arguments) -> list[Branch]:
    """Return the windows that together hold whatever answers all terms: one, or short intervals and long ones.

    Long ones are read by their own index first (`offset 0` keeps the planner from merging the two selects).
    """
    loose = [term for term in terms if not all(prefix in _EXACT for prefix, _, _ in term.values)]
    bottoms = [bottom for term in loose if (bottom := _bound(term, _bottom, min)) is not None]
    if not bottoms or len(loose) < len(terms):
        return [Branch([])]
    bottom = max(bottoms)
    long = f"r.type = {type_code:d} and not r.deleted and {_LONG_SQL} and r.high >= {put(bottom)}"
    return [
        Branch([f"r.low >= {put(_back(bottom, LONG))}", f"not ({_LONG_SQL})"]),
        Branch([], f"(select * from resource r where {long} offset 0) r"),
    ]


def beside(term: DateTerm, type_code: int, put: Arguments, *, drives: bool) -> str:
    """Return the condition on a date beside the main one, in its own table."""
    rows = (
        f"select {{what}} from date_of d where d.type = {type_code:d} and d.parameter = {put(term.parameter)}"
        f" and {' and '.join([condition(term, 'd.low', 'd.high', put), *range_of(term, 'd.low', put)])}"
    )  # every value is an argument
    if drives:
        return f"r.rid = any(array({rows.format(what='d.rid')}))"
    return f"exists ({rows.format(what='1')} and d.rid = r.rid)"


def _bound(
    term: DateTerm,
    side: Callable[[Prefix, dt.datetime, dt.datetime], dt.datetime | None],
    widest: Callable[[list[dt.datetime]], dt.datetime],
) -> dt.datetime | None:
    """Return the bound that holds for every value of a term, None when one of them has none."""
    bounds = [bound for value in term.values if (bound := side(*value)) is not None]
    return widest(bounds) if len(bounds) == len(term.values) else None


def _top(prefix: Prefix, low: dt.datetime, high: dt.datetime) -> dt.datetime | None:
    """Return what the low end of an answering interval cannot be above."""
    if prefix in {Prefix.EQ, Prefix.LE, Prefix.AP}:
        return high
    return low if prefix in {Prefix.LT, Prefix.EB} else None


def _bottom(prefix: Prefix, low: dt.datetime, high: dt.datetime) -> dt.datetime | None:
    """Return what the high end of an answering interval cannot be below (EQ, SA: nor its low end)."""
    if prefix in {Prefix.EQ, Prefix.GE, Prefix.AP}:
        return low
    return high if prefix in {Prefix.GT, Prefix.SA} else None


def _back(moment: dt.datetime, by: dt.timedelta) -> dt.datetime:
    return moment - by if moment - _EARLIEST > by else _EARLIEST
