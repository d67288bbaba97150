"""Lineage of what Python sets: rule and source field of each element that no segment table fills.

The tables of mappings/hl7v2/segments note their own elements while they run. What depends on an event, on another
field or on the place in the message is set in Python; here stands where that comes from, for `sundbro explain`.
Used only when somebody asks for a trace.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from gateway.model import Resource, Trace

_UNTOLD: Final = frozenset({"resourceType", "id"})
_SUBJECT: Final = ("subject-of-message", "PID-3")
_VISIT: Final = ("visit-of-message", "PV1-19")

SOURCES: Final[dict[str, tuple[str, str]]] = {
    "Patient.identifier": ("person-of-message", "PID-3"),
    "Patient.name": ("name-of-replaced", "MRG-7"),
    "Patient.active": ("event-activity", "MSH-9.2"),
    "Patient.contact": ("nk1-contact", "NK1-2"),
    "Patient.link": ("event-link", "PID-3"),
    "Patient.meta": ("protection", "PD1-12"),
    "RelatedPerson.patient": _SUBJECT,
    "RelatedPerson.identifier": ("pid-21-mother", "PID-21"),
    "RelatedPerson.relationship": ("pid-21-mother", "PID-21"),
    "Encounter.subject": _SUBJECT,
    "Encounter.period": ("event-period", "EVN-6"),
    "Encounter.diagnosis": ("dg1-diagnosis", "DG1-6"),
    "Encounter.classHistory": ("event-class-change", "PV1-2"),
    "Encounter.meta": ("protection", "PV2-22"),
    "Condition.subject": _SUBJECT,
    "Condition.encounter": _VISIT,
    "Condition.code": ("dg1-4-text", "DG1-4"),
    "Condition.category": ("dg1-category", "DG1-3"),
    "Condition.clinicalStatus": ("dg1-21-action", "DG1-21"),
    "Condition.verificationStatus": ("dg1-21-action", "DG1-21"),
    "Procedure.subject": _SUBJECT,
    "Procedure.encounter": _VISIT,
    "Procedure.code": ("pr1-4-text", "PR1-4"),
    "Procedure.status": ("pr1-5-status", "PR1-5"),
    "Procedure.performedDateTime": ("pr1-5-date", "PR1-5"),
    "Procedure.performer": ("pr1-performers", "PR1-11"),
    "AllergyIntolerance.patient": _SUBJECT,
    "AllergyIntolerance.type": ("allergy-type", "AL1-2"),
    "AllergyIntolerance.criticality": ("allergy-severity", "AL1-4"),
    "AllergyIntolerance.reaction": ("allergy-reaction", "AL1-5"),
    "AllergyIntolerance.verificationStatus": ("allergy-unconfirmed", "AL1-3"),
    "Observation.subject": _SUBJECT,
    "Observation.encounter": _VISIT,
    "Observation.code": ("obx-3-code", "OBX-3"),
    "Observation.status": ("obx-11-status", "OBX-11"),
    "Observation.category": ("observation-category", "OBX-3"),
    "Observation.effectiveDateTime": ("obx-14-effective", "OBX-14"),
    "Observation.issued": ("obr-22-issued", "OBR-22"),
    "Observation.specimen": ("specimen-of-report", "SPM-2"),
    "Observation.dataAbsentReason": ("obx-5-absent", "OBX-5"),
    "Observation.component": ("obx-5-components", "OBX-5"),
    "Observation.hasMember": ("obr-26-parent", "OBR-26"),
    "Observation.interpretation": ("obx-8-interpretation", "OBX-8"),
    "Observation.identifier": ("obx-21-identifier", "OBX-21"),
    "Observation.performer": ("obx-16-performer", "OBX-16"),
    "Observation.method": ("obx-17-method", "OBX-17"),
    "Observation.device": ("obx-18-device", "OBX-18"),
    "Observation.bodySite": ("obx-20-site", "OBX-20"),
    "Observation.note": ("nte-3-note", "NTE-3"),
    "Observation.meta": ("obx-8-test", "OBX-8"),
    "DiagnosticReport.subject": _SUBJECT,
    "DiagnosticReport.encounter": _VISIT,
    "DiagnosticReport.status": ("obr-25-status", "OBR-25"),
    "DiagnosticReport.code": ("obr-4-code", "OBR-4"),
    "DiagnosticReport.basedOn": ("order-of-report", "OBR-2"),
    "DiagnosticReport.result": ("rows-of-report", "OBX-3"),
    "DiagnosticReport.specimen": ("specimen-of-report", "SPM-2"),
    "ServiceRequest.subject": _SUBJECT,
    "ServiceRequest.encounter": _VISIT,
    "ServiceRequest.status": ("order-status", "ORC-5"),
    "ServiceRequest.intent": ("obr-11-intent", "OBR-11"),
    "ServiceRequest.code": ("obr-4-code", "OBR-4"),
    "ServiceRequest.authoredOn": ("orc-9-authored", "ORC-9"),
    "ServiceRequest.note": ("nte-3-note", "NTE-3"),
    "Specimen.subject": _SUBJECT,
    "Specimen.status": ("spm-20-availability", "SPM-20"),
    "Specimen.type": ("obr-15-source", "OBR-15"),
    "Specimen.collection": ("obr-7-collected", "OBR-7"),
    "DocumentReference.subject": _SUBJECT,
    "DocumentReference.status": ("obx-5-attachment", "OBX-5"),
    "DocumentReference.content": ("obx-5-attachment", "OBX-5"),
    "DocumentReference.type": ("obx-3-code", "OBX-3"),
    "DocumentReference.context": _VISIT,
}
"""`Type.element` → rule and field. Of shared resources (places, people) every element has the field that names them."""


def complete(trace: Trace, resource: Resource, reference: str, place: Callable[[str], str], named_in: str) -> None:
    """Note the elements of a resource that nobody has noted yet.

    `place` adds a segment's number to a field (`OBX-3` → `OBX[2]-3`); `named_in` is the field that mentioned a shared
    resource.
    """
    told = {step.element.partition(".")[0].partition("[")[0].removeprefix("_") for step in trace.of(reference)}
    for element in resource:
        name = element.removeprefix("_")
        if name in _UNTOLD or name in told:
            continue
        rule, field = SOURCES.get(f"{resource['resourceType']}.{name}", ("", ""))
        if rule:
            trace.add(reference, name, rule=rule, source=place(field))
        elif named_in:
            trace.add(reference, name, rule=f"mentioned-{resource['resourceType'].lower()}", source=named_in)
