"""Type search: parse, decide, query, answer with a searchset (FHIR R4 search). One page at a time, keyset-paged."""

from __future__ import annotations

import datetime as dt
import urllib.parse
from dataclasses import replace
from typing import Any

from gateway import access, errors
from gateway.access import Actor, Search
from gateway.clock import Clock
from gateway.search import parse
from gateway.search.parse import Asked
from gateway.search.query import After, Query
from gateway.serve import bundle
from gateway.serve.answer import Answer, outcome
from gateway.serve.asking import Asking
from gateway.serve.paging import Pages
from gateway.serve.permitted import PermittedStore


class SearchHandler:
    """Answers searches. `base` is the address of the API, without a slash at its end."""

    def __init__(self, store: PermittedStore, pages: Pages, base: str, clock: Clock) -> None:
        self._store = store
        self._pages = pages
        self._base = base
        self._clock = clock

    async def __call__(self, actor: Actor, asking: Asking) -> Answer:
        """Answer with one page. A caller without the right hears so before anything is said about the parameters."""
        kind = asking.matched.type
        access.decide(actor, Search(Query(kind)))
        token = asking.take("_page")
        now, after = self._clock.now(), None
        if token:
            if asking.pairs:
                raise errors.Incorrect("_page holds the whole question; nothing is added to it", at="_page")
            place = self._pages.open(actor, token)
            now, after, asking.pairs = _read(place, kind)
        asked = parse.understand(kind, asking.pairs, lenient=asking.lenient(), now=now, base=self._base)
        permitted = access.decide(actor, Search(replace(asked.query, after=after)))
        page = await self._store.search(permitted)
        links = [("self", self._address(kind, token) if token else self._self(actor, kind, asked, now))]
        if page.more:
            last = (page.last_key, page.last_rid)
            links.append(("next", self._address(kind, self._pages.seal(actor, _place(kind, asked, now, last)))))
        entries = [bundle.match(version, self._base) for version in page.versions]
        if asked.ignored and not token:
            entries.append(bundle.note(outcome("warning", "not-supported", asked.ignored)))
        return Answer(200, bundle.bundle("searchset", links=links, entries=entries, total=page.total))

    def _self(self, actor: Actor, kind: str, asked: Asked, now: dt.datetime) -> str:
        """Return the address of this search: in plain text, unless a value may name a person."""
        if asked.private:
            return self._address(kind, self._pages.seal(actor, _place(kind, asked, now, None)))
        return f"{self._base}/{kind}" + (f"?{urllib.parse.urlencode(asked.used)}" if asked.used else "")

    def _address(self, kind: str, token: str) -> str:
        return f"{self._base}/{kind}?_page={token}"


def _place(kind: str, asked: Asked, now: dt.datetime, last: tuple[dt.datetime | None, int] | None) -> dict[str, Any]:
    """Return what a page token holds: the parameters that counted, the moment they were asked, the last row shown."""
    key, rid = last or (None, None)
    return {
        "type": kind,
        "pairs": [list(pair) for pair in asked.used],
        "now": now.isoformat(),
        "key": key.isoformat() if key else None,
        "rid": rid,
    }


def _read(place: dict[str, Any], kind: str) -> tuple[dt.datetime, After | None, list[tuple[str, str]]]:
    if place.get("type") != kind or "pairs" not in place:
        raise errors.Incorrect("this is a page of another search", at="_page")
    after = None
    if place["rid"] is not None:
        after = After(dt.datetime.fromisoformat(place["key"]) if place["key"] else None, place["rid"])
    return dt.datetime.fromisoformat(place["now"]), after, [(name, value) for name, value in place["pairs"]]
