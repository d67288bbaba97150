"""The names of organisations, by their SOR codes, out of the store's own Organization resources. Remembered for a while."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final

from gateway.audit.event import SOR
from gateway.errors import SundbroError
from gateway.formats import json
from gateway.search import parse
from gateway.store.port import Store

REMEMBERED_SECONDS: Final = 300.0
_REMEMBERED_MAX: Final = 5000


def of(store: Store) -> Callable[[str], Awaitable[str]]:
    """Return what gives the name of an organisation, '' where the store has none."""
    known: OrderedDict[str, tuple[str, float]] = OrderedDict()

    async def name(code: str) -> str:
        found, until = known.get(code, ("", 0.0))
        if until > time.monotonic():
            return found
        try:
            page = await store.search(parse.parse("Organization", [("identifier", f"{SOR}|{code}"), ("_count", "1")]))
        except SundbroError:
            return ""
        found = json.loads(page.versions[0].body).get("name", "") if page.versions else ""
        known[code] = (found, time.monotonic() + REMEMBERED_SECONDS)
        while len(known) > _REMEMBERED_MAX:
            known.popitem(last=False)
        return found

    return name
