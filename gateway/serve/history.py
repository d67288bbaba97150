"""Instance history: the versions of one resource, newest first, deletions included (FHIR R4 http, history)."""

from __future__ import annotations

import re
from typing import Final

from gateway import access, errors
from gateway.access import Actor, History
from gateway.search.parse import COUNT_DEFAULT, COUNT_MAX
from gateway.serve import bundle
from gateway.serve.answer import Answer
from gateway.serve.asking import Asking
from gateway.serve.paging import Pages
from gateway.serve.permitted import PermittedStore

_COUNT: Final = re.compile(r"[0-9]{1,9}")


class HistoryHandler:
    """Answers histories. `base` is the address of the API, without a slash at its end."""

    def __init__(self, store: PermittedStore, pages: Pages, base: str) -> None:
        self._store = store
        self._pages = pages
        self._base = base

    async def __call__(self, actor: Actor, asking: Asking) -> Answer:
        """Answer with one page of versions."""
        matched = asking.matched
        address = f"{matched.type}/{matched.id}"
        token, text = asking.take("_page"), asking.take("_count") or str(COUNT_DEFAULT)
        before: int | None = None
        if token:
            place = self._pages.open(actor, token)
            if place.get("history") != address:
                raise errors.Incorrect("this is a page of another history", at="_page")
            text, before = str(place["count"]), place["before"]
        if asking.pairs and not asking.lenient():
            raise errors.Incorrect("a history takes _count; other parameters are not supported yet")
        if not _COUNT.fullmatch(text) or int(text) == 0:
            raise errors.Incorrect("_count is a number from 1", at="_count")
        count = min(int(text), COUNT_MAX)
        page = await self._store.history(access.decide(actor, History(matched.type, matched.id, count, before)))
        if not page.versions and before is None:
            raise errors.NotFound("there is no such resource")
        own = f"{self._base}/{address}/_history"
        links = [("self", f"{own}?_page={token}" if token else f"{own}?_count={count}")]
        if page.more:
            place = {"history": address, "count": count, "before": page.versions[-1].version}
            links.append(("next", f"{own}?_page={self._pages.seal(actor, place)}"))
        entries = [bundle.past(version, self._base) for version in page.versions]
        return Answer(200, bundle.bundle("history", links=links, entries=entries, total=page.total))
