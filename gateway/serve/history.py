"""Histories: the versions of one resource, of a type, of everything; newest first, deletions included (FHIR R4 http).

`_since` is the oldest moment shown. `_at` shows what was current at some moment of a period: what was written within
it, and what stood when it began (not the deleted, which did not stand).
"""

from __future__ import annotations

import asyncio
import datetime as dt
import re
import urllib.parse
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from gateway import access, errors
from gateway.access import Actor, History, Permitted, TypeHistory
from gateway.access.scopes import Letter
from gateway.search import parameters, times
from gateway.search.parse import COUNT_DEFAULT, COUNT_MAX
from gateway.serve import bundle, seen, shaping
from gateway.serve.answer import Answer
from gateway.serve.asking import Asking
from gateway.serve.paging import Pages
from gateway.serve.permitted import PermittedStore
from gateway.serve.shaping import Shape
from gateway.store.port import Page, Version

_COUNT: Final = re.compile(r"[0-9]{1,9}")
_ABOUT: Final = ("_count", "_since", "_at")
Before = tuple[dt.datetime, str, str, int]


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What a request asks for, from its parameters or from a page token."""

    given: tuple[tuple[str, str], ...]
    shape: Shape
    count: int
    since: dt.datetime | None
    at: tuple[dt.datetime, dt.datetime] | None
    place: dict[str, Any] | None
    """Where this page starts; None is the first."""


class HistoryHandler:
    """Answers histories. `base` is the address of the API, without a slash at its end."""

    def __init__(self, store: PermittedStore, pages: Pages, base: str) -> None:
        self._store = store
        self._pages = pages
        self._base = base

    async def __call__(self, actor: Actor, asking: Asking) -> Answer:
        """Answer with one page of the versions of a resource."""
        matched = asking.matched
        address = f"{matched.type}/{matched.id}/_history"
        access.decide(actor, History(matched.type, matched.id, 1))
        wanted, token = self._wanted(actor, asking, address)
        before = wanted.place["before"] if wanted.place else None
        page = await self._page(actor, asking, wanted.count, before)
        if not page.versions and before is None:
            raise errors.NotFound("there is no such resource")
        total = page.total if wanted.since is None and wanted.at is None else None
        versions: list[Version] = []
        while True:
            kept, older = _kept(page.versions, wanted)
            versions += kept
            if not (older and page.more and len(versions) <= wanted.count):
                break
            page = await self._page(actor, asking, wanted.count, page.versions[-1].version)
        shown = versions[: wanted.count]
        place = {"before": shown[-1].version} if len(versions) > len(shown) else None
        return self._answer(actor, address, wanted, token, shown, place, total)

    async def _page(self, actor: Actor, asking: Asking, count: int, before: int | None) -> Page:
        """Return versions of a resource: one more than are shown, so that a last page is known as such."""
        intent = History(asking.matched.type, asking.matched.id, count + 1, before)
        return await self._store.history(access.decide(actor, intent))

    async def all(self, actor: Actor, asking: Asking) -> Answer:
        """Answer with one page of the versions of all resources of a type, or of every type that the caller may see."""
        kind = asking.matched.type
        address = f"{kind}/_history".lstrip("/")
        types = [kind] if kind else access.open_to(actor, Letter.SEARCH, sorted(parameters.types()))
        permitted = [access.decide(actor, TypeHistory(name)) for name in types]
        wanted, token = self._wanted(actor, asking, address)
        before: Before | None = None
        if wanted.place:
            moment, *rest = wanted.place["before"]
            before = (dt.datetime.fromisoformat(moment), *rest)
        elif wanted.at:
            before = (wanted.at[1], "", "", 0)
        page = await self._store.changes(permitted, count=wanted.count, since=wanted.since, before=before)
        versions = list(page.versions)
        if wanted.at:
            versions = await self._stood(versions, permitted, *wanted.at)
        place = None
        if page.more:
            last = page.versions[-1]
            place = {"before": [last.last_updated.isoformat(), last.type, last.id, last.version]}
        return self._answer(actor, address, wanted, token, versions, place, None)

    async def _stood(
        self,
        versions: Sequence[Version],
        permitted: Sequence[Permitted[TypeHistory]],
        low: dt.datetime,
        high: dt.datetime,
    ) -> list[Version]:
        """Return those that were written in a period, or stood when it began."""
        by_type = {one.intent.type: one for one in permitted}
        older = [version for version in versions if version.last_updated < low and not version.deleted]
        after = await asyncio.gather(*(self._store.following(by_type[one.type], one) for one in older))
        stood = {
            (one.type, one.id, one.version)
            for one, next_one in zip(older, after, strict=True)
            if next_one is None or next_one.last_updated > low
        }
        return [one for one in versions if low <= one.last_updated < high or (one.type, one.id, one.version) in stood]

    def _wanted(self, actor: Actor, asking: Asking, address: str) -> tuple[_Wanted, str]:
        token = asking.take("_page")
        place = None
        if token:
            held = self._pages.open(actor, token)
            if held.get("history") != address or asking.pairs:
                raise errors.Incorrect("this is a page of another history, or something was added to it", at="_page")
            asking.pairs = [(name, value) for name, value in held["given"]]
            place = held["place"]
        given = tuple(asking.pairs)
        shape = shaping.taken(asking, asking.matched.type)
        count, since, at = (asking.take(name) for name in _ABOUT)
        asking.no_more("a history takes _count, _since, _at, _summary and _elements")
        if count and (not _COUNT.fullmatch(count) or int(count) == 0):
            raise errors.Incorrect("_count is a number from 1", at="_count")
        ignored = {name for name, _ in asking.pairs}
        return (
            _Wanted(
                tuple(pair for pair in given if pair[0] not in ignored),
                shape,
                min(int(count or COUNT_DEFAULT), COUNT_MAX),
                _period("_since", since)[0] if since else None,
                _period("_at", at) if at else None,
                place,
            ),
            token,
        )

    def _answer(
        self,
        actor: Actor,
        address: str,
        wanted: _Wanted,
        token: str,
        versions: Sequence[Version],
        place: dict[str, Any] | None,
        total: int | None,
    ) -> Answer:
        own = f"{self._base}/{address}"
        said = urllib.parse.urlencode({**dict(wanted.given), "_count": wanted.count})
        links = [("self", f"{own}?_page={token}" if token else f"{own}?{said}")]
        if token:
            links.append(("first", f"{own}?{said}"))
        if place:
            held = {"history": address, "given": [list(pair) for pair in wanted.given], "place": place}
            links.append(("next", f"{own}?_page={self._pages.seal(actor, held)}"))
        seen.only([version for version in versions if not version.deleted])
        entries = [bundle.past(version, self._base, wanted.shape) for version in versions]
        return Answer(200, bundle.bundle("history", links=links, entries=entries, total=total))


def _kept(versions: Sequence[Version], wanted: _Wanted) -> tuple[list[Version], bool]:
    """Return those of a resource's versions, newest first, that are asked for, and whether older ones may be."""
    kept: list[Version] = []
    for version in versions:
        moment = version.last_updated
        if wanted.since is not None and moment < wanted.since:
            return kept, False
        if wanted.at is None or wanted.at[0] <= moment < wanted.at[1]:
            kept.append(version)
        elif moment < wanted.at[0]:  # it stood when the period began, unless something came at that very moment
            stood = not version.deleted and not (kept and kept[-1].last_updated == wanted.at[0])
            return kept + [version] * stood, False
    return kept, True


def _period(name: str, text: str) -> tuple[dt.datetime, dt.datetime]:
    try:
        return times.interval(text.replace(" ", "+"))  # a plus sign that nobody encoded
    except ValueError:
        raise errors.Incorrect(f"{name} is not a date or an instant", at=name) from None
