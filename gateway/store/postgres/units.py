"""The dictionary of units: each written once, a small number in every row of a quantity.

Not what units mean: that one is another in a larger measure is `search.units`' business.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import asyncpg

from gateway.search.query import own
from gateway.store.postgres.connections import Connection, Connections

_LOCK: Final = "select pg_advisory_xact_lock(hashtextextended($1, 0))"
_NEWER: Final = "select code, system, symbol, display from unit where code > $1 order by code"
_ADD: Final = """
insert into unit (hash, code, system, symbol, display)
select n.hash, (select coalesce(max(code), 0) from unit) + row_number() over (), n.system, n.symbol, n.display
  from unnest($1::bigint[], $2::text[], $3::text[], $4::text[]) as n (hash, system, symbol, display)
 where not exists (select from unit u where u.hash = n.hash)
"""


class Unit(NamedTuple):
    """A unit as it is written in a quantity: system and code, and what is displayed."""

    system: str
    code: str
    display: str


NONE: Final = Unit("", "", "")


@dataclass(slots=True)
class Units(Mapping[Unit, int]):
    """The numbers of all units known so far. They only grow: nothing is ever taken out."""

    connections: Connections
    schema: str
    numbers: dict[Unit, int] = field(default_factory=lambda: {NONE: 0})
    _upto: int = 0

    def __getitem__(self, unit: Unit) -> int:
        return self.numbers[unit]

    def __iter__(self) -> Iterator[Unit]:
        return iter(self.numbers)

    def __len__(self) -> int:
        return len(self.numbers)

    async def learn(self, wanted: Iterable[Unit]) -> None:
        """Give numbers to units that have none.

        Committed at once, beside the transaction that needs them: a unit without a row hurts nobody, a lock held until
        its commit would.
        """
        missing = sorted({unit for unit in wanted if unit not in self.numbers})
        if not missing:
            return
        async with self.connections.alone() as connection:
            async with connection.transaction():
                await connection.execute(_LOCK, f"sundbro units {self.schema}")
                hashes = [own("\x1f".join(unit)) for unit in missing]
                await connection.execute(_ADD, hashes, *[list(column) for column in zip(*missing, strict=True)])
            self._note(await connection.fetch(_NEWER, self._upto))

    async def look(self, connection: Connection | asyncpg.Connection[Any]) -> None:
        """Read what others have added."""
        self._note(await connection.fetch(_NEWER, self._upto))

    def _note(self, rows: Iterable[Mapping[str, Any]]) -> None:
        for row in rows:
            self.numbers[Unit(row["system"], row["symbol"], row["display"])] = row["code"]
            self._upto = max(self._upto, row["code"])
