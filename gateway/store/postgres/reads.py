"""Reading by id, and receipts. Searching is `search.py`."""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from gateway.formats import json
from gateway.model import Position, Reason, RejectionCode
from gateway.store.port import FeedCount, MessageRow, MessageState, Page, Version
from gateway.store.postgres import statements
from gateway.store.postgres.connections import Connections

_SQL = statements.load("read")
_MESSAGES = statements.load("messages")
_BEYOND_ALL = 1 << 31
_TYPES_END = (1 << 15) - 1
_BEFORE_ALL = dt.datetime(1, 1, 2, tzinfo=dt.UTC)
_AFTER_ALL = dt.datetime(9999, 12, 30, tzinfo=dt.UTC)


def version_of(resource_type: str, resource_id: str, row: Mapping[str, Any]) -> Version:
    """Make a Version of a row with version, updated, deleted, lane, body, receipt and patient."""
    return Version(
        resource_type,
        resource_id,
        row["version"],
        row["updated"],
        row["body"],
        row["deleted"],
        row["lane"],
        row["receipt"],
        row["patient"],
    )


def past_of(resource_type: str, resource_id: str, row: Mapping[str, Any]) -> Version:
    """Make a Version of a history, which knows how it came about."""
    made = version_of(resource_type, resource_id, row)
    made.posted = row["posted"]
    return made


class Reads:
    """The read half of the port. `types` maps names to the numbers of resource_type."""

    def __init__(self, connections: Connections, types: Mapping[str, int]) -> None:
        self._connections = connections
        self._types = types

    async def current(self, keys: Sequence[tuple[str, str]]) -> list[Version | None]:
        """Return the current versions of (type, id) in one trip, in order, None where there is none."""
        found: list[Version | None] = [None] * len(keys)
        codes = [self._types.get(resource_type, 0) for resource_type, _ in keys]
        async with self._connections.session() as connection:
            rows = await connection.fetch(_SQL["current"], codes, [resource_id for _, resource_id in keys])
        for row in rows:
            place: int = row["place"] - 1
            found[place] = version_of(*keys[place], row)
        return found

    async def version(self, resource_type: str, resource_id: str, version: int) -> Version | None:
        """See `store.port.Store.vread`."""
        if not 0 < version < _BEYOND_ALL:
            return None
        code = self._types.get(resource_type, 0)
        async with self._connections.session() as connection:
            row = await connection.fetchrow(_SQL["version"], code, resource_id, version)
        return None if row is None else version_of(resource_type, resource_id, row)

    async def history(self, resource_type: str, resource_id: str, *, count: int, before: int | None) -> Page:
        """See `store.port.Store.history`."""
        below = _BEYOND_ALL - 1 if before is None else max(0, min(before, _BEYOND_ALL - 1))
        code = self._types.get(resource_type, 0)
        async with self._connections.session() as connection:
            rows = await connection.fetch(_SQL["history"], code, resource_id, below, count + 1)
            total = rows[0]["total"] if rows else await connection.fetchval(_SQL["total"], code, resource_id)
        versions = tuple(past_of(resource_type, resource_id, row) for row in rows[:count])
        return Page(versions, more=len(rows) > count, total=total or 0)

    async def many(self, keys: Sequence[tuple[str, str]]) -> list[Version]:
        """See `store.port.Store.read_many`."""
        return [found for found in await self.current(keys) if found is not None and not found.deleted]

    async def changes(
        self,
        types: Sequence[str],
        *,
        count: int,
        since: dt.datetime | None,
        before: tuple[dt.datetime, str, str, int] | None,
    ) -> Page:
        """See `store.port.Store.changes`."""
        asked = (
            [self._types[name] for name in dict.fromkeys(types) if name in self._types]
            if types
            else list(self._types.values())
        )
        moment, resource_type, resource_id, version = before or (_AFTER_ALL, "", "", 0)
        place = (moment, self._types.get(resource_type, _TYPES_END), resource_id, version)
        async with self._connections.session() as connection:
            rows = await connection.fetch(_SQL["changes"], asked, since or _BEFORE_ALL, *place, count + 1)
        shown = rows[:count]
        return Page(tuple(past_of(row["type"], row["id"], row) for row in shown), more=len(rows) > count)

    async def message(self, receipt: str) -> MessageRow | None:
        """See `store.port.Store.message`."""
        async with self._connections.session() as connection:
            row = await connection.fetchrow(_MESSAGES["message"], receipt)
        return None if row is None else _message(row)

    async def rejected(self, feed: str, *, count: int, before: str | None) -> list[MessageRow]:
        """See `store.port.Store.rejected`."""
        async with self._connections.session() as connection:
            return [_message(row) for row in await connection.fetch(_MESSAGES["rejected"], feed, count, before)]

    async def made(self, resource_type: str, resource_id: str) -> list[MessageRow]:
        """See `store.port.Store.made`."""
        code = self._types.get(resource_type, 0)
        async with self._connections.session() as connection:
            return [_message(row) for row in await connection.fetch(_MESSAGES["made"], code, resource_id)]

    async def journal(self) -> AsyncIterator[MessageRow]:
        """See `store.port.Store.journal`."""
        async with (
            self._connections.alone() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            async for row in connection.cursor(_MESSAGES["journal"], prefetch=500):
                yield _message(row)

    async def stop_feed(self, feed: str, why: str) -> None:
        """See `store.port.Store.stop_feed`."""
        async with self._connections.session() as connection:
            await connection.execute(_MESSAGES["stop_feed"], feed, why)

    async def resume_feed(self, feed: str) -> None:
        """See `store.port.Store.resume_feed`."""
        async with self._connections.session() as connection:
            await connection.execute(_MESSAGES["resume_feed"], feed)

    async def stopped_feeds(self) -> dict[str, str]:
        """See `store.port.Store.stopped_feeds`."""
        async with self._connections.session() as connection:
            return {row["feed"]: row["why"] for row in await connection.fetch(_MESSAGES["stopped_feeds"])}

    async def counts(self) -> list[FeedCount]:
        """See `store.port.Store.counts`."""
        async with self._connections.session() as connection:
            return [FeedCount(**row) for row in await connection.fetch(_MESSAGES["counts"])]


def _message(row: Mapping[str, Any]) -> MessageRow:
    reasons = json.loads(row["reasons"].encode()) if row["reasons"] is not None else []
    return MessageRow(
        feed=row["feed"],
        receipt=row["receipt"],
        state=MessageState(row["state"]),
        source=Position(row["topic"], row["part"], row["at_offset"]),
        received_at=row["received"],
        stored_at=row["stored"],
        message_type=row["type"],
        resources=tuple(row["made"]),
        reasons=tuple(Reason(RejectionCode(each["code"]), each["at"], each["text"]) for each in reasons),
        mapping=row["mapping"],
        duplicate_of=row["first"],
        reply=row["reply"],
        reply_content_type=row["reply_type"],
        provenance=row["provenance"],
    )
