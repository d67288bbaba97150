"""AL1, IAM, DG1, PR1 → AllergyIntolerance, Condition, Procedure. Source: HL7 v2-to-FHIR segments of those names.

What the official maps leave open and R4 needs is decided here and said in README.md: clinical and verification status,
which date DG1-5 is, whether severity is criticality.
"""

from __future__ import annotations

from typing import Final

from adapters.hospital_hl7v2 import rules, shared
from adapters.hospital_hl7v2.work import Field, Work, place
from gateway.formats import er7
from gateway.model import Resource

_TERMINOLOGY: Final = "http://terminology.hl7.org/CodeSystem/"
_SNOMED: Final = "http://snomed.info/sct"
_PERFORMERS: Final = ((8, "88189002"), (11, "304292004"), (12, ""))
"""PR1 fields of performers and the SNOMED CT code of their function: anaesthetist, surgeon."""


def _concept(system: str, code: str) -> Resource:
    return {"coding": [{"system": _TERMINOLOGY + system, "code": code}]}


def allergies(work: Work) -> None:
    """Add an AllergyIntolerance for each AL1 and IAM."""
    for name in ("AL1", "IAM"):
        for segment in work.message.segments(name):
            if segment.is_null(1) or segment.is_null(3):
                work.notice(
                    "list-emptied", place(segment, 1), "The sender knows of no entry any more; stored entries stay."
                )
            elif segment.has(3):
                _allergy(work, segment)


def _allergy(work: Work, segment: er7.Segment) -> None:
    is_iam = segment.name == "IAM"
    own = segment.field(7) if is_iam else segment.field(3)
    key = own.raw if is_iam and own else _code_key(segment.field(3))
    resource: Resource = {
        "resourceType": "AllergyIntolerance",
        "id": work.ids.resource("AllergyIntolerance", work.patient, key),
    }
    rules.apply(work, segment, f"{segment.name}-AllergyIntolerance", resource)
    resource["patient"] = {"reference": work.patient}
    if is_iam and segment.at(6).upper() == "D":
        resource["verificationStatus"] = _concept("allergyintolerance-verification", "entered-in-error")
    else:
        stated = segment.at(17).lower() if is_iam else ""
        clinical = stated if stated in {"active", "inactive", "resolved"} else "active"
        resource["clinicalStatus"] = _concept("allergyintolerance-clinical", clinical)
        resource["verificationStatus"] = _concept("allergyintolerance-verification", "unconfirmed")
    kind = segment.at(2).upper()
    if kind and kind != "MC":
        resource["type"] = "allergy"
    resource.pop("onsetString", None) if "onsetDateTime" in resource else None
    _severity(work, segment, resource)
    work.put(resource)


def _severity(work: Work, segment: er7.Segment, resource: Resource) -> None:
    sent = segment.at(4).upper()
    manifestations = [
        {"text": text}
        for part in segment.repetitions(5)
        if (text := part.at(2) or part.at(1) if segment.name == "IAM" else part.text())
    ]
    reaction: Resource = {"manifestation": manifestations} if manifestations else {}
    if sent and work.setup.severity_is_criticality:
        mapped = work.setup.map("0128-severity-criticality", sent)
        if mapped:
            resource["criticality"] = mapped.code
    elif sent:
        mapped = work.setup.map("0128-severity-reaction", sent)
        if mapped:
            reaction["severity"] = mapped.code
            # A reaction must say how it shows itself; the sender said only how bad it is.
            reaction.setdefault("manifestation", [_concept("v3-NullFlavor", "UNK")])
    if reaction:
        resource["reaction"] = [reaction]


def _code_key(part: er7.Part) -> str:
    return f"{part.at(3)}|{part.at(1)}" if part.at(1) else part.at(2)


def diagnoses(work: Work, encounter: str) -> list[Resource]:
    """Add a Condition for each DG1; return what Encounter.diagnosis says of them."""
    found = []
    for dg1 in work.message.segments("DG1"):
        if not (dg1.has(3) or dg1.has(4)):
            continue
        resource = _condition(work, dg1, encounter)
        entry: Resource = {"condition": {"reference": work.put(resource)}}
        use = work.concept(dg1.field(6), "0052")
        if use:
            entry["use"] = use
        rank = dg1.at(15)
        if rank.isascii() and rank.isdigit() and int(rank) > 0:
            entry["rank"] = int(rank)
        if not _is_deleted(dg1):
            found.append(entry)
            work.note(encounter, "diagnosis", "dg1-diagnosis", "segments/DG1--Encounter.csv DG1-3", place(dg1, 3))
    return found


def _is_deleted(segment: er7.Segment) -> bool:
    return segment.at(21).upper() == "D"


def _condition(work: Work, dg1: er7.Segment, encounter: str) -> Resource:
    if dg1.has(20):
        key = (work.setup.feed.name, dg1.field(20).raw)
    else:
        key = (encounter or work.patient, f"{_code_key(dg1.field(3)) or dg1.text(4)}|{dg1.at(6)}|{dg1.at(1)}")
    resource: Resource = {"resourceType": "Condition", "id": work.ids.resource("Condition", *key)}
    rules.apply(work, dg1, "DG1-Condition", resource)
    if dg1.has(4):
        resource["code"] = {**resource.get("code", {}), "text": dg1.text(4)}
    resource["subject"] = {"reference": work.patient}
    resource["category"] = [_concept("condition-category", "encounter-diagnosis")]
    if encounter:
        resource["encounter"] = {"reference": encounter}
    if _is_deleted(dg1):
        resource["verificationStatus"] = _concept("condition-ver-status", "entered-in-error")
    else:
        resource["clinicalStatus"] = _concept("condition-clinical", "active")
    if dg1.has(5):
        moment = work.moment(dg1, 5)
        if moment:
            element = "onsetDateTime" if work.setup.diagnosis_date_is_onset else "recordedDate"
            resource.setdefault(element, moment.date_time)
            work.note(
                f"Condition/{resource['id']}", element, "dg1-5-date", "segments/DG1--Condition.csv DG1-5", place(dg1, 5)
            )
    return resource


def procedures(work: Work, encounter: str) -> None:
    """Add a Procedure for each PR1."""
    for pr1 in work.message.segments("PR1"):
        if not (pr1.has(3) or pr1.has(4)):
            continue
        if pr1.has(19):
            key = (work.setup.feed.name, pr1.field(19).raw)
        else:
            key = (encounter or work.patient, f"{_code_key(pr1.field(3)) or pr1.text(4)}|{pr1.raw(5)}|{pr1.at(1)}")
        resource: Resource = {"resourceType": "Procedure", "id": work.ids.resource("Procedure", *key)}
        rules.apply(work, pr1, "PR1-Procedure", resource)
        if pr1.has(4) and "text" not in resource.get("code", {}):
            resource["code"] = {**resource.get("code", {}), "text": pr1.text(4)}
        moment = work.moment(pr1, 5) if pr1.has(5) else None
        resource["status"] = "unknown"
        if moment:
            resource["performedDateTime"] = moment.date_time
            if moment.at is not None and moment.at <= work.event_time:
                resource["status"] = "completed"
        resource["subject"] = {"reference": work.patient}
        if encounter:
            resource["encounter"] = {"reference": encounter}
        _performers(work, pr1, resource)
        work.put(resource)


def _performers(work: Work, pr1: er7.Segment, procedure: Resource) -> None:
    for number, code in _PERFORMERS:
        for part in pr1.repetitions(number):
            actor = shared.practitioner(part, work, Field(pr1, number))
            if actor is None:
                continue
            function = {"function": {"coding": [{"system": _SNOMED, "code": code}]}} if code else {}
            procedure.setdefault("performer", []).append({"actor": actor} | function)
            official = f"segments/PR1--Procedure.csv PR1-{number}"
            work.note(
                f"Procedure/{procedure['id']}", "performer", f"pr1-{number}-performer", official, place(pr1, number)
            )
