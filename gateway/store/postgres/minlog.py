"""The outbox for MinLog in PostgreSQL (`store.minlog.MinlogStore`)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

from gateway.store.ledger import Block
from gateway.store.minlog import Looks, Queue, Waiting
from gateway.store.postgres import statements
from gateway.store.postgres.connections import Connections

_SQL = statements.load("minlog")


class PostgresMinlog:
    """The outbox of one schema, which `PostgresStore.start` has brought to head."""

    def __init__(self, url: str, *, schema: str = "sundbro") -> None:
        self._connections = Connections(url, schema, size=2)

    async def start(self) -> None:
        """Connect. Raises Unavailable."""
        await self._connections.open()

    async def stop(self) -> None:
        """Disconnect. Safe to call twice."""
        await self._connections.close()

    async def collect(self, looks: Looks, *, limit: int, hold_seconds: float) -> int:
        """See the port."""
        hold = dt.timedelta(seconds=hold_seconds)
        async with self._connections.session() as connection, connection.transaction():
            await connection.fetch(_SQL["hold"])
            blocks = [Block(**row) for row in await connection.fetch(_SQL["unread"], limit)]
            for block in blocks:
                entries = [(patient, block.at, look, block.at + hold) for patient, look in looks(block)]
                await connection.executemany(_SQL["add"], entries)
            upto = {block.chain: block.upto for block in blocks}
            await connection.executemany(_SQL["move"], list(upto.items()))
        return len(blocks)

    async def claim(self, limit: int, *, requests_max: int, seconds: float) -> list[Waiting]:
        """See the port."""
        async with self._connections.session() as connection, connection.transaction():
            await connection.fetch(_SQL["hold"])
            if await connection.fetchval(_SQL["requests"]) >= requests_max:
                return []
            rows = await connection.fetch(_SQL["claim"], limit, seconds)
            if rows:
                await connection.execute(_SQL["request"])
        return sorted((Waiting(**row) for row in rows), key=lambda one: one.id)

    async def registered(self, ids: Sequence[int]) -> None:
        """See the port."""
        async with self._connections.session() as connection:
            await connection.execute(_SQL["registered"], list(ids))

    async def again(self, failed: Sequence[tuple[int, str, float]]) -> None:
        """See the port."""
        if failed:
            async with self._connections.session() as connection:
                await connection.execute(_SQL["again"], *_columns(failed))

    async def park(self, failed: Sequence[tuple[int, str]]) -> None:
        """See the port."""
        if failed:
            async with self._connections.session() as connection:
                await connection.execute(_SQL["park"], *_columns(failed))

    async def release(self) -> int:
        """Let parked entries be tried again; return how many."""
        async with self._connections.session() as connection:
            return int((await connection.execute(_SQL["release"])).rpartition(" ")[2])

    async def queue(self) -> Queue:
        """See the port."""
        async with self._connections.session() as connection:
            row = await connection.fetchrow(_SQL["measure"])
        assert row is not None
        return Queue(**row)

    async def faults(self) -> list[dict[str, Any]]:
        """Return what failed, by state and fault: how many, and since when."""
        async with self._connections.session() as connection:
            return [dict(row) for row in await connection.fetch(_SQL["faults"])]


def _columns(records: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(column) for column in zip(*records, strict=True)]
