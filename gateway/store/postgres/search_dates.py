"""Dates in SQL: the condition a term asks for, and what follows from it that an index can use. Part of `search_sql`.

A row's interval is [low, high). `high` has an index for long intervals only, so a question like `ge2026-11-01` (`high`
is later) is cut in two windows: short intervals, whose `low` cannot be much earlier, and long ones by their own index.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from typing import Final

from gateway.search.query import DateTerm, Prefix
from gateway.store.postgres.search_scope import Arguments

LONG: Final = dt.timedelta(days=32)
"""An interval longer than this stands in the index `resource_long` (migration 0002, which writes the same figure). Most
encounters are shorter; what is open at its end, or known by its year alone, is longer."""
INSTANT: Final = dt.timedelta(milliseconds=1)
"""The interval of `_lastUpdated`."""
_LONG_SQL: Final = "{r}.high - {r}.low > interval '32 days'"
_INSTANT_SQL: Final = "interval '1 millisecond'"
_WITHIN: Final = frozenset({Prefix.EQ, Prefix.NE, Prefix.GE, Prefix.LE})
_EXACT: Final = frozenset({Prefix.EQ, Prefix.SA})
_EARLIEST: Final = dt.datetime(1, 1, 1, tzinfo=dt.UTC)


def condition(term: DateTerm, from_: str, to: str, put: Arguments) -> str:
    """Return the condition that a row's [from_, to) answers the term (`search.times.compare`); null does not."""
    parts = [_compare(prefix, (low, high), (from_, to), put) for prefix, low, high in term.values]
    return parts[0] if len(parts) == 1 else f"({' or '.join(parts)})"


def _compare(prefix: Prefix, asked: tuple[dt.datetime, dt.datetime], row: tuple[str, str], put: Arguments) -> str:
    from_, to = row
    low, high = asked
    within = _within(asked, row, put) if prefix in _WITHIN else ""
    match prefix:
        case Prefix.EQ:
            return within
        case Prefix.NE:
            return f"not {within}"
        case Prefix.GT:
            return f"{to} > {put(high, 'timestamptz')}"
        case Prefix.LT:
            return f"{from_} < {put(low, 'timestamptz')}"
        case Prefix.GE:
            return f"({to} > {put(high, 'timestamptz')} or {within})"
        case Prefix.LE:
            return f"({from_} < {put(low, 'timestamptz')} or {within})"
        case Prefix.SA:
            return f"{from_} >= {put(high, 'timestamptz')}"
        case Prefix.EB:
            return f"{to} <= {put(low, 'timestamptz')}"
        case Prefix.AP:
            return f"({from_} < {put(high, 'timestamptz')} and {to} > {put(low, 'timestamptz')})"


def _within(asked: tuple[dt.datetime, dt.datetime], row: tuple[str, str], put: Arguments) -> str:
    return f"({row[0]} >= {put(asked[0], 'timestamptz')} and {row[1]} <= {put(asked[1], 'timestamptz')})"


def range_of(term: DateTerm, from_: str, put: Arguments) -> list[str]:
    """Return what follows for `from_` alone: its upper end, and its lower one where the prefix gives it exactly."""
    bounds = []
    if (top := _bound(term, _top, max)) is not None:
        bounds.append(f"{from_} <= {put(top, 'timestamptz')}")
    if all(prefix in _EXACT for prefix, _, _ in term.values) and (bottom := _bound(term, _bottom, min)) is not None:
        bounds.append(f"{from_} >= {put(bottom, 'timestamptz')}")
    return bounds


def updated(term: DateTerm, alias: str, put: Arguments) -> list[str]:
    """Return the conditions of `_lastUpdated`, whose interval is a millisecond."""
    column = f"{alias}.updated"
    bottom = _bound(term, _bottom, min)
    lower = []
    if bottom is not None:
        lower = [f"{column} >= {put(_back(bottom, INSTANT), 'timestamptz')}"]
    return [condition(term, column, f"({column} + {_INSTANT_SQL})", put), *range_of(term, column, put), *lower]


def windows(terms: Sequence[DateTerm], type_code: int, put: Arguments) -> list[tuple[list[str], str]]:
    """Return (conditions, source) of the windows that together hold whatever answers all terms: one, or short intervals
    and long ones.

    Long ones are read by their own index first (`offset 0` keeps the planner from merging the two selects).
    """
    loose = [term for term in terms if not all(prefix in _EXACT for prefix, _, _ in term.values)]
    bottoms = [bottom for term in loose if (bottom := _bound(term, _bottom, min)) is not None]
    if not bottoms or len(loose) < len(terms):
        return [([], "resource r")]
    bottom = max(bottoms)
    is_long = _LONG_SQL.format(r="r")
    long = f"r.type = {type_code:d} and not r.deleted and {is_long} and r.high >= {put(bottom, 'timestamptz')}"
    return [
        ([f"r.low >= {put(_back(bottom, LONG), 'timestamptz')}", f"not ({is_long})"], "resource r"),
        ([], f"(select * from resource r where {long} offset 0) r"),
    ]


def narrows(term: DateTerm) -> bool:
    """Say whether a term says anything about `low` that an index could use."""
    return _bound(term, _top, max) is not None or _bound(term, _bottom, min) is not None


def _bound(
    term: DateTerm,
    side: Callable[[Prefix, dt.datetime, dt.datetime], dt.datetime | None],
    widest: Callable[[list[dt.datetime]], dt.datetime],
) -> dt.datetime | None:
    """Return the bound that holds for every value of a term, None when one of them has none."""
    bounds = [bound for value in term.values if (bound := side(*value)) is not None]
    return widest(bounds) if bounds and len(bounds) == len(term.values) else None


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
