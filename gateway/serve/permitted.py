"""The store as the API may use it: it takes nothing but what `access.decide` permitted."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Sequence

from gateway.access import History, Permitted, Read, Search, TypeHistory, VersionRead, Writing
from gateway.store.port import Condition, Edit, Edited, Page, Store, Version


class PermittedStore:
    """What the API needs of `store.port.Store`. To hand it anything undecided is a type error."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def read(self, permitted: Permitted[Read]) -> Version | None:
        """Return the current version, deleted ones included, or None."""
        return await self._store.read(permitted.intent.type, permitted.intent.id)

    async def vread(self, permitted: Permitted[VersionRead]) -> Version | None:
        """Return one version, or None."""
        intent = permitted.intent
        return await self._store.vread(intent.type, intent.id, intent.version)

    async def history(self, permitted: Permitted[History]) -> Page:
        """Return versions of one resource, newest first."""
        intent = permitted.intent
        return await self._store.history(intent.type, intent.id, count=intent.count, before=intent.before)

    async def changes(
        self,
        permitted: Sequence[Permitted[TypeHistory]],
        *,
        count: int,
        since: dt.datetime | None = None,
        before: tuple[dt.datetime, str, str, int] | None = None,
    ) -> Page:
        """Return versions of all resources of these types, newest first; see `store.port.Store.changes`."""
        types = [one.intent.type for one in permitted]
        return await self._store.changes(types, count=count, since=since, before=before) if types else Page((), False)

    async def read_many(self, permitted: Sequence[Permitted[Read]]) -> list[Version]:
        """Return the current, not deleted versions, in any order."""
        wanted = [(one.intent.type, one.intent.id) for one in permitted]
        return await self._store.read_many(wanted) if wanted else []

    async def search(self, permitted: Permitted[Search]) -> Page:
        """Return one page of matches."""
        return await self._store.search(permitted.intent.query)

    async def present(self, permitted: Sequence[Permitted[Writing]]) -> list[Version | None]:
        """Return the current versions of what is to be written, deleted ones included: to write by, not to show."""
        intents = [each.intent for each in permitted]
        return list(await asyncio.gather(*(self._store.read(intent.type, intent.id) for intent in intents)))

    async def write(
        self,
        edits: Sequence[tuple[Permitted[Writing], Edit]],
        conditions: Sequence[tuple[Permitted[Search], tuple[str, ...]]] = (),
    ) -> list[Edited]:
        """Commit edits, all or none: see `store.port.Store.write`. Raises AssertionError for one that was not decided."""
        for permitted, edit in edits:
            if (permitted.intent.type, permitted.intent.id) != (edit.type, edit.id):
                raise AssertionError("an edit of another resource than was permitted")
        return await self._store.write(
            [edit for _, edit in edits],
            [Condition(permitted.intent.query, found) for permitted, found in conditions],
        )

    async def following(self, permitted: Permitted[TypeHistory], version: Version) -> Version | None:
        """Return the version of a resource that came after this one, None while there is none."""
        if version.type != permitted.intent.type:
            raise AssertionError("a version of another type than was permitted")
        return await self._store.vread(version.type, version.id, version.version + 1)
