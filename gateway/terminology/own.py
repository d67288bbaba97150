"""The gateway's own tables as terminology: codes that mappings/ knows of larger systems, and its maps as ConceptMaps.

Of LOINC, NPU, IEEE 11073 and SNOMED CT only what the feeds use is here, so these code systems are fragments and say
so: a code that is missing is not thereby wrong. Maps are named `urn:sundbro:map:<table>`. Pure: tables in, resources out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from gateway.model import Resource
from gateway.terminology.tables import Row, Tables

LOINC: Final = "http://loinc.org"
MDC: Final = "urn:iso:std:iso:11073:10101"
NPU: Final = "http://npu-terminology.org"
DANISH: Final = "urn:oid:1.2.208.176.2.1"
"""NPU codes and their Danish neighbours (DNK), as MedCom writes the system."""
MCS: Final = "urn:oid:1.2.208.184.100.8"
SNOMED: Final = "http://snomed.info/sct"
MEDCOM: Final = "http://medcomfhir.dk/ig/terminology/CodeSystem/medcom-observation-codes"
MAP: Final = "urn:sundbro:map:"

_NAMES: Final = {
    LOINC: "LOINC", MDC: "IEEE 11073-10101", NPU: "NPU", DANISH: "NPU and Danish codes", MCS: "MedCom codes (MCS)",
    SNOMED: "SNOMED CT",
}  # fmt: skip
_DK: Final = {"npu": (NPU, DANISH), "dnk": (DANISH,), "mcs": (MCS,), "": ()}
_V2_TABLE: Final = re.compile(r"hl7v2/(\d{4})-[a-z-]+")


def code_systems(tables: Tables) -> list[Resource]:
    """Return the fragments, a CodeSystem for each system."""
    found: dict[str, dict[str, Resource]] = {}
    for system, code, display, danish in _codes(tables):
        concept = found.setdefault(system, {}).setdefault(code, {"code": code})
        if display:
            concept.setdefault("display", display)
        if danish and "designation" not in concept:
            concept["designation"] = [{"language": "da", "value": danish}]
    return [
        {
            "resourceType": "CodeSystem",
            "url": system,
            "name": re.sub(r"\W+", "_", _NAMES[system]),
            "title": f"{_NAMES[system]}: the codes that this gateway's feeds use",
            "status": "active",
            "content": "fragment",
            "concept": list(concepts.values()),
        }
        for system, concepts in sorted(found.items())
    ]


def _codes(tables: Tables) -> Iterator[tuple[str, str, str, str]]:
    """Yield (system, code, display, Danish name) wherever a table has a code; later ones only add."""
    measurements = tables.rows("home/measurements")
    names = {row["name"]: row["text"] for row in measurements}
    for row in measurements:
        for system, code, display in _row_codes(row):
            yield system, code, display, row["text"]
    for row in tables.rows("home/codes"):
        yield row["system"], row["code"], "", names.get(row["name"], "")
    for row in tables.rows("medcom/observations"):
        yield MCS if row["system"] == "mcs" else DANISH, row["code"], row["display"], ""
        if row["loinc"]:
            yield LOINC, row["loinc"], "", ""
        if row["mdc"]:
            yield MDC, row["mdc"], row["mdc_name"], ""
    for row in tables.rows("hl7v2/mdc-loinc"):
        yield MDC, row["mdc"], row["refid"], ""
        yield LOINC, row["loinc"], "", ""
    for row in tables.rows("hl7v2/vital-signs"):
        yield LOINC, row["loinc"], "", ""
    for row in tables.rows("home/ordinals"):
        yield SNOMED, row["code"], row["display"], ""


def _row_codes(row: Row) -> Iterator[tuple[str, str, str]]:
    """Yield (system, code, display) of one home measurement, the Danish codes first."""
    for system in _DK.get(row["dk_system"], ()) if row["dk_code"] else ():
        yield system, row["dk_code"], row["dk_display"]
    if row["loinc"]:
        yield LOINC, row["loinc"], ""
    if row["mdc"]:
        yield MDC, row["mdc"], row["mdc_refid"]


def concept_maps(tables: Tables) -> list[Resource]:
    """Return the maps: HL7 v2 tables → FHIR codes, IEEE 11073 → LOINC, Danish measurement codes ↔ LOINC and IEEE."""
    made = [_table_map(tables, name) for name in tables.names() if _V2_TABLE.fullmatch(name)]
    pairs = [((MDC, row["mdc"]), (LOINC, row["loinc"]), "") for row in tables.rows("hl7v2/mdc-loinc")]
    made.append(_map("hl7v2:mdc-loinc", "IEEE 11073-10101 → LOINC", pairs))
    made.append(_map("home:measurements", "Danish measurement codes → LOINC and IEEE 11073-10101", _measured(tables)))
    return [one for one in made if one is not None]


Pair = tuple[tuple[str, str], tuple[str, str], str]
"""(system, code) → (system, code), and a comment."""


def _measured(tables: Tables) -> Iterator[Pair]:
    for row in tables.rows("home/measurements"):
        codes = [(system, code) for system, code, _ in _row_codes(row)]
        for source in codes:
            if source[0] not in {LOINC, MDC}:
                yield from ((source, target, "") for target in codes if target[0] in {LOINC, MDC})
    for row in tables.rows("medcom/observations"):
        source = (MCS if row["system"] == "mcs" else DANISH, row["code"])
        comment = "to be verified before clinical use" if row["verify"] else ""
        for target in ((LOINC, row["loinc"]), (MDC, row["mdc"])):
            if target[1]:
                yield source, target, comment


def _table_map(tables: Tables, name: str) -> Resource | None:
    """Return the map of one HL7 v2 table, or None for a table that names no target system."""
    rows = tables.rows(name)
    found = _V2_TABLE.fullmatch(name)
    if found is None or not rows or "system" not in rows[0] or "to" not in rows[0]:
        return None
    source = f"http://terminology.hl7.org/CodeSystem/v2-{found[1]}"
    pairs = [
        ((source, row["code"]), (row["system"], row["to"]), row.get("note", ""))
        for row in rows
        if row["to"] and ":" in row["system"]
    ]
    return _map(name.replace("/", ":"), f"HL7 table {found[1]} → FHIR", pairs)


def _map(name: str, title: str, pairs: Iterable[Pair]) -> Resource | None:
    """Return a ConceptMap. A source with two targets in one system is mapped to what is wider than either."""
    groups: dict[tuple[str, str], dict[str, dict[str, str]]] = {}
    for (system, code), (target_system, target), comment in pairs:
        groups.setdefault((system, target_system), {}).setdefault(code, {}).setdefault(target, comment)
    if not groups:
        return None
    return {
        "resourceType": "ConceptMap",
        "url": MAP + name,
        "name": re.sub(r"\W+", "_", name),
        "title": title,
        "status": "active",
        "group": [
            {
                "source": source,
                "target": target,
                "element": [{"code": code, "target": _targets(targets)} for code, targets in elements.items()],
            }
            for (source, target), elements in groups.items()
        ],
    }


def _targets(targets: dict[str, str]) -> list[Resource]:
    equivalence = "equivalent" if len(targets) == 1 else "relatedto"
    return [
        {"code": code, "equivalence": equivalence, **({"comment": comment} if comment else {})}
        for code, comment in targets.items()
    ]
