"""Type search on PostgreSQL: runs what `search_sql` decides. Bodies come out as they were stored, unparsed."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from typing import Any, Final

from gateway.search.query import Query
from gateway.store.port import Page, Version
from gateway.store.postgres import search_sql
from gateway.store.postgres.connections import Connection, Connections

_FREQUENCIES: Final = """
select s.most_common_elems::text::bigint[] as tokens, s.most_common_elem_freqs as shares,
       greatest(c.reltuples, 0) as rows
  from pg_stats s join pg_class c on c.oid = to_regclass(s.tablename)
 where s.schemaname = current_schema() and s.tablename = 'resource' and s.attname = 'tokens'
"""
_LOOK_SECONDS: Final = 60.0


class Searches:
    """The search half of the port. `types` maps names to the numbers of resource_type."""

    def __init__(self, connections: Connections, types: Mapping[str, int]) -> None:
        self._connections = connections
        self._types = types
        self._rows: dict[int, float] = {}
        self._look_at = 0.0

    async def page(self, query: Query) -> Page:
        """See `store.port.Store.search`. The versions' `message` is left empty: an answer does not show it."""
        type_code = self._types.get(query.type)
        if type_code is None:
            return Page((), more=False, total=0 if query.total else None)
        async with self._connections.session() as connection:
            await self._look(connection)
            rows: list[Any] = []
            if query.count:
                statement = search_sql.page(query, type_code, self._frequent)
                rows = await connection.fetch(statement.sql, *statement.arguments)
            total = None
            if query.total:
                statement = search_sql.total(query, type_code, self._frequent)
                total = await connection.fetchval(statement.sql, *statement.arguments)
        shown = rows[: query.count]
        versions = tuple(
            Version(query.type, row["id"], row["version"], row["updated"], row["body"], lane=row["lane"])
            for row in shown
        )
        last = shown[-1] if shown else None
        return Page(
            versions,
            more=len(rows) > len(shown),
            total=total,
            last_key=last["key"] if last else None,
            last_rid=last["rid"] if last else 0,
        )

    def _frequent(self, tokens: Collection[int]) -> float:
        """Return about how many resources hold one of these tokens, by the database's own statistics."""
        return sum(self._rows.get(token, 0.0) for token in tokens)

    async def _look(self, connection: Connection) -> None:
        """Read the statistics again when they are old: the tokens that ANALYZE found most common."""
        now = time.monotonic()
        if now < self._look_at:
            return
        self._look_at = now + _LOOK_SECONDS
        row = await connection.fetchrow(_FREQUENCIES)
        if row is not None and row["tokens"] is not None:
            tokens = row["tokens"]
            # after the tokens' shares stand the least and the greatest of them, and that of nulls
            shares = row["shares"][: len(tokens)]
            self._rows = {token: share * row["rows"] for token, share in zip(tokens, shares, strict=True)}
