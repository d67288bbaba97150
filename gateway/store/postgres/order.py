"""The store's book of the order of application (`store.order`): entering a transaction, and what becomes of the rows."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence

from gateway.errors import Fenced
from gateway.store.order import Book, Entry, Opening, packed, runs_of
from gateway.store.port import MessageWrite
from gateway.store.postgres import statements
from gateway.store.postgres.connections import Connection, Connections
from gateway.store.postgres.inbox import Inbox, Marks
from gateway.store.postgres.rows import Row

_SQL = statements.load("order")


async def enter(connection: Connection, messages: Sequence[MessageWrite], rows: Iterable[Row], inbox: Inbox) -> bool:
    """Enter a translator's transaction, as the last thing it does; return whether what it read still stands.

    Rows that are written are locked before, and who writes new ones meets a unique index. What was only read, and
    found to need no change, may have been changed since: the book would then say another order than what happened.
    The same goes for what was found absent and is not written: an envelope in no other letter, the letter of a message
    that was refused for its envelope.
    """
    read = [row for row in rows if row.stored_version and not row.changed and not row.noted]
    marks = [Marks.of(message) for message in messages if message.envelope]
    new = [mark for mark in marks if inbox.unseen(mark)]
    refused = [mark.letter for mark in marks if mark.letter not in inbox.letters]
    entry = packed(runs_of(message.source for message in messages))
    stands: bool = await connection.fetchval(
        _SQL["enter"],
        entry,
        [row.rid for row in read],
        [row.stored_as for row in read],
        [mark.envelope for mark in new],
        [mark.letter for mark in new],
    )
    if stands and refused:  # seldom: a trip of its own, so that the others pay nothing
        stands = await connection.fetchval(_SQL["unused"], refused)
    return stands


class PostgresOrder:
    """`store.order.Order` in one schema."""

    def __init__(self, connections: Connections, schema: str) -> None:
        self._connections = connections
        self._schema = schema

    async def book(self) -> Book:
        """See the port."""
        async with self._connections.session() as connection:
            (row,) = await connection.fetch(_SQL["book"])
        return Book(*row)

    async def follow(self, name: str) -> Book:
        """See the port."""
        await self._execute("follow", name)
        return await self.book()

    async def begin(self, after: tuple[str, int] | None) -> Book:
        """See the port. The book is named after the schema, for people."""
        name = f"{self._schema}-{secrets.token_hex(4)}"
        await self._execute("begin", name, Opening(name, after).packed())
        return await self.book()

    async def lost(self, name: str) -> Book:
        """See the port."""
        await self._execute("lost", name)
        return await self.book()

    async def entries(self, *, limit: int) -> list[Entry]:
        """See the port."""
        async with self._connections.session() as connection:
            return [Entry(*row) for row in await connection.fetch(_SQL["entries"], limit)]

    async def published(self, upto: int, *, epoch: int) -> None:
        """See the port."""
        async with self._connections.session() as connection:
            if not await connection.fetchval(_SQL["published"], upto, epoch):
                raise Fenced("the lease on the order of application has ended or belongs to another publisher")

    async def _execute(self, statement: str, *arguments: object) -> None:
        async with self._connections.session() as connection:
            await connection.execute(_SQL[statement], *arguments)
