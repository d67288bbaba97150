"""Searches: parse, decide, query, answer with a searchset (FHIR R4 search). One page at a time, keyset-paged.

No link shows what was searched for: `self`, `first` and `next` name the parameters that counted, without their values
(which FHIR has everyone ignore), and hold the question sealed (`paging`).
"""

from __future__ import annotations

import datetime as dt
import functools
import urllib.parse
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from gateway import access, errors
from gateway.access import Actor, Search
from gateway.clock import Clock
from gateway.search.query import After, AsOf
from gateway.search.values import Context, Terminology
from gateway.serve import bundle, questions, seen, several, shaping
from gateway.serve.answer import Answer, outcome
from gateway.serve.asking import Asking
from gateway.serve.include import INCLUDED_MAX, Includer
from gateway.serve.paging import Pages
from gateway.serve.permitted import PermittedStore
from gateway.serve.questions import Pairs, Question
from gateway.serve.several import Joined, Place
from gateway.store.port import Version

_COUNTED: Final = ("_summary", "count")
_NOTED_MAX: Final = 100
"""So many of what is counted and not shown are on record; beyond, a count is of a crowd."""
_CUT: Final = f"more than {INCLUDED_MAX} resources would be included; the rest was left out"
_LOOSE: Final = (
    "so much has been changed since the first page that this one shows changed resources as they are now: one may come"
    " twice, or on no page; search again for one answer"
)


@dataclass(slots=True)
class _Place:
    """Where a page of a question starts, as its token holds it."""

    now: dt.datetime
    pairs: Pairs
    parts: list[Place] = field(default_factory=list)
    """For each type; none: at the beginning."""
    total: int | None = None


@dataclass(slots=True)
class _Page:
    """One page, and where each type goes on."""

    versions: Sequence[Version]
    total: int | None
    parts: list[Place]
    more: bool
    loose: bool


Codes = Callable[[Actor, Pairs], Awaitable[Terminology]]
"""Fetches what the code modifiers (`:in`, `:below` …) among some pairs need to know."""


class SearchHandler:
    """Answers searches. `base` is the address of the API, without a slash at its end; without `codes` the modifiers of
    tokens that need a terminology are refused.
    """

    def __init__(
        self, store: PermittedStore, pages: Pages, base: str, clock: Clock, codes: Codes | None = None
    ) -> None:
        self._store = store
        self._pages = pages
        self._base = base
        self._clock = clock
        self._codes = codes
        self._includer = Includer(store, base)

    async def __call__(self, actor: Actor, asking: Asking) -> Answer:
        """Answer with one page."""
        matched = asking.matched
        address = "/".join(part for part in (matched.type, matched.id, matched.member) if part)
        place, token = self._place(actor, asking, address)
        types = questions.types_of(actor, matched, place.pairs)
        shapes = [pair for pair in place.pairs if pair[0] in shaping.NAMES and pair != _COUNTED]
        shape = shaping.of_pairs(shapes, "" if types.several else types.names[0], lenient=asking.lenient())
        asked = [pair for pair in place.pairs if pair not in shapes] if shapes else place.pairs
        context = await self._context(actor, place)
        question = questions.understood(matched, types, asked, context, lenient=asking.lenient())
        place.pairs = asking.pairs = [*question.used, *shapes]
        page = await self._page(actor, question, place)
        shown = [*page.versions]
        entries = bundle.found(page.versions, self._base, shape)
        if (includes := question.includes) and page.versions:
            included = await self._includer.included(actor, includes, page.versions)
            shown += included.versions
            entries += bundle.found(included.versions, self._base, shape, included=True)
            entries += [bundle.note(outcome("warning", "incomplete", [_CUT]))] if included.cut else []
        if page.loose:
            entries.append(bundle.note(outcome("warning", "incomplete", [_LOOSE])))
        if question.ignored and not token:
            entries.append(bundle.note(outcome("warning", "not-supported", question.ignored)))
        if page.total and not shown and seen.noting():
            shown = await self._counted(actor, question)
        seen.only(shown)
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
        """Return one page. All of them show what the first one was read from; a total is counted on the first page, and
        goes along with the links.
        """
        queries = [part.query for part in question.parts]
        counting = queries[0].total and not place.parts
        places = place.parts or [Place() for _ in queries]
        if len(queries) == 1:
            query = replace(queries[0], after=places[0].after, as_of=places[0].as_of, total=counting)
            page = await self._store.search(access.decide(actor, Search(query)))
            total = page.total if counting else place.total
            after = After(page.last_key, page.last_rid, page.last_keys)
            parts = [Place(after, as_of=page.as_of)]
            return _Page(page.versions, total, parts, page.more and query.count > 0, page.loose)
        joined = await several.page(self._store, actor, queries, places) if queries[0].count else Joined()
        total = await several.total(self._store, actor, queries) if counting else place.total
        return _Page(joined.versions, total, joined.places, joined.more, joined.loose)

    async def _counted(self, actor: Actor, question: Question) -> list[Version]:
        """Return the first of what an answer counts without showing it: that there is one tells of somebody, and is on
        record as if it were shown.
        """
        queries = [replace(part.query, count=_NOTED_MAX) for part in question.parts]
        return (await several.page(self._store, actor, queries, [Place() for _ in queries])).versions

    async def _context(self, actor: Actor, place: _Place) -> Context:
        codes = None
        if self._codes is not None and any(":" in name or name == "_filter" for name, _ in place.pairs):
            codes = await self._codes(actor, place.pairs)
        return Context(place.now, self._base, codes)

    def _links(self, actor: Actor, address: str, place: _Place, page: _Page, token: str) -> list[tuple[str, str]]:
        own = f"{self._base}/{address}" if address else self._base
        named = _named(tuple(dict.fromkeys(name for name, _ in place.pairs)))
        start = _Place(place.now, place.pairs)

        def link(relation: str, sealed: str) -> tuple[str, str]:
            return relation, f"{own}?{named}_page={sealed}" if sealed else f"{own}?{named}".rstrip("?&")

        links = [link("self", token or self._pages.seal(actor, _held(start, address), short=True))]
        if token:
            links.append(link("first", self._pages.seal(actor, _held(start, address))))
        if page.more:
            on = _Place(place.now, place.pairs, page.parts, page.total)
            links.append(link("next", self._pages.seal(actor, _held(on, address))))
        return links


@functools.lru_cache(maxsize=1024)
def _named(names: tuple[str, ...]) -> str:
    """Return the part of a link that names parameters and gives none of them a value."""
    return "".join(f"{urllib.parse.quote(name)}=&" for name in names)


def _held(place: _Place, address: str) -> dict[str, Any]:
    return {
        "search": address,
        "pairs": place.pairs,
        "now": place.now.isoformat(),
        "parts": [_written(part) for part in place.parts],
        "total": place.total,
    }


def _written(part: Place) -> Any:
    """Write a place: [state, row], the row as [key, rid, keys], a beginning as []; an end as null."""
    if part.done:
        return None
    after, as_of = part.after, part.as_of
    state = [] if as_of is None else [as_of.at.isoformat(), as_of.snapshot]
    return [
        state,
        [] if after is None else [after.key.isoformat() if after.key else None, after.rid, list(after.keys)],
    ]


def _read(held: Any) -> Place:
    if held is None:
        return Place(done=True)
    state, row = held
    as_of = AsOf(dt.datetime.fromisoformat(state[0]), state[1]) if state else None
    if not row:
        return Place(as_of=as_of)
    key, rid, keys = row
    return Place(After(dt.datetime.fromisoformat(key) if key else None, rid, tuple(keys)), as_of=as_of)


def _opened(held: dict[str, Any], address: str) -> _Place:
    if held.get("search") != address:
        raise errors.Incorrect("this is a page of another search", at="_page")
    pairs = [(name, value) for name, value in held["pairs"]]
    return _Place(dt.datetime.fromisoformat(held["now"]), pairs, [_read(part) for part in held["parts"]], held["total"])
