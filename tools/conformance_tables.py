"""Makes the tables of conformance checking. Run from the project's root:

    python -m tools.conformance_tables base FOLDER            mappings/profiles/r4-base.json and hl7.fhir.r4.core-4.0.1.json
                                                              from the R4 definitions (hl7.fhir.core 4.0.1)
    python -m tools.conformance_tables packages FILE.tgz…     mappings/profiles/<package>-<version>.json, one for each

The packages are published under CC0-1.0 (each package.json says so; the tool refuses another licence), so that what a
validator needs of them may stand in the project.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from gateway.conformance import compact, packages
from gateway.conformance.compact import CORE, Json, unversioned
from tools.r4_tables import _ndjson, _structures

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "mappings" / "profiles"
DECIDED = frozenset({"ele-1", "ext-1"})
"""On every element, and decided by fhir.validate."""
ORIGIN = "the FHIR R4 definitions, package hl7.fhir.core 4.0.1 (HL7), by tools/conformance_tables.py"


def base_tables(folder: Path) -> Json:
    """Return the invariants, bindings and reference targets of R4's own types, by element path."""
    laws: dict[str, list[list[str]]] = {}
    bindings: dict[str, list[str]] = {}
    targets: dict[str, list[str]] = {}
    for definition in _structures(folder):
        for element in definition["snapshot"]["element"]:
            path = element["path"]
            found = [
                [law["key"], law["severity"], law["human"], law["expression"]]
                for law in element.get("constraint", [])
                if law["key"] not in DECIDED and "expression" in law
            ]
            if found:
                laws[path] = found
            binding = element.get("binding", {})
            if binding.get("strength") in ("required", "extensible") and "valueSet" in binding:
                bindings[path] = [binding["strength"], unversioned(binding["valueSet"])]
            types = [
                target.removeprefix(CORE) for one in element.get("type", []) for target in one.get("targetProfile", [])
            ]
            if types and "Resource" not in types:
                targets[path] = types
    return {"laws": laws, "bindings": bindings, "targets": targets}


def core_package(folder: Path, base: Json) -> Json:
    """Return R4's own profiles and extensions, and the value sets and code systems that they and the types need."""
    known = compact.Base.of(base)
    profiles = {
        made["url"]: compact.profile(made, known)
        for made in _ndjson(folder / "StructureDefinition.ndjson.gz")
        if made.get("derivation") == "constraint" and made["url"].startswith(CORE) and "example" not in made["url"]
    }
    wanted = {binding[1] for binding in base["bindings"].values()}
    for profile in profiles.values():
        wanted |= {unversioned(row["binding"][1]) for row in profile["elements"].values() if "binding" in row}
    sets = {made["url"]: made for made in _ndjson(folder / "ValueSet.ndjson.gz")}
    systems = {made["url"]: made for made in _ndjson(folder / "CodeSystem.ndjson.gz") if made.get("concept")}
    chosen, needed = _closure(wanted, sets)
    return {
        "package": {
            "name": "hl7.fhir.r4.core", "version": "4.0.1", "license": "CC0-1.0", "origin": ORIGIN, "dependencies": {},
        },
        "profiles": profiles,
        "value_sets": chosen,
        "code_systems": {url: compact.code_system(systems[url]) for url in sorted(needed & systems.keys())},
    }  # fmt: skip


def _closure(wanted: Iterable[str], sets: dict[str, Json]) -> tuple[dict[str, Json], set[str]]:
    """Return the value sets that are wanted and those that they include, and the systems of which they need the codes."""
    chosen: dict[str, Json] = {}
    needed: set[str] = set()
    todo = sorted(wanted)
    while todo:
        url = unversioned(todo.pop())
        if url in chosen or url not in sets:
            continue
        chosen[url] = compact.value_set(sets[url])
        for include in [*chosen[url]["include"], *chosen[url].get("exclude", [])]:
            todo += include.get("sets", [])
            if "codes" not in include and "system" in include:
                needed.add(include["system"])
    return dict(sorted(chosen.items())), needed


def lines(sections: dict[str, dict[str, Any]]) -> str:
    """Write JSON with one definition a line, so that a change of the table can be read."""
    parts = []
    for name, section in sections.items():
        body = ",\n".join(
            f"{json.dumps(key)}:{json.dumps(value, separators=(',', ':'), ensure_ascii=False)}"
            for key, value in section.items()
        )
        parts.append(f'"{name}":{{\n{body}\n}}')
    return "{" + ",\n".join(parts) + "}\n"


def main(arguments: list[str]) -> int:
    """Run one of the two commands; return the exit code."""
    FOLDER.mkdir(exist_ok=True)
    match arguments:
        case ["base", folder]:
            base = base_tables(Path(folder))
            (FOLDER / "r4-base.json").write_text(lines(base), "utf-8")
            (FOLDER / "hl7.fhir.r4.core-4.0.1.json").write_text(lines(core_package(Path(folder), base)), "utf-8")
        case ["packages", *files] if files:
            tables = packages.base_tables(FOLDER)
            for file in files:
                made = packages.read_archive(Path(file), tables)
                package = made["package"]
                if package["license"] != "CC0-1.0":
                    raise SystemExit(f"{file}: its licence does not allow to ship it")
                path = FOLDER / f"{package['name']}-{package['version']}.json"
                path.write_text(lines(made), "utf-8")
        case _:
            print(__doc__)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
