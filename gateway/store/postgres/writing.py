"""`write`: edits of the API. Look and lock, plan (`edits.py`), write; many callers share a transaction.

Edits under conditions have a transaction of their own: first the locks of their conditions, in ascending order, then
the questions, with the statements of every other search. A writer with an equal condition waits there until the first
has committed, and then finds what that one made: of eight that create the same thing if none exists, one does. Who
writes without a condition, or under another one, is not waited for.
"""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
from collections.abc import Sequence
from typing import Final

from gateway.errors import Unavailable
from gateway.search.query import Query, Sort
from gateway.store.port import Condition, Edit, Edited, Moved
from gateway.store.postgres import statements
from gateway.store.postgres.connections import Connection
from gateway.store.postgres.edits import Editing
from gateway.store.postgres.landing import OutdatedError
from gateway.store.postgres.rows import Row
from gateway.store.postgres.search import Searches
from gateway.store.postgres.transact import Transactor, row_of

_SQL: Final = statements.load("edits")
_TOGETHER_MAX: Final = 2000
"""Edits of several callers in one transaction, as long as none of them alone has more."""
_SEVERAL: Final = 2


class Writer:
    """Writes edits through the one Transactor of a store; `searches` answers their conditions. `under_way_max`
    conditional writes run at the same time.
    """

    def __init__(self, transactor: Transactor, searches: Searches, *, schema: str, under_way_max: int) -> None:
        self._transactor = transactor
        self._searches = searches
        self._schema = schema
        # Those that wait for a condition hold a connection: some must stay free for whoever they wait for.
        self._seats = asyncio.Semaphore(under_way_max)

    async def together(self, groups: Sequence[Sequence[Edit]]) -> Sequence[list[Edited] | BaseException]:
        """Write groups of edits, each all or none; return what became of each, or why it was not written.

        Raises Unavailable when that is so for all of them.
        """
        done: list[list[Edited] | BaseException] = []
        for part in _parts(groups):
            done += await self._part(part)
        return done

    async def _part(self, groups: Sequence[Sequence[Edit]]) -> Sequence[list[Edited] | BaseException]:
        try:
            return await self._transactor.persist(
                lambda connection, attempt: self._attempt(connection, groups, attempt)
            )
        except Unavailable:
            raise
        except Exception as error:  # noqa: BLE001 - handed to whoever asked
            if len(groups) == 1:
                return [error]
        # One of them is at fault, nobody knows which: each alone, so that only that one hears of it.
        return [answer for group in groups for answer in await self._part([group])]

    async def under(self, edits: Sequence[Edit], conditions: Sequence[Condition]) -> list[Edited]:
        """Write edits if the conditions hold. Raises Moved when one does not, or a version is another than expected."""
        async with self._seats:
            answers = await self._transactor.persist(
                lambda connection, attempt: self._attempt(connection, [edits], attempt, conditions)
            )
        answer = answers[0]
        if isinstance(answer, BaseException):
            raise answer
        return answer

    async def _attempt(
        self,
        connection: Connection,
        groups: Sequence[Sequence[Edit]],
        attempt: int,
        conditions: Sequence[Condition] = (),
    ) -> list[list[Edited] | BaseException]:
        landing, trust = self._transactor.landing, attempt == 0
        if trust and not conditions and landing.alone([edit for group in groups for edit in group]):
            # Few, and nobody is likely to be there at the same moment: looked at without a lock, and written in one
            # statement that asks whether it is still so. Who met somebody, or writes what stands there, takes the long way.
            plan, answers = self._planned(groups, await self._standing(connection, groups))
            if not any(row.noted and not row.changed for row in plan.rows.values()):
                await landing.land(connection, plan.rows.values(), plan.outgoing, locked=False)
                return answers
        async with connection.transaction():
            await self._agree(connection, conditions)
            plan, answers = self._planned(groups, await self._look(connection, groups, trust=trust))
            await landing.land(connection, plan.rows.values(), plan.outgoing)
        return answers

    def _planned(
        self, groups: Sequence[Sequence[Edit]], rows: dict[tuple[int, str], Row]
    ) -> tuple[Editing, list[list[Edited] | BaseException]]:
        plan = Editing(rows, self._transactor.types, self._transactor.moment())
        answers: list[list[Edited] | BaseException] = []
        for group in groups:
            try:
                answers.append(plan.add(group))
            except Moved as moved:
                answers.append(moved)
        return plan, answers

    async def _agree(self, connection: Connection, conditions: Sequence[Condition]) -> None:
        """Take the locks of the conditions and see whether they hold. Raises Moved."""
        if not conditions:
            return
        await connection.execute(_SQL["agree"], sorted({self._mark(each.query) for each in conditions}))
        for condition in conditions:
            found = await self._found(connection, condition.query)
            if len(condition.found) < _SEVERAL and {*found} != {*condition.found}:
                raise Moved("what the condition finds has changed", at=condition.query.type)

    def _mark(self, query: Query) -> int:
        """Return the number that stands for a condition: the same for all that ask the same in whatever order, whoever."""
        asked = dataclasses.replace(
            query,
            terms=tuple(sorted(query.terms, key=repr)),
            count=_SEVERAL,
            sort=Sort.NEWEST,
            order=(),
            total=False,
            sight=None,
        )
        text = f"{self._schema}\x1f{asked!r}".encode()
        return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big", signed=True)

    async def _found(self, connection: Connection, query: Query) -> list[str]:
        page = await self._searches.on(connection, dataclasses.replace(query, count=_SEVERAL))
        return [version.id for version in page.versions]

    async def _standing(self, connection: Connection, groups: Sequence[Sequence[Edit]]) -> dict[tuple[int, str], Row]:
        """Return the rows that are there, as they are now. What is expected to be new is taken at its word."""
        types = self._transactor.types
        asked = {(types[e.type], e.id): e for group in groups for e in group if e.expect != 0}
        found = await connection.fetch(_SQL["standing"], *_columns(asked)) if asked else ()
        return {(row["type"], row["id"]): row_of(row) for row in found}

    async def _look(
        self, connection: Connection, groups: Sequence[Sequence[Edit]], *, trust: bool
    ) -> dict[tuple[int, str], Row]:
        """Return the rows that are there, locked. What is expected to be new is taken at its word at first: where it is
        not, the unique index says so, and the next attempt looks.
        """
        types = self._transactor.types
        asked = {(types[e.type], e.id): e for group in groups for e in group if not (trust and e.expect == 0)}
        if not asked:
            return {}
        found = await connection.fetch(_SQL["held"], *_columns(asked))
        rows = {(row["type"], row["id"]): row_of(row) for row in found}
        # A row that was being replaced is not among them. To a creation the unique index says so.
        missing = [key for key, edit in asked.items() if key not in rows and (edit.expect or not edit.body)]
        if missing and await connection.fetchval(_SQL["present"], *_columns(missing)):
            raise OutdatedError
        return rows


def _columns(keys: Sequence[tuple[int, str]] | dict[tuple[int, str], Edit]) -> tuple[list[int], list[str]]:
    return [key[0] for key in keys], [key[1] for key in keys]


def _parts(groups: Sequence[Sequence[Edit]]) -> list[Sequence[Sequence[Edit]]]:
    """Cut groups into transactions."""
    parts: list[list[Sequence[Edit]]] = []
    size = _TOGETHER_MAX
    for group in groups:
        if size + len(group) > _TOGETHER_MAX:
            parts.append([])
            size = 0
        parts[-1].append(group)
        size += len(group)
    return list(parts)
