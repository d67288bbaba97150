"""The store as the API may use it: it takes nothing but what `access.decide` permitted, and shows what exists for that actor.

The one place where a decision becomes a `Sight`: what exists at this moment, which the store attaches to whatever it
reads. A request that must be narrowed and is not, is a bug and ends here (AssertionError): never in an answer.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Container, Sequence
from dataclasses import replace
from typing import Any

from gateway import access
from gateway.access import (
    Actor,
    Create,
    History,
    Kind,
    Patch,
    Permitted,
    Policy,
    Read,
    Rule,
    Search,
    Sight,
    TypeHistory,
    Update,
    VersionRead,
    Writing,
)
from gateway.access.policy import DEFAULT
from gateway.clock import Clock, SystemClock
from gateway.search.query import Query
from gateway.serve import seen
from gateway.store.port import Condition, Edit, Edited, Page, Store, Version


class PermittedStore:
    """What the API needs of `store.port.Store`. To hand it anything undecided is a type error."""

    def __init__(self, store: Store, clock: Clock | None = None, policy: Policy = DEFAULT) -> None:
        self._store = store
        self._clock = clock or SystemClock()
        self._policy = policy

    async def read(self, permitted: Permitted[Read]) -> Version | None:
        """Return the current version, or None; deleted ones included for who sees everything."""
        intent = permitted.intent
        return self._noted(permitted, await self._store.read(intent.type, intent.id, sight=self._own(permitted)))

    async def vread(self, permitted: Permitted[VersionRead]) -> Version | None:
        """Return one version, or None."""
        intent = permitted.intent
        version = await self._store.vread(intent.type, intent.id, intent.version, sight=self._own(permitted))
        return self._noted(permitted, version)

    async def history(self, permitted: Permitted[History]) -> Page:
        """Return versions of one resource, newest first."""
        intent = permitted.intent
        page = await self._store.history(
            intent.type, intent.id, count=intent.count, before=intent.before, sight=self._own(permitted)
        )
        self._note(permitted, page.versions)
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
        if not permitted:
            return Page((), False)
        sight = self._sight_of_all(permitted)
        types = [one.intent.type for one in permitted]
        page = await self._store.changes(types, count=count, since=since, before=before, sight=sight)
        self._note(permitted[0], page.versions)
        return page

    async def read_many(self, permitted: Sequence[Permitted[Read]]) -> list[Version]:
        """Return the current, not deleted versions, in any order."""
        if not permitted:
            return []
        wanted = [(one.intent.type, one.intent.id) for one in permitted]
        versions = await self._store.read_many(wanted, sight=self._sight_of_all(permitted))
        if versions:
            self._note(permitted[0], versions)
        return versions

    async def search(self, permitted: Permitted[Search]) -> Page:
        """Return one page of matches."""
        page = await self._store.search(self._narrowed(permitted))
        self._note(permitted, page.versions)
        return page

    async def present(self, permitted: Sequence[Permitted[Writing]]) -> list[Version | None]:
        """Return the current versions of what is to be written: to write by, not to show. Deleted ones are included for
        who sees everything; for others what is hidden is not there. A patch is a look at what it is tried on: whether it
        can be done, or its test holds, tells what stands there.
        """
        asked = [self._store.read(each.intent.type, each.intent.id, sight=self._own(each)) for each in permitted]
        found = await asyncio.gather(*asked)
        for each, version in zip(permitted, found, strict=True):
            if isinstance(each.intent, Patch):
                self._noted(each, version)
        return list(found)

    async def write(
        self,
        edits: Sequence[tuple[Permitted[Writing], Edit]],
        conditions: Sequence[tuple[Permitted[Search], tuple[str, ...]]] = (),
    ) -> list[Edited]:
        """Commit edits, all or none: see `store.port.Store.write`. Raises AssertionError for one that was not decided,
        NotPermitted for one whose writer may not write what it says.
        """
        for permitted, edit in edits:
            if (permitted.intent.type, permitted.intent.id) != (edit.type, edit.id):
                raise AssertionError("an edit of another resource than was permitted")
        await seen.intended()
        await self._within(edits, {permitted.intent.type for permitted, found in conditions if not found})
        edited = await self._store.write(
            [edit for _, edit in edits],
            [Condition(self._narrowed(permitted), found) for permitted, found in conditions],
        )
        if edits:
            self._note(edits[0][0], [one.version for one in edited])
        return edited

    async def following(self, permitted: Permitted[TypeHistory], version: Version) -> Version | None:
        """Return the version of a resource that came after this one, None while there is none."""
        if version.type != permitted.intent.type:
            raise AssertionError("a version of another type than was permitted")
        return await self._store.vread(version.type, version.id, version.version + 1, sight=self._own(permitted))

    async def _within(self, edits: Sequence[tuple[Permitted[Writing], Edit]], unfound: Container[str]) -> None:
        """Refuse contents that their writer would not see, blocks aside, and what he would replace unseen. Raises
        NotPermitted; the version that stands must then still be the one that he sees (`Edit.expect`).

        An update makes a resource where its condition finds none (of the types `unfound`), under an id of the server's.
        """
        by_intent: dict[type[Writing], list[tuple[Permitted[Writing], Edit]]] = {}
        for permitted, edit in edits:
            if self._own(permitted) is None:
                continue
            creates = isinstance(permitted.intent, Create)
            if edit.expect == 0 and isinstance(permitted.intent, Update) and edit.type in unfound:
                creates = True
            if edit.expect is None or (edit.expect == 0) is not creates:
                raise AssertionError("an edit that does not rest on what its writer sees")
            if edit.expect and await self._store.read(edit.type, edit.id, sight=self._own(permitted)) is None:
                raise access.beyond_reach()
            if edit.body:
                if not access.may_state(permitted.actor, edit.index.standing):
                    raise access.beyond_reach()
                by_intent.setdefault(type(permitted.intent), []).append((permitted, edit))
        for group in by_intent.values():
            sight = self._sight(group[0][0])
            assert sight is not None
            if not all(await self._store.judge([edit for _, edit in group], sight)):
                raise access.beyond_reach()

    def _noted(self, permitted: Permitted[Any], version: Version | None) -> Version | None:
        if version is not None and not version.deleted:
            self._note(permitted, (version,))
        return version

    def _note(self, permitted: Permitted[Any], versions: Sequence[Version]) -> None:
        if seen.noting():
            seen.note(self.rules(permitted), versions)

    def rules(self, permitted: Permitted[Any]) -> tuple[Rule, ...]:
        """Return the rules that opened a request and narrowed it, for the audit."""
        return permitted.rules(self._clock.now(), self._policy)

    def _narrowed(self, permitted: Permitted[Search]) -> Query:
        sight = self._sight(permitted)
        query = permitted.intent.query
        return query if sight is None else replace(query, sight=sight)

    def _own(self, permitted: Permitted[Any]) -> Sight | None:
        """Return what exists of the one type of an intent; None is everything."""
        sight = self._sight(permitted)
        return sight if permitted.hides else None

    def _sight_of_all(self, permitted: Sequence[Permitted[Any]]) -> Sight | None:
        if len({id(one.actor) for one in permitted}) != 1:
            raise AssertionError("one answer for several actors")
        return self._sight(permitted[0])

    def _sight(self, permitted: Permitted[Any]) -> Sight | None:
        """Return what exists for an actor now; None is everything."""
        sight = permitted.sight(self._clock.now(), self._policy)
        if _must_be_narrowed(permitted.actor) and (sight is None or not permitted.hides):
            raise AssertionError("a caller from whom something is hidden reached the store without a sight")
        return sight


def _must_be_narrowed(actor: Actor) -> bool:
    """Say so independently of `access`: a second look, so that one mistake there shows nothing to anybody."""
    return actor.kind is not Kind.SYSTEM or bool(actor.person or actor.on_behalf_of)
