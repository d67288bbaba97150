"""The order of a search's results: its keys in SQL, the walk that gives them in order, and where a page goes on.

Two kinds. A `Sort` is an order that `resource` itself has an index in (main date, last update). Any other is a list of
keys; where the first has an index in its own table that is walked, and resources without that key come last, by id. What
has several values is sorted by its least (descending: its greatest), a string by its folded first 64 characters, an
amount by its lower end whatever its unit: `search.match.sort_key`, but for the cut. Addresses, codes (`search_bodies`) and
unions of parameters have no walk: as a first key, all that answers is sorted, up to a limit (`search`).
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
from gateway.store.postgres import search_bodies as bodies
from gateway.store.postgres.index_rows import GREATEST, LEAST
from gateway.store.postgres.search_scope import Arguments, Scope, main_date

NEWEST: Final = frozenset({Sort.NEWEST, Sort.DATE_NEWEST})
CONDITIONS: Final = "/* conditions */"


@dataclass(frozen=True, slots=True)
class Key:
    """One key of an order: a value of `resource` itself, or of a parameter in a table of its own."""

    descending: bool
    type: str
    """Its PostgreSQL type."""
    own: str = ""
    """The value as the resource `r` has it."""
    table: str = ""
    value: str = ""
    """The value of a row `v` of the table."""
    where: str = ""
    """Which rows of the table are its values."""
    nullable: bool = True
    walks: bool = True
    """Whether an index gives it in order."""

    @property
    def way(self) -> str:
        """The direction, as `order by` says it."""
        return " desc" if self.descending else ""

    @property
    def of(self) -> str:
        """The value for a resource `r`."""
        if self.own:
            return self.own
        best = "max" if self.descending else "min"
        return f"(select {best}({self.value}) from {self.table} v where v.rid = r.rid and {self.where})"

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
        return Key(down, "text", "r.id", nullable=False)
    if name == "_lastUpdated":
        return Key(down, "timestamptz", "r.updated", nullable=False)
    if name == main_date(resource_type):
        return Key(down, "timestamptz", "r.low")
    known = parameters.of(resource_type).get(name)
    if known is None or not known.sortable:
        raise Incorrect(f"results cannot be sorted by {name}", at="_sort")
    if bodies.reads(known):
        return Key(down, "text", bodies.key_of(known, descending=down), walks=False)
    stored = [str(scope.parameter(one)) for one in known.stored_as]
    where = f"v.type = {scope.type(resource_type)} and v.parameter"
    where += (
        f" = {stored[0]} and v.edge & {GREATEST if down else LEAST} <> 0"
        if len(stored) == 1
        else f" in ({','.join(stored)})"
    )
    match known.kind:
        case Kind.STRING:
            return Key(down, "text", "", "string_of", "v.key", where, walks=len(stored) == 1)
        case Kind.URI:
            return Key(down, "text", "", "string_of", "coalesce(v.exact, v.folded, v.key)", where, walks=False)
        case Kind.DATE:
            return Key(down, "timestamptz", "", "date_of", "v.low", where, walks=len(stored) == 1)
        case _:
            return Key(down, "numeric", "", "measure_of", "v.low", where, walks=len(stored) == 1)


def by_unit(scope: Scope, resource_type: str, order: Sequence[SortBy]) -> bool:
    """Say whether an order's walk has a part for each unit: in those that no match is in it goes to the end."""
    return bool(order) and _key(scope, resource_type, order[0]).table == "measure_of"


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
    there are none such). `CONDITIONS` in them is where all else that is asked goes.
    """
    first = order[0]
    also = "".join(f", {key.of} as k{place}" for place, key in enumerate(order[1:], 2))
    without = (
        _without(order, after, put, limit, columns + ", " + f"null::{first.type} as k1{also}") if first.nullable else ""
    )
    if after is not None and after.keys[0] is None:
        return "", without
    bound = ""
    if after is not None:
        bound = f" {'<=' if first.descending else '>='} {put(first.read(after.keys[0]), first.type)}"
    if first.own:
        kept = f" and {first.own} is not null" if first.nullable else ""
        kept += f" and {first.own}{bound}" if bound else ""
        inner = f"select {columns}, {first.own} as k1{also} from resource r where {CONDITIONS}{kept}"
        return _cut(inner, order, after, put, limit), without
    by_unit = first.table == "measure_of"
    ranged = (f" and {first.value}{bound}" if bound else "") + (" and v.unit = u.code" if by_unit else "")
    walk = (
        f"(select v.rid, {first.value} as k1 from {first.table} v where {first.where}{ranged}"
        f" order by {first.value}{first.way}, v.rid{first.way} offset 0) v"
    )
    inner = (
        f"select {columns}, v.k1{also} from {walk}"
        f" cross join lateral (select * from resource x where x.rid = v.rid offset 0) r where {CONDITIONS}"
    )
    found = _cut(inner, order, after, put, limit)
    if by_unit:  # the index is in order for each unit
        units = "(select code from unit union all select 0) u"
        found = f"select w.* from {units} cross join lateral ({found}) w order by {_by(order)} limit {limit}"
    return found, without


def _by(order: Sequence[Key]) -> str:
    """Return the order of rows that have the first key, as an index has it."""
    first = order[0]
    nulls = "" if not (first.own and first.nullable) else " nulls last" if first.descending else " nulls first"
    return ", ".join([f"k1{first.way}{nulls}", *_rest(order), f"rid{first.way}"])


def _rest(order: Sequence[Key]) -> list[str]:
    return [f"k{place}{key.way}{' nulls last' if key.nullable else ''}" for place, key in enumerate(order[1:], 2)]


def _cut(inner: str, order: Sequence[Key], after: After | None, put: Arguments, limit: int) -> str:
    """Return a walk from where the last page ended to the end of this one."""
    later = "" if after is None else f" where {beyond(order, after, put, _names(order), 'w')}"
    return f"select * from ({inner}) w{later} order by {_by(order)} limit {limit}"


def _without(order: Sequence[Key], after: After | None, put: Arguments, limit: int, columns: str) -> str:
    first = order[0]
    missing = (
        f"{first.own} is null"
        if first.own
        else (f"not exists (select from {first.table} v where v.rid = r.rid and {first.where} offset 0)")
    )
    inner = f"select {columns} from resource r where {CONDITIONS} and {missing}"
    later = ""
    if after is not None and after.keys[0] is None:
        later = f" where {beyond(order, after, put, _names(order), 'w')}"
    return f"select * from ({inner}) w{later} order by {', '.join([*_rest(order), 'id'])} limit {limit}"


def _names(order: Sequence[Key]) -> list[str]:
    return [f"w.k{place}" for place in range(1, len(order) + 1)]


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
