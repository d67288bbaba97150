"""PID, PD1, NK1 → Patient, its contacts, RelatedPerson. Source: HL7 v2-to-FHIR PID[Patient], PD1[Patient], NK1[…].

Race, religion and ethnic group are not taken over: special categories of personal data (GDPR article 9) that no
reader of these resources needs.
"""

from __future__ import annotations

from typing import Final

from adapters.hospital_hl7v2 import identity, rules
from adapters.hospital_hl7v2.work import Work, place
from gateway.formats import er7
from gateway.model import Mode, Resource

_ORGANISATIONAL: Final = frozenset({"EMR", "E", "F", "I", "S"})
"""NK1-3 codes that name an employer, an agency or an insurer: a contact, but nobody related."""
_RESTRICTED: Final[Resource] = {
    "system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality",
    "code": "R",
    "display": "restricted",
}
_CHOICES: Final = (("deceasedDateTime", "deceasedBoolean"), ("multipleBirthInteger", "multipleBirthBoolean"))
_CONTACT_SUBSTANCE: Final = ("name", "telecom", "address", "organization")


def patient(
    work: Work, pid: er7.Segment, mode: Mode, *, active: bool | None = None, also: Resource | None = None
) -> str:
    """Add the Patient of a PID segment and of the PD1 and NK1 segments that follow it; return its reference.

    With `MERGE`, elements that the sender declared null are cleared; `also` are elements that the event itself sets.
    """
    resource: Resource = {"resourceType": "Patient", "id": work.patient.partition("/")[2]}
    nulls = rules.apply(work, pid, "PID-Patient", resource)
    for better, other in _CHOICES:
        if better in resource:
            resource.pop(other, None)
    if "identifier" in resource:
        resource["identifier"] = identity.same(resource["identifier"])
    if work.person is not None and not _named(resource, work):
        resource.setdefault("identifier", []).insert(0, {"system": work.person.system, "value": work.person.value})
    for pd1 in work.message.segments("PD1")[:1]:
        nulls |= rules.apply(work, pd1, "PD1-Patient", resource)
        if pd1.at(12).upper() == "Y":
            resource["meta"] = {"security": [_RESTRICTED]}
            work.note(work.patient, "meta.security", "pd1-12-protection", "", "PD1-12")
    if pid.at(31).upper() == "Y":
        resource.setdefault("meta", {})["tag"] = [
            {
                "system": work.setup.local("tags"),
                "code": "identity-unknown",
                "display": "The sender does not know who this is",
            }
        ]
    contacts = [contact for nk1 in work.message.segments("NK1") if (contact := _contact(work, nk1))]
    if contacts:
        resource["contact"] = contacts
    if active is not None:
        resource["active"] = active
    resource |= also or {}
    return work.put(resource, mode, clear=sorted(_cleared(resource, nulls)) if mode is Mode.MERGE else ())


def _named(resource: Resource, work: Work) -> bool:
    person = work.person
    return person is not None and any(
        each.get("system") == person.system and each["value"] == person.value for each in resource.get("identifier", [])
    )


def _cleared(resource: Resource, nulls: set[str]) -> set[str]:
    """Return what a merge must take away: declared null, the other form of a choice, and an outdated shadow of a value."""
    cleared = set(nulls) - {"identifier"}
    for one, other in _CHOICES:
        present = {one, other} & resource.keys()
        if present or {one, other} & cleared:
            cleared |= {one, other} - present
    for name in ("birthDate", "gender"):
        if name in resource or f"_{name}" in resource or name in cleared:
            cleared |= {name, f"_{name}"} - resource.keys()
    return cleared


def _contact(work: Work, nk1: er7.Segment) -> Resource | None:
    contact: Resource = {}
    rules.apply(work, nk1, "NK1-Patient", contact, work.patient, within="contact")
    if not any(name in contact for name in _CONTACT_SUBSTANCE):
        return None
    return contact


def related(work: Work) -> None:
    """Add a RelatedPerson for each NK1 that names a person, and for the mother that PID-21 identifies."""
    for nk1 in work.message.segments("NK1"):
        if (
            nk1.at(3) in _ORGANISATIONAL
            or nk1.at(7) in _ORGANISATIONAL
            or not (nk1.has(2) or nk1.has(33) or nk1.has(12))
        ):
            continue
        resource: Resource = {"resourceType": "RelatedPerson", "id": ""}
        identifiers = nk1.field(33) or nk1.field(12)
        key = identifiers.raw or f"{nk1.field(2).raw}|{nk1.field(3).at(1)}"
        resource["id"] = work.ids.resource("RelatedPerson", work.patient, key)
        resource["patient"] = {"reference": work.patient}
        rules.apply(work, nk1, "NK1-RelatedPerson", resource)
        work.put(resource)
    mother = work.message.segment("PID").repetitions(21)
    for part in mother[:1]:
        _mother(work, part)


def _mother(work: Work, part: er7.Part) -> None:
    try:
        identifier = identity.patient_identifier(part, work.setup, "mother")
    except ValueError:
        work.notice(
            "identifier-invalid", place(work.message.segment("PID"), 21), "An impossible CPR number was left out."
        )
        return
    if identifier is None:
        return
    role = {"system": "http://terminology.hl7.org/CodeSystem/v3-RoleCode", "code": "MTH", "display": "mother"}
    reference = work.put(
        {
            "resourceType": "RelatedPerson",
            "id": work.ids.resource("RelatedPerson", work.patient, identifier["system"], identifier["value"]),
            "identifier": [identifier],
            "patient": {"reference": work.patient},
            "relationship": [{"coding": [role]}],
        }
    )
    for element in ("identifier", "relationship"):
        work.note(reference, element, "pid-21-mother", "segments/PID--Patient.csv PID-21", "PID-21")
