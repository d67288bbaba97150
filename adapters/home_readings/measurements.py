"""mappings/home compiled: what each measurement is coded as, which units it takes, and what can be true of a person.

A `Measurement` holds ready-made parts of Observations (`code`, `category`, `profiles`). They are shared by every
Observation made from them and never changed.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from gateway.terminology.tables import Row, Tables

LOINC = "http://loinc.org"
MDC = "urn:iso:std:iso:11073:10101"
NPU = "http://npu-terminology.org"
NPU_OID = "urn:oid:1.2.208.176.2.1"
MCS = "urn:oid:1.2.208.184.100.8"
MEDCOM = "http://medcomfhir.dk/ig/terminology/CodeSystem/medcom-observation-codes"
SNOMED = "http://snomed.info/sct"
UCUM = "http://unitsofmeasure.org"
CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"
INTERPRETATION = "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation"

NATIONAL = frozenset({NPU_OID, MCS, MEDCOM})

DK_OBSERVATION = "http://hl7.dk/fhir/core/StructureDefinition/dk-core-observation"
DK_BASIC_OBSERVATION = "http://hl7.dk/fhir/core/StructureDefinition/dk-core-basic-observation"
_R4 = "http://hl7.org/fhir/StructureDefinition/"

_DK_SYSTEMS = {"npu": (NPU, NPU_OID), "dnk": (NPU_OID,), "mcs": (MCS,), "": ()}
_SAME_SYSTEM = {
    "http://npu-terminology.org/": NPU,
    "2.16.840.1.113883.6.24": MDC,
    "urn:oid:2.16.840.1.113883.6.24": MDC,
}


@dataclass(frozen=True, slots=True)
class Unit:
    """One unit that a measurement may be sent in: its UCUM code, its shift by powers of ten, its plausible range."""

    ucum: str
    display: str
    shift: int
    low: Decimal
    high: Decimal


@dataclass(frozen=True, slots=True)
class Measurement:
    """One row of measurements.csv, ready to use."""

    name: str
    row: str
    kind: str
    text: str
    unit: str
    codings: list[dict[str, Any]]
    category: list[dict[str, Any]]
    profiles: list[str]
    vital_sign: str
    """The R4 vital-signs profile, or ''."""
    basic: bool
    units: dict[str, Unit] = field(default_factory=dict)

    @property
    def component_code(self) -> dict[str, Any]:
        """Observation.component.code: the standard codings, nobody's own."""
        return {"coding": self.codings, "text": self.text}

    def unit_of(self, word: str) -> Unit | None:
        """Return the unit that a sender's word means for this measurement; '' is no word at all."""
        return self.units.get(word) or self.units.get(word.strip().casefold())

    def code(self, own: dict[str, Any] | None) -> dict[str, Any]:
        """Return Observation.code: the standard codings side by side, the sender's own marked and last."""
        codings = [*self.codings]
        if own is not None:
            same = [i for i, c in enumerate(codings) if (c["system"], c["code"]) == (own["system"], own["code"])]
            if same:
                codings[same[0]] = {**codings[same[0]], "userSelected": True}
            else:
                codings.append({**own, "userSelected": True})
        return {"coding": codings, "text": self.text}


@dataclass(frozen=True, slots=True)
class Measurements:
    """All of mappings/home. `words` and `codes` find a measurement, `by_name` gives it."""

    by_name: dict[str, Measurement]
    words: dict[str, str]
    codes: dict[tuple[str, str], str]
    code_words: dict[str, tuple[str, str]]
    """A code alone → its system and code: senders put `NPU03804` where a type belongs."""
    ordinals: dict[str, Row]
    severities: dict[str, Row]
    instruments: Sequence[Row]
    plans: dict[tuple[str, str], Any] = field(default_factory=dict)
    """What readings.py prepared per (feed's naming system, type); filled as types occur, never more than there are."""

    def find(self, word: str) -> Measurement | None:
        """Return the measurement that a `type` names: a vendor's word or a bare code."""
        name = self.words.get(word) or self.words.get(word.strip().casefold())
        return self.by_name[name] if name else None

    def coded(self, system: Any, code: Any) -> Measurement | None:
        """Return the measurement that a coding names, or None."""
        name = self.codes.get((normal_system(system), code)) if isinstance(code, str) else None
        return self.by_name[name] if name else None


def normal_system(system: Any) -> str:
    """Return the one address under which a code system goes here: NPU and MDC have several."""
    if not isinstance(system, str):
        return ""
    return NPU_OID if system == NPU else _SAME_SYSTEM.get(system, system)


def of(tables: Tables) -> Measurements:
    """Return the compiled tables, made once and kept with `tables`."""
    return tables.compiled("home/measurements", "home", functools.partial(_compile, tables))


def _compile(tables: Tables, rows: Sequence[Row]) -> Measurements:
    ranges = {(row["name"], row["ucum"]): row for row in tables.rows("home/plausible")}
    by_name = {row["name"]: _measurement(row) for row in rows}
    for row in tables.rows("home/units"):
        limits = ranges[row["name"], row["ucum"]]
        by_name[row["name"]].units[row["word"]] = Unit(
            row["ucum"], row["display"], int(row["shift"]), Decimal(limits["min"]), Decimal(limits["max"])
        )
    for measurement in by_name.values():
        for unit in [*measurement.units.values()]:
            measurement.units.setdefault(unit.ucum, unit)
    words = {row["type"]: row["name"] for row in tables.rows("home/types")}
    codes: dict[tuple[str, str], str] = {}
    code_words: dict[str, tuple[str, str]] = {}
    for measurement in by_name.values():
        for coding in measurement.codings:
            codes.setdefault((normal_system(coding["system"]), coding["code"]), measurement.name)
            words.setdefault(coding["code"].casefold(), measurement.name)
            code_words.setdefault(coding["code"].casefold(), (coding["system"], coding["code"]))
    for row in tables.rows("home/codes"):
        codes.setdefault((row["system"], row["code"]), row["name"])
    return Measurements(
        by_name,
        words,
        codes,
        code_words,
        {row["word"]: row for row in tables.rows("home/ordinals")},
        {row["severity"]: row for row in tables.rows("home/severity")},
        tables.rows("home/instruments"),
    )


def _measurement(row: Row) -> Measurement:
    vital_sign = _R4 + row["profile"] if row["profile"] else ""
    profiles = [DK_BASIC_OBSERVATION if row["basic"] else DK_OBSERVATION, *([vital_sign] if vital_sign else [])]
    return Measurement(
        row["name"],
        row["row"],
        row["kind"],
        row["text"],
        row["unit"],
        _codings(row),
        [{"coding": [{"system": CATEGORY, "code": row["category"]}]}],
        profiles,
        vital_sign,
        bool(row["basic"]),
    )


def _codings(row: Row) -> list[dict[str, Any]]:
    codings: list[dict[str, Any]] = []
    if row["loinc"]:
        codings.append({"system": LOINC, "code": row["loinc"]})
    codings += [
        {"system": system, "code": row["dk_code"], "display": row["dk_display"]}
        for system in (*_DK_SYSTEMS[row["dk_system"]], *((MEDCOM,) if row["medcom"] else ()))
    ]
    if row["mdc"]:
        codings.append({"system": MDC, "code": row["mdc"], "display": row["mdc_refid"]})
    return codings
