"""One transaction of `apply`: look, plan, write. Retried whole when it met another one; nothing of it is half done.

What `write` shares with it (writing.py): how to try again. How changed rows land is `landing`'s.

The order of locks is that of statements/apply.sql. The outbox heads come late: from there to the commit, transactions
that publish into the same partition wait for one another, which is what makes its numbers gap-free and in commit order.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import random
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import asyncpg

from gateway.clock import Clock
from gateway.errors import Fenced, Unavailable
from gateway.model import Mode
from gateway.store.port import Advance, Applied, AppliedMessage, Batch, MessageWrite
from gateway.store.postgres import order, statements
from gateway.store.postgres.connections import Connection, Connections
from gateway.store.postgres.inbox import Inbox, Marks
from gateway.store.postgres.landing import Landing, Numbers, OutdatedError
from gateway.store.postgres.plan import MESSAGE_COLUMNS, Extract, Mention, Merge, Plan
from gateway.store.postgres.rows import Precedence, Row

_SQL = statements.load("apply")
_ATTEMPTS_MAX = 8
_MENTIONS_MAX = 50_000


Done = TypeVar("Done")
_MET_ANOTHER = (OutdatedError, asyncpg.UniqueViolationError, asyncpg.TransactionRollbackError)


@dataclass(slots=True)
class Transactor:
    """Applies batches. One per store; calls may run at the same time on different connections."""

    connections: Connections
    types: Mapping[str, int]
    merge: Merge
    extract: Extract
    clock: Clock
    seqs: Numbers
    landing: Landing
    mentions: set[Mention] = field(default_factory=set)

    async def commit(self, batches: Sequence[Batch]) -> list[Applied]:
        """Apply batches in one transaction. At most one has `advances`, and then it is the only one.

        Raises Fenced, or Unavailable when the world failed or the transaction met others too often.
        """
        return await self.persist(lambda connection, _: self._attempt(connection, batches))

    async def persist(self, work: Callable[[Connection, int], Awaitable[Done]]) -> Done:
        """Do `work`, given a connection and the number of the attempt (from 0), until it meets no other transaction.

        Raises Unavailable when it met others too often.
        """
        for attempt in range(_ATTEMPTS_MAX):
            try:
                async with self.connections.session() as connection:
                    return await work(connection, attempt)
            except _MET_ANOTHER:
                await asyncio.sleep(random.uniform(0.001, 0.01) * 2**attempt)  # noqa: S311
        raise Unavailable("the database was too busy with the same resources")

    def moment(self) -> dt.datetime:
        """Return the present in whole milliseconds, as meta.lastUpdated has it; the column says exactly the same."""
        now = self.clock.now()
        return now.replace(microsecond=now.microsecond // 1000 * 1000)

    async def _attempt(self, connection: Connection, batches: Sequence[Batch]) -> list[Applied]:
        async with connection.transaction():
            wanted = [list(batch.messages) for batch in batches]
            advances = sorted(batches[0].advances, key=lambda one: (one.group, one.topic, one.partition))
            floors = await _hold(connection, advances) if advances else {}
            if advances:
                wanted = [[message for message in wanted[0] if message.source.offset >= floors[_place(message)]]]
            messages = [message for group in wanted for message in group]
            plan = await self._look(connection, messages)
            applied = [_applied(plan, group, repeats=not advances) for group in wanted]
            await self._write(connection, plan)
            if advances:
                moved = [
                    (one.topic, one.partition, max(floors[one.topic, one.partition], one.next_offset))
                    for one in advances
                ]
                await connection.execute(_SQL["move_positions"], advances[0].group, *_columns(moved))
                if messages and not await order.enter(connection, messages, plan.rows.values(), plan.inbox):
                    raise OutdatedError
        return applied

    async def _look(self, connection: Connection, messages: Sequence[MessageWrite]) -> Plan:
        inbox = Inbox.read(await connection.fetch(_SQL["inbox"], *_inbox_arguments(messages))) if messages else Inbox()
        whole: dict[tuple[int, str], bool] = {}
        for message in messages:
            for write in message.writes:
                key = (self.types[write.type], write.id)
                whole[key] = whole.get(key, False) or write.mode is not Mode.PUT
        rows: dict[tuple[int, str], Row] = {}
        if whole:
            asked = ([key[0] for key in whole], [key[1] for key in whole], list(whole.values()))
            for found in await connection.fetch(_SQL["current"], *asked):
                rows[found["type"], found["id"]] = row_of(found)
        sequence: Iterator[int] = iter(await self.seqs.take(connection, len(messages)))
        if len(self.mentions) > _MENTIONS_MAX:
            self.mentions.clear()
        return Plan(inbox, rows, self.types, sequence, self.merge, self.extract, self.mentions, self.moment())

    async def _write(self, connection: Connection, plan: Plan) -> None:
        plan.messages.sort(key=lambda record: record[10])  # by letter: two writers meet in the same order
        if plan.messages:
            await connection.copy_records_to_table("message", records=plan.messages, columns=MESSAGE_COLUMNS)
        if plan.retold:
            await connection.executemany(_SQL["retold"], plan.retold)
        await _lock(
            connection, [row for row in plan.rows.values() if row.stored_version and (row.changed or row.noted)]
        )
        await self.landing.land(connection, plan.rows.values(), plan.outgoing)
        if plan.tallies:
            counts = [(*key, t.stored, t.rejected, t.duplicate) for key, t in sorted(plan.tallies.items())]
            await connection.execute(_SQL["count"], *_columns(counts))


async def _hold(connection: Connection, advances: Sequence[Advance]) -> dict[tuple[str, int], int]:
    """Lock the reading positions, in order, and return them. Raises Fenced when the worker has lost one of them."""
    keys = _columns([(one.topic, one.partition) for one in advances])
    found = {
        (row["topic"], row["part"]): row for row in await connection.fetch(_SQL["positions"], advances[0].group, *keys)
    }
    for advance in advances:
        row = found.get((advance.topic, advance.partition))
        if row is None or row["epoch"] != advance.epoch or not row["held"]:
            raise Fenced(f"the lease on {advance.topic} {advance.partition} has ended or belongs to another worker")
        if advance.from_offset > row["next_offset"]:
            skipped = f"offsets {row['next_offset']} to {advance.from_offset - 1}"
            raise RuntimeError(f"a batch of {advance.topic} would skip {skipped}")
    return {key: row["next_offset"] for key, row in found.items()}


def _place(message: MessageWrite) -> tuple[str, int]:
    return message.source.topic, message.source.partition


async def _lock(connection: Connection, rows: Sequence[Row]) -> None:
    if not rows:
        return
    held = {row["rid"]: row["stored_as"] for row in await connection.fetch(_SQL["lock"], [row.rid for row in rows])}
    if any(held.get(row.rid) != row.stored_as for row in rows):
        raise OutdatedError


def _applied(plan: Plan, messages: Sequence[MessageWrite], *, repeats: bool) -> Applied:
    done: list[AppliedMessage] = []
    for message in messages:
        applied = plan.add(message)
        if applied is None and repeats:  # a writer that asks again wants to know what became of it
            applied = AppliedMessage(message.receipt, plan.inbox.receipts[message.receipt].state)
        if applied is not None:
            done.append(applied)
    return Applied(tuple(done), plan.now)


def _inbox_arguments(messages: Sequence[MessageWrite]) -> tuple[list[Any], ...]:
    marks = [Marks.of(message) for message in messages]
    envelopes = [mark for mark in marks if mark.envelope is not None]
    controls = [mark for mark in marks if mark.control is not None]
    return (
        [message.receipt for message in messages],
        [mark.letter for mark in marks],
        [mark.envelope for mark in envelopes],
        [mark.letter for mark in envelopes],
        [mark.control for mark in controls],
        [mark.letter for mark in controls],
    )


def row_of(found: Mapping[str, Any]) -> Row:
    """Make a Row of what the statement `current` answers."""
    return Row(
        type=found["type"],
        id=found["id"],
        rid=found["rid"],
        stored_version=found["version"],
        stored_as=found["stored_as"],
        feed=found["feed"] or "",
        version=found["version"],
        updated=found["updated"],
        deleted=found["deleted"],
        lane=found["lane"],
        patient=found["patient"],
        precedence=Precedence(found["event"], found["received"], found["line"]),
        digest=found["digest"],
        message=found["message"],
        state=found["state"],
        body=found["body"],
    )


def _columns(records: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(column) for column in zip(*records, strict=True)]
