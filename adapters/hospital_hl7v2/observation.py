"""OBX (with its NTE) → Observation. Source: HL7 v2-to-FHIR OBX[Observation], NTE[Observation]; HL7 v2.9 chapter 7."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass, field
from typing import Final

from adapters.hospital_hl7v2 import coded, rules, values
from adapters.hospital_hl7v2.setup import Setup, keep
from adapters.hospital_hl7v2.structure import Noted
from adapters.hospital_hl7v2.work import DATA_ABSENT, Work, place
from gateway.formats import er7
from gateway.model import Reason, RejectionCode, Resource

LOINC: Final = "http://loinc.org"
MDC: Final = "urn:iso:std:iso:11073:10101"
_CATEGORY: Final = "http://terminology.hl7.org/CodeSystem/observation-category"
_ABSENT: Final = "http://terminology.hl7.org/CodeSystem/data-absent-reason"
_NULL_FLAVOUR: Final = "http://terminology.hl7.org/CodeSystem/v3-NullFlavor"
_CATEGORIES: Final = {
    "vital-signs": "Vital Signs",
    "laboratory": "Laboratory",
    "imaging": "Imaging",
    "exam": "Exam",
    "survey": "Survey",
    "procedure": "Procedure",
}
_WITHDRAWN: Final = frozenset({"D", "W"})
_WITHOUT_VALUE: Final = frozenset({"X", "N", "O", "I"})
_NUMBER: Final = r"([+-]?(?:\d+(?:[.,]\d+)?|[.,]\d+))"
_RANGE = re.compile(rf"\s*{_NUMBER}\s*(?:-|–|to|til)\s*{_NUMBER}\s*(\S.*)?", re.IGNORECASE)
_BOUND = re.compile(rf"\s*(<=|>=|<|>|≤|≥)\s*{_NUMBER}\s*(\S.*)?")
_OFFICIAL: Final = "segments/OBX--Observation.csv "


@dataclass(slots=True)
class Around:
    """What an OBX gets from where it stands: its key, its fallbacks, its category, what it is about."""

    key: tuple[str, ...]
    category: str = ""
    category_source: str = ""
    effective: str = ""
    effective_source: str = ""
    status: str = "unknown"
    """Status where OBX-11 is empty."""
    issued: str = ""
    encounter: str = ""
    specimen: str = ""
    specimen_source: str = ""
    event_time: dt.datetime | None = None
    taken: dict[tuple[str, ...], int] = field(default_factory=dict)
    """How often each key was used in this message: equal rows stay apart."""


@dataclass(slots=True)
class Made:
    """One OBX as an Observation (None: no Observation), and the attachment that belongs to its report."""

    noted: Noted
    resource: Resource | None
    attachment: Resource | None = None


def observe(work: Work, noted: Noted, around: Around) -> Made:
    """Return what an OBX becomes. Adds a reason when it says nothing about what was observed."""
    obx = noted.obx
    read = values.read(obx, work.setup)
    for notice in read.notices:
        work.notice(notice.code, f"OBX[{obx.index}]-{notice.at.rpartition('-')[2]}", notice.text)
    if read.attachment is not None:
        return Made(noted, None, read.attachment)
    if not obx.has(3):
        if not read.elements:
            return Made(noted, None)
        work.reasons.append(
            Reason(RejectionCode.REQUIRED_MISSING, place(obx, 3), "An observation needs a code: OBX-3 is empty.")
        )
        return Made(noted, None)
    resource: Resource = {"resourceType": "Observation", "id": _id(work, obx, around)}
    rules.apply(work, obx, "OBX-Observation", resource)
    if "code" not in resource:
        work.reasons.append(
            Reason(RejectionCode.REQUIRED_MISSING, place(obx, 3), "An observation needs a code: OBX-3 says none.")
        )
        return Made(noted, None)
    meaning = meaning_of(obx.first(3), resource["code"], work.setup)
    resource["code"] = meaning.code
    resource["subject"] = {"reference": work.patient}
    if around.encounter:
        resource["encounter"] = {"reference": around.encounter}
    if around.specimen:
        resource["specimen"] = {"reference": around.specimen}
    if around.issued:
        resource["issued"] = around.issued
    _state(work, obx, resource, around, read)
    _when(work, resource, around, is_vital=meaning.is_vital)
    kind = category("vital-signs" if meaning.is_vital else around.category)
    if kind:
        resource["category"] = [kind]
    if resource["status"] != "entered-in-error" and obx.text(7):
        resource["referenceRange"] = [reference_range(obx, work.setup)]
    if work.trace is not None:
        _note(work, obx, resource, around, is_vital=meaning.is_vital)
    if noted.notes:
        add_notes(work, noted.notes, resource)
    return Made(noted, resource)


def _note(work: Work, obx: er7.Segment, resource: Resource, around: Around, *, is_vital: bool) -> None:
    reference = f"Observation/{resource['id']}"
    if "specimen" in resource and around.specimen:
        work.note(reference, "specimen", "specimen-of-report", "", around.specimen_source)
    if "category" in resource:
        rule = "vital-sign-code" if is_vital else f"{around.category}-report"
        work.note(reference, "category", rule, "", place(obx, 3) if is_vital else around.category_source)
    if "referenceRange" in resource:
        work.note(reference, "referenceRange", "obx-7-range", _OFFICIAL + "OBX-7", place(obx, 7))


def _id(work: Work, obx: er7.Segment, around: Around) -> str:
    key: tuple[str, ...]
    if obx.has(21):
        part = obx.field(21)
        key = ("OBX-21", around.key[0], part.raw)
    else:
        key = (*around.key, work.setup.code_key(obx, 3), obx.raw(4))
    nth = around.taken[key] = around.taken.get(key, 0) + 1
    return work.ids.resource("Observation", *key, *([str(nth)] if nth > 1 else []))


def with_loinc(code: Resource, setup: Setup) -> Resource:
    """Return a code with the LOINC code of a vital sign set before an ISO/IEEE 11073 code that stands alone."""
    codings = code.get("coding", [])
    for coding in codings:
        if (
            coding["system"] == MDC
            and coding["code"] in setup.mdc_loinc
            and not any(c["system"] == LOINC for c in codings)
        ):
            return {**code, "coding": [{"system": LOINC, "code": setup.mdc_loinc[coding["code"]]}, *codings]}
    return code


def _state(work: Work, obx: er7.Segment, resource: Resource, around: Around, read: values.Value) -> None:
    sent = obx.at(11).upper()
    resource.setdefault("status", around.status)
    elements = read.elements
    if elements and "components" not in elements and sent not in _WITHDRAWN and work.trace is None:
        resource.update(elements)  # nearly always
        return
    reference = f"Observation/{resource['id']}"
    if sent in _WITHDRAWN:
        for name in ("interpretation", "referenceRange"):
            resource.pop(name, None)
        return
    if "components" in elements:
        resource["component"] = [{"code": resource["code"], **element} for element in elements["components"]]
        work.note(reference, "component", "obx-5-components", _OFFICIAL + "OBX-5", place(obx, 5))
    elif elements:
        resource.update(elements)
        unit = next(iter(elements))
        work.note(reference, unit, f"obx-5-{obx.at(2).lower() or 'text'}", _OFFICIAL + "OBX-5", place(obx, 5))
        if obx.has(6):
            work.note(reference, f"{unit}.unit", "obx-6-unit", _OFFICIAL + "OBX-6", place(obx, 6))
    elif sent == "N":
        resource["dataAbsentReason"] = absent("not-asked", "Not Asked")
        work.note(reference, "dataAbsentReason", "obx-11-not-asked", _OFFICIAL + "OBX-11", place(obx, 11))
    elif sent not in _WITHOUT_VALUE:
        resource["dataAbsentReason"] = absent("unknown", "Unknown")
        work.note(reference, "dataAbsentReason", "obx-5-empty", "", place(obx, 5))


def absent(code: str, display: str) -> Resource:
    """Return a dataAbsentReason."""
    return {"coding": [{"system": _ABSENT, "code": code, "display": display}]}


def _when(work: Work, resource: Resource, around: Around, *, is_vital: bool) -> None:
    if "effectiveDateTime" in resource:
        return
    if around.effective:
        resource["effectiveDateTime"] = around.effective
        work.note(
            f"Observation/{resource['id']}", "effectiveDateTime", "effective-of-report", "", around.effective_source
        )
    elif is_vital:
        resource["_effectiveDateTime"] = {"extension": [{"url": DATA_ABSENT, "valueCode": "unknown"}]}


@dataclass(frozen=True, slots=True)
class Meaning:
    """What an OBX-3 says beyond its words: the code as it goes out, and whether FHIR R4 counts it as a vital sign."""

    code: Resource
    is_vital: bool


def meaning_of(raw: str, code: Resource, setup: Setup) -> Meaning:
    """Return the meaning of an OBX-3, from the last message that had the same one."""
    known: Meaning | None = setup.memory.meanings.get(raw)
    if known is None:
        code = with_loinc(code, setup)
        vital = any(
            coding["system"] == LOINC and coding["code"] in setup.vital_units for coding in code.get("coding", [])
        )
        known = keep(setup.memory.meanings, raw, Meaning(code, vital))
    return known


def category(code: str) -> Resource | None:
    """Return an observation category, None for ''."""
    return _CATEGORY_CONCEPTS.get(code)


_CATEGORY_CONCEPTS: Final[dict[str, Resource]] = {
    code: {"coding": [{"system": _CATEGORY, "code": code, "display": display}]} for code, display in _CATEGORIES.items()
}


def reference_range(obx: er7.Segment, setup: Setup) -> Resource:
    """OBX-7 → referenceRange: bounds where it reads as such, the sender's own words always."""
    key = (obx.raw(7), "range " + obx.raw(6))
    return setup.memory.concepts.get(key) or setup.remember(key, _range(obx, setup))


def _range(obx: er7.Segment, setup: Setup) -> Resource:
    text = obx.text(7)
    made: Resource = {"text": text}
    units = obx.field(6)
    between, bound = _RANGE.fullmatch(text), _BOUND.fullmatch(text)
    if between:
        low, high = (_amount(between.group(place), setup) for place in (1, 2))
        if low is not None and high is not None and low["value"] <= high["value"]:
            made = {"low": _with_unit(low, units, setup), "high": _with_unit(high, units, setup), **made}
    elif bound:
        limit = _amount(bound.group(2), setup)
        if limit is not None:
            made = {"high" if bound.group(1) in {"<", "<=", "≤"} else "low": _with_unit(limit, units, setup), **made}
    return made


def _amount(text: str, setup: Setup) -> Resource | None:
    found = values.number(text, setup)
    return {"value": found[1]} if found else None


def _with_unit(amount: Resource, units: er7.Part, setup: Setup) -> Resource:
    return values.quantity(amount["value"], units or None, setup)


def add_notes(work: Work, notes: list[er7.Segment], resource: Resource) -> None:
    """NTE → note, one a run of segments; NTE-3 repetitions and segments are its lines."""
    lines = [part.text().strip() for nte in notes for part in nte.repetitions(3) if part]
    text = "\n".join(line for line in lines if line)
    if text:
        resource.setdefault("note", []).append({"text": text})
        reference = f"{resource['resourceType']}/{resource['id']}"
        official = f"segments/NTE--{resource['resourceType']}.csv NTE-3"
        work.note(reference, "note", "nte-3-note", official, place(notes[0], 3))


def from_visit(work: Work, loose: list[Noted], encounter: str) -> None:
    """Add the Observations of an ADT message: height, weight and the like. Attachments become DocumentReferences."""
    around = Around(
        key=(work.setup.feed.name, encounter or work.patient),
        encounter=encounter,
        effective=work.event_text,
        effective_source=work.event_source,
    )
    for noted in loose:
        at = work.setup.moment(noted.obx.field(14).raw) if noted.obx.has(14) else None
        around.key = (work.setup.feed.name, encounter or work.patient, at.date_time if at else work.event_text)
        made = observe(work, noted, around)
        if made.resource is not None:
            work.put(made.resource)
        elif made.attachment is not None:
            document(work, made, encounter)


def document(work: Work, made: Made, encounter: str) -> None:
    """Add a DocumentReference for an attachment that stands in no report."""
    obx = made.noted.obx
    resource: Resource = {
        "resourceType": "DocumentReference",
        "id": work.ids.resource(
            "DocumentReference", work.setup.feed.name, work.patient, work.control_id, str(obx.index)
        ),
        "status": "current",
        "subject": {"reference": work.patient},
        "content": [{"attachment": made.attachment}],
    }
    kind = coded.concept(obx.field(3), work.setup)
    if kind:
        resource["type"] = kind
    if encounter:
        resource["context"] = {"encounter": [{"reference": encounter}]}
    reference = work.put(resource)
    work.note_origin(reference, obx)
