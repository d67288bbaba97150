"""Keeping the search index: its rows beside the resource, the numbers they use, and indexing again what is out of date.

What is noted of a resource decides `search.index`; how rows look, `index_rows`. Here they are written.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import asyncpg

from gateway.formats import json
from gateway.search import parameters, stating, words
from gateway.search.parameters import Kind
from gateway.search.query import Index, own
from gateway.store.postgres import standing_rows, statements, vocabulary
from gateway.store.postgres.connections import Connections
from gateway.store.postgres.index_rows import IndexRows, grams, unit_of
from gateway.store.postgres.plan import Extract
from gateway.store.postgres.units import Units
from gateway.store.postgres.vocabulary import Vocabulary

LAYOUT: Final = 5
"""Count up when the same resource would be indexed differently: stores are then indexed again at their next start."""
_SQL = statements.load("index")
_BATCH: Final = 500
_WITH_ROWS: Final = frozenset({Kind.DATE, Kind.STRING, Kind.URI, Kind.NUMBER, Kind.QUANTITY, Kind.TOKEN})
"""Kinds with rows in tables of their own; of tokens, in the dictionary of words."""
_NOTHING: Final = Index()


@dataclass(slots=True)
class Indexing:
    """One per store. `start` before anything else."""

    connections: Connections
    schema: str
    extract: Extract
    types: Mapping[str, int]
    type_names: dict[int, str] = field(default_factory=dict)
    parameters: dict[str, int] = field(default_factory=dict)
    addresses: set[tuple[int, str]] = field(default_factory=set)
    stating: set[int] = field(default_factory=set)
    """The types whose resources may say who may see what."""
    units: Units = field(init=False)
    words: Vocabulary = field(init=False)

    def __post_init__(self) -> None:
        self.words = Vocabulary(
            self.connections, self.connections.another(1, vocabulary.SETTINGS), self.types, self.parameters
        )
        self.units = Units(self.connections, self.schema)

    async def start(self, connection: asyncpg.Connection[Any]) -> None:
        """Learn the numbers of types, parameters and units; a new parameter gets one."""
        self.type_names.update({code: name for name, code in self.types.items()})
        known = {row["name"]: row["code"] for row in await connection.fetch(_SQL["parameters"])}
        missing = names() - known.keys()
        if missing:
            await connection.execute(_SQL["add_parameters"], sorted(missing))
            known = {row["name"]: row["code"] for row in await connection.fetch(_SQL["parameters"])}
        self.parameters.update(known)
        self.addresses.update(
            (code, parameter.name)
            for name, code in self.types.items()
            if name in parameters.types()
            for parameter in parameters.of(name).all()
            if parameter.kind is Kind.URI
        )
        self.stating.update(self.types[name] for name in stating.STATING if name in self.types)
        await self.units.look(connection)
        await self.words.connections.open()

    async def stop(self) -> None:
        """Disconnect. Safe to call twice."""
        await self.words.connections.close()

    def tokens(self, type_code: int, index: Index) -> list[int]:
        """Return what stands in the token index: the tokens, and what `:contains` finds strings by."""
        if not index.strings:
            return index.tokens
        return [*index.tokens, *grams(type_code, index.strings, self.addresses)]

    async def rows(self, indexed: Sequence[tuple[int, int, Index]]) -> IndexRows:
        """Return the rows of (rid, type, index); units that are new get their numbers first, words go into the dictionary."""
        await self.words.learn(told for _, _, index in indexed for told in index.told)
        measures = [measure for _, _, index in indexed for measure in index.measures]
        if measures:
            await self.units.learn(map(unit_of, measures))
        rows = IndexRows(self.parameters, self.units, self.addresses)
        for rid, type_code, index in indexed:
            rows.add(rid, type_code, index)
        return rows

    async def again(self, connection: asyncpg.Connection[Any]) -> int:
        """Index every resource again if the rows were made by another layout or table of parameters; return how many.

        In transactions of some hundred resources, each with the place it has come to: a process that dies is followed
        up by the next. Others who call it at the same time wait.
        """
        await connection.execute("select pg_advisory_lock(hashtextextended($1, 0))", f"sundbro index {self.schema}")
        try:
            made_by = fingerprint()
            noted = await connection.fetchrow(_SQL["made_by"])
            if noted is not None and noted["made_by"] == made_by and noted["upto"] is None:
                return 0
            if noted is None and await connection.fetchval(_SQL["is_empty"]):
                await connection.execute(_SQL["making"], made_by, None)
                return 0
            upto: int | None = -1
            if noted is not None and noted["made_by"] == made_by:
                upto = noted["upto"]  # somebody began, and died
            done = 0
            while upto is not None:
                async with connection.transaction():
                    upto, count = await self._batch(connection, upto)
                    await connection.execute(_SQL["making"], made_by, upto)
                done += count
            await connection.execute("analyze resource, date_of, string_of, measure_of")
            return done
        finally:
            if not connection.is_closed():
                await connection.execute("select pg_advisory_unlock_all()")

    async def _batch(self, connection: Any, upto: int) -> tuple[int | None, int]:
        found = await connection.fetch(_SQL["next"], upto, _BATCH)
        if not found:
            return None, 0
        indexed: list[tuple[int, int, Index]] = []
        columns: list[tuple[Any, ...]] = []
        for row in found:
            index = _NOTHING if row["deleted"] else self.extract(json.loads(row["body"]))
            indexed.append((row["rid"], row["type"], index))
            mine = None if row["deleted"] else own(f"{self.type_names[row['type']]}/{row['id']}")
            tokens = "{" + ",".join(map(str, self.tokens(row["type"], index))) + "}"
            columns.append(
                (row["rid"], index.patient, index.code, index.date_low, index.date_high, mine, index.present, tokens)
            )
        await connection.execute(_SQL["indexed"], *[list(column) for column in zip(*columns, strict=True)])
        rids = [row["rid"] for row in found]
        await connection.execute(_SQL["forget"], rids)
        said = [(rid, index.standing) for rid, type_code, index in indexed if type_code in self.stating]
        await standing_rows.write(connection, said, types=self.types, forget=rids)
        made = await self.rows(indexed)
        for table, columns_of, records in made.tables():
            if records:
                await connection.copy_records_to_table(table, records=records, columns=columns_of)
        return found[-1]["rid"], len(found)


def names() -> set[str]:
    """Return the names of all search parameters that may have rows beside the resource."""
    return {
        parameter.name
        for resource_type in parameters.types()
        for parameter in parameters.of(resource_type).all()
        if parameter.kind in _WITH_ROWS or parameter.name == words.NARRATIVE
    }


def fingerprint() -> bytes:
    """Return what the rows of the index are made by: the layout and the table of parameters, 16 bytes."""
    table = (parameters.FOLDER / "search-parameters.csv").read_bytes()
    return hashlib.blake2b(table, digest_size=16, salt=LAYOUT.to_bytes(16, "big")).digest()
