"""The dictionary of words: which tokens tell of a word. A row for each word of each display, not for each resource.

Which texts are told, and by what, is `search.words`' business; what a question makes of it, `search_texts`'.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from gateway.search import words
from gateway.search.indexed import Told
from gateway.store.postgres import statements
from gateway.store.postgres.connections import Connection, Connections
from gateway.store.postgres.index_rows import plain

_SQL: Final = statements.load("words")
SETTINGS: Final = {"synchronous_commit": "off"}
_KNOWN_MAX: Final = 1 << 17
_LAST: Final = "\U0010ffff"
"""Behind every word that goes on, in the order of code points (collation "C")."""
_FIRST: Final = "\x01"
"""Before every word that goes on."""
Row = tuple[int, int, str, int]
"""(type, parameter, word, token)"""


@dataclass(slots=True)
class Vocabulary:
    """What this process knows to be in the dictionary. One per store."""

    writers: Connections
    """Of those who learn."""
    connections: Connections
    """Of its own: whoever learns holds one already, in a transaction."""
    types: Mapping[str, int]
    parameters: Mapping[str, int]
    _texts: set[Told] = field(default_factory=set)
    _rows: set[Row] = field(default_factory=set)
    _opened: int = 0
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def learn(self, told: Iterable[Told]) -> None:
        """See that all this is in the dictionary.

        Committed at once, beside the transaction that needs it, and not flushed by itself: the log is in order, and
        whatever holds a token is flushed behind it. A database that has crashed may have forgotten what nothing was behind:
        then the writers have other connections, and nothing counts as known.
        """
        if self.writers.opened != self._opened:
            self._opened = self.writers.opened
            self._forget()
        new = {one for one in told if one not in self._texts}
        if not new:
            return
        rows = {row for one in new for row in self._rows_of(one)} - self._rows
        if rows:
            ordered = sorted(rows)  # two who add the same meet in one order
            async with self._turn, self.connections.session() as connection:
                await connection.execute(_SQL["learn"], *[list(column) for column in zip(*ordered, strict=True)])
        if len(self._texts) + len(self._rows) > _KNOWN_MAX:
            self._forget()
        self._rows |= rows
        self._texts |= new

    def _forget(self) -> None:
        self._texts.clear()
        self._rows.clear()

    def _rows_of(self, told: Told) -> Iterable[Row]:
        if told.type in self.types:
            code = self.types[told.type]
            for name, token, word in told.rows:
                yield code, self._number(name), plain(word), token

    def _number(self, name: str) -> int:
        return 0 if name == words.ANY_TEXT else self.parameters[name]

    async def tokens(
        self,
        connection: Connection,
        resource_type: str,
        names: Sequence[str],
        asked: Sequence[tuple[str, bool]],
        most: int,
    ) -> list[list[tuple[int, int]]]:
        """Return for each word (whole, or the beginning of one) the (parameter, token) that tell of it in texts of these
        parameters, of any where there are none; more than `most` where there are more.
        """
        found: list[list[tuple[int, int]]] = [[] for _ in asked]
        low = [plain(word) for word, _ in asked]
        high = [word + (_FIRST if whole else _LAST) for word, (_, whole) in zip(low, asked, strict=True)]
        numbers = [self._number(name) for name in names]
        type_code = self.types.get(resource_type, 0)
        for row in await connection.fetch(_SQL["tokens"], type_code, low, high, numbers, most + 1):
            found[row["place"] - 1].append((row["parameter"], row["token"]))
        return found
