"""$expand: the content of a value set as a list that a program can show (R4 ValueSet.expansion).

Expansions are flat, in the order of the value set, and deterministic: with the same library, the same codes come in
the same order, so that `offset` and `count` cut one list. Nothing is stamped here: the caller gives the moment.
"""

from __future__ import annotations

import datetime as dt
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from gateway.clock import instant
from gateway.model import Resource
from gateway.terminology.codesystem import Designation
from gateway.terminology.compose import Contents, Member, Versions
from gateway.terminology.failures import TooCostly
from gateway.terminology.library import Library

CODES_MAX: Final = 10_000
"""So many codes in one answer; more are asked for with `offset` and `count`."""
UNCLOSED: Final = "http://hl7.org/fhir/StructureDefinition/valueset-unclosed"
DISPLAY_USE: Final = "http://terminology.hl7.org/CodeSystem/designation-usage"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a caller wants of an expansion; the names are those of R4's parameters."""

    filter: str = ""
    offset: int = 0
    count: int | None = None
    active_only: bool = False
    designations: bool = False
    designation: tuple[str, ...] = ()
    """Tokens `system|code` of a use, or `urn:ietf:bcp:47|da` of a language: only these designations."""
    definition: bool = False
    not_for_ui: bool = False
    language: str = ""
    versions: Versions = field(default_factory=Versions)
    excluded: frozenset[str] = frozenset()
    told: tuple[tuple[str, str, Any], ...] = ()
    """The parameters as they came, (name, name of value[x], value), to be told back."""


def expand(value_set: Resource, library: Library, wanted: Wanted, *, now: dt.datetime, identifier: str) -> Resource:
    """Return the value set with its expansion. Raises `NoContent`, `TooCostly`, `Unsupported`."""
    contents = Contents(library, wanted.versions, wanted.excluded)
    members = [one for one in contents.members(value_set).values() if _wanted(one, wanted)]
    last = len(members) if wanted.count is None else wanted.offset + wanted.count
    shown = members[wanted.offset : last]
    if len(shown) > CODES_MAX:
        raise TooCostly(f"the expansion has more than {CODES_MAX} codes; ask for it with offset and count", at="count")
    expansion: Resource = {
        **({"extension": [{"url": UNCLOSED, "valueBoolean": True}]} if contents.unclosed else {}),
        "identifier": identifier,
        "timestamp": instant(now),
        "total": len(members),
        **({"offset": wanted.offset} if wanted.count is not None or wanted.offset else {}),
        "parameter": [*({"name": name, kind: value} for name, kind, value in wanted.told), *_used(contents.used)],
        "contains": [_contains(one, wanted) for one in shown],
    }
    kept = {
        name: value for name, value in value_set.items() if name not in {"expansion", "compose", "text", "contained"}
    }
    if wanted.definition and "compose" in value_set:
        kept["compose"] = value_set["compose"]
    return {**kept, "expansion": {name: value for name, value in expansion.items() if value != []}}


def _wanted(member: Member, wanted: Wanted) -> bool:
    if (wanted.active_only and member.inactive) or (wanted.not_for_ui and member.abstract):
        return False
    return not wanted.filter or _speaks_of(member, wanted.filter)


def _speaks_of(member: Member, text: str) -> bool:
    """Say whether every word asked for begins a word of the code or of one of its names, without case and accents."""
    names = [member.code, member.display, *(one.value for one in member.designations)]
    if member.concept is not None:
        names += member.concept.names()
    words = _fold(text).split()
    return any(all(f" {word}" in f" {_fold(name)}" for word in words) for name in names if name)


def _fold(text: str) -> str:
    """Return text without case, accents and punctuation: words, with a blank between."""
    apart = unicodedata.normalize("NFKD", text.casefold())
    return " ".join("".join(one if one.isalnum() else " " for one in apart if not unicodedata.combining(one)).split())


def _used(used: Mapping[str, str]) -> list[Resource]:
    return [
        {"name": "used-codesystem", "valueUri": f"{url}|{version}" if version else url} for url, version in used.items()
    ]


def _contains(member: Member, wanted: Wanted) -> Resource:
    shown: Resource = {"system": member.system} if member.system else {}
    if member.abstract:
        shown["abstract"] = True
    if member.inactive:
        shown["inactive"] = True
    if member.version:
        shown["version"] = member.version
    shown["code"] = member.code
    if display := member.called(wanted.language):
        shown["display"] = display
    if (wanted.designations or wanted.designation) and (designations := _designations(member, wanted)):
        shown["designation"] = designations
    return shown


def _designations(member: Member, wanted: Wanted) -> list[Resource]:
    every = list(member.designations)
    if member.concept is not None:
        every += [one for one in member.concept.designations if one not in every]
    shown = member.called(wanted.language)
    if wanted.language and member.concept is not None and member.concept.display not in {"", shown}:
        every.insert(0, Designation(member.concept.display, "", {"system": DISPLAY_USE, "code": "display"}))
    chosen: Callable[[Designation], bool] = lambda one: not wanted.designation or _token(one, wanted.designation)  # noqa: E731
    return [designation(one) for one in every if chosen(one)]


def designation(one: Designation) -> Resource:
    """Return a designation as R4 writes it."""
    return {
        **({"language": one.language} if one.language else {}),
        **({"use": one.use} if one.use else {}),
        "value": one.value,
    }


def _token(one: Designation, tokens: tuple[str, ...]) -> bool:
    use = one.use or {}
    known = {f"urn:ietf:bcp:47|{one.language}", one.language, f"{use.get('system', '')}|{use.get('code', '')}"}
    return any(token in known for token in tokens if token)
