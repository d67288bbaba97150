"""A small world of two patients, A and B, each with something of most kinds; of two hospitals; and of a few others."""

from __future__ import annotations

from gateway.model import Resource

LOINC = "http://loinc.org"
SOR = "urn:oid:1.2.208.176.1.1"
NORTH, SOUTH, WARD = "111111111111", "222222222222", "333333333333"
CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"


def reference(target: str) -> Resource:
    return {"reference": target}


def code(value: str, system: str = LOINC) -> Resource:
    return {"coding": [{"system": system, "code": value}]}


def organisation(name: str, sor: str, part_of: str = "") -> Resource:
    made = {"resourceType": "Organization", "id": name, "name": name, "identifier": [{"system": SOR, "value": sor}]}
    return {**made, "partOf": reference(f"Organization/{part_of}")} if part_of else made


def patient(name: str, family: str, born: str, number: str) -> Resource:
    return {
        "resourceType": "Patient",
        "id": name,
        "name": [{"family": family}],
        "birthDate": born,
        "identifier": [{"system": "urn:test:number", "value": number}],
        "generalPractitioner": [reference("Practitioner/gp")],
    }


def observation(name: str, who: str, **more: object) -> Resource:
    return {
        "resourceType": "Observation",
        "id": name,
        "status": "final",
        "code": code("8480-6"),
        "subject": reference(f"Patient/{who}"),
        "effectiveDateTime": "2026-11-01T08:00:00+01:00",
        **more,
    }


def encounter(name: str, who: str, where: str, start: str, end: str = "") -> Resource:
    return {
        "resourceType": "Encounter",
        "id": name,
        "status": "finished" if end else "in-progress",
        "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "IMP"},
        "subject": reference(f"Patient/{who}"),
        "serviceProvider": reference(f"Organization/{where}"),
        "period": {"start": start, **({"end": end} if end else {})},
    }


def record(who: str, family: str, born: str, number: str) -> list[Resource]:
    """One patient's record."""
    mine = reference(f"Patient/{who}")
    category = [code("laboratory", CATEGORY)], [code("vital-signs", CATEGORY)]
    quantity = {"value": 120, "unit": "mm[Hg]", "system": "http://unitsofmeasure.org", "code": "mm[Hg]"}
    return [
        patient(who, family, born, number),
        encounter(f"{who}-stay", who, "north", "2026-11-01T08:00:00+01:00"),
        observation(f"{who}-bp", who, category=category[1], valueQuantity=quantity, encounter=reference(f"Encounter/{who}-stay")),
        observation(f"{who}-lab", who, category=category[0], code=code("2345-7"), performer=[reference("Organization/south")]),
        observation(f"{who}-panel", who, hasMember=[reference(f"Observation/{who}-bp")], derivedFrom=[reference(f"Observation/{who}-lab")]),
        {"resourceType": "Condition", "id": f"{who}-condition", "clinicalStatus": code("active", "http://terminology.hl7.org/CodeSystem/condition-clinical"), "code": code("44054006", "http://snomed.info/sct"), "subject": mine, "encounter": reference(f"Encounter/{who}-stay")},
        {"resourceType": "DiagnosticReport", "id": f"{who}-report", "status": "final", "code": code("11502-2"), "subject": mine, "result": [reference(f"Observation/{who}-lab")], "performer": [reference("Organization/south")]},
        {"resourceType": "List", "id": f"{who}-list", "status": "current", "mode": "working", "subject": mine, "entry": [{"item": reference(f"Observation/{who}-bp")}]},
        {"resourceType": "MedicationRequest", "id": f"{who}-prescription", "status": "active", "intent": "order", "medicationCodeableConcept": code("N02BE01", "http://www.whocc.no/atc"), "subject": mine},
        {"resourceType": "AllergyIntolerance", "id": f"{who}-allergy", "clinicalStatus": code("active", "http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical"), "patient": mine, "code": code("91936005", "http://snomed.info/sct")},
        {"resourceType": "Provenance", "id": f"{who}-provenance", "target": [mine, reference(f"Observation/{who}-bp")], "recorded": "2026-11-01T09:00:00Z", "agent": [{"who": reference("Organization/north")}]},
        {"resourceType": "Provenance", "id": f"{who}-made", "target": [reference(f"Observation/{who}-lab/_history/1")], "recorded": "2026-11-01T09:00:00Z", "agent": [{"who": reference("Organization/south")}], "entity": [{"role": "source", "what": {"identifier": {"value": "1"}}}]},
        {"resourceType": "Binary", "id": f"{who}-binary", "contentType": "text/plain", "data": "eA==", "securityContext": mine},
        {"resourceType": "Binary", "id": f"{who}-scan", "contentType": "text/plain", "data": "eA==", "securityContext": reference(f"DiagnosticReport/{who}-report")},
        {"resourceType": "AdverseEvent", "id": f"{who}-event", "actuality": "actual", "subject": mine},
        {"resourceType": "Person", "id": f"{who}-person", "name": [{"family": family}], "link": [{"target": mine}]},
        {"resourceType": "Schedule", "id": f"{who}-schedule", "actor": [reference("Practitioner/gp"), mine]},
        {"resourceType": "SupplyRequest", "id": f"{who}-supply", "itemCodeableConcept": code("1", "urn:x"), "quantity": {"value": 1}, "deliverTo": mine},
        {"resourceType": "Group", "id": f"{who}-group", "type": "person", "actual": True, "member": [{"entity": mine}]},
    ]  # fmt: skip


def world() -> list[Resource]:
    """Everything."""
    return [
        organisation("north", NORTH),
        organisation("ward", WARD, part_of="north"),
        organisation("south", SOUTH),
        {"resourceType": "Practitioner", "id": "gp", "name": [{"family": "Doktor"}]},
        {"resourceType": "Practitioner", "id": "ann", "name": [{"family": "Holm"}], "identifier": [{"system": "https://autregweb.sst.dk", "value": "BCDF1"}]},
        {"resourceType": "Location", "id": "room", "name": "Room 1"},
        *record("a", "Andersen", "1980-05-17", "A-1"),
        *record("b", "Berg", "1975-02-28", "B-1"),
        # what is both's, or names both
        {"resourceType": "Appointment", "id": "both", "status": "booked", "start": "2026-12-01T10:00:00+01:00", "end": "2026-12-01T10:30:00+01:00", "participant": [{"actor": reference("Patient/a"), "status": "accepted"}, {"actor": reference("Patient/b"), "status": "accepted"}]},
        {"resourceType": "Appointment", "id": "a-alone", "status": "booked", "start": "2026-12-01T10:00:00+01:00", "end": "2026-12-01T10:30:00+01:00", "participant": [{"actor": reference("Patient/a"), "status": "accepted"}]},
        observation("a-by-b", "a", performer=[reference("Patient/b")]),
        observation("b-about-a", "b", focus=[reference("Patient/a")]),
        # what is nobody's, or both's, or of somebody whose record cannot be told
        {"resourceType": "Provenance", "id": "both-made", "target": [reference("Observation/a-bp"), reference("Observation/b-bp")], "recorded": "2026-11-01T09:00:00Z", "agent": [{"who": reference("Organization/north")}]},
        {"resourceType": "Provenance", "id": "from-b", "target": [reference("Observation/a-bp")], "entity": [{"role": "source", "what": reference("Observation/b-bp")}], "recorded": "2026-11-01T09:00:00Z", "agent": [{"who": reference("Organization/north")}]},
        {"resourceType": "Provenance", "id": "of-what-never-was", "target": [reference("Observation/a-bp"), reference("Observation/gone")], "recorded": "2026-11-01T09:00:00Z", "agent": [{"who": reference("Organization/north")}]},
        {"resourceType": "Provenance", "id": "of-a-provenance", "target": [reference("Provenance/a-provenance")], "recorded": "2026-11-01T09:00:00Z", "agent": [{"who": reference("Organization/north")}]},
        {"resourceType": "Provenance", "id": "of-a-ward", "target": [reference("Organization/ward")], "recorded": "2026-11-01T09:00:00Z", "agent": [{"who": reference("Organization/north")}]},
        {"resourceType": "Binary", "id": "of-nothing", "contentType": "text/plain", "data": "eA=="},
        {"resourceType": "AdverseEvent", "id": "of-gp", "actuality": "actual", "subject": reference("Practitioner/gp")},
        {"resourceType": "Person", "id": "a-and-gp", "link": [{"target": reference("Patient/a")}, {"target": reference("Practitioner/gp")}]},
        {"resourceType": "Person", "id": "nobody", "name": [{"family": "x"}]},
        {"resourceType": "Schedule", "id": "gp-schedule", "actor": [reference("Practitioner/gp"), reference("Location/room")]},
        {"resourceType": "Schedule", "id": "both-schedule", "actor": [reference("Patient/a"), reference("Patient/b")]},
        {"resourceType": "Schedule", "id": "kin-schedule", "actor": [reference("RelatedPerson/someone")]},
        {"resourceType": "SupplyRequest", "id": "ward-supply", "itemCodeableConcept": code("1", "urn:x"), "quantity": {"value": 1}, "deliverTo": reference("Organization/ward")},
        {"resourceType": "SupplyRequest", "id": "a-for-b", "itemCodeableConcept": code("1", "urn:x"), "quantity": {"value": 1}, "deliverTo": reference("Patient/a"), "requester": reference("Patient/b")},
        {"resourceType": "SupplyRequest", "id": "ward-for-b", "itemCodeableConcept": code("1", "urn:x"), "quantity": {"value": 1}, "deliverTo": reference("Organization/ward"), "requester": reference("Patient/b")},
        {"resourceType": "Group", "id": "practitioners", "type": "practitioner", "actual": True, "member": [{"entity": reference("Practitioner/gp")}]},
        {"resourceType": "Group", "id": "groups", "type": "person", "actual": True, "member": [{"entity": reference("Group/a-group")}]},
        {"resourceType": "Bundle", "id": "a-bundle", "type": "collection", "entry": [{"fullUrl": "urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0", "resource": {"resourceType": "Patient", "id": "a"}}]},
        {"resourceType": "Group", "id": "group", "type": "person", "actual": True, "member": [{"entity": reference("Patient/a")}, {"entity": reference("Patient/b")}]},
        {"resourceType": "Device", "id": "ward-device", "deviceName": [{"name": "Scale", "type": "user-friendly-name"}]},
        {"resourceType": "Device", "id": "b-device", "patient": reference("Patient/b")},
    ]  # fmt: skip


OF_A = {
    "Patient/a", "Encounter/a-stay", "Observation/a-bp", "Observation/a-lab", "Observation/a-panel", "Condition/a-condition",
    "DiagnosticReport/a-report", "List/a-list", "MedicationRequest/a-prescription", "AllergyIntolerance/a-allergy",
    "Appointment/a-alone", "Observation/a-by-b", "Provenance/a-provenance", "Provenance/a-made", "Binary/a-binary", "Binary/a-scan",
    "AdverseEvent/a-event", "Person/a-person", "Schedule/a-schedule", "SupplyRequest/a-supply", "Group/a-group", "SupplyRequest/a-for-b",
}  # fmt: skip
OPEN = {"Device/ward-device", "Schedule/gp-schedule", "Provenance/of-a-ward"}
"""What is nobody's, and open to all: neither a patient's nor of a type that is always open."""
