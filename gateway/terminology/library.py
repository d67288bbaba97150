"""What one question can look at: resources stored through the API, before those that come with the gateway (`shelf`).

A stored resource counts before one of the shelf that has the same address, since whoever may write terminology means
it; with a version asked for, the one that has it counts. The stored ones are fetched beforehand (they are a matter of
access, and of waiting): `missing` names what a fetch would have to bring. Pure.
"""

from __future__ import annotations

import functools
import re
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from gateway.model import Resource
from gateway.terminology import own
from gateway.terminology.codesystem import CodeSystem
from gateway.terminology.shelf import Shelf

Canonical = tuple[str, str]
"""(resource type, address without version)."""

_COMPILED_MAX: Final = 64
_NUMBERS: Final = re.compile(r"\d+|\D+")


class Compiled:
    """Stored code systems as compiled, kept by resource and version: the newest 64. One per process, shared by libraries."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, str], CodeSystem] = OrderedDict()

    def code_system(self, resource: Resource) -> CodeSystem:
        """Return a code system, compiled unless it was lately. A resource without a version is compiled every time."""
        version = resource.get("meta", {}).get("versionId", "")
        if not version:
            return CodeSystem(resource)
        key = (resource.get("id", ""), version)
        found = self._kept.pop(key, None) or CodeSystem(resource)
        self._kept[key] = found
        if len(self._kept) > _COMPILED_MAX:
            self._kept.popitem(last=False)
        return found


class Library:
    """Code systems, value sets and concept maps for one question. `stored` are valid resources, in any order."""

    def __init__(self, shelf: Shelf, stored: Iterable[Resource] = (), compiled: Compiled | None = None) -> None:
        self._shelf = shelf
        self._compile = compiled or Compiled()
        self._stored: dict[Canonical, list[Resource]] = {}
        for one in stored:
            self.add(one)

    def add(self, resource: Resource) -> None:
        """Put one more resource before those of the shelf."""
        self._stored.setdefault((resource["resourceType"], resource.get("url", "")), []).append(resource)

    def code_system(self, url: str, version: str = "") -> CodeSystem | None:
        """Return a code system, or None: not known, not in this version, or known by its name alone."""
        stored = [one for one in self._stored.get(("CodeSystem", url), ()) if one.get("content") != "supplement"]
        if chosen := _choose(stored, version):
            found: CodeSystem | None = self._compile.code_system(chosen)
        else:
            found = self._shelf.code_system(url)
            if found is not None and version and found.version not in {"", version}:
                return None
        return found if found is not None and found.concepts else None

    def value_set(self, url: str, version: str = "") -> Resource | None:
        """Return a value set, or None; the implicit ones (`?fhir_vs`, a code system's `valueSet`) are made here."""
        chosen = _choose(self._stored.get(("ValueSet", url), ()), version)
        return chosen or _choose(self._shelf.resources("ValueSet", url), version) or self._implicit(url)

    def concept_map(self, url: str, version: str = "") -> Resource | None:
        """Return a concept map, or None."""
        chosen = _choose(self._stored.get(("ConceptMap", url), ()), version)
        return chosen or _choose(self._shelf.resources("ConceptMap", url), version)

    def concept_maps(self) -> list[Resource]:
        """Return every concept map there is, the stored ones first, each address once."""
        stored = [_choose(found, "") for (kind, _), found in self._stored.items() if kind == "ConceptMap"]
        maps = [one for one in stored if one is not None]
        known = {one.get("url", "") for one in maps}
        return [*maps, *(one for one in self._shelf.maps if one["url"] not in known)]

    def _implicit(self, url: str) -> Resource | None:
        """Return the value set that an address implies (R4 snomedct.html, loinc.html, codesystem.html#valueSet)."""
        system, mark, question = url.partition("?fhir_vs")
        filters: list[Resource] = []
        if mark and question.startswith("=isa/"):
            filters = [{"property": "concept", "op": "is-a", "value": question.removeprefix("=isa/")}]
        elif mark and question:
            return None  # reference sets and expressions
        elif not mark:
            system = own.LOINC if url == "http://loinc.org/vs" else self._shelf.value_set_of(url)
        if not system:
            return None
        include = {"system": system, **({"filter": filters} if filters else {})}
        return {"resourceType": "ValueSet", "url": url, "status": "active", "compose": {"include": [include]}}


def missing(resource: Resource, known: set[Canonical]) -> set[Canonical]:
    """Return what a resource refers to and `known` does not have: its value sets, its code systems."""
    return {one for one in _named(resource) if one not in known}


def _named(resource: Resource) -> Iterator[Canonical]:
    compose = resource.get("compose", {})
    for part in (*compose.get("include", ()), *compose.get("exclude", ())):
        if part.get("system"):
            yield "CodeSystem", part["system"]
        for url in part.get("valueSet", ()):
            yield "ValueSet", split(url)[0]


def split(canonical: str) -> tuple[str, str]:
    """Return address and version of `url|version`; the version is '' when it is not there."""
    url, _, version = canonical.partition("|")
    return url, version


def _choose(candidates: Sequence[Resource], version: str) -> Resource | None:
    """Return the one with the version asked for, or else the latest of those in use.

    R4 leaves the order of versions to whoever numbers them: numbers within are compared as numbers.
    """
    if version:
        return next((one for one in candidates if one.get("version", "") == version), None)
    return max(candidates, key=_rank, default=None)


def _rank(resource: Resource) -> tuple[bool, tuple[tuple[int, int, str], ...], str]:
    meta = resource.get("meta", {})
    return resource.get("status") != "retired", _ordered(resource.get("version", "")), meta.get("lastUpdated", "")


@functools.lru_cache(maxsize=4096)
def _ordered(version: str) -> tuple[tuple[int, int, str], ...]:
    return tuple(
        (1, int(part), "") if part.isdecimal() and len(part) < 30 else (0, 0, part)  # noqa: PLR2004
        for part in _NUMBERS.findall(version)
    )
