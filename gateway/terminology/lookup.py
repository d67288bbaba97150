"""$lookup: all that a code system says about one code, as the parameters of R4's operation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from gateway.model import Resource
from gateway.terminology.codesystem import CodeSystem, Concept
from gateway.terminology.expand import designation
from gateway.terminology.failures import NoContent, UnknownCode

ALWAYS: Final = ("name", "version", "display")
EVERY: Final = "*"


def concept_of(system: CodeSystem, code: str) -> Concept:
    """Return a concept. Raises UnknownCode, or NoContent when the code may be in the part that is not here."""
    found = system.find(code)
    if found is not None:
        return found
    if system.whole:
        raise UnknownCode("the code system has no such code", at="code")
    raise NoContent("only a part of the code system is here, and the code is not in it", at="code")


def lookup(system: CodeSystem, code: str, *, language: str = "", properties: Sequence[str] = ()) -> list[Resource]:
    """Return the output parameters: name, version, display, designations and properties.

    `properties` chooses among them; none is the same as `*`, everything. `lang.x` chooses designations of a language.
    """
    concept = concept_of(system, code)
    display = concept.called(language) or concept.code
    out: list[Resource] = [{"name": "name", "valueString": system.name}]
    if system.version:
        out.append({"name": "version", "valueString": system.version})
    out.append({"name": "display", "valueString": display})
    out += _designations(concept, properties)
    for name, kind, value in _properties(concept):
        if not properties or EVERY in properties or name in properties:
            out.append({"name": "property", "part": _parts(system, name, kind, value)})
    return out


def _designations(concept: Concept, properties: Sequence[str]) -> list[Resource]:
    everything = not properties or EVERY in properties or "designation" in properties
    languages = {name.removeprefix("lang.") for name in properties if name.startswith("lang.")}
    out = []
    for one in concept.designations:
        if everything or one.language in languages:
            written = designation(one)
            kinds = (("language", "valueCode"), ("use", "valueCoding"), ("value", "valueString"))
            parts = [{"name": name, kind: written[name]} for name, kind in kinds if name in written]
            out.append({"name": "designation", "part": parts})
    return out


def _properties(concept: Concept) -> list[tuple[str, str, object]]:
    """Return the properties, those that R4 defines for every system included (`parent`, `child`, `inactive`)."""
    found: list[tuple[str, str, object]] = []
    if concept.definition:
        found.append(("definition", "valueString", concept.definition))
    found.append(("inactive", "valueBoolean", concept.inactive))
    if concept.abstract:
        found.append(("notSelectable", "valueBoolean", True))
    found += [("parent", "valueCode", code) for code in concept.parents]
    found += [("child", "valueCode", code) for code in concept.children]
    known = {(name, value) for name, _, value in found if isinstance(value, str | bool)}
    found += [one for one in concept.properties if not isinstance(one[2], str | bool) or (one[0], one[2]) not in known]
    return found


def _parts(system: CodeSystem, name: str, kind: str, value: object) -> list[Resource]:
    parts: list[Resource] = [{"name": "code", "valueCode": name}, {"name": "value", kind: value}]
    described = system.concepts.get(str(value)) if kind == "valueCode" else None
    text = described.display if described else system.described.get(name, {}).get("description", "")
    return [*parts, {"name": "description", "valueString": text}] if text else parts
