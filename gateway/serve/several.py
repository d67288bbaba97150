"""One page of a search of several types, in one order: that of `_lastUpdated`. Not what is asked (`questions`).

Every type is asked for a page from its own place on; of all that came, the first in order are shown. A type of which
only some were shown is asked again for just those, to learn its new place: a place is the store's to name.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from gateway import access
from gateway.access import Actor, Search
from gateway.search.query import After, AsOf, Query, Sort
from gateway.serve.permitted import PermittedStore
from gateway.store.port import Page, Version


@dataclass(frozen=True, slots=True)
class Place:
    """Where a type goes on: after this row, from its beginning (None), or not at all."""

    after: After | None = None
    done: bool = False
    as_of: AsOf | None = None
    """The state of the store that the first page of the type showed; None on the first."""


@dataclass(slots=True)
class Joined:
    """The page: what is shown, and where each type goes on."""

    versions: list[Version] = field(default_factory=list)
    places: list[Place] = field(default_factory=list)
    loose: bool = False
    """Whether one of the pages was (`store.port.Page.loose`)."""

    @property
    def more(self) -> bool:
        """Whether there is a further page."""
        return any(not place.done for place in self.places)


async def page(store: PermittedStore, actor: Actor, queries: Sequence[Query], places: Sequence[Place]) -> Joined:
    """Return one page of some queries, alike but for their types. Each is decided by itself."""

    async def ask(query: Query, place: Place, count: int) -> Page:
        if place.done:
            return Page((), more=False)
        narrowed = replace(query, count=count, after=place.after, as_of=place.as_of, total=False)
        return await store.search(access.decide(actor, Search(narrowed)))

    count = queries[0].count
    pages = await asyncio.gather(*(ask(query, place, count) for query, place in zip(queries, places, strict=True)))
    rows = [(version, number) for number, one in enumerate(pages) for version in one.versions]
    rows.sort(key=lambda row: row[0].last_updated, reverse=queries[0].sort is Sort.NEWEST)
    shown = rows[:count]
    made = Joined([version for version, _ in shown], loose=any(one.loose for one in pages))
    for number, (query, place, one) in enumerate(zip(queries, places, pages, strict=True)):
        taken = sum(1 for _, owner in shown if owner == number)
        last = one
        place = replace(place, as_of=one.as_of)  # noqa: PLW2901
        if 0 < taken < len(one.versions):
            last = await ask(query, place, taken)
        if taken:
            place = replace(place, after=After(last.last_key, last.last_rid, last.last_keys))  # noqa: PLW2901
        made.places.append(place if taken < len(one.versions) or one.more else Place(done=True))
    return made


async def total(store: PermittedStore, actor: Actor, queries: Sequence[Query]) -> int:
    """Return how many match in all."""
    counting = [replace(query, count=0, total=True) for query in queries]
    pages = await asyncio.gather(*(store.search(access.decide(actor, Search(query))) for query in counting))
    return sum(page.total or 0 for page in pages)
