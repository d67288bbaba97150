"""StructureDefinition, ValueSet, CodeSystem → what a validator needs of them, as plain JSON values. Pure; no checking here.

A profile keeps only what it says beyond its base type: an element of the snapshot whose cardinality, types, bindings and
invariants are those of the base (ElementDefinition.base, and the tables of R4) is dropped, since every value is judged by
its base type as well. That makes a profile of 300 elements one of 20. The shapes:

profile     `{"version", "type", "base", "elements": {id: {"min", "max", "types", "fixed", "pattern", "binding", …}}}`
value set   `{"version", "include": [{"system", "codes", "filters", "sets"}], "exclude": […]}`
code system `{"version", "content", "codes": {code: parent or ""}}`
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.fhir.elements import elements

Json = dict[str, Any]
CORE = "http://hl7.org/fhir/StructureDefinition/"
_FHIR_TYPE = "http://hl7.org/fhir/StructureDefinition/structuredefinition-fhir-type"
_STRONG = ("required", "extensible")
_LIMITS = {"minValue": "least", "maxValue": "most"}


@dataclass(frozen=True, slots=True)
class Base:
    """What R4's own types say already (`r4-base.json`)."""

    keys: frozenset[str]
    """The keys of R4's invariants."""
    bindings: Mapping[str, list[str]]
    """Element path → `[strength, value set]`."""
    targets: Mapping[str, list[str]]
    """Element path → the resource types that a Reference may point at."""

    @classmethod
    def of(cls, tables: Json) -> Base:
        """Return it from the tables of `packages.base_tables`."""
        keys = frozenset(law[0] for laws in tables["laws"].values() for law in laws)
        return cls(keys | {"ele-1", "ext-1"}, tables["bindings"], tables["targets"])


def profile(definition: Json, base: Base) -> Json:
    """Return a profile as a table row. Without a snapshot its differential is kept, to be laid over its base."""
    listed = definition.get("snapshot", {}).get("element")
    made: Json = {
        "version": definition.get("version", ""),
        "type": definition.get("type", ""),
        "base": definition.get("baseDefinition", ""),
        "elements": {},
    }
    if listed is None:
        made["differential"] = True
        listed = definition.get("differential", {}).get("element", [])
    if definition.get("type") == "Extension":
        made["context"] = [[one["type"], one["expression"]] for one in definition.get("context", []) if "type" in one]
        if any(element["path"] == "Extension" and element.get("isModifier") for element in listed):
            made["modifier"] = True
    named = [str(element.get("id", "")) for element in listed if "sliceName" in element]
    sliced = {one.rpartition(mark)[0] for one in named for mark in (":", "/")}
    for element in listed:
        if (row := _row(element, base, sliced)) is not None:
            made["elements"][_id(element)] = row
    return made


def _id(element: Json) -> str:
    if "id" in element:
        return str(element["id"])
    return str(element["path"]) + (f":{element['sliceName']}" if "sliceName" in element else "")


def _row(element: Json, known: Base, sliced: set[str]) -> Json | None:
    base = element.get("base", {})
    row: Json = {}
    if element.get("min", 0) and element["min"] != base.get("min"):
        row["min"] = element["min"]
    if element.get("max", "*") != "*" and element["max"] != base.get("max"):
        row["max"] = int(element["max"])
    if types := _types(element, known):
        row["types"] = types
    for name, value in element.items():
        for kind in ("fixed", "pattern"):
            if name.startswith(kind) and not name.startswith("_") and name[len(kind) : len(kind) + 1].isupper():
                row[kind] = value
        for long, short in _LIMITS.items():
            if name.startswith(long):
                row[short] = value
    if "maxLength" in element:
        row["length"] = element["maxLength"]
    binding = element.get("binding", {})
    if binding.get("strength") in _STRONG and "valueSet" in binding:
        bound = [binding["strength"], binding["valueSet"]]
        if [bound[0], unversioned(bound[1])] != known.bindings.get(base.get("path", "")):
            row["binding"] = bound
    if laws := list(_laws(element, known.keys)):
        row["laws"] = laws
    if slicing := _slicing(element, sliced):
        row["slicing"] = slicing
    if row or "sliceName" in element:
        return row
    return None


def unversioned(canonical: str) -> str:
    """Return a canonical without its version."""
    return canonical.partition("|")[0]


def _types(element: Json, known: Base) -> list[Json]:
    """Return the types of an element, none where they say no more than its base type does."""
    path = str(element.get("base", {}).get("path", element["path"]))
    types = [_type(declared) for declared in element.get("type", [])]
    for one in types:
        targets = [unversioned(target).removeprefix(CORE) for target in one.get("targets", ())]
        if targets and sorted(targets) == sorted(known.targets.get(path, ())):
            del one["targets"]
    if any(len(one) > 1 for one in types):
        return types
    owner, _, name = path.rpartition(".")
    if not name.endswith("[x]"):
        return types if "sliceName" in element and element["path"].endswith("[x]") else []
    try:
        allowed = {one.type_path for one in elements(owner).values() if one.choice == name[:-3]}
    except KeyError:
        allowed = set()
    return types if {one["code"] for one in types} != allowed or "sliceName" in element else []


def _type(declared: Json) -> Json:
    code = declared.get("code", "")
    for extension in declared.get("extension", []):
        if extension["url"] == _FHIR_TYPE:
            code = extension.get("valueUrl", code)
    made: Json = {"code": code}
    if profiles := declared.get("profile"):
        made["profiles"] = profiles
    targets = declared.get("targetProfile", [])
    if targets and targets != [CORE + "Resource"]:
        made["targets"] = targets
    if declared.get("aggregation") and set(declared["aggregation"]) <= {"bundled", "contained"}:
        made["brought"] = True
    return made


def _laws(element: Json, base_keys: frozenset[str]) -> Iterator[list[str]]:
    for law in element.get("constraint", []):
        ours = unversioned(law.get("source", "")).rpartition("/")
        if law["key"] in base_keys and (not ours[2] or ours[0] + "/" == CORE):
            continue
        if "expression" in law:
            yield [law["key"], law.get("severity", "error"), law.get("human", ""), law["expression"]]


def _slicing(element: Json, sliced: set[str]) -> Json | None:
    slicing = element.get("slicing")
    if slicing is None:
        return None
    by = [[one["type"], one["path"]] for one in slicing.get("discriminator", [])]
    rules, ordered = slicing.get("rules", "open"), bool(slicing.get("ordered", False))
    if rules == "open" and not ordered and _id(element) not in sliced:
        return None
    return {"by": by, "rules": rules, **({"ordered": True} if ordered else {})}


def value_set(definition: Json) -> Json:
    """Return a value set as a table row: from its compose, or from its expansion where it has no compose."""
    made: Json = {"version": definition.get("version", "")}
    compose = definition.get("compose")
    if compose is None:
        made["include"] = list(_expanded(definition.get("expansion", {}).get("contains", [])))
        return made
    made["include"] = [_include(one) for one in compose.get("include", [])]
    if exclude := compose.get("exclude"):
        made["exclude"] = [_include(one) for one in exclude]
    return made


def _include(one: Json) -> Json:
    made: Json = {}
    if "system" in one:
        made["system"] = one["system"]
    if "concept" in one:
        made["codes"] = [concept["code"] for concept in one["concept"]]
    if "filter" in one:
        made["filters"] = [[each.get("property"), each.get("op"), each.get("value")] for each in one["filter"]]
    if "valueSet" in one:
        made["sets"] = one["valueSet"]
    return made


def _expanded(contains: list[Json]) -> Iterator[Json]:
    by_system: dict[str, list[str]] = {}
    todo = list(contains)
    while todo:
        one = todo.pop(0)
        if "code" in one and not one.get("abstract"):
            by_system.setdefault(one.get("system", ""), []).append(one["code"])
        todo += one.get("contains", [])
    for system, codes in by_system.items():
        yield {"system": system, "codes": codes}


def code_system(definition: Json) -> Json:
    """Return a code system as a table row: its codes, each with its parent."""
    codes: dict[str, str] = {}
    todo = [(concept, "") for concept in definition.get("concept", [])]
    while todo:
        concept, parent = todo.pop(0)
        codes[concept["code"]] = parent
        todo += [(child, concept["code"]) for child in concept.get("concept", [])]
    made: Json = {"version": definition.get("version", ""), "content": definition.get("content", ""), "codes": codes}
    if definition.get("caseSensitive") is False:
        made["folded"] = True
    return made
