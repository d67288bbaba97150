"""The outbox: rows to publish in commit order, the publisher's position, and the bell that wakes it.

The bell is rung after the commit, not in it: NOTIFY inside a transaction makes all commits of a database queue up
behind one lock. Should the process die in between, the next look (`wait` ends after its seconds) finds the rows.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Any

import asyncpg

from gateway.errors import Fenced, Unavailable
from gateway.store.port import OutboxRow
from gateway.store.postgres import statements
from gateway.store.postgres.connections import Connections

_SQL = statements.load("outbox")
_AGAIN_SECONDS = 0.5
_REST_SECONDS = 0.03
"""Between two NOTIFY, each a commit of its own: a busy store commits hundreds of times a second, and one ring wakes whoever
sleeps. It is heard here as well: so whoever looked just before a commit, and sleeps since, does not oversleep it.
"""


async def unpublished(connections: Connections, after: Mapping[int, int], *, limit: int) -> list[OutboxRow]:
    """See `store.port.Store.outbox`."""
    async with connections.session() as connection:
        rows = await connection.fetch(_SQL["unpublished"], list(after), list(after.values()), limit)
    return [
        OutboxRow(
            part, seq, type_, id_, version, lane, body, deleted, at, receipt, feed, trace, "" if version else feed
        )
        for part, seq, type_, id_, version, receipt, feed, trace, lane, at, deleted, body in rows
    ]


async def published(connections: Connections, upto: Mapping[int, int], *, epochs: Mapping[int, int]) -> None:
    """See `store.port.Store.published`."""
    async with connections.session() as connection:
        parts = sorted(upto)  # every publisher takes positions in the same order
        held = await connection.fetch(
            _SQL["published"], parts, [upto[part] for part in parts], [epochs[part] for part in parts]
        )
    if lost := set(parts) - {row["part"] for row in held}:
        raise Fenced(f"the lease on outbox partitions {sorted(lost)} has ended or belongs to another publisher")


class Bell:
    """LISTEN and NOTIFY on one connection of its own, opened again when it is lost."""

    def __init__(self, connections: Connections, channel: str) -> None:
        self._connections = connections
        self._channel = channel
        self._rung = asyncio.Event()
        self._waiting: set[asyncio.Event] = set()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to listen."""
        self._task = asyncio.create_task(self._run(), name="outbox-bell")

    async def stop(self) -> None:
        """Stop listening. Safe to call twice."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    def ring(self) -> None:
        """Wake everybody who waits, here at once and in other processes soon."""
        self._heard()
        self._rung.set()

    async def wait(self, seconds: float) -> None:
        """Return when the bell rings, or after `seconds`."""
        event = asyncio.Event()
        self._waiting.add(event)
        try:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(event.wait(), seconds)
        finally:
            self._waiting.discard(event)

    def _heard(self, *_: Any) -> None:
        for event in self._waiting:
            event.set()

    async def _run(self) -> None:
        while True:
            with contextlib.suppress(Unavailable):
                async with self._connections.alone() as connection:
                    await self._serve(connection)
            await asyncio.sleep(_AGAIN_SECONDS)

    async def _serve(self, connection: asyncpg.Connection[Any]) -> None:
        lost = self._rung.set  # look at the connection when it ends, not only when somebody rings
        connection.add_termination_listener(lambda _: lost())
        await connection.add_listener(self._channel, self._heard)
        self._heard()  # something may have been added while nobody listened
        while not connection.is_closed():
            await self._rung.wait()
            self._rung.clear()
            if not connection.is_closed():
                await connection.execute("select pg_notify($1, '')", self._channel)
                await asyncio.sleep(_REST_SECONDS)
