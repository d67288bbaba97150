"""The audit ledger in PostgreSQL (`store.ledger.LedgerStore`), on connections of its own: no search keeps it waiting."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

import asyncpg

from gateway.store.ledger import Behind, Block, Chain, CheckpointRow, Forked, Place, Unsent
from gateway.store.postgres import statements
from gateway.store.postgres.connections import Connections

_SQL = statements.load("audit")
_BEFORE_ALL = dt.datetime(1, 1, 2, tzinfo=dt.UTC)
_AFTER_ALL = dt.datetime(9999, 12, 30, tzinfo=dt.UTC)
_SETTINGS = {"synchronous_commit": "on"}
"""Whatever the database's own default is: an answer leaves when its record is on the disk."""


class PostgresLedger:
    """The ledger of one schema, which `PostgresStore.start` has brought to head."""

    def __init__(self, url: str, *, schema: str = "sundbro", connections_max: int = 3) -> None:
        self._connections = Connections(url, schema, size=connections_max, settings=_SETTINGS)

    async def start(self) -> None:
        """Connect. Raises Unavailable."""
        await self._connections.open()

    async def stop(self) -> None:
        """Disconnect. Safe to call twice."""
        await self._connections.close()

    async def begin(self) -> Chain:
        """See the port."""
        async with self._connections.session() as connection:
            row = await connection.fetchrow(_SQL["begin"])
        assert row is not None
        return Chain(row["chain"], str(row["name"]))

    async def append(self, block: Block) -> None:
        """See the port."""
        values = (
            block.chain,
            block.first,
            block.upto,
            block.at,
            block.patients,
            block.hashes,
            block.events,
            block.personal,
        )
        try:
            async with self._connections.session() as connection:
                await connection.fetch(_SQL["append"], *values)
        except asyncpg.UniqueViolationError:
            raise Forked("the audit chain has such a record already") from None

    async def checkpoint(self, row: CheckpointRow, witnesses: Sequence[str]) -> None:
        """See the port."""
        values = (row.chain, row.number, row.upto, row.at, row.closed, row.body, list(witnesses))
        try:
            async with self._connections.session() as connection:
                await connection.execute(_SQL["checkpoint"], *values)
        except asyncpg.UniqueViolationError:
            raise Forked("the audit chain has such a checkpoint already") from None

    async def last_checkpoint(self, chain: int) -> CheckpointRow | None:
        """See the port."""
        async with self._connections.session() as connection:
            row = await connection.fetchrow(_SQL["last_checkpoint"], chain)
        return _checkpoint(row) if row else None

    async def orphans(self, before: dt.datetime) -> list[Chain]:
        """See the port."""
        async with self._connections.session() as connection:
            rows = await connection.fetch(_SQL["orphans"], before)
        return [Chain(row["chain"], str(row["name"])) for row in rows]

    async def claim(self, limit: int, seconds: float) -> list[Unsent]:
        """See the port."""
        async with self._connections.session() as connection:
            rows = await connection.fetch(_SQL["claim"], limit, seconds)
        found = [Unsent(row["chain"], row["number"], row["witness"], row["body"]) for row in rows]
        return sorted(found, key=lambda one: (one.chain, one.number))

    async def acknowledged(self, unsent: Unsent) -> None:
        """See the port."""
        async with self._connections.session() as connection:
            await connection.execute(_SQL["acknowledged"], unsent.chain, unsent.number, unsent.witness)

    async def behind(self) -> Behind:
        """See the port."""
        async with self._connections.session() as connection:
            row = await connection.fetchrow(_SQL["measure"])
        assert row is not None
        return Behind(**row)

    async def chains(self) -> list[Chain]:
        """See the port."""
        async with self._connections.session() as connection:
            return [Chain(row["chain"], str(row["name"])) for row in await connection.fetch(_SQL["chains"])]

    async def blocks(self, chain: int, after: int, limit: int) -> list[Block]:
        """See the port."""
        async with self._connections.session() as connection:
            return [Block(**row) for row in await connection.fetch(_SQL["blocks"], chain, after, limit)]

    async def checkpoints(self, chain: int) -> list[CheckpointRow]:
        """See the port."""
        async with self._connections.session() as connection:
            return [_checkpoint(row) for row in await connection.fetch(_SQL["checkpoints"], chain)]

    async def holding(self, chain: int, seq: int) -> Block | None:
        """See the port."""
        async with self._connections.session() as connection:
            row = await connection.fetchrow(_SQL["holding"], chain, seq)
        return Block(**row) if row else None

    async def newest(
        self,
        *,
        low: dt.datetime | None,
        high: dt.datetime | None,
        upto: Place | None,
        limit: int,
        patients: Sequence[int] | None = None,
    ) -> list[Block]:
        """See the port."""
        place = (upto.at, upto.chain, upto.first) if upto else (_AFTER_ALL, 0, 0)
        asked: list[Any] = [low or _BEFORE_ALL, high or _AFTER_ALL, *place, limit]
        async with self._connections.session() as connection:
            if patients is None:
                rows = await connection.fetch(_SQL["newest"], *asked)
            else:
                rows = await connection.fetch(_SQL["newest_about"], *asked, list(patients))
        return [Block(**row) for row in rows]

    async def persons(self, owns: Sequence[int]) -> Mapping[int, str]:
        """See the port."""
        if not owns:
            return {}
        async with self._connections.session() as connection:
            return {row["own"]: row["id"] for row in await connection.fetch(_SQL["persons"], list(owns))}

    async def prunable(self, before: dt.datetime) -> list[tuple[int, int]]:
        """See the port."""
        async with self._connections.session() as connection:
            return [(row["chain"], row["upto"]) for row in await connection.fetch(_SQL["prunable"], before)]

    async def prune(self, chain: int, upto: int) -> int:
        """See the port."""
        async with self._connections.session() as connection, connection.transaction():
            await connection.fetch(_SQL["act"], "retention")
            status = await connection.execute(_SQL["prune"], chain, upto)
        return int(status.rpartition(" ")[2])

    async def erase(self, blocks: Sequence[Block]) -> None:
        """See the port."""
        async with self._connections.session() as connection, connection.transaction():
            await connection.fetch(_SQL["act"], "erasure")
            for block in blocks:
                await connection.execute(_SQL["erase"], block.chain, block.first, block.personal, block.patients)


def _checkpoint(row: Mapping[str, Any]) -> CheckpointRow:
    return CheckpointRow(row["chain"], row["number"], row["upto"], row["at"], row["closed"], row["body"])
