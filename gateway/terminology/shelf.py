"""The terminology that comes with the gateway, read when it is first asked for: R4's, DK Core's, MedCom's and our own.

A file of mappings/ is a JSON array with a resource a line (tools/make_terminology.py). Lines are found by their first
characters (`{"resourceType":"CodeSystem","url":"…"`) and parsed one at a time, so that a process that never expands a
value set never pays for 2,500 of them. Not here: what was stored through the API (`library`).
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from gateway.formats import json
from gateway.model import Resource
from gateway.terminology import own
from gateway.terminology.codesystem import CodeSystem
from gateway.terminology.tables import Tables

FILES: Final = (
    "fhir/code-systems.json",
    "fhir/value-sets.json",
    "fhir/concept-maps.json",
    "dk-core/terminology.json",
    "medcom/terminology.json",
    "danish/terminology.json",
)
_HEAD: Final = re.compile(rb'\{"resourceType":"(CodeSystem|ValueSet|ConceptMap)","url":"([^"\\]+)"')
_VALUE_SET: Final = re.compile(rb'"valueSet":"([^"\\]+)"')
_SUPPLEMENTS: Final = re.compile(rb'"supplements":"([^"\\]+)"')
_HEAD_BYTES: Final = 2000


class Shelf:
    """Resources by type and canonical address. One per process; safe to share, for nothing in it changes once read."""

    def __init__(self, folder: Path, tables: Tables) -> None:
        self._folder = folder
        self._tables = tables

    def resources(self, resource_type: str, url: str) -> list[Resource]:
        """Return the resources of a type with this address (several versions, or several fragments), oldest source first."""
        return list(self._parsed(resource_type, url))

    def urls(self, resource_type: str) -> list[str]:
        """Return the addresses of a type, sorted."""
        return sorted(url for kind, url in self._lines if kind == resource_type)

    @functools.cached_property
    def maps(self) -> Sequence[Resource]:
        """Every ConceptMap."""
        return [one for url in self.urls("ConceptMap") for one in self.resources("ConceptMap", url)]

    def code_system(self, url: str) -> CodeSystem | None:
        """Return a code system with its supplements; fragments of one system are put together. None when there is none."""
        return self._compiled(url)

    def value_set_of(self, url: str) -> str:
        """Return the code system whose `valueSet` (all its codes) has this address, '' when none has."""
        return self._value_sets.get(url, "")

    @functools.cached_property
    def _lines(self) -> dict[tuple[str, str], list[bytes | Resource]]:
        found: dict[tuple[str, str], list[bytes | Resource]] = {}
        for line in self._read():
            if head := _HEAD.match(line):
                found.setdefault((head[1].decode(), head[2].decode()), []).append(line)
        for one in (*own.code_systems(self._tables), *own.concept_maps(self._tables)):
            found.setdefault((one["resourceType"], one["url"]), []).append(one)
        return found

    def _read(self) -> Iterator[bytes]:
        for name in FILES:
            for line in (self._folder / name).read_bytes().split(b"\n"):
                yield line.removesuffix(b",")

    @functools.cached_property
    def _value_sets(self) -> dict[str, str]:
        return self._heads(_VALUE_SET)

    @functools.cached_property
    def _supplements(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for (kind, url), lines in self._lines.items():
            for line in lines if kind == "CodeSystem" else ():
                if isinstance(line, bytes) and (base := _SUPPLEMENTS.search(line[:_HEAD_BYTES])):
                    found.setdefault(base[1].decode(), []).append(url)
        return found

    def _heads(self, pattern: re.Pattern[bytes]) -> dict[str, str]:
        return {
            found[1].decode(): url
            for (kind, url), lines in self._lines.items()
            for line in lines
            if kind == "CodeSystem" and isinstance(line, bytes) and (found := pattern.search(line[:_HEAD_BYTES]))
        }

    @functools.lru_cache(maxsize=256)  # noqa: B019  one shelf a process
    def _parsed(self, resource_type: str, url: str) -> tuple[Resource, ...]:
        lines = self._lines.get((resource_type, url), ())
        return tuple(json.loads(line) if isinstance(line, bytes) else line for line in lines)

    @functools.lru_cache(maxsize=256)  # noqa: B019  one shelf a process
    def _compiled(self, url: str) -> CodeSystem | None:
        found = [one for one in self._parsed("CodeSystem", url) if one.get("content") != "supplement"]
        if not found:
            return None
        filled = [one for one in found if one.get("concept")] or found
        whole = next((one for one in filled if one["content"] == "complete"), None)
        resource = whole or {**filled[0], "concept": [concept for one in filled for concept in one.get("concept", ())]}
        added = [one for name in self._supplements.get(url, ()) for one in self._parsed("CodeSystem", name)]
        return CodeSystem(resource, added)
