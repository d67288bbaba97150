"""What a transaction leaves behind: new rows, what they supersede, their index, and what is to be published.

Few rows go as one statement with an array a column: a trip to the database costs more than a small row does. Many go by
COPY, a table at a time, which costs less for each. Nothing is decided here but the numbers that rows get.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import asyncpg

from gateway.store.port import Edit
from gateway.store.postgres import standing_rows, statements
from gateway.store.postgres.connections import Connection
from gateway.store.postgres.index_rows import IndexRows
from gateway.store.postgres.indexing import Indexing
from gateway.store.postgres.plan import OUTBOX_COLUMNS, Outgoing
from gateway.store.postgres.rows import RESOURCE_COLUMNS, VERSION_COLUMNS, Row

_SQL: Final = statements.load("apply")
_LAND: Final = statements.load("land")
_BLOCK: Final = 1000
"""What the sequences step by (migrations/0001_spine.sql)."""
FEW: Final = 64
"""Changed resources from which on COPY is the quicker way; fewer land in one statement."""
_TOKENS: Final = RESOURCE_COLUMNS.index("tokens")


def _instead() -> str:
    """Return the statement that lands rows in the place of others: `instead` before the parts of `together`, whose new rows
    come when the old ones are gone.
    """
    together = _LAND["together"].partition("with ")[2]
    after = together.replace("returning 1", "where (select count(*) from gone) is not null returning 1", 1)
    taken = max(map(int, re.findall(r"\$(\d+)", together)))
    first = _LAND["instead"].partition("planned as")[2]
    first = first.replace("$rids", f"${taken + 1}").replace("$stored", f"${taken + 2}")
    return f"with planned as{first},\n{after}"


_INSTEAD: Final = _instead()
Records = list[tuple[Any, ...]]


class OutdatedError(Exception):
    """Another transaction changed what this one was planned from: plan again."""


class Numbers:
    """Row numbers, taken from a sequence a thousand at a time. Unused ones of this process are simply lost."""

    def __init__(self, statement: str) -> None:
        self._statement = statement
        self._free: list[int] = []

    async def take(self, connection: Connection, count: int) -> list[int]:
        """Return `count` numbers that nobody else has, ascending within a block."""
        while (missing := count - len(self._free)) > 0:  # somebody else may have taken some while we asked
            for start in await connection.fetch(self._statement, -(-missing // _BLOCK)):
                self._free.extend(range(start[0], start[0] + _BLOCK))
        taken, self._free = self._free[:count], self._free[count:]
        return taken


@dataclass(slots=True)
class _New:
    """The rows that a landing brings, table by table."""

    resources: Records
    versions: Records
    index: IndexRows
    outbox: Records
    """`seq` counts from 1 in each partition."""
    parts: list[int]
    """The partitions of the outbox that are published into, in order."""
    counts: list[int]
    """How much into each."""

    def tables(self) -> Iterable[tuple[str, Sequence[str], Records]]:
        """Yield table, columns and rows; the outbox last, whose numbers are not known yet."""
        yield "version", VERSION_COLUMNS, self.versions
        yield "resource", RESOURCE_COLUMNS, self.resources
        yield from self.index.tables()

    def arguments(self) -> list[list[Any]]:
        """Return the columns as the statement `together` takes them."""
        literal = [(*r[:_TOKENS], _array(r[_TOKENS]), *r[_TOKENS + 1 :]) for r in self.resources]
        return [
            *_columns(literal, len(RESOURCE_COLUMNS)),
            *_columns(self.versions, len(VERSION_COLUMNS)),
            *(column for _, names, records in self.index.tables() for column in _columns(records, len(names))),
            self.parts,
            self.counts,
            *_columns(self.outbox, len(OUTBOX_COLUMNS)),
        ]


@dataclass(slots=True)
class Landing:
    """One per store. `partition` says which part of the outbox a key belongs to."""

    indexing: Indexing
    partition: Callable[[str], int]
    rids: Numbers
    heads: set[int] = field(default_factory=set)
    """Partitions of the outbox that are known to have been there, committed."""

    def alone(self, edits: Sequence[Edit]) -> bool:
        """Say whether edits land in one statement, which is a transaction of its own, unless one of them changes nothing."""
        stating, types = self.indexing.stating, self.indexing.types
        return len(edits) < FEW and all(types[each.type] not in stating for each in edits)

    async def land(
        self, connection: Connection, rows: Iterable[Row], outgoing: Sequence[Outgoing], *, locked: bool = True
    ) -> None:
        """Write what is new of these rows, and what is to be published. Rows that are not `locked` are `alone`: should one
        be another by now than it was planned from, OutdatedError is raised and nothing is written.
        """
        rows = list(rows)
        changed = sorted((row for row in rows if row.changed), key=lambda row: (row.type, row.id))
        stored = [row for row in changed if row.stored_version]
        if stored and locked:
            await connection.execute(_SQL["supersede"], [row.rid for row in stored])
        stating = [row for row in changed if row.type in self.indexing.stating]
        fresh = [row for row in changed if not row.stored_version]
        for row, rid in zip(fresh, await self.rids.take(connection, len(fresh)), strict=True):
            row.rid = rid
        new = await self._new(changed, outgoing)
        if noted := [_note(row) for row in rows if row.noted and not row.changed]:
            await connection.execute(_SQL["note"], *_columns(noted, 5))
        if stating:
            said = [(row.rid, row.index.standing) for row in stating]
            before = [row.rid for row in stating if row.stored_version]
            await standing_rows.write(connection, said, types=self.indexing.types, forget=before)
        if not changed and not outgoing:
            return
        if unknown := [part for part in new.parts if part not in self.heads]:
            await connection.execute(_SQL["new_heads"], unknown)
        try:
            if stored and not locked:
                replaced = [row.rid for row in stored], [row.stored_as for row in stored]
                await connection.execute(_INSTEAD, *new.arguments(), *replaced)
            elif len(changed) < FEW:
                await connection.execute(_LAND["together"], *new.arguments())
            else:
                await self._by_copy(connection, new)
        except (
            asyncpg.NotNullViolationError
        ):  # a head was made in a transaction that came to nothing, or a row is another
            self.heads.clear()
            raise OutdatedError from None
        self.heads.update(new.parts)

    async def _by_copy(self, connection: Connection, new: _New) -> None:
        for table, columns, records in new.tables():
            if records:
                await connection.copy_records_to_table(table, records=records, columns=columns)
        heads = {row["part"]: row["upto"] for row in await connection.fetch(_SQL["numbers"], new.parts, new.counts)}
        before = {part: heads[part] - count for part, count in zip(new.parts, new.counts, strict=True) if part in heads}
        numbered = [(before[row[2]] + row[0] if row[2] in before else None, *row[1:]) for row in new.outbox]
        if numbered:
            await connection.copy_records_to_table("outbox", records=numbered, columns=OUTBOX_COLUMNS)

    async def _new(self, changed: Sequence[Row], outgoing: Sequence[Outgoing]) -> _New:
        names, tokens = self.indexing.type_names, self.indexing.tokens
        rows = await self.indexing.rows([(row.rid, row.type, row.index) for row in changed])
        counts: Counter[int] = Counter()
        outbox: Records = []
        for out in outgoing:
            part = self.partition(out.key)
            counts[part] += 1
            outbox.append((counts[part], out.message, part, out.version, out.type, out.id))
        parts = sorted(counts)
        return _New(
            [row.record(names[row.type], tokens(row.type, row.index)) for row in changed],
            [record for row in changed for record in row.superseded],
            rows,
            outbox,
            parts,
            [counts[part] for part in parts],
        )


def _note(row: Row) -> tuple[Any, ...]:
    assert row.precedence is not None
    return (row.rid, row.precedence.event, row.precedence.received, row.precedence.line, row.state)


def _columns(records: Records, width: int) -> list[list[Any]]:
    """Return rows as columns, empty ones where there are no rows."""
    return [list(column) for column in zip(*records, strict=True)] if records else [[] for _ in range(width)]


def _array(numbers: Sequence[int]) -> str:
    """Return a literal of PostgreSQL's: arrays of an array would have to be of one length."""
    return "{" + ",".join(map(str, numbers)) + "}"
