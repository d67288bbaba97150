"""Type search on PostgreSQL: runs what `search_sql` decides. Bodies come out as they were stored, unparsed.

Searches of one shape that wait at the same moment share a trip (`trips.py`): one statement answers them all.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from gateway.clock import Clock
from gateway.errors import TooCostly
from gateway.search.query import (
    After,
    AllTerm,
    AnyTerm,
    AsOf,
    ChainTerm,
    CompositeTerm,
    HasTerm,
    NotTerm,
    QuantityTerm,
    Query,
    Term,
)
from gateway.search.reach import Sight
from gateway.store.port import Page, Version
from gateway.store.postgres import search_former as former
from gateway.store.postgres import search_known as known
from gateway.store.postgres import search_order as orders
from gateway.store.postgres import search_snapshot as snapshot
from gateway.store.postgres import search_sql, search_texts
from gateway.store.postgres.connections import Connection, Connections
from gateway.store.postgres.frequencies import Frequencies
from gateway.store.postgres.indexing import Indexing
from gateway.store.postgres.search_recheck import BETWEEN_MAX, SCAN_MAX, Recheck, indexed, settled
from gateway.store.postgres.search_scope import Scope, Statement
from gateway.store.postgres.search_template import Templates
from gateway.store.postgres.totals import Totals
from gateway.store.postgres.trips import Trips

Row = Mapping[str, Any]
Carried = tuple[Sequence[Row], str]
"""What a trip brings to each: its rows, and what had been committed."""
_SHAPES_MAX: Final = 256
_SEATS_MAX: Final = 16
_SEATS_OF_WALKS_MAX: Final = 8
"""A walk is quick where matches are frequent, which is not known of each: few wait for another's slow one."""
SORT_MAX: Final = 20_000
"""How many resources are sorted by what no index has in order."""


class Searches:
    """The search half of the port."""

    def __init__(self, connections: Connections, indexing: Indexing, clock: Clock) -> None:
        self._connections = connections
        self._indexing = indexing
        self._clock = clock
        self._frequencies = Frequencies()
        self._totals = Totals()
        self.templates = Templates()
        self._shared: OrderedDict[str, Trips[tuple[Any, ...], Carried]] = OrderedDict()

    async def page(self, query: Query) -> Page:
        """See `store.port.Store.search`. The versions' `message` is left empty: an answer does not show it."""
        if self._shares(query):
            statement = self.templates.page(query, self._scope(query))
            if statement.shared:
                rows, at = await self._trips(statement).take(statement.arguments)
                return _page(query, rows, None, AsOf(self._clock.now(), at) if at else None)
        async with self._connections.session() as connection:
            return await self.on(connection, query)

    async def on(self, connection: Connection, query: Query) -> Page:
        """Answer on a connection of the caller's: inside its transaction, where it has one.

        Raises TooCostly for a question that would have to read more than a limit allows.
        """
        if query.sight is not None and query.as_of is not None:
            # what was there before is judged by terms alone: whoever is not shown everything has pages of what is now
            page = await self.on(connection, replace(query, as_of=None, until=query.as_of.at))
            return replace(page, as_of=query.as_of)
        if self._frequencies.stale:
            await self._frequencies.look(connection)
        if _asks_quantity(query):
            await self._indexing.units.look(connection)
        as_asked = query
        if known.asks(query):
            query = await known.simpler(connection, self._indexing.words, query)
        if not _indexed(query):
            return await self._rechecked(connection, query)
        rows: Sequence[Row] = []
        if query.count:
            rows = await self._rows(connection, query)
        total = None
        if query.total:
            total = await self._count(connection, query, as_asked)
        if query.as_of is not None:
            return await self._joined(connection, query, query.as_of, rows, total)
        return _page(query, rows, total, self._as_of(rows))

    async def _count(self, connection: Connection, query: Query, as_asked: Query) -> int:
        """Return how many answer. What made the question simpler must hold still when they have been counted: the count is
        remembered.
        """
        total = await self._totals.count(connection, search_sql.total(query, self._scope(query)))
        if query is as_asked or query == await known.simpler(connection, self._indexing.words, as_asked):
            return total
        return await self._totals.count(connection, search_sql.total(as_asked, self._scope(query)))

    def _as_of(self, rows: Sequence[Row]) -> AsOf | None:
        """Return the state that rows were read from: the time after that, so that nothing in it is younger."""
        return AsOf(self._clock.now(), rows[0]["at"]) if rows else None

    async def _joined(
        self, connection: Connection, query: Query, as_of: AsOf, rows: Sequence[Row], total: int | None
    ) -> Page:
        """Return a page of rows that are as they were, together with those that have been changed since, as they were.

        The rows have been asked for before: what is changed between that and this stands in both, and counts once.
        """
        assert query.sight is None, "former versions are judged by terms alone"
        asked = snapshot.changed(self._scope(), query.type, as_of)
        found = await connection.fetch(asked.sql, *asked.arguments)
        if found[0]["among"] > snapshot.CHANGED_MAX:
            page = await self.on(connection, replace(query, as_of=None, until=as_of.at))
            return replace(page, as_of=as_of, loose=True)
        changed = [row for row in found if row["rid"] is not None]
        if changed:

            async def ids(inner: Query) -> set[str]:
                return {version.id for version in (await self.on(connection, inner)).versions}

            then = await former.answering(query, changed, self._indexing.extract, ids)
            rows = former.joined(query, rows, then, await self._last(connection, query) if then else None)
        return _page(query, rows[: query.count + 1], total, as_of)

    async def _last(self, connection: Connection, query: Query) -> Row | None:
        """Return the row that the last page ended with, as far as its place needs."""
        after = query.after
        if after is None:
            return None
        if not query.order:
            return {"rid": after.rid, "key": after.key}
        keys = orders.keys(self._scope(), query.type, query.order)
        read = {f"k{n}": key.read(text) for n, (key, text) in enumerate(zip(keys, after.keys, strict=True), 1)}
        name = await connection.fetchval("select id from resource where rid = $1", after.rid)
        return {"rid": after.rid, "id": name or "", **read}

    async def rows(self, statement: Statement) -> Sequence[Row]:
        """Run one statement by itself, or with others of its shape that wait at the same moment."""
        if statement.shared:
            rows, _ = await self._trips(statement).take(statement.arguments)
            return rows
        async with self._connections.session() as connection:
            found: Sequence[Row] = await connection.fetch(statement.sql, *statement.arguments)
        return found

    async def _rows(self, connection: Connection, query: Query, told: Sequence[Term] = ()) -> Sequence[Row]:
        if search_sql.sorts_all(query, self._scope(query)):
            counted = search_sql.total(query, self._scope(query), SORT_MAX)
            if await connection.fetchval(counted.sql, *counted.arguments) > SORT_MAX:
                raise TooCostly(
                    f"more than {SORT_MAX} resources would have to be sorted; narrow the search", at="_sort"
                )
        statement = search_sql.page(query, self._scope(query), told)
        sql = statement.sql if query.as_of is not None else search_sql.told_when(statement.sql)
        rows: Sequence[Row] = await connection.fetch(sql, *statement.arguments)
        return rows

    async def _rechecked(self, connection: Connection, query: Query) -> Page:
        async def ids(resource_type: str, term: Term) -> tuple[str, ...]:
            between = Query(resource_type, (term,), count=BETWEEN_MAX, sight=query.sight)
            page = await self.on(connection, between)
            if page.more:
                raise TooCostly(f"a chain would go through more than {BETWEEN_MAX} resources; narrow the search")
            return tuple(version.id for version in page.versions)

        as_of, fetched = query.as_of, 0

        async def fetch(asked: Query, told: Sequence[Term]) -> Sequence[Row]:
            nonlocal as_of, fetched
            rows = await self._rows(connection, asked if query.sight else replace(asked, as_of=as_of), told)
            as_of, fetched = as_of or self._as_of(rows), fetched + 1
            return rows

        async def count(asked: Query, told: Sequence[Term]) -> Sequence[Row]:
            return await self._rows(connection, asked, told)

        query = replace(query, terms=await settled(query.terms, ids))
        if _indexed(query):
            return await self.on(connection, query)
        texts = await search_texts.look(connection, self._indexing.words, query.terms, query.type)
        rows: list[Row] = []
        if query.count:
            rows = await Recheck(query, texts).found(fetch, _after, query.count + 1)
        total = None
        if query.total:
            total = len(await Recheck(replace(query, after=None), texts).found(count, _after, SCAN_MAX))
        if as_of is not None and query.sight is None and (query.as_of is not None or fetched > 1):
            return await self._joined(connection, replace(query, as_of=as_of), as_of, rows, total)
        return _page(query, rows, total, as_of)

    async def finish(self) -> None:
        """Return when everybody who waits has been answered."""
        for trips in self._shared.values():
            await trips.finish()

    def _scope(self, query: Query | None = None) -> Scope:
        return self.scope(None if query is None else query.sight)

    def scope(self, sight: Sight | None) -> Scope:
        """Return what a statement is made with, for whoever sees so much."""
        indexing = self._indexing
        return Scope(indexing.types, indexing.parameters, indexing.units, self._frequencies, sight)

    async def scope_of(self, sight: Sight) -> Scope:
        """Return what a statement is made with, when all units are known that what somebody sees depends on."""
        if sight.measures:
            async with self._connections.session() as connection:
                await self._indexing.units.look(connection)
        return self.scope(sight)

    def _shares(self, query: Query) -> bool:
        """Say whether a search is one statement and nothing before or behind it."""
        return (
            not query.total
            and query.count > 0
            and query.as_of is None
            and not query.order
            and not known.asks(query)
            and not self._frequencies.stale
            and _indexed(query)
            and not _asks_quantity(query)
        )

    def _trips(self, statement: Statement) -> Trips[tuple[Any, ...], Carried]:
        """Return the trips of a shape of question; those not asked for the longest are forgotten."""
        shape = statement.shared
        found = self._shared.get(shape)
        if found is not None:
            self._shared.move_to_end(shape)
            return found
        alone = search_sql.told_when(statement.sql) if statement.told else statement.sql

        async def carry(asked: Sequence[tuple[Any, ...]]) -> list[Carried]:
            if len(asked) == 1:  # the shared form costs PostgreSQL up to half as much again
                async with self._connections.session() as connection:
                    rows = await connection.fetch(alone, *asked[0])
                return [(rows, rows[0]["at"] if rows and statement.told else "")]
            columns = [list(column) for column in zip(*asked, strict=True)]
            async with self._connections.session() as connection:
                rows = await connection.fetch(shape, *columns)
            at: str = rows.pop()["id"] if rows and rows[-1]["place"] == 0 else ""
            answers: list[list[Row]] = [[] for _ in asked]
            for row in rows:
                answers[row["place"] - 1].append(row)
            return [(answer, at) for answer in answers]

        made = self._shared[shape] = Trips(
            carry, drivers=2, most=_SEATS_MAX if statement.small else _SEATS_OF_WALKS_MAX
        )
        if len(self._shared) > _SHAPES_MAX:
            self._shared.popitem(last=False)
        return made


def _indexed(query: Query) -> bool:
    return all(map(indexed, query.terms))


def _asks_quantity(query: Query) -> bool:
    return (query.sight is not None and query.sight.measures) or any(
        isinstance(term, QuantityTerm) for term in _all(query.terms)
    )


def _all(terms: Iterable[Term]) -> Iterator[Term]:
    """Yield terms and what is inside them."""
    for term in terms:
        yield term
        match term:
            case AllTerm() | AnyTerm():
                yield from _all(term.terms)
            case NotTerm() | ChainTerm() | HasTerm():
                yield from _all((term.term,))
            case CompositeTerm():
                for row in term.values:
                    yield from _all(row)
            case _:
                pass


def _after(query: Query, row: Row) -> After:
    if query.order:
        return After(None, row["rid"], _keys(query, row))
    return After(row["key"], row["rid"])


def _keys(query: Query, row: Row) -> tuple[str | None, ...]:
    return tuple(orders.as_text(row[f"k{place}"]) for place in range(1, len(query.order) + 1))


def _page(query: Query, rows: Sequence[Row], total: int | None, as_of: AsOf | None) -> Page:
    shown = rows[: query.count]
    versions = tuple(
        Version(
            query.type, row["id"], row["version"], row["updated"], row["body"], False, row["lane"], "", row["patient"]
        )
        for row in shown
    )
    more = len(rows) > len(shown)
    if not shown:
        return Page(versions, more=more, total=total, as_of=as_of)
    after = _after(query, shown[-1])
    return Page(versions, more, total, after.key, after.rid, after.keys, as_of)
