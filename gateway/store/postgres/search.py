"""Type search on PostgreSQL: runs what `search_sql` decides. Bodies come out as they were stored, unparsed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.search.query import Query
from gateway.store.port import Page, Version
from gateway.store.postgres import search_sql
from gateway.store.postgres.connections import Connections
from gateway.store.postgres.frequencies import Frequencies


class Searches:
    """The search half of the port. `types` maps names to the numbers of resource_type."""

    def __init__(self, connections: Connections, types: Mapping[str, int]) -> None:
        self._connections = connections
        self._types = types
        self._frequencies = Frequencies()

    async def page(self, query: Query) -> Page:
        """See `store.port.Store.search`. The versions' `message` is left empty: an answer does not show it."""
        type_code = self._types.get(query.type)
        if type_code is None:
            return Page((), more=False, total=0 if query.total else None)
        async with self._connections.session() as connection:
            await self._frequencies.look(connection)
            rows: list[Any] = []
            if query.count:
                statement = search_sql.page(query, type_code, self._frequencies)
                rows = await connection.fetch(statement.sql, *statement.arguments)
            total = None
            if query.total:
                statement = search_sql.total(query, type_code, self._frequencies)
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
