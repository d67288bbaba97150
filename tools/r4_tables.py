"""Makes the tables of validation. Run from the project's root, with the command that says from what:

    python -m tools.r4_tables definitions FOLDER   mappings/fhir/*.csv from the R4 definitions (hl7.fhir.core 4.0.1)
    python -m tools.r4_tables elements             gateway/fhir/r4.json from fhir.resources and mappings/fhir/*.csv

The first is run when the R4 definitions are at hand (they do not change any more); the second after an upgrade of
fhir.resources. Tests hold both results against their sources.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gateway.fhir import authority
from gateway.fhir.authority import Elements
from gateway.terminology.tables import parse_table

ROOT = Path(__file__).resolve().parents[1]
MAPPINGS = ROOT / "mappings" / "fhir"
R4_JSON = ROOT / "gateway" / "fhir" / "r4.json"
FHIR_TYPE = "http://hl7.org/fhir/StructureDefinition/structuredefinition-fhir-type"
IN_EVERY_SUMMARY = {"id", "meta", "implicitRules", "extension", "modifierExtension"}
LEGEND = (
    "# Source: the FHIR R4 definitions, package hl7.fhir.core 4.0.1 (HL7, CC0), by tools/r4_tables.py.\n# {about}\n"
)


def definitions(folder: Path) -> tuple[Elements, dict[str, str]]:
    """Return the R4 elements as `authority.elements` writes R4B's, and element path → required value set."""
    table: Elements = {}
    bindings: dict[str, str] = {}
    for definition in _structures(folder):
        for element in definition["snapshot"]["element"][1:]:
            owner, _, name = element["path"].rpartition(".")
            types = _types(element)
            table.setdefault(owner, {})[name] = f"{element['min']}..{element['max']} {'|'.join(types)}"
            binding = element.get("binding", {})
            if binding.get("strength") == "required":
                bindings[element["path"]] = binding["valueSet"].partition("|")[0]
        if definition["type"] not in table:
            table[definition["type"]] = {}
    return table, bindings


def _structures(folder: Path) -> Iterator[dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    resources = list(_ndjson(folder / "StructureDefinition.ndjson.gz"))
    bundle = json.loads(gzip.decompress((folder / "profiles-types.json.gz").read_bytes()))
    for definition in [*resources, *(entry["resource"] for entry in bundle["entry"])]:
        specialization = definition.get("derivation", "specialization") == "specialization"
        if definition.get("kind") in {"resource", "complex-type"} and specialization:
            found.setdefault(definition["type"], definition)
    abstract = {"Resource", "DomainResource", "BackboneElement"}
    return (definition for name, definition in sorted(found.items()) if name not in abstract)


def _ndjson(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def _types(element: dict[str, Any]) -> list[str]:
    if reference := element.get("contentReference"):
        return [reference.partition("#")[2]]
    path = element["path"]
    if path.endswith(".id") and path.count(".") == 1 and element["base"]["path"] == "Resource.id":
        return ["id"]  # R4 says string in its snapshots and id in its text (resource.html#id)
    types = []
    for declared in element["type"]:
        code = declared["code"]
        if code in {"BackboneElement", "Element"}:
            code = path
        for extension in declared.get("extension", []):
            if extension["url"] == FHIR_TYPE:
                code = extension["valueUrl"]
        types.append(code)
    return sorted(types)


def value_sets(folder: Path, wanted: set[str]) -> dict[str, list[tuple[str, str]]]:
    """Return value set → (system, code), for those that the definitions enumerate."""
    sets = {made["url"]: made for made in _ndjson(folder / "ValueSet.ndjson.gz")}
    systems = {made["url"]: made for made in _ndjson(folder / "CodeSystem.ndjson.gz")}

    def flat(concepts: list[dict[str, Any]]) -> Iterator[str]:
        for concept in concepts:
            yield concept["code"]
            yield from flat(concept.get("concept", []))

    def expand(url: str) -> list[tuple[str, str]]:
        compose = sets[url.partition("|")[0]]["compose"]
        if "exclude" in compose or any("filter" in include for include in compose["include"]):
            raise KeyError(url)
        out: list[tuple[str, str]] = []
        for include in compose["include"]:
            if system := include.get("system"):
                listed = [concept["code"] for concept in include.get("concept", [])]
                out += [(system, code) for code in listed or flat(systems[system]["concept"])]
            for inner in include.get("valueSet", []):
                out += expand(inner)
        return list(dict.fromkeys(out))

    made = {}
    for url in sorted(wanted):
        try:
            made[url] = expand(url)
        except KeyError:
            print(f"not enumerated by the definitions, not checked: {url}", file=sys.stderr)
    return made


def differences(r4: Elements, r4b: Elements) -> list[dict[str, str]]:
    """Return one row for each element that R4 and R4B define differently, in the order of their types."""
    rows = []
    for path in sorted(r4.keys() | r4b.keys()):
        if path not in r4:
            if "." not in path:
                rows.append({"type": path, "element": "*", "r4": "", "r4b": "a type of R4B only"})
            continue
        here, there = r4[path], r4b.get(path, {})
        rows += [
            {"type": path, "element": name, "r4": here.get(name, ""), "r4b": there.get(name, "")}
            for name in [*here, *(name for name in there if name not in here)]
            if _sorted(here.get(name, "")) != _sorted(there.get(name, ""))
        ]
    return rows


def _sorted(row: str) -> str:
    cardinality, _, types = row.partition(" ")
    return f"{cardinality} {'|'.join(sorted(types.split('|')))}".strip()


def elements(r4b: Elements, differing: list[dict[str, str]]) -> Elements:
    """Return the R4 elements: those of the R4B models with the differences applied. The R4 definition wins."""
    table = {path: {name: _sorted(row) for name, row in rows.items()} for path, rows in r4b.items()}
    for row in differing:
        if row["element"] == "*":
            for path in [path for path in table if path == row["type"] or path.startswith(row["type"] + ".")]:
                del table[path]
        elif row["r4"]:
            table.setdefault(row["type"], {})[row["element"]] = row["r4"]
        else:
            del table[row["type"]][row["element"]]
    return _reachable(table)


def orders(r4: Elements, table: Elements) -> list[dict[str, str]]:
    """Return a row for each type whose elements R4 has in another order than `table`: XML is written in R4's."""
    return [{"type": path, "elements": " ".join(r4[path])} for path, named in table.items() if [*named] != [*r4[path]]]


def summaries(folder: Path) -> list[dict[str, str]]:
    """Return a row for each resource type: what `_summary=true` keeps, without id, meta and implicitRules; and for each
    backbone element in such a row of which it keeps a part.
    """
    rows = []
    for definition in _structures(folder):
        if definition["kind"] != "resource":
            continue
        flags: dict[str, dict[str, bool]] = {}
        for element in definition["snapshot"]["element"]:
            owner, _, name = element["path"].rpartition(".")
            if owner and element["max"] != "0":
                flags.setdefault(owner, {})[name] = element.get("isSummary", False)
        for path, named in flags.items():
            owner, _, last = path.rpartition(".")
            kept = [name for name, flag in named.items() if flag and name not in IN_EVERY_SUMMARY]
            partly = flags.get(owner, {}).get(last) and kept and set(named) - set(kept) - IN_EVERY_SUMMARY
            if not owner or partly:
                rows.append({"type": path, "elements": " ".join(kept)})
    return rows


def _reachable(table: Elements) -> Elements:
    """Leave out backbone types that no type leads to any more."""
    seen: set[str] = set()
    todo = [path for path in table if "." not in path]
    while todo:
        path = todo.pop()
        if path in table and path not in seen:
            seen.add(path)
            todo += [name for row in table[path].values() for name in row.partition(" ")[2].split("|")]
    return {path: table[path] for path in sorted(seen)}


def r4_json() -> str:
    """Return the text of gateway/fhir/r4.json."""
    differing = [dict(row) for row in _rows("r4-differences")]
    table = elements(authority.elements(), differing)
    for row in _rows("r4-order"):
        table[row["type"]] = {name: table[row["type"]][name] for name in row["elements"].split(" ")}
    bound = {row["element"]: row["value_set"] for row in _rows("required-bindings")}
    codes: dict[str, dict[str, list[str]]] = {}
    for row in _rows("required-codes"):
        codes.setdefault(row["value_set"], {}).setdefault(row["system"], []).append(row["code"])
    for path, value_set in bound.items():
        owner, _, name = path.rpartition(".")
        if value_set in codes:
            table[owner][name] += f" {value_set}"
    later: dict[str, list[str]] = {}
    for row in differing:
        if names := _only_in_r4b(row):
            later.setdefault(row["type"], []).extend(names)
    return _lines({"types": table, "codes": codes, "r4b_only": later})


def _only_in_r4b(row: dict[str, str]) -> list[str]:
    """Return the JSON names that a row of differences takes away: the element, or some forms of its choice."""
    if not row["r4"]:
        return [row["element"]]
    if not row["r4b"] or not row["element"].endswith("[x]"):
        return []
    here, there = (row[release].partition(" ")[2].split("|") for release in ("r4", "r4b"))
    return [row["element"][:-3] + name[0].upper() + name[1:] for name in there if name not in here]


def _lines(sections: dict[str, dict[str, Any]]) -> str:
    """Write JSON with one entry a line, so that a change of the table can be read."""
    parts = []
    for name, section in sections.items():
        body = ",\n".join(
            f"{json.dumps(key)}:{json.dumps(value, separators=(',', ':'))}" for key, value in section.items()
        )
        parts.append(f'"{name}":{{\n{body}\n}}')
    return "{" + ",\n".join(parts) + "}\n"


def _rows(name: str) -> Any:
    return parse_table((MAPPINGS / f"{name}.csv").read_text("utf-8"))


def _write(name: str, about: str, columns: list[str], rows: list[dict[str, str]]) -> None:
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    (MAPPINGS / f"{name}.csv").write_text(LEGEND.format(about=about) + out.getvalue(), "utf-8")


def _write_mappings(folder: Path) -> None:
    r4, bindings = definitions(folder)
    differing = differences(r4, authority.elements())
    _write(
        "r4-differences",
        "Elements that R4 (the wire) and R4B (the models of fhir.resources) define differently; R4 wins.",
        ["type", "element", "r4", "r4b"],
        differing,
    )
    _write(
        "r4-order",
        "Types whose elements R4 and R4B have in different order, in the order of R4.",
        ["type", "elements"],
        orders(r4, elements(authority.elements(), differing)),
    )
    _write(
        "summary-elements",
        "What _summary=true keeps of a resource type, or of an element inside it; id, meta, implicitRules, extensions aside.",
        ["type", "elements"],
        summaries(folder),
    )
    _write(
        "required-bindings",
        "Elements bound to a value set with strength `required`.",
        ["element", "value_set"],
        [{"element": path, "value_set": value_set} for path, value_set in sorted(bindings.items())],
    )
    _write(
        "required-codes",
        "The codes of those value sets, as far as the definitions enumerate them.",
        ["value_set", "system", "code"],
        [
            {"value_set": value_set, "system": system, "code": code}
            for value_set, codes in value_sets(folder, set(bindings.values())).items()
            for system, code in codes
        ],
    )


def main(arguments: list[str]) -> int:
    """Run one of the two commands; return the exit code."""
    match arguments:
        case ["definitions", folder]:
            _write_mappings(Path(folder))
        case ["elements"]:
            R4_JSON.write_text(r4_json(), "utf-8")
        case _:
            print(__doc__)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
