"""The history of types and of the whole store, for a caller from whom something is hidden: one statement a page.

A walk for each type in the order of its index, or, where all that exists is in one patient's record, from that record.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Final

from gateway.store.postgres.search import Searches
from gateway.store.postgres.search_reach import in_record
from gateway.store.postgres.search_scope import Scope, Statement, first
from gateway.store.postgres.search_terms import current

_BEFORE_ALL: Final = dt.datetime(1, 1, 2, tzinfo=dt.UTC)
_AFTER_ALL: Final = dt.datetime(9999, 12, 30, tzinfo=dt.UTC)
_TYPES_END: Final = (1 << 15) - 1
_VERSION: Final = (
    "{v}.updated, {v}.id, {v}.version, {v}.type, {v}.deleted, {v}.lane, {v}.patient, {v}.body, {v}.message"
)
_ORDER: Final = "updated desc, type desc, id desc, version desc"
_STANDING: Final = (
    "select t.name from resource_type t where t.name = any($1::text[])"
    " and exists (select from resource r where r.type = t.code offset 0)"
)


async def standing(searches: Searches, types: Sequence[str]) -> list[str]:
    """Return those of some types that have any resource."""
    scope = searches.scope(None)
    sql = _STANDING.replace("$1::text[]", scope.put(list(types), "text[]"))
    return sorted(row["name"] for row in await searches.rows(scope.put.statement(sql)))


def statement(
    scope: Scope,
    types: Sequence[str],
    *,
    limit: int,
    since: dt.datetime | None,
    before: tuple[dt.datetime, str, str, int] | None,
) -> Statement | None:
    """Return the statement of one page: columns type, rid, past and those of a version; None where nothing can be there."""
    put = scope.put
    moment, kind, name, version = before or (_AFTER_ALL, "", "", 0)
    code = scope.type(kind) if kind else _TYPES_END
    place = [put(moment, "timestamptz"), put(code, "smallint"), put(name, "text"), put(version, "integer")]
    between = f"{{v}}.updated between {put(since or _BEFORE_ALL, 'timestamptz')} and {place[0]}"
    below = f"{between} and ({{v}}.updated, {{v}}.type, {{v}}.id, {{v}}.version) < ({', '.join(place)})"
    walks: list[str] = []
    for one in types:
        reach = scope.reach(one)
        if reach is not None and not reach.ways:
            continue
        walks += _walks(scope, one, below, limit, None if reach is None else reach.owner)
    if not walks:
        return None
    found = "\nunion all\n".join(f"({walk})" for walk in walks)
    return put.statement(
        "select t.name as type, f.rid, f.past, f.updated, f.id, f.version, f.deleted, f.lane, f.patient, f.body,"
        " coalesce(m.receipt, '') as receipt, f.message = -1 as posted"
        f" from (select * from (\n{found}\n) w order by {_ORDER} limit {limit}) f"
        " join resource_type t on t.code = f.type left join message m on m.seq = f.message"
        " order by f.updated desc, f.type desc, f.id desc, f.version desc"
    )


def _walks(scope: Scope, kind: str, below: str, limit: int, owner: int | None) -> list[str]:
    """Return the walks of a type: its current versions, and the superseded ones of what is current."""
    there = current(scope, "r", kind)
    code = scope.type(kind)
    end = f"order by {_ORDER} limit {limit}"
    now, then = _VERSION.format(v="r"), _VERSION.format(v="v")
    if owner is not None:
        mine = first(f"{in_record(scope, 'r.patient', owner)} and r.type = {code}")
        past = f"cross join lateral (select * from version v where v.type = {code} and v.id = r.id offset 0) v"
        return [
            f"select r.rid, false as past, {now} from {mine} where {there} and {below.format(v='r')} {end}",
            f"select r.rid, true as past, {then} from {mine} {past} where {there} and {below.format(v='v')} {end}",
        ]
    of_type = f"v.type = {code} and {below.format(v='v')}"
    versions = f"(select * from version v where {of_type} order by {_ORDER} offset 0) v"
    held = f"cross join lateral (select r.rid from resource r where r.id = v.id and {there} offset 0) r"
    return [
        f"select r.rid, false as past, {now} from resource r where {there} and {below.format(v='r')} {end}",
        f"select r.rid, true as past, {then} from {versions} {held} limit {limit}",
    ]
