"""Make mappings/fhir/search-parameters.csv from the FHIR R4 definitions: expressions resolved to plain JSON paths.

    python tools/make_search_parameters.py <folder with search-parameters.json, CompartmentDefinition-*.json and
                                            *.ndjson.gz of hl7.fhir.core 4.0.1>

The FHIRPath subset that R4's own search parameters use is small: dotted names, `as`, `.where(a='b')`,
`.where(resolve() is X)`, one index and one `exists()`. Choice elements become the JSON names they have
(`effectiveDateTime`). Whatever does not fit stops this program; nothing is left out in silence.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parents[1] / "mappings" / "fhir"
MADE = "Made by tools/make_search_parameters.py; do not edit."
LICENCE = "Licence: CC0 1.0 (the FHIR specification)."
TYPES_LEGEND = f"""\
# FHIR R4 resource types, sorted. {MADE}
# Source: hl7.fhir.core 4.0.1, StructureDefinition and CompartmentDefinition. {LICENCE}
# patient, encounter, …: the search parameters that put a resource into that compartment; empty: it is in none;
#   _id: the resource whose compartment it is
"""
LEGEND = f"""\
# FHIR R4 search parameters, one row per resource type and parameter, sorted. {MADE}
# Source: hl7.fhir.core 4.0.1, SearchParameter and StructureDefinition. {LICENCE}
# row: SearchParameter.id
# paths: where the value stands in JSON, by blanks: name[] repeats, (a=b) keeps the items whose a is b, :Type is the
#   data type at the end, {{Patient}} keeps references to that type; none: R4 gives no expression, not supported
# targets: the types a reference may name, * all · system: the implied system of a code
# components: of a composite, whose paths are its elements: name=paths within an element, joined by $; a path that
#   begins with / stands in the resource
"""
COMPARTMENTS = ("patient", "encounter", "practitioner", "relatedPerson", "device")
SPECIAL = {"Patient.deceased.exists() and Patient.deceased != false": "deceased[x]:Truth"}
ROOT = "http://hl7.org/fhir/StructureDefinition/"


@dataclass(frozen=True)
class Node:
    """A place in a resource: its JSON path so far, its data type, and where its children are defined."""

    path: str
    type: str
    children: str
    system: str = ""


class Definitions:
    def __init__(self, folder: Path) -> None:
        self.elements: dict[str, dict[str, Any]] = {}
        self.resources: set[str] = set()
        for definition in _ndjson(folder / "StructureDefinition.ndjson.gz"):
            name = definition["type"]
            if definition["url"] != ROOT + name or definition.get("derivation") == "constraint":
                continue
            if definition["kind"] == "resource" and not definition["abstract"]:
                self.resources.add(name)
            for element in definition["snapshot"]["element"]:
                self.elements[element["path"]] = element
        self.systems = {
            value_set["url"]: includes[0]["system"]
            for value_set in _ndjson(folder / "ValueSet.ndjson.gz")
            if len(includes := value_set.get("compose", {}).get("include", [])) == 1 and "system" in includes[0]
        }

    def step(self, node: Node, name: str) -> list[Node]:
        """Return what stands under `name`: one node, or one for each type of a choice element."""
        path = f"{node.children}.{name}"
        element = self.elements.get(path) or self.elements.get(path + "[x]")
        if element is None:
            return []
        repeats = "[]" if element["max"] not in {"0", "1"} else ""
        if "contentReference" in element:
            return [
                Node(f"{node.path}.{name}{repeats}", "BackboneElement", element["contentReference"].removeprefix("#"))
            ]
        choice = element["path"].endswith("[x]")
        found = []
        for kind in dict.fromkeys(kind["code"] for kind in element["type"]):
            data_type = "string" if kind.startswith("http://hl7.org/fhirpath/") else kind
            key = name + data_type[0].upper() + data_type[1:] if choice else name
            children = path if data_type in {"BackboneElement", "Element"} else data_type
            found.append(Node(f"{node.path}.{key}{repeats}", data_type, children, self._system(element)))
        return found

    def _system(self, element: dict[str, Any]) -> str:
        binding = element.get("binding", {})
        return (
            self.systems.get(binding.get("valueSet", "").split("|")[0], "")
            if binding.get("strength") == "required"
            else ""
        )


def _ndjson(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            if line.strip():
                yield json.loads(line)


def resolve(definitions: Definitions, base: str, expression: str) -> list[Node]:
    """Return the nodes of one part of a union, `base` being the type (or Resource) it is evaluated on."""
    text = re.sub(r"\(?([\w.]+) as (\w+)\)?", r"\1.as(\2)", expression.strip())
    start, _, way = text.partition(".")
    if start not in {base, "Resource", "DomainResource"}:
        raise SystemExit(f"{expression}: does not begin with {base}")
    nodes = walk(definitions, [Node("", base, base)], way)
    if not nodes:
        raise SystemExit(f"{base}: nothing found at {expression}")
    return nodes


def walk(definitions: Definitions, nodes: list[Node], way: str) -> list[Node]:
    """Return the nodes at the end of a way from the nodes given."""
    for segment in re.findall(r"\.?((?:[^.(]|\([^()]*(?:\(\)[^()]*)?\))+)", way):
        if cast := re.fullmatch(r"as\((\w+)\)", segment):
            nodes = [node for node in nodes if node.type.lower() == cast[1].lower()]
        elif target := re.fullmatch(r"where\(resolve\(\) is (\w+)\)", segment):
            nodes = [replace(node, type=f"Reference{{{target[1]}}}") for node in nodes if node.type == "Reference"]
        elif kept := re.fullmatch(r"where\((\w+)='([\w-]+)'\)", segment):
            nodes = [replace(node, path=f"{node.path}({kept[1]}={kept[2]})") for node in nodes]
        elif first := re.fullmatch(r"(\w+)\[0\]", segment):
            nodes = [
                replace(under, path=under.path.replace("[]", "[0]"))
                for node in nodes
                for under in definitions.step(node, first[1])
            ]
        else:
            nodes = [under for node in nodes for under in definitions.step(node, segment)]
    return nodes


def paths_of(definitions: Definitions, base: str, expression: str) -> tuple[list[str], str]:
    if expression in SPECIAL:
        return [SPECIAL[expression]], ""
    parts = [part.strip() for part in expression.split("|")]
    # InsurancePlan.name alone is written without its type
    parts = [f"{base}.{part}" if part[0].islower() else part for part in parts]
    parts = [part for part in parts if part.strip("( ").split(".")[0] == base]
    nodes = [node for part in parts for node in resolve(definitions, base, part)]
    # a canonical or uri beside a Reference, a string beside a date: R4 means what the parameter's type can hold
    systems = {node.system for node in nodes if node.type == "code"}
    return list(dict.fromkeys(f"{node.path.removeprefix('.')}:{node.type}" for node in nodes)), systems.pop() if len(
        systems
    ) == 1 else ""


def components(definitions: Definitions, parameter: dict[str, Any], base: str, codes: dict[str, str]) -> str:
    """Return the components of a composite, each with its paths from the element that the composite stands in."""
    if not parameter.get("component"):
        return ""
    starts = [
        node
        for part in parameter["expression"].split("|")
        if part.strip().split(".")[0] == base
        for node in resolve(definitions, base, part)
    ]
    shown = []
    for component in parameter["component"]:
        found: list[str] = []
        for part in component["expression"].split("|"):
            if (text := part.strip()).startswith("%resource."):
                nodes = resolve(definitions, base, f"{base}.{text.removeprefix('%resource.')}")
                found += [f"/{node.path.removeprefix('.')}:{node.type}" for node in nodes]
                continue
            for start in starts:
                nodes = walk(definitions, [replace(start, path="")], text)
                found += [f"{node.path.removeprefix('.')}:{node.type}" for node in nodes]
        if not found:
            raise SystemExit(f"{parameter['id']}: nothing found at {component['expression']}")
        shown.append(f"{codes[component['definition']]}={' '.join(dict.fromkeys(found))}")
    return "$".join(shown)


def _targets(names: list[str], definitions: Definitions) -> str:
    known = [name for name in names if name in definitions.resources]
    return "*" if len(known) > len(definitions.resources) * 0.9 else " ".join(known)


def parameters(folder: Path, definitions: Definitions) -> Iterator[dict[str, str]]:
    resources = [
        entry["resource"] for entry in json.loads((folder / "search-parameters.json").read_text("utf-8"))["entry"]
    ]
    codes = {parameter["url"]: parameter["code"] for parameter in resources}
    for parameter in resources:
        for base in parameter["base"]:
            expression = parameter.get("expression", "")
            paths, system = paths_of(definitions, base, expression) if expression else ([], "")
            yield {
                "base": base,
                "parameter": parameter["code"],
                "type": parameter["type"],
                "row": parameter["id"],
                "paths": " ".join(paths),
                "targets": _targets(parameter.get("target", []), definitions)
                if parameter["type"] == "reference"
                else "",
                "system": system if parameter["type"] == "token" else "",
                "components": components(definitions, parameter, base, codes),
            }


def types(folder: Path, definitions: Definitions) -> Iterator[dict[str, str]]:
    members = {}
    for name in COMPARTMENTS:
        compartment = json.loads((folder / f"CompartmentDefinition-{name}.json").read_text("utf-8"))
        members[name] = {resource["code"]: resource.get("param", []) for resource in compartment["resource"]}
    for kind in definitions.resources:
        yield {"type": kind} | {
            name: " ".join(members[name].get(kind, [])).replace("{def}", "_id") for name in COMPARTMENTS
        }


def write(name: str, legend: str, table: list[dict[str, str]]) -> None:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(table[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(table)
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / name).write_text(legend + out.getvalue(), "utf-8")
    print(f"{name}: {len(table)} rows, {(FOLDER / name).stat().st_size // 1024} kB")


def main() -> None:
    folder = Path(sys.argv[1])
    definitions = Definitions(folder)
    write(
        "search-parameters.csv",
        LEGEND,
        sorted(parameters(folder, definitions), key=lambda row: (row["base"], row["parameter"])),
    )
    write("resource-types.csv", TYPES_LEGEND, sorted(types(folder, definitions), key=lambda row: row["type"]))


if __name__ == "__main__":
    main()
