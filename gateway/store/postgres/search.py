"""Type search on PostgreSQL: runs what `search_sql` decides. Bodies come out as they were stored, unparsed.

Searches of one shape that wait at the same moment and read few rows share a trip (`trips.py`): one statement answers
them all. Others take a connection each, so that a slow one holds up nobody.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, Final

from gateway.search.query import Query
from gateway.store.port import Page, Version
from gateway.store.postgres import search_order as orders
from gateway.store.postgres import search_sql
from gateway.store.postgres.connections import Connection, Connections
from gateway.store.postgres.frequencies import Frequencies
from gateway.store.postgres.indexing import Indexing
from gateway.store.postgres.search_scope import Scope
from gateway.store.postgres.totals import Totals
from gateway.store.postgres.trips import Trips

Row = Mapping[str, Any]
_SHAPES_MAX: Final = 256
_SEATS_MAX: Final = 16


class Searches:
    """The search half of the port."""

    def __init__(self, connections: Connections, indexing: Indexing) -> None:
        self._connections = connections
        self._indexing = indexing
        self._frequencies = Frequencies()
        self._totals = Totals()
        self._shared: OrderedDict[str, Trips[tuple[Any, ...], Sequence[Row]]] = OrderedDict()

    async def page(self, query: Query) -> Page:
        """See `store.port.Store.search`. The versions' `message` is left empty: an answer does not show it."""
        if not query.total and query.count and not self._frequencies.stale:
            statement = search_sql.page(query, self._scope())
            if statement.small and (shape := statement.shared):
                return _page(query, await self._trips(shape).take(statement.arguments), None)
        async with self._connections.session() as connection:
            return await self.on(connection, query)

    async def on(self, connection: Connection, query: Query) -> Page:
        """Answer on a connection of the caller's: inside its transaction, where it has one."""
        if self._frequencies.stale:
            await self._frequencies.look(connection)
        rows: Sequence[Row] = []
        if query.count:
            statement = search_sql.page(query, self._scope())
            rows = await connection.fetch(statement.sql, *statement.arguments)
        total = None
        if query.total:
            total = await self._totals.count(connection, search_sql.total(query, self._scope()))
        return _page(query, rows, total)

    async def finish(self) -> None:
        """Return when everybody who waits has been answered."""
        for trips in self._shared.values():
            await trips.finish()

    def _scope(self) -> Scope:
        indexing = self._indexing
        return Scope(indexing.types, indexing.parameters, indexing.units, self._frequencies)

    def _trips(self, shape: str) -> Trips[tuple[Any, ...], Sequence[Row]]:
        """Return the trips of a shape of question; those not asked for the longest are forgotten."""
        found = self._shared.get(shape)
        if found is not None:
            self._shared.move_to_end(shape)
            return found

        async def carry(asked: Sequence[tuple[Any, ...]]) -> list[Sequence[Row]]:
            columns = [list(column) for column in zip(*asked, strict=True)]
            async with self._connections.session() as connection:
                rows = await connection.fetch(shape, *columns)
            if len(asked) == 1:
                return [rows]
            answers: list[list[Row]] = [[] for _ in asked]
            for row in rows:
                answers[row["place"] - 1].append(row)
            return list(answers)

        made = self._shared[shape] = Trips(carry, drivers=2, most=_SEATS_MAX)
        if len(self._shared) > _SHAPES_MAX:
            self._shared.popitem(last=False)
        return made


def _page(query: Query, rows: Sequence[Row], total: int | None) -> Page:
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
