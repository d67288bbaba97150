"""A part of a resource: what `_summary` and `_elements` leave of it (FHIR R4 search, summary and elements). Pure.

`_summary=true` keeps what the definitions mark so (mappings/fhir/summary-elements.csv, made by tools/r4_tables.py),
`text` the narrative, `data` all but the narrative. What must be there stays in each of them, and what changes the
meaning of the rest (implicitRules, modifierExtension). A part says that it is one: meta.tag SUBSETTED.
"""

from __future__ import annotations

import csv
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from gateway.fhir import elements
from gateway.model import Resource

TABLE: Final = Path(__file__).resolve().parents[2] / "mappings" / "fhir" / "summary-elements.csv"
SUBSETTED: Final = {
    "system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue",
    "code": "SUBSETTED",
    "display": "subsetted",
}
SUMMARIES: Final = ("true", "text", "data")
_ALWAYS: Final = frozenset({"resourceType", "id", "meta", "implicitRules", "modifierExtension"})

Kept = Mapping[str, "Kept | None"]
"""JSON name → what is kept below it; None is all."""


def subset(resource: Resource, *, summary: str = "", names: Sequence[str] = ()) -> Resource:
    """Return the part of a resource that `summary` (one of SUMMARIES, or '') or element names leave, marked SUBSETTED.

    `names` are elements (`name`, `value` for `value[x]`), of a type alone (`Patient.name`), or inside elements
    (`name.family`); those the type does not have are passed over. With both, an element stays that both keep. Whole
    and unmarked with neither. Raises KeyError for a type that R4 does not have.
    """
    kind = str(resource["resourceType"])
    made = resource
    if summary == "data":
        made = {name: value for name, value in made.items() if name != "text"}
    elif summary:
        made = _part(made, _text(kind) if summary == "text" else _summary(kind))
    if names:
        made = _part(made, _named(kind, tuple(names)))
    return _marked(made) if summary or names else made


def unknown(kind: str, names: Sequence[str]) -> str:
    """Return the first of `names` whose first element a type does not have, '' when it has them all."""
    known = _spelled(kind)
    for name in names:
        owner, *way = name.split(".")
        steps = way if elements.is_resource(owner) and way else [owner, *way]
        if (owner == kind or steps[0] == owner) and steps[0] not in known and steps[0] not in _ALWAYS:
            return name
    return ""


def _part(value: dict[str, Any], kept: Kept) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for name, item in value.items():
        plain = name.removeprefix("_")
        if plain not in kept:
            continue
        below = kept[plain]
        if below is None or name != plain:
            made[name] = item
        elif isinstance(item, list):
            parts = [_part(one, below) if isinstance(one, dict) else one for one in item]
            made[name] = [part for part in parts if part]  # an element of which nothing is left is none
        else:
            made[name] = _part(item, below) if isinstance(item, dict) else item
    return {name: item for name, item in made.items() if item not in ({}, [])}


def _marked(resource: Resource) -> Resource:
    meta = resource.get("meta", {})
    tags: list[dict[str, Any]] = meta.get("tag", [])
    if any(tag.get("system") == SUBSETTED["system"] and tag.get("code") == SUBSETTED["code"] for tag in tags):
        return resource
    made: dict[str, Any] = {name: resource[name] for name in ("resourceType", "id") if name in resource}
    made["meta"] = {**meta, "tag": [*tags, dict(SUBSETTED)]}
    return made | {name: value for name, value in resource.items() if name != "meta"}


@functools.cache
def _table() -> Mapping[str, frozenset[str]]:
    lines = TABLE.read_text("utf-8").splitlines()
    rows = csv.DictReader(line for line in lines if not line.startswith("#"))
    return {row["type"]: frozenset(row["elements"].split()) for row in rows}


@functools.cache
def _summary(path: str) -> Kept:
    """Return what is kept of a resource type, or of an element inside it that the table has a row for."""
    listed, inside = _table()[path], "." in path
    always = {"id", "extension", "modifierExtension"} if inside else _ALWAYS
    kept: dict[str, Kept | None] = dict.fromkeys(always)
    for name, element in elements.elements(path).items():
        spelled = f"{element.choice}[x]" if element.choice else name
        if element.required or spelled in listed:
            kept[name] = _summary(element.type_path) if element.type_path in _table() else None
    return kept


@functools.cache
def _text(kind: str) -> Kept:
    required = {name for name, element in elements.elements(kind).items() if element.required}
    return dict.fromkeys({*_ALWAYS, "text", *required})


@functools.cache
def _spelled(path: str) -> Mapping[str, tuple[str, ...]]:
    """Return a name as a caller may write it → the names that JSON has for it."""
    made: dict[str, tuple[str, ...]] = {}
    for name, element in elements.elements(path).items():
        made[name] = (name,)
        if element.choice:
            made[element.choice] = (*made.get(element.choice, ()), name)
    return made


@functools.lru_cache(maxsize=512)
def _named(kind: str, names: tuple[str, ...]) -> Kept:
    ways = []
    for name in names:
        owner, *way = name.split(".")
        if owner == kind and way:
            ways.append(way)
        elif not elements.is_resource(owner):
            ways.append([owner, *way])
    return dict.fromkeys(_ALWAYS) | _below(kind, ways)


def _below(path: str, ways: list[list[str]]) -> dict[str, Kept | None]:
    known, spelled = elements.elements(path), _spelled(path)
    kept: dict[str, Kept | None] = {name: None for name, element in known.items() if element.required}
    inner: dict[str, list[list[str]]] = {}
    for first, *rest in ways:
        for name in spelled.get(first, ()):
            inner.setdefault(name, []).append(rest)
    for name, rests in inner.items():
        kind = known[name].type_path
        whole = not all(rests) or ("." not in kind and not kind[0].isupper()) or kind == "Resource"
        kept[name] = None if whole else {**_below(kind, rests), "id": None, "modifierExtension": None}
    return kept
