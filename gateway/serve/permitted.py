"""The store as the API may use it: it takes nothing but what `access.decide` permitted."""

from __future__ import annotations

from gateway.access import History, Permitted, Read, Search, VersionRead
from gateway.store.port import Page, Store, Version


class PermittedStore:
    """The reading half of `store.port.Store`. To hand it anything undecided is a type error."""

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

    async def search(self, permitted: Permitted[Search]) -> Page:
        """Return one page of matches."""
        return await self._store.search(permitted.intent.query)
