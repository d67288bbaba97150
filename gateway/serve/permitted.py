"""The store as the API may use it: it takes nothing but what `access.decide` permitted."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Sequence
from typing import Any

from gateway.access import History, Permitted, Read, Search, TypeHistory, VersionRead, Writing
from gateway.serve import seen
from gateway.store.port import Condition, Edit, Edited, Page, Store, Version


class PermittedStore:
    """What the API needs of `store.port.Store`. To hand it anything undecided is a type error."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def read(self, permitted: Permitted[Read]) -> Version | None:
        """Return the current version, deleted ones included, or None."""
        version = await self._store.read(permitted.intent.type, permitted.intent.id)
        return _noted(permitted, version)

    async def vread(self, permitted: Permitted[VersionRead]) -> Version | None:
        """Return one version, or None."""
        intent = permitted.intent
        return _noted(permitted, await self._store.vread(intent.type, intent.id, intent.version))

    async def history(self, permitted: Permitted[History]) -> Page:
        """Return versions of one resource, newest first."""
        intent = permitted.intent
        page = await self._store.history(intent.type, intent.id, count=intent.count, before=intent.before)
        seen.note(permitted, page.versions)
        return page

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
        if not types:
            return Page((), more=False)
        page = await self._store.changes(types, count=count, since=since, before=before)
        seen.note(permitted[0], page.versions)
        return page

    async def read_many(self, permitted: Sequence[Permitted[Read]]) -> list[Version]:
        """Return the current, not deleted versions, in any order."""
        wanted = [(one.intent.type, one.intent.id) for one in permitted]
        versions = await self._store.read_many(wanted) if wanted else []
        if versions:
            seen.note(permitted[0], versions)
        return versions

    async def search(self, permitted: Permitted[Search]) -> Page:
        """Return one page of matches."""
        page = await self._store.search(permitted.intent.query)
        seen.note(permitted, page.versions)
        return page

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
        await seen.intended()
        edited = await self._store.write(
            [edit for _, edit in edits],
            [Condition(permitted.intent.query, found) for permitted, found in conditions],
        )
        if edits:
            seen.note(edits[0][0], [one.version for one in edited])
        return edited

    async def following(self, permitted: Permitted[TypeHistory], version: Version) -> Version | None:
        """Return the version of a resource that came after this one, None while there is none."""
        if version.type != permitted.intent.type:
            raise AssertionError("a version of another type than was permitted")
        return await self._store.vread(version.type, version.id, version.version + 1)


def _noted(permitted: Permitted[Any], version: Version | None) -> Version | None:
    if version is not None and not version.deleted:
        seen.note(permitted, (version,))
    return version
