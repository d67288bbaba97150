"""`PostgresStore`: the port, put together from its parts. What each part does stands in its own module."""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import AsyncIterator, Callable, Mapping, Sequence

from gateway.clock import Clock, SystemClock
from gateway.errors import Unavailable
from gateway.search.query import Query
from gateway.search.reach import Sight
from gateway.store.order import Order
from gateway.store.port import (
    Applied,
    Batch,
    Condition,
    Edit,
    Edited,
    FeedCount,
    Lease,
    MessageRow,
    OutboxRow,
    Page,
    Version,
)
from gateway.store.postgres import leases, migrate, outbox, standing_rows, statements
from gateway.store.postgres.connections import Connections
from gateway.store.postgres.indexing import Indexing
from gateway.store.postgres.landing import Landing, Numbers
from gateway.store.postgres.order import PostgresOrder
from gateway.store.postgres.plan import Extract, Merge
from gateway.store.postgres.reads import Reads
from gateway.store.postgres.search import Searches
from gateway.store.postgres.search_sighted import Sighted
from gateway.store.postgres.transact import Transactor
from gateway.store.postgres.trips import Trips
from gateway.store.postgres.writing import Writer

_SQL = statements.load("apply")
_GROUP_BATCHES_MAX = 128
_GROUP_READS_MAX = 256


class PostgresStore:
    """The store on one PostgreSQL schema. Several processes may use the same schema at the same time.

    `outbox_partition` maps a lane (or `Type/id` where there is no lane) to an outbox partition. `extract` makes the
    index of merged content, `merge` is `fhir.merge.merge`.
    """

    def __init__(
        self,
        url: str,
        *,
        outbox_partition: Callable[[str], int],
        extract: Extract,
        merge: Merge,
        schema: str = "sundbro",
        clock: Clock | None = None,
        connections_max: int = 12,
        searches_max: int = 4,
    ) -> None:
        self._schema = schema
        self._connections = Connections(url, schema, size=connections_max)
        self._types: dict[str, int] = {}
        self._indexing = Indexing(self._connections, schema, extract, self._types)
        self._transactor = Transactor(
            self._connections,
            self._types,
            merge,
            extract,
            clock or SystemClock(),
            seqs=Numbers(_SQL["message_numbers"]),
            landing=Landing(
                self._indexing,
                functools.lru_cache(maxsize=1 << 16)(outbox_partition),
                Numbers(_SQL["resource_numbers"]),
            ),
        )
        self._reads = Reads(self._connections, self._types)
        # A search decides its index itself: planning each question anew would cost as much as answering it.
        # Nor may a plan made while a table was small, or before its first ANALYZE, read the whole of it later, or sort
        # all of a type where a walk in order is meant: two conditions on tokens look as if nothing would answer them.
        planning = {"plan_cache_mode": "force_generic_plan", "enable_seqscan": "off", "enable_sort": "off"}
        self._search_connections = Connections(url, schema, size=searches_max, settings=planning)
        self._searches = Searches(self._search_connections, self._indexing, self._transactor.clock)
        self._sighted = Sighted(self._searches, self._reads, self._indexing)
        self.order: Order = PostgresOrder(self._connections, schema)
        self._bell = outbox.Bell(self._connections, f"outbox_{schema}")
        self._writes: Trips[Batch, Applied] = Trips(self._apply_together, drivers=2, most=_GROUP_BATCHES_MAX)
        self._writer = Writer(
            self._transactor, self._searches, schema=schema, under_way_max=max(1, connections_max // 2)
        )
        self._edits: Trips[Sequence[Edit], list[Edited]] = Trips(
            self._writer.together, drivers=2, most=_GROUP_BATCHES_MAX
        )
        self._lookups: Trips[tuple[str, str], Version | None] = Trips(
            self._reads.current, drivers=2, most=_GROUP_READS_MAX
        )

    async def start(self) -> None:
        """See the port."""
        async with self._connections.alone() as connection:
            await migrate.to_head(connection, self._schema)
            rows = await connection.fetch("select name, code from resource_type")
            self._types.update({row["name"]: row["code"] for row in rows})
            await self._indexing.start(connection)
            await self._indexing.again(connection)
        await self._connections.open()
        await self._search_connections.open()
        self._bell.start()

    async def reindex(self) -> int:
        """Index every resource again where the rows were made by another layout or table of search parameters than this
        program's; return how many were. `start` does so: nothing is searched by half an index.
        """
        async with self._connections.alone() as connection:
            return await self._indexing.again(connection)

    async def stop(self) -> None:
        """See the port."""
        await self._writes.finish()
        await self._edits.finish()
        await self._lookups.finish()
        await self._searches.finish()
        await self._bell.stop()
        await self._search_connections.close()
        await self._indexing.stop()
        await self._connections.close()

    async def ready(self) -> None:
        """See the port."""
        async with self._connections.session() as connection:
            standing_by = await connection.fetchval(
                "select pg_is_in_recovery() or current_setting('transaction_read_only')::boolean", timeout=2
            )
        if standing_by:
            raise Unavailable("the database takes no writes now")

    async def apply(self, batch: Batch) -> Applied:
        """See the port."""
        if not batch.advances:
            applied = await self._writes.take(batch)
        else:
            (applied,) = await self._transactor.commit([batch])
        self._bell.ring()
        return applied

    async def _apply_together(self, batches: Sequence[Batch]) -> Sequence[Applied | BaseException]:
        try:
            return await self._transactor.commit(batches)
        except Unavailable:
            raise
        except Exception:
            if len(batches) == 1:
                raise
        # One of them is at fault, nobody knows which: each alone, so that only that one hears of it.
        answers: list[Applied | BaseException] = []
        for batch in batches:
            try:
                answers += await self._transactor.commit([batch])
            except Exception as error:  # noqa: BLE001 - handed to whoever asked
                answers.append(error)
        return answers

    async def write(self, edits: Sequence[Edit], conditions: Sequence[Condition] = ()) -> list[Edited]:
        """See the port."""
        done = await (self._writer.under(edits, conditions) if conditions else self._edits.take(edits))
        self._bell.ring()
        return done

    async def claim(
        self,
        group: str,
        owner: str,
        wanted: Sequence[tuple[str, int]],
        *,
        limit: int | None = None,
        seconds: float = 10.0,
    ) -> list[Lease]:
        """See the port."""
        return await leases.claim(self._connections, group, owner, wanted, limit=limit, seconds=seconds)

    async def release(self, group: str, owner: str) -> None:
        """See the port."""
        await leases.release(self._connections, group, owner)

    async def positions(self, group: str) -> dict[tuple[str, int], int]:
        """See the port."""
        return await leases.positions(self._connections, group)

    async def read(self, resource_type: str, resource_id: str, *, sight: Sight | None = None) -> Version | None:
        """See the port."""
        if sight is not None:
            return await self._sighted.current(resource_type, resource_id, sight)
        return await self._lookups.take((resource_type, resource_id))

    async def read_many(self, wanted: Sequence[tuple[str, str]], *, sight: Sight | None = None) -> list[Version]:
        """See the port."""
        return await (self._reads.many(wanted) if sight is None else self._sighted.many(wanted, sight))

    async def changes(
        self,
        types: Sequence[str],
        *,
        count: int,
        since: dt.datetime | None = None,
        before: tuple[dt.datetime, str, str, int] | None = None,
        sight: Sight | None = None,
    ) -> Page:
        """See the port."""
        if sight is None:
            return await self._reads.changes(types, count=count, since=since, before=before)
        return await self._sighted.changes(types or [*self._types], sight, count=count, since=since, before=before)

    async def vread(
        self, resource_type: str, resource_id: str, version: int, *, sight: Sight | None = None
    ) -> Version | None:
        """See the port."""
        if sight is None:
            return await self._reads.version(resource_type, resource_id, version)
        return await self._sighted.version(resource_type, resource_id, version, sight)

    async def history(
        self,
        resource_type: str,
        resource_id: str,
        *,
        count: int,
        before: int | None = None,
        sight: Sight | None = None,
    ) -> Page:
        """See the port."""
        if sight is None:
            return await self._reads.history(resource_type, resource_id, count=count, before=before)
        return await self._sighted.history(resource_type, resource_id, sight, count=count, before=before)

    async def judge(self, edits: Sequence[Edit], sight: Sight) -> list[bool]:
        """See the port."""
        return await self._sighted.contents(edits, sight)

    async def represented(self, agents: Sequence[int], at: dt.datetime, born_after: dt.date) -> list[str]:
        """See the port."""
        async with self._connections.session() as connection:
            return await standing_rows.represented(connection, agents, at, born_after)

    async def search(self, query: Query) -> Page:
        """See the port."""
        return await self._searches.page(query)

    async def message(self, receipt: str) -> MessageRow | None:
        """See the port."""
        return await self._reads.message(receipt)

    async def rejected(self, feed: str, *, count: int, before: str | None = None) -> list[MessageRow]:
        """See the port."""
        return await self._reads.rejected(feed, count=count, before=before)

    async def made(self, resource_type: str, resource_id: str) -> list[MessageRow]:
        """See the port."""
        return await self._reads.made(resource_type, resource_id)

    def journal(self) -> AsyncIterator[MessageRow]:
        """See the port."""
        return self._reads.journal()

    async def stop_feed(self, feed: str, why: str) -> None:
        """See the port."""
        await self._reads.stop_feed(feed, why)

    async def resume_feed(self, feed: str) -> None:
        """See the port."""
        await self._reads.resume_feed(feed)

    async def stopped_feeds(self) -> dict[str, str]:
        """See the port."""
        return await self._reads.stopped_feeds()

    async def counts(self) -> list[FeedCount]:
        """See the port."""
        return await self._reads.counts()

    async def outbox(self, after: Mapping[int, int], *, limit: int) -> list[OutboxRow]:
        """See the port."""
        return await outbox.unpublished(self._connections, after, limit=limit)

    async def published(self, upto: Mapping[int, int], *, epochs: Mapping[int, int]) -> None:
        """See the port."""
        await outbox.published(self._connections, upto, epochs=epochs)

    async def wait_outbox(self, seconds: float) -> None:
        """See the port."""
        await self._bell.wait(seconds)
