"""Lineage of what no segment table sets: shared resources, and elements that follow from where a resource stands.

Runs only when a trace is asked for, and changes nothing but the trace. What a segment table or a converter sets is noted
where it is set (rules.py, `Work.note`); the rest is one table here: element ← field, rule, official row. Official rows
are those of HL7 v2-to-FHIR; an empty one is our own rule, or one of FHIR R4 that README.md explains.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from adapters.hospital_hl7v2 import identity
from adapters.hospital_hl7v2.work import Field, Work, place
from gateway.model import Resource, Trace, TraceStep

_PERSON: Final = "person"
_VISIT: Final = "visit"
_EVENT: Final = "event"
_ORDER: Final = ("OBR-2", "ORC-2", "OBR-3", "ORC-3")
"""Fields of order numbers, in the order in which they name the ServiceRequest (results.py)."""


class Row(NamedTuple):
    """`path` was set by `rule` (officially `official`) from the first of `fields` that has a value, else the last.

    A field is `OBX-5`, a whole segment `DG1`, or `person`, `visit`, `event`: wherever this message says that.
    """

    path: str
    rule: str
    fields: tuple[str, ...]
    official: str = ""


def _subject(official: str = "", element: str = "subject") -> Row:
    return Row(element, "patient-of-message", (_PERSON,), official)


def _visit(official: str = "") -> Row:
    return Row("encounter", "visit-of-message", (_VISIT,), official)


_MESSAGE: Final = "messages/*.csv "
"""A row of the map of this message: ORU_R01, or ADT_A01, which stands for all ADT."""


def _allergy(name: str) -> tuple[Row, ...]:
    own, official = name.lower(), f"segments/{name}--AllergyIntolerance.csv {name}-"
    return (
        Row("type", f"{own}-2-type", (f"{name}-2",), official + "2"),
        Row("criticality", f"{own}-4-criticality", (f"{name}-4",), official + "4"),
        Row("reaction.severity", f"{own}-4-severity", (f"{name}-4",), official + "4"),
        Row("reaction.manifestation", f"{own}-5-reaction", (f"{name}-5", f"{name}-4"), official + "5"),
    )


_ELEMENTS: Final[dict[str, tuple[Row, ...]]] = {
    "AllergyIntolerance": (
        _subject(_MESSAGE + "AL1", "patient"),
        Row("clinicalStatus", "al1-active", ("AL1",), "segments/AL1--AllergyIntolerance.csv AL1"),
        Row("clinicalStatus", "iam-17-status", ("IAM-17",), "segments/IAM--AllergyIntolerance.csv IAM-17"),
        Row("verificationStatus", "al1-unconfirmed", ("AL1",)),
        Row("verificationStatus", "iam-6-verification", ("IAM-6",)),
        *_allergy("AL1"),
        *_allergy("IAM"),
    ),
    "Condition": (
        _subject(_MESSAGE + "DG1"),
        _visit(),
        Row("category", "dg1-encounter-diagnosis", ("DG1",)),
        Row("clinicalStatus", "dg1-active", ("DG1",)),
        Row("verificationStatus", "dg1-21-deleted", ("DG1-21",), "segments/DG1--Condition.csv DG1-21"),
        Row("code.text", "dg1-4-text", ("DG1-4",), "segments/DG1--Condition.csv DG1-4"),
    ),
    "DiagnosticReport": (
        _subject(),
        _visit(_MESSAGE + "ORC"),
        Row("basedOn", "order-of-report", _ORDER, _MESSAGE + "ORC"),
        Row("status", "obr-25-unknown", ("OBR-25",)),
        Row("code", "obr-4-unknown", ("OBR-4",)),
    ),
    "DocumentReference": (
        _subject(),
        Row("context.encounter", "visit-of-message", (_VISIT,)),
        Row("status", "obx-document-current", ("OBX",)),
        Row("type", "obx-3-type", ("OBX-3",)),
        Row("content", "obx-5-attachment", ("OBX-5",), "segments/OBX--DocumentReference.csv OBX-5"),
    ),
    "Encounter": (
        _subject(_MESSAGE + "PV1"),
        Row("period.start", "event-start", (_EVENT,)),
        Row("period.end", "event-end", (_EVENT,)),
        Row("classHistory", "event-class-change", ("PV1-2",)),
    ),
    "Observation": (
        _subject(_MESSAGE + "OBX"),
        _visit(_MESSAGE + "OBX"),
        Row("status", "obx-11-empty", ("OBX-11",)),
        Row("effectiveDateTime", "no-time-known", ("OBX-14",)),
        Row("issued", "issued-of-report", ("OBR-22",), "segments/OBR--DiagnosticReport.csv OBR-22"),
    ),
    "Patient": (
        Row("identifier", "patient-number", (_PERSON,), "segments/PID--Patient.csv PID-3"),
        Row("active", "event-active", ("MSH-9",)),
    ),
    "Procedure": (
        _subject(_MESSAGE + "PR1"),
        _visit(),
        Row("status", "pr1-5-performed", ("PR1-5",), "segments/PR1--Procedure.csv PR1"),
        Row("performedDateTime", "pr1-5-time", ("PR1-5",), "segments/PR1--Procedure.csv PR1-5"),
        Row("code.text", "pr1-4-text", ("PR1-4",), "segments/PR1--Procedure.csv PR1-4"),
    ),
    "RelatedPerson": (_subject(_MESSAGE + "NK1", "patient"),),
    "ServiceRequest": (
        _subject(),
        _visit(),
        Row("intent", "obr-11-intent", ("OBR-11",), "segments/OBR--ServiceRequest.csv OBR-11"),
        Row("code", "obr-4-unknown", ("OBR-4",)),
        Row("authoredOn", "orc-9-authored", ("ORC-9",), "segments/ORC--ServiceRequest.csv ORC-9"),
    ),
    "Specimen": (
        _subject(),
        Row("status", "spm-20-status", ("SPM-20",), "segments/SPM--Specimen.csv SPM-20"),
        Row("type", "obr-15-type", ("OBR-15",), "segments/OBR--Specimen.csv OBR-15"),
        Row("collection.bodySite", "obr-15-site", ("OBR-15",), "segments/OBR--Specimen.csv OBR-15"),
        Row("collection.collectedDateTime", "obr-7-collected", ("OBR-7",), "segments/OBR--Specimen.csv OBR-7"),
        Row("collection.collectedPeriod", "obr-7-collected", ("OBR-7",), "segments/OBR--Specimen.csv OBR-7"),
    ),
}
_MENTIONED: Final = {
    "Practitioner": ("XCN", {"identifier": "XCN.1", "name": "XCN.2", "qualification": "XCN.7"}),
    "Practitioner CNN": ("CNN", {"identifier": "CNN.1", "name": "CNN.2"}),
    "Organization": ("XON", {"identifier": "XON.3", "name": "XON.1"}),
    "Organization CWE": ("CWE", {"identifier": "CWE.1", "name": "CWE.2"}),
}
"""Shared resources, with the form they were read in where it is not the usual one: data type, element → its component."""


def mentioned(work: Work, resource: Resource, at: Field) -> None:
    """Note where a shared resource comes from, unless the message mentioned it before: the first mention is what counts."""
    kind: str = resource["resourceType"]
    reference = f"{kind}/{resource['id']}"
    if reference in work.changes:
        return
    data_type, components = _MENTIONED.get(f"{kind} {at.form}".rstrip(), ("", {}))
    for element in resource.keys() - {"resourceType", "id"}:
        official = f"datatypes/{data_type}--{kind}.csv {components[element]}" if element in components else ""
        if kind == "Location":
            official = f"datatypes/PL--Location.csv {at.form}"
        elif kind == "Device":
            official = "segments/OBX--Observation.csv OBX-18"
        work.note(reference, element, f"{at.segment.name.lower()}-{at.number}-{kind.lower()}", official, at.at)


def complete(work: Work, trace: Trace) -> None:
    """Note every element of the message's resources that nothing noted while it was set."""
    structure = "ADT_A01" if work.message.segment("MSH").at(9).upper().startswith("ADT") else "ORU_R01"
    steps: dict[str, list[TraceStep]] = {}
    for step in trace.steps:
        steps.setdefault(step.resource, []).append(step)
    for reference, change in work.changes.items():
        known = {step.element for step in steps.get(reference, ())}
        for member in work.members.get(reference, ()):
            for step in steps.get(member, ()):
                if _top(step.element) in change.resource and not _told(step.element, known):
                    work.note(reference, step.element, step.rule, step.official, step.source)
        known |= {step.element for member in work.members.get(reference, ()) for step in steps.get(member, ())}
        for row in _ELEMENTS.get(change.resource["resourceType"], ()):
            if not _told(row.path, known) and _stands(change.resource, row.path):
                source = _source(work, reference, row.fields)
                if source:
                    work.note(reference, row.path, row.rule, row.official.replace("*", structure), source)
                    known.add(row.path)


def _top(path: str) -> str:
    return path.partition(".")[0]


def _told(path: str, known: set[str]) -> bool:
    """Tell whether a step tells of an element: of itself, of what it is part of, or of a part of it."""
    return any(path == each or path.startswith(each + ".") or each.startswith(path + ".") for each in known)


def _stands(resource: Any, path: str) -> bool:
    """Tell whether a resource has an element; of a list the first entry is asked, of a primitive also its extensions."""
    name, _, rest = path.partition(".")
    value = resource.get(name, resource.get("_" + name))
    if isinstance(value, list):
        value = value[0]
    return value is not None and (not rest or _stands(value, rest))


def _source(work: Work, reference: str, fields: tuple[str, ...]) -> str:
    """Return the first of the fields that has a value, else the last that the resource's segments could have had."""
    empty = ""
    for name in fields:
        if name in _ELSEWHERE:
            return _ELSEWHERE[name](work)
        kind, _, number = name.partition("-")
        for segment in [*work.origins.get(reference, ()), work.message.segment("MSH")]:
            if segment.name == kind:
                empty = place(segment, int(number)) if number else f"{kind}[{segment.index}]"
                if not number or segment.has(int(number)):
                    return empty
    return empty


def _person(work: Work) -> str:
    pid = work.message.segment("PID")
    for number in (3, 2, 4, 19):
        for part in pid.repetitions(number):
            with contextlib.suppress(ValueError):
                own = identity.national_number(pid, work.setup.naming) if number == 19 else None  # noqa: PLR2004
                if work.person in (own, identity.key_of(part, work.setup.naming)):
                    return place(pid, number)
    return place(pid, 3)


def _visit_number(work: Work) -> str:
    pv1 = work.message.segment("PV1")
    return next((place(pv1, number) for number in (19, 50, 44) if pv1.has(number)), "MSH-10")


_ELSEWHERE: Final[dict[str, Callable[[Work], str]]] = {
    _PERSON: _person,
    _VISIT: _visit_number,
    _EVENT: lambda work: work.event_source,
}
