"""Makes the terminology that comes with the gateway. Run from the project's root, with the command that says from what:

    python -m tools.make_terminology r4 FOLDER       mappings/fhir/{code-systems,value-sets,concept-maps}.json
                                                     from the R4 definitions (hl7.fhir.core 4.0.1, *.ndjson.gz)
    python -m tools.make_terminology dk-core FOLDER  mappings/dk-core/terminology.json from DK Core 3.7.0
    python -m tools.make_terminology medcom FOLDER   mappings/medcom/terminology.json from MedCom's terminology

A file is a JSON array with a resource a line, sorted by url, after one line that says where it comes from. What is kept
of a resource is what decides: no narrative, contacts or mappings to other standards. `status: active` of a concept
says nothing and is dropped; so are definitions of more than 160 characters, and designations in languages other than
those of the Nordic countries, English and German. Left out whole: ConceptMap/102 (HL7 table 0487 → SNOMED CT), whose
targets are post-coordinated SNOMED CT expressions.
"""

from __future__ import annotations

import gzip
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from gateway.formats import json

ROOT = Path(__file__).resolve().parents[1] / "mappings"
DEFINITION_CHARACTERS_MAX = 160
LANGUAGES = ("da", "en", "de", "sv", "nb", "nn", "no", "fi", "fo", "kl", "is")
LEFT_OUT = {"http://hl7.org/fhir/ConceptMap/102"}
SUBSETS = {"urn:oid:1.2.208.176.2.1"}  # a part of NPU that its resource calls complete
FIRST = ("resourceType", "url", "version", "name", "title", "status")
KEPT = {
    "CodeSystem": ("caseSensitive", "valueSet", "hierarchyMeaning", "content", "supplements", "property", "concept"),
    "ValueSet": ("immutable", "compose"),
    "ConceptMap": ("sourceUri", "sourceCanonical", "targetUri", "targetCanonical", "group"),
}
R4 = (
    "Source: the FHIR R4 definitions, package hl7.fhir.core 4.0.1 (HL7). "
    "Licence: CC0 1.0; SNOMED CT and LOINC codes under their own."
)
LEGENDS = {
    "r4": R4,
    "dk-core": "Source: DK Core 3.7.0 (HL7 Denmark, github.com/hl7dk/website 0b4aeec). "
    "Licence: CC0 1.0; SNOMED CT codes under its own.",
    "medcom": "Source: MedCom Terminology 2.0.2, XDS Metadata 1.0.1, Document 2.0.2 "
    "(github.com/medcomdk/medcomfhir-website e26d6b1). "
    "Licence: CC0 1.0; NPU names (c) IFCC, IUPAC and Sundhedsdatastyrelsen.",
}
MADE = "Made by tools/make_terminology.py; do not edit. One resource a line, sorted by url."


def resource(read: dict[str, Any]) -> dict[str, Any]:
    """Return what is kept of a resource, names in a fixed order."""
    kept = {name: read[name] for name in (*FIRST, *KEPT[read["resourceType"]]) if name in read}
    if "concept" in kept:
        kept["concept"] = [concept(one) for one in kept["concept"]]
    if "expansion" in read:
        kept["expansion"] = read["expansion"]
    if kept["url"] in SUBSETS:
        kept["content"] = "fragment"
    return _bare(kept)


def concept(read: dict[str, Any]) -> dict[str, Any]:
    kept = {name: read[name] for name in ("code", "display") if name in read}
    definition = read.get("definition", "").strip()
    if definition and definition != read.get("display") and len(definition) <= DEFINITION_CHARACTERS_MAX:
        kept["definition"] = definition
    if designations := [one for one in read.get("designation", ()) if one.get("language", "en")[:2] in LANGUAGES]:
        kept["designation"] = designations
    properties = [
        one for one in read.get("property", ()) if (one["code"], one.get("valueCode")) != ("status", "active")
    ]
    if properties:
        kept["property"] = properties
    if "concept" in read:
        kept["concept"] = [concept(one) for one in read["concept"]]
    return kept


def _bare(value: Any) -> Any:
    """Return a value without extensions, ids and primitive siblings: none of them decides anything here."""
    if isinstance(value, dict):
        return {
            name: _bare(one)
            for name, one in value.items()
            if name not in {"extension", "modifierExtension", "id"} and not name.startswith("_")
        }
    return [_bare(one) for one in value] if isinstance(value, list) else value


def write(path: Path, legend: str, resources: Iterable[dict[str, Any]]) -> None:
    path.parent.mkdir(exist_ok=True)
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for one in resources:
        if one.get("url") and one["url"] not in LEFT_OUT:
            found.setdefault((one["url"], one.get("version", "")), one)
    lines = [json.dumps({"legend": [MADE, legend]}), *(json.dumps(resource(found[key])) for key in sorted(found))]
    path.write_bytes(b"[\n" + b",\n".join(lines) + b"\n]\n")
    sys.stdout.write(f"{path.relative_to(ROOT.parent)}: {len(found)} resources, {path.stat().st_size >> 10} kB\n")


def _ndjson(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path) as lines:
        yield from map(json.loads, lines)


def main(what: str, folder: Path) -> None:
    if what == "r4":
        for kind, name in (("CodeSystem", "code-systems"), ("ValueSet", "value-sets"), ("ConceptMap", "concept-maps")):
            write(ROOT / "fhir" / f"{name}.json", R4, _ndjson(folder / f"{kind}.ndjson.gz"))
        return
    read = (json.loads(path.read_bytes()) for path in sorted(folder.rglob("*.json")))
    write(ROOT / what / "terminology.json", LEGENDS[what], (one for one in read if one.get("resourceType") in KEPT))


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in LEGENDS:
        sys.exit(__doc__)
    main(sys.argv[1], Path(sys.argv[2]))
