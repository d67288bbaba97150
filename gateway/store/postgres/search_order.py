"""The order of a search's results: its keys in SQL, the walk that gives them in order, and where a page goes on.

Two kinds. A `Sort` is an order that `resource` itself has an index in (main date, last update). Any other is a list of
keys, the first of which has an index to walk in its own table; resources without that key come last, by id. A string
is compared by its folded first 64 characters, what has several values by its least (descending: its greatest).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from gateway.errors import Incorrect
from gateway.search import parameters
from gateway.search.parameters import Kind
from gateway.search.query import After, Query, Sort, SortBy
from gateway.store.postgres.index_rows import GREATEST, KEY_CHARACTERS, LEAST, NO_STRINGS
from gateway.store.postgres.search_scope import Arguments, Scope, main_date

NEWEST: Final = frozenset({Sort.NEWEST, Sort.DATE_NEWEST})
_TABLES: Final = {Kind.DATE: "date_of", Kind.STRING: "string_of", Kind.URI: "string_of", Kind.NUMBER: "measure_of"}
_VALUES: Final = {
    "date_of": ("v.low", "timestamptz"),
    "string_of": (f"left(v.folded, {KEY_CHARACTERS})", "text"),
    "measure_of": ("v.low", "numeric"),
}


@dataclass(frozen=True, slots=True)
class Key:
    """One key of an order: a column of `resource`, or the value of a parameter in a table of its own."""

    descending: bool
    type: str
    """Its PostgreSQL type."""
    column: str = ""
    table: str = ""
    where: str = ""
    """Which rows of the table are its values, of `v`: one row a resource at most."""
    nullable: bool = True

    @property
    def way(self) -> str:
        """The direction, as `order by` says it."""
        return " desc" if self.descending else ""

    @property
    def value(self) -> str:
        """The value of a row `v` of its table."""
        return _VALUES[self.table][0]

    @property
    def of(self) -> str:
        """The value for a resource `r`."""
        if self.column:
            return f"r.{self.column}"
        return f"(select {self.value} from {self.table} v where v.rid = r.rid and {self.where} offset 0)"

    def read(self, text: str | None) -> Any:
        """Return the value that `After.keys` holds as text."""
        if text is None or self.type == "text":
            return text
        return dt.datetime.fromisoformat(text) if self.type == "timestamptz" else Decimal(text)


def keys(scope: Scope, resource_type: str, order: Sequence[SortBy]) -> list[Key]:
    """Return the keys of an order. Raises Incorrect for a parameter that no order is kept of."""
    return [_key(scope, resource_type, one) for one in order]


def _key(scope: Scope, resource_type: str, by: SortBy) -> Key:
    name, down = by.parameter, by.descending
    if name == "_id":
        return Key(down, "text", column="id", nullable=False)
    if name == "_lastUpdated":
        return Key(down, "timestamptz", column="updated", nullable=False)
    if name == main_date(resource_type):
        return Key(down, "timestamptz", column="low")
    known = parameters.of(resource_type).get(name)
    table = _TABLES.get(known.kind) if known is not None else None
    stored = known.stored_as if known is not None else ()
    if table is None or len(stored) != 1 or stored[0] in NO_STRINGS:
        raise Incorrect(f"results cannot be sorted by {name}", at="_sort")
    edge = GREATEST if down else LEAST
    where = (
        f"v.type = {scope.type(resource_type)} and v.parameter = {scope.parameter(stored[0])} and v.edge & {edge} <> 0"
    )
    return Key(down, _VALUES[table][1], table=table, where=where)


def as_text(value: Any) -> str | None:
    """Return a key as `After.keys` holds it."""
    return value.isoformat() if isinstance(value, dt.datetime) else None if value is None else str(value)


def order_by(order: Sequence[Key]) -> str:
    """Return the order of rows with columns k1, k2 … id, rid."""
    parts = [f"k{place}{key.way}{' nulls last' if key.nullable else ''}" for place, key in enumerate(order, 1)]
    if order[0].nullable:
        parts.append("(case when k1 is null then id end)")
    return ", ".join([*parts, f"rid{order[0].way}"])


def beyond(order: Sequence[Key], after: After, put: Arguments, columns: Sequence[str], alias: str) -> str:
    """Return the condition that a row comes behind the last one shown; `columns` are its keys in SQL."""
    reached = [key.read(text) for key, text in zip(order, after.keys, strict=True)]
    ways: list[str] = []
    equal: list[str] = []
    for key, column, value in zip(order, columns, reached, strict=True):
        if value is None:
            equal.append(f"{column} is null")
            continue
        sign, here = "<" if key.descending else ">", put(value, key.type)
        last = f" or {column} is null" if key.nullable else ""
        ways.append(" and ".join([*equal, f"({column} {sign} {here}{last})"]))
        equal.append(f"{column} = {here}")
    rid = put(after.rid, "bigint")
    if reached[0] is None:
        equal.append(f"{alias}.id > (select id from resource where rid = {rid})")
    else:
        equal.append(f"{alias}.rid {'<' if order[0].descending else '>'} {rid}")
    return "(" + " or ".join(f"({way})" for way in [*ways, " and ".join(equal)]) + ")"


def in_order(order: Sequence[Key], after: After | None, put: Arguments, limit: int, columns: str) -> tuple[str, str]:
    """Return the two selects of a walk: resources with the first key, by its index, and those without, by id ('' where
    there are none such). `{conditions}` in them is where all else that is asked goes.
    """
    first, rest = order[0], order[1:]
    also = "".join(f", {key.of} as k{place}" for place, key in enumerate(rest, 2))
    without = _without(first, also, columns, order, after, put, limit) if first.nullable else ""
    if after is not None and after.keys[0] is None:
        return "", without
    bound = ""
    if after is not None:
        bound = f"{{value}} {'<=' if first.descending else '>='} {put(first.read(after.keys[0]), first.type)}"
    if first.column:
        kept = [f"r.{first.column} is not null"] if first.nullable else []
        kept += [bound.format(value=first.of)] if bound else []
        nulls = " nulls first" if first.nullable and not first.descending else ""
        nulls = " nulls last" if first.nullable and first.descending else nulls
        inner = (
            f"select {columns}, {first.of} as k1{also} from resource r"
            f" where {{conditions}}{''.join(f' and {one}' for one in kept)}"
        )
        return _cut(inner, order, after, put, limit, nulls), without
    ranged = f" and {bound.format(value=first.value)}" if bound else ""
    walk = (
        f"(select v.rid, {first.value} as k1 from {first.table} v where {first.where}{ranged}"
        f" order by {first.value}{first.way}, v.rid{first.way} offset 0) v"
    )
    inner = (
        f"select {columns}, v.k1{also} from {walk}"
        f" cross join lateral (select * from resource x where x.rid = v.rid offset 0) r where {{conditions}}"
    )
    return _cut(inner, order, after, put, limit, ""), without


def _cut(inner: str, order: Sequence[Key], after: After | None, put: Arguments, limit: int, nulls: str) -> str:
    """Return a walk from where the last page ended to the end of this one. The first key is not null here."""
    later = ""
    if after is not None:
        columns = [f"w.k{place}" for place in range(1, len(order) + 1)]
        later = f" where {beyond(order, after, put, columns, 'w')}"
    by = [f"k1{order[0].way}{nulls}"]
    by += [f"k{place}{key.way}{' nulls last' if key.nullable else ''}" for place, key in enumerate(order[1:], 2)]
    return f"select * from ({inner}) w{later} order by {', '.join([*by, 'rid' + order[0].way])} limit {limit}"


def _without(
    first: Key, also: str, columns: str, order: Sequence[Key], after: After | None, put: Arguments, limit: int
) -> str:
    missing = (
        f"r.{first.column} is null"
        if first.column
        else f"not exists {first.of.replace('select ' + first.value, 'select')}"
    )
    inner = f"select {columns}, null::{first.type} as k1{also} from resource r where {{conditions}} and {missing}"
    later = ""
    if after is not None and after.keys[0] is None:
        columns_here = [f"w.k{place}" for place in range(1, len(order) + 1)]
        later = f" where {beyond(order, after, put, columns_here, 'w')}"
    by = [f"k{place}{key.way}{' nulls last' if key.nullable else ''}" for place, key in enumerate(order[1:], 2)]
    return f"select * from ({inner}) w{later} order by {', '.join([*by, 'id'])} limit {limit}"


def walks(query: Query, conditions: list[str], put: Arguments, *, dated: bool) -> list[tuple[list[str], str]]:
    """Return (conditions, order) of the index walks of a `Sort`: two where some resources have no main date."""
    after = query.after
    newest = query.sort in NEWEST
    sign, way = ("<", " desc") if newest else (">", "")
    column = column_of(query.sort)
    undated = [*conditions, "r.low is null"]
    by_date = column == "r.low"
    if by_date and after is not None and after.key is None:
        return [([*undated, f"r.rid {sign} {put(after.rid, 'bigint')}"], f"r.rid{way}")]
    order = f"{column}{way}{' nulls last' if newest and by_date else ' nulls first' if by_date else ''}, r.rid{way}"
    if after is not None:
        reached = f"({put(after.key, 'timestamptz')}, {put(after.rid, 'bigint')})"
        conditions = [*conditions, f"({column}, r.rid) {sign} {reached}"]
    if not by_date or dated or (newest and after is None):
        return [(conditions, order)]
    return [([*conditions, "r.low is not null"], order), (undated, f"r.rid{way}")]


def column_of(sort: Sort) -> str:
    """Return the column that a `Sort` goes by."""
    return "r.updated" if sort in {Sort.NEWEST, Sort.OLDEST} else "r.low"
