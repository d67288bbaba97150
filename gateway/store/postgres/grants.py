"""`store.grants.Grants` in one schema of PostgreSQL: a statement a call, so that one caller of several wins."""

from __future__ import annotations

import datetime as dt
import uuid

from gateway.store.grants import Family, SealedKey
from gateway.store.postgres import statements
from gateway.store.postgres.connections import Connections

_SQL = statements.load("grants")


class PostgresGrants:
    """See the port. `start` before use, `stop` in the end; the schema is the store's, brought to head by it."""

    def __init__(self, url: str, *, schema: str = "sundbro", connections_max: int = 4) -> None:
        self._connections = Connections(url, schema, size=connections_max)

    async def start(self) -> None:
        """Connect. Raises Unavailable."""
        await self._connections.open()

    async def stop(self) -> None:
        """Disconnect. Safe to call twice."""
        await self._connections.close()

    async def put(self, kind: str, key: bytes, body: bytes, expires: dt.datetime, now: dt.datetime) -> bool:
        """See the port."""
        return bool(await self._value("put", kind, key, body, expires, now))

    async def peek(self, kind: str, key: bytes, now: dt.datetime) -> bytes | None:
        """See the port."""
        return await self._body("peek", kind, key, now)

    async def take(self, kind: str, key: bytes, now: dt.datetime) -> bytes | None:
        """See the port."""
        return await self._body("take", kind, key, now)

    async def redeem(self, code: bytes, family: Family, refresh: bytes | None, now: dt.datetime) -> bool:
        """See the port."""
        given = (family.id, family.client, family.session, family.body, family.expires)
        return bool(await self._value("redeem", code, now, *given, refresh))

    async def replayed(self, code: bytes, now: dt.datetime) -> None:
        """See the port."""
        await self._execute("replayed", code, now)

    async def refreshable(self, refresh: bytes, now: dt.datetime) -> tuple[Family, bool] | None:
        """See the port."""
        async with self._connections.session() as connection:
            row = await connection.fetchrow(_SQL["refreshable"], refresh, now)
        return (
            (Family(row["id"], row["client"], row["session"], row["body"], row["expires"]), row["used"])
            if row
            else None
        )

    async def rotate(self, refresh: bytes, following: bytes, now: dt.datetime) -> bool:
        """See the port."""
        return bool(await self._value("rotate", refresh, following, now))

    async def end_family(self, family: uuid.UUID, now: dt.datetime) -> None:
        """See the port."""
        await self._execute("end_family", family, now)

    async def end_session(self, session: str, now: dt.datetime) -> None:
        """See the port."""
        await self._execute("end_session", session, now)

    async def end_token(self, token: str, expires: dt.datetime) -> None:
        """See the port."""
        await self._execute("end_token", token, expires)

    async def stands(self, token: str, family: uuid.UUID | None, now: dt.datetime) -> bool:
        """See the port."""
        return bool(await self._value("stands", token, family, now))

    async def keys(self) -> list[SealedKey]:
        """See the port."""
        async with self._connections.session() as connection:
            return [SealedKey(*row) for row in await connection.fetch(_SQL["keys"])]

    async def add_keys(self, keys: list[SealedKey]) -> None:
        """See the port. One transaction: the keys of a generation come from one process."""
        async with self._connections.session() as connection, connection.transaction():
            for key in sorted(keys, key=lambda key: (key.number, key.algorithm)):
                values = (key.number, key.algorithm, key.kid, key.sealed, key.begins)
                await connection.execute(_SQL["add_key"], *values)

    async def drop_keys(self, below: int) -> None:
        """See the port."""
        await self._execute("drop_keys", below)

    async def failures(self, who: bytes, now: dt.datetime) -> int:
        """See the port."""
        times = await self._value("failures", who, now)
        return times if isinstance(times, int) else 0

    async def failed(self, who: bytes, now: dt.datetime, until: dt.datetime) -> None:
        """See the port."""
        await self._execute("failed", who, now, until)

    async def sweep(self, now: dt.datetime) -> None:
        """See the port."""
        await self._execute("sweep", now)

    async def _value(self, statement: str, *arguments: object) -> object:
        async with self._connections.session() as connection:
            return await connection.fetchval(_SQL[statement], *arguments)

    async def _body(self, statement: str, *arguments: object) -> bytes | None:
        async with self._connections.session() as connection:
            body: bytes | None = await connection.fetchval(_SQL[statement], *arguments)
        return body

    async def _execute(self, statement: str, *arguments: object) -> None:
        async with self._connections.session() as connection:
            await connection.execute(_SQL[statement], *arguments)
