"""CWE, CE, CNE, CF, IS, ID → CodeableConcept, Coding, code. Source: HL7 v2-to-FHIR CWE[CodeableConcept] and table maps.

A sender's own code is never dropped because it has no map: the standard coding goes first, the sender's beside it with
`userSelected`. Displays are the sender's words, except for systems that state their own.
"""

from __future__ import annotations

import re
from typing import Final

from adapters.hospital_hl7v2.setup import Setup, universal_uri
from gateway.formats import er7
from gateway.model import Resource

V2: Final = "http://terminology.hl7.org/CodeSystem/v2-"
_TRIPLES: Final = ((1, 2, 3, 14, 7), (4, 5, 6, 17, 8), (10, 11, 12, 20, 13))
"""Places of code, text, system name, system OID and system version in a CWE."""
_TEXT_PLACE: Final = 9
_SPACES = re.compile(r"\s+")
_V2_URI_LENGTH: Final = len(V2)


def concept(part: er7.Part, setup: Setup, table: str = "") -> Resource | None:
    """Return a CodeableConcept, None when nothing is said. `table` is the v2 table of the field. Do not change it: shared."""
    key = (part.raw, table)
    known = setup.memory.concepts.get(key)
    if known is not None:
        return known
    made = _concept(part, setup, table)
    return setup.remember(key, made) if made is not None else None


def _concept(part: er7.Part, setup: Setup, table: str) -> Resource | None:
    codings: list[Resource] = []
    text = part.at(_TEXT_PLACE)
    for code_at, text_at, name_at, oid_at, version_at in _TRIPLES:
        code, words = part.at(code_at), part.at(text_at)
        name, oid = part.at(name_at), part.at(oid_at)
        text = text or words
        if not code:
            continue
        own = code_at == 1 and (not (name or universal_uri(oid, "ISO")) or is_table(name, table))
        made = _own_table(code, words, setup, table) if own else None
        if made is None:
            made = [_coding(code, words, name, oid, part.at(version_at), setup, table)]
        codings += [coding for coding in made if not _among(coding, codings)]
    if not codings and not text:
        return None
    made_concept: Resource = {}
    if codings:
        made_concept["coding"] = codings
    if text:
        made_concept["text"] = text
    return made_concept


def is_table(name: str, table: str) -> bool:
    """Tell whether a coding system name (`HL70063`, `HL7-0063`) is the field's own v2 table."""
    return bool(table) and name.upper().replace("-", "") == f"HL7{table}"


def _among(coding: Resource, codings: list[Resource]) -> bool:
    return any(coding.get("system") == other.get("system") and coding["code"] == other["code"] for other in codings)


def _coding(code: str, words: str, name: str, oid: str, version: str, setup: Setup, table: str) -> Resource:
    system = setup.coding.get(name.upper(), "") if name else ""
    system = system or universal_uri(oid, "ISO") or setup.coding_system(name, table)
    code = _SPACES.sub(" ", code)
    if system.startswith(V2):
        stated = system[_V2_URI_LENGTH:]
        members = setup.kept.get(stated)
        if members is None:
            return {"system": system, "code": code}
        if code not in members:
            # The name of an HL7 table around a code that the official table does not have: a local code.
            return {"system": setup.local(f"v2-{stated}"), "code": code} | ({"display": words} if words else {})
        return member(stated, code, setup)
    coding: Resource = {"system": system}
    if version:
        coding["version"] = version
    coding["code"] = code
    if words:
        coding["display"] = words
    return coding


def _own_table(code: str, words: str, setup: Setup, table: str) -> list[Resource] | None:
    """Return the codings of a code that stands alone, from the field's own v2 table; None when there is no such table."""
    if not table:
        return None
    if table in setup.kept:
        if code in setup.kept[table]:
            return [member(table, code, setup)]
        return None
    if table not in _MAPPED_CONCEPT_TABLES:
        return None
    mapped = setup.map(table, code)
    if mapped is None:
        return None
    standard: Resource = {"system": mapped.system, "code": mapped.code}
    if mapped.display:
        standard["display"] = mapped.display
    if mapped.system == V2 + table and mapped.code == code:
        return [standard]
    own: Resource = {
        "system": setup.local(f"v2-{table}") if code in setup.own_codes.get(table, {}) else V2 + table,
        "code": code,
    }
    if words and not own["system"].startswith(V2):
        own["display"] = words
    return [standard, own | {"userSelected": True}]


_MAPPED_CONCEPT_TABLES: Final = frozenset({"0002", "0063", "0052"})


def member(table: str, code: str, setup: Setup) -> Resource:
    """Return the Coding of a code that a kept v2 table has, with the table's display."""
    made: Resource = {"system": V2 + table, "code": code}
    display = setup.kept[table].get(code)
    if display:
        made["display"] = display
    return made


def coding(part: er7.Part, setup: Setup, table: str = "") -> Resource | None:
    """Return the first Coding of a CWE, None when it has no code."""
    made = concept(part, setup, table)
    codings = made.get("coding") if made else None
    return codings[0] if codings else None


def of_table(table: str, code: str, display: str = "") -> Resource:
    """Return a CodeableConcept with one code of an HL7 v2 table."""
    made: Resource = {"system": V2 + table, "code": code}
    if display:
        made["display"] = display
    return {"coding": [made]}
