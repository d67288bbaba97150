"""`PostgresSessions`: the log-ins' rows (`store.sessions`) in the store's schema, on connections of their own."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import AsyncIterator, Sequence
from typing import Final

from gateway.store.postgres import statements
from gateway.store.postgres.connections import Connections
from gateway.store.sessions import Ended, SessionRow, Way

_SQL = statements.load("sessions")
CONNECTIONS_MAX: Final = 4
UNRECORDED_MAX: Final = 100
_TOUCH: Final = dt.timedelta(minutes=1)
"""How old `seen` gets before it is written again: a busy session is not a write at every look."""


class PostgresSessions:
    """Call `start` when the store has brought the schema to head."""

    def __init__(self, url: str, *, schema: str = "sundbro") -> None:
        self._connections = Connections(url, schema, size=CONNECTIONS_MAX)

    async def start(self) -> None:
        """Connect. Raises Unavailable."""
        await self._connections.open()

    async def stop(self) -> None:
        """Disconnect. Safe to call twice."""
        await self._connections.close()

    async def begin(self, row: SessionRow, *, instead_of: bytes, unless: Sequence[bytes]) -> bool:
        """See `SessionStore`."""
        async with self._connections.session() as connection:
            await connection.execute(_SQL["forget"], row.began)
            async with connection.transaction():
                if instead_of:
                    await connection.execute(_SQL["end_secret"], instead_of, row.began)
                given = (row.id, row.secret, row.idp, row.subject, row.broker, row.sealed, row.began, row.expires)
                await connection.execute(_SQL["begin"], *given)
            # A logout notes first that it happened and then ends what there is; here it is the other way round, so that
            # of two at the same moment one sees the other.
            if await connection.fetch(_SQL["ended_before"], list(unless), row.began):
                await connection.execute(_SQL["end_unborn"], row.id, row.began)
                return False
        return True

    async def of_secret(self, secret: bytes, now: dt.datetime, idle: dt.timedelta) -> SessionRow | None:
        """See `SessionStore`."""
        async with self._connections.session() as connection:
            found = await connection.fetchrow(_SQL["of_secret"], secret, now, now - idle)
            if found is None:
                return None
            if now - found["seen"] > _TOUCH:
                await connection.execute(_SQL["touch"], found["id"], now)
        return SessionRow(secret=secret, **found)

    async def alive(self, session: str, now: dt.datetime, idle: dt.timedelta) -> bool:
        """See `SessionStore`."""
        async with self._connections.session() as connection:
            seen = await connection.fetchval(_SQL["of_id"], session, now, now - idle)
            if seen is not None and now - seen > _TOUCH:
                await connection.execute(_SQL["touch"], session, now)
        return seen is not None

    async def end(self, session: str, now: dt.datetime) -> None:
        """See `SessionStore`."""
        async with self._connections.session() as connection:
            await connection.execute(_SQL["end"], session, now, Way.PERSON.value)

    async def end_by_broker(self, idp: str, *, broker: bytes, subject: str, now: dt.datetime) -> list[str]:
        """See `SessionStore`."""
        async with self._connections.session() as connection:
            return [row["id"] for row in await connection.fetch(_SQL["end_by_broker"], idp, broker, subject, now)]

    async def end_by_time(self, now: dt.datetime, idle: dt.timedelta) -> None:
        """See `SessionStore`."""
        async with self._connections.session() as connection:
            await connection.execute(_SQL["end_by_time"], now, now - idle)

    @contextlib.asynccontextmanager
    async def unrecorded(self, only: Sequence[str] | None) -> AsyncIterator[list[Ended]]:
        """See `SessionStore`."""
        async with self._connections.session() as connection, connection.transaction():
            asked = ("unrecorded", UNRECORDED_MAX) if only is None else ("unrecorded_of", list(only))
            rows = await connection.fetch(_SQL[asked[0]], asked[1])
            yield [Ended(row["id"], row["idp"], row["sealed"], Way(row["way"])) for row in rows]
            if rows:
                await connection.execute(_SQL["recorded"], [row["id"] for row in rows])

    async def once(self, what: bytes, until: dt.datetime, now: dt.datetime) -> bool:
        """See `SessionStore`."""
        async with self._connections.session() as connection:
            return await connection.fetchval(_SQL["once"], what, until, now) is not None
