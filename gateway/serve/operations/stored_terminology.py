"""The terminology that callers stored (CodeSystem, ValueSet, ConceptMap), fetched for one question and put before the shelf.

A question needs what it names, and what that names in turn: value sets import others and are made from code systems.
Each round asks the store once per type for all addresses that are still missing. A caller without the right to a type
gets none of it; what the gateway itself brings is open to whoever may ask the operation.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

from gateway import access
from gateway.access import Actor, NotPermitted, Read, Search
from gateway.formats import json
from gateway.model import Resource
from gateway.search import parse
from gateway.search.query import After
from gateway.serve.permitted import PermittedStore
from gateway.terminology.compose import IMPORTS_DEEP_MAX
from gateway.terminology.failures import TooCostly
from gateway.terminology.for_search import Codes
from gateway.terminology.library import Canonical, Compiled, Library, missing, split
from gateway.terminology.shelf import Shelf

RESOURCES_MAX: Final = 500
"""So many stored resources may one question need."""
_ASKED_AT_ONCE: Final = 50
_CODE_MODIFIERS: Final = frozenset({"above", "below"})
_SET_MODIFIERS: Final = frozenset({"in", "not-in"})
_FILTERED: Final = re.compile(r"\s(?:in|ni)\s+(\S+)")
_LOCAL: Final = re.compile(r"ValueSet/[A-Za-z0-9\-.]{1,64}")


class StoredTerminology:
    """Makes libraries. One per process: compiled code systems are kept here."""

    def __init__(self, store: PermittedStore, shelf: Shelf) -> None:
        self._store = store
        self._shelf = shelf
        self._compiled = Compiled()

    async def library(self, actor: Actor, *, urls: Iterable[Canonical] = (), roots: Sequence[Resource] = ()) -> Library:
        """Return a library with the shelf, `roots`, what is stored under `urls`, and all that these need."""
        library = Library(self._shelf, roots, self._compiled)
        known: set[Canonical] = {(one["resourceType"], one.get("url", "")) for one in roots if one.get("url")}
        wanted = {one for one in urls if one[1] and one not in known}
        for one in roots:
            wanted |= missing(one, known)
        fetched = 0
        for _ in range(IMPORTS_DEEP_MAX):
            if not wanted:
                break
            known |= wanted
            found = await self._fetch(actor, wanted)
            fetched += len(found)
            if fetched > RESOURCES_MAX:
                raise TooCostly(f"more than {RESOURCES_MAX} stored resources are needed to answer this")
            for one in found:
                library.add(one)
            reached = [*found, *(vs for kind, url in wanted if kind == "ValueSet" and (vs := library.value_set(url)))]
            wanted = {name for one in reached for name in missing(one, known)}
        return library

    async def maps(self, actor: Actor, library: Library, systems: Iterable[str], *, reverse: bool) -> None:
        """Add the stored concept maps that go from these code systems (reverse: to them)."""
        parameter = "target-system" if reverse else "source-system"
        for one in await self._search(actor, "ConceptMap", parameter, sorted({one for one in systems if one})):
            library.add(one)

    async def for_search(self, actor: Actor, pairs: Sequence[tuple[str, str]]) -> Codes:
        """Return what answers `:in`, `:not-in`, `:above` and `:below` among the pairs of a search, chains and filters
        included. To be asked before `search.parse`, which waits for nothing.
        """
        urls: set[Canonical] = set()
        for name, value in pairs:
            modifier = name.rpartition(":")[2] if ":" in name else ""
            if modifier in _SET_MODIFIERS:
                urls |= {("ValueSet", split(one)[0]) for one in value.split(",")}
            elif modifier in _CODE_MODIFIERS:
                urls |= {("CodeSystem", one.partition("|")[0]) for one in value.split(",") if "|" in one}
            elif name == "_filter":
                urls |= {("ValueSet", split(one.strip("()"))[0]) for one in _FILTERED.findall(value)}
        if not urls:
            return Codes(Library(self._shelf))
        local: dict[str, Resource] = {}
        for address in sorted(url for _, url in urls if _LOCAL.fullmatch(url)):
            if (found := await self._read(actor, address.partition("/")[2])) is not None:
                local[address] = found
        return Codes(await self.library(actor, urls=urls, roots=list(local.values())), local)

    async def _read(self, actor: Actor, name: str) -> Resource | None:
        try:
            version = await self._store.read(access.decide(actor, Read("ValueSet", name)))
        except NotPermitted:
            return None
        read: Resource | None = None if version is None or version.deleted else json.loads(version.body)
        return read

    async def _fetch(self, actor: Actor, wanted: Iterable[Canonical]) -> list[Resource]:
        by_type: dict[str, list[str]] = {}
        for kind, url in sorted(wanted):
            by_type.setdefault(kind, []).append(url)
        return [one for kind, urls in by_type.items() for one in await self._search(actor, kind, "url", urls)]

    async def _search(self, actor: Actor, kind: str, parameter: str, values: Sequence[str]) -> list[Resource]:
        """Return every stored resource with one of the values; none when the caller may not search this type."""
        found: list[Resource] = []
        for start in range(0, len(values), _ASKED_AT_ONCE):
            text = ",".join(_escaped(one) for one in values[start : start + _ASKED_AT_ONCE])
            query = parse.parse(kind, [(parameter, text), ("_count", str(parse.COUNT_MAX))])
            while True:
                try:
                    page = await self._store.search(access.decide(actor, Search(query)))
                except NotPermitted:
                    return []
                found += [json.loads(version.body) for version in page.versions]
                if not page.more:
                    break
                if len(found) > RESOURCES_MAX:
                    raise TooCostly(f"more than {RESOURCES_MAX} stored resources are needed to answer this")
                query = replace(query, after=After(page.last_key, page.last_rid, page.last_keys))
        return found


def _escaped(value: str) -> str:
    for character in "\\,|$":
        value = value.replace(character, "\\" + character)
    return value
