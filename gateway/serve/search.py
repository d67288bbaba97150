"""Searches: parse, decide, query, answer with a searchset (FHIR R4 search). One page at a time, keyset-paged.

No link shows what was searched for: `self`, `first` and `next` name the parameters that counted, without their values
(which FHIR has everyone ignore), and hold the question sealed (`paging`).
"""

from __future__ import annotations

import datetime as dt
import urllib.parse
from dataclasses import dataclass, field, replace
from typing import Any, Final

from gateway import access, errors
from gateway.access import Actor, Search
from gateway.clock import Clock
from gateway.search.query import After
from gateway.serve import bundle, shaping
from gateway.serve.answer import Answer, outcome
from gateway.serve.asking import Asking
from gateway.serve.include import INCLUDED_MAX, Includer
from gateway.serve.operations.stored_terminology import StoredTerminology
from gateway.serve.paging import Pages
from gateway.serve.permitted import PermittedStore
from gateway.serve.questions import Pairs, Question, understood
from gateway.store.port import Version

_COUNTED: Final = ("_summary", "count")
_CUT: Final = f"more than {INCLUDED_MAX} resources would be included; the rest was left out"


@dataclass(slots=True)
class _Place:
    """Where a page of a question starts, as its token holds it."""

    now: dt.datetime
    pairs: Pairs
    part: int = 0
    """Which of the types."""
    after: After | None = None
    total: int | None = None
    going_on: bool = False
    """Whether it is another than the first page: then what came into being since is not shown."""


@dataclass(slots=True)
class _Page:
    """One page."""

    versions: list[Version] = field(default_factory=list)
    total: int | None = None
    next: tuple[int, After | None] | None = None


class SearchHandler:
    """Answers searches. `base` is the address of the API, without a slash at its end."""

    def __init__(
        self,
        store: PermittedStore,
        pages: Pages,
        base: str,
        clock: Clock,
        terminology: StoredTerminology | None = None,
    ) -> None:
        self._terminology = terminology
        self._store = store
        self._pages = pages
        self._base = base
        self._clock = clock
        self._includer = Includer(store, base)

    async def __call__(self, actor: Actor, asking: Asking) -> Answer:
        """Answer with one page."""
        matched = asking.matched
        address = "/".join(part for part in (matched.type, matched.id, matched.member) if part)
        place, token = self._place(actor, asking, address)
        shapes = [pair for pair in place.pairs if pair[0] in shaping.NAMES and pair != _COUNTED]
        shape = shaping.of_pairs(shapes, matched.member.strip("*") or matched.type, lenient=asking.lenient())
        asked = [pair for pair in place.pairs if pair not in shapes]
        codes = await self._terminology.for_search(actor, asked) if self._terminology else None
        question = understood(
            actor,
            matched,
            asked,
            lenient=asking.lenient(),
            now=place.now,
            base=self._base,
            codes=codes,
        )
        place.pairs = [*question.used, *shapes]
        page = await self._page(actor, question, place)
        entries = bundle.found(page.versions, self._base, shape)
        if (includes := question.parts[0].query.includes) and page.versions:
            included = await self._includer.included(actor, includes, page.versions)
            entries += bundle.found(included.versions, self._base, shape, included=True)
            entries += [bundle.note(outcome("warning", "incomplete", [_CUT]))] if included.cut else []
        if question.ignored and not token:
            entries.append(bundle.note(outcome("warning", "not-supported", question.ignored)))
        links = self._links(actor, address, place, page, token)
        return Answer(200, bundle.bundle("searchset", links=links, entries=entries, total=page.total))

    def _place(self, actor: Actor, asking: Asking, address: str) -> tuple[_Place, str]:
        token = asking.take("_page") if asking.pairs else ""
        if not token:
            return _Place(self._clock.now(), asking.pairs), ""
        if any(value for _, value in asking.pairs):
            raise errors.Incorrect("_page holds the whole question; nothing is added to it", at="_page")
        return _opened(self._pages.open(actor, token), address), token

    async def _page(self, actor: Actor, question: Question, place: _Place) -> _Page:
        """Return one page: of the type where it starts, and of those after it while there is room.

        A total is counted on the first page, and goes along with the links.
        """
        found = _Page(total=place.total)
        count = question.parts[0].query.count
        counting = question.parts[0].query.total and not place.going_on
        alone = len(question.parts) == 1
        after = place.after
        for number in range(place.part, len(question.parts)):
            room = count - len(found.versions)
            if not room and not alone:
                found.next = (number, None) if count else None
                break
            until = place.now if place.going_on else None
            query = replace(
                question.parts[number].query, count=room, after=after, until=until, total=counting and alone
            )
            page = await self._store.search(access.decide(actor, Search(query)))
            found.versions += page.versions
            after = None
            if counting and alone:
                found.total = page.total
            if page.more:
                found.next = (number, After(page.last_key, page.last_rid, page.last_keys)) if count else None
                break
        if counting and not alone:
            found.total = await self._total(actor, question)
        return found

    async def _total(self, actor: Actor, question: Question) -> int:
        total = 0
        for part in question.parts:
            query = replace(part.query, count=0, total=True)
            page = await self._store.search(access.decide(actor, Search(query)))
            total += page.total or 0
        return total

    def _links(self, actor: Actor, address: str, place: _Place, page: _Page, token: str) -> list[tuple[str, str]]:
        own = f"{self._base}/{address}" if address else self._base
        named = "".join(f"{urllib.parse.quote(name)}=&" for name in dict.fromkeys(name for name, _ in place.pairs))
        start = _Place(place.now, place.pairs)

        def link(relation: str, sealed: str) -> tuple[str, str]:
            return relation, f"{own}?{named}_page={sealed}" if sealed else f"{own}?{named}".rstrip("?&")

        links = [link("self", token or self._pages.seal(actor, _held(start, address), short=True))]
        if token:
            links.append(link("first", self._pages.seal(actor, _held(start, address))))
        if page.next:
            part, after = page.next
            on = replace(place, part=part, after=after, total=page.total, going_on=True)
            links.append(link("next", self._pages.seal(actor, _held(on, address))))
        return links


def _held(place: _Place, address: str) -> dict[str, Any]:
    return {
        "search": address,
        "pairs": place.pairs,
        "now": place.now.isoformat(),
        "part": place.part,
        "after": _written(place.after),
        "total": place.total,
        "on": place.going_on,
    }


def _written(after: After | None) -> list[Any] | None:
    return None if after is None else [after.key.isoformat() if after.key else None, after.rid, list(after.keys)]


def _opened(held: dict[str, Any], address: str) -> _Place:
    if held.get("search") != address:
        raise errors.Incorrect("this is a page of another search", at="_page")
    after = None
    if held["after"] is not None:
        key, rid, keys = held["after"]
        after = After(dt.datetime.fromisoformat(key) if key else None, rid, tuple(keys))
    pairs = [(name, value) for name, value in held["pairs"]]
    moment = dt.datetime.fromisoformat(held["now"])
    return _Place(moment, pairs, held["part"], after, held["total"], held["on"])
