"""Type search on PostgreSQL: runs what `search_sql` decides. Bodies come out as they were stored, unparsed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.search.query import Query
from gateway.store.port import Page, Version
from gateway.store.postgres import search_order as orders
from gateway.store.postgres import search_sql
from gateway.store.postgres.connections import Connection, Connections
from gateway.store.postgres.frequencies import Frequencies
from gateway.store.postgres.indexing import Indexing
from gateway.store.postgres.search_scope import Scope


class Searches:
    """The search half of the port."""

    def __init__(self, connections: Connections, indexing: Indexing) -> None:
        self._connections = connections
        self._indexing = indexing
        self._frequencies = Frequencies()

    async def page(self, query: Query) -> Page:
        """See `store.port.Store.search`. The versions' `message` is left empty: an answer does not show it."""
        async with self._connections.session() as connection:
            return await self.on(connection, query)

    async def on(self, connection: Connection, query: Query) -> Page:
        """Answer on a connection of the caller's: inside its transaction, where it has one."""
        await self._frequencies.look(connection)
        rows: Sequence[Mapping[str, Any]] = []
        if query.count:
            statement = search_sql.page(query, self._scope())
            rows = await connection.fetch(statement.sql, *statement.arguments)
        total = None
        if query.total:
            statement = search_sql.total(query, self._scope())
            total = await connection.fetchval(statement.sql, *statement.arguments)
        return _page(query, rows, total)

    def _scope(self) -> Scope:
        indexing = self._indexing
        return Scope(indexing.types, indexing.parameters, indexing.units, self._frequencies)


def _page(query: Query, rows: Sequence[Mapping[str, Any]], total: int | None) -> Page:
    shown = rows[: query.count]
    versions = tuple(
        Version(query.type, row["id"], row["version"], row["updated"], row["body"], lane=row["lane"]) for row in shown
    )
    more = len(rows) > len(shown)
    if not shown:
        return Page(versions, more=more, total=total)
    last = shown[-1]
    if query.order:
        keys = tuple(orders.as_text(last[f"k{place}"]) for place in range(1, len(query.order) + 1))
        return Page(versions, more=more, total=total, last_rid=last["rid"], last_keys=keys)
    return Page(versions, more=more, total=total, last_key=last["key"], last_rid=last["rid"])
