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
        {"resourceType": "Group", "id": "group", "type": "person", "actual": True, "member": [{"entity": reference("Patient/a")}, {"entity": reference("Patient/b")}]},
        {"resourceType": "Device", "id": "ward-device", "deviceName": [{"name": "Scale", "type": "user-friendly-name"}]},
        {"resourceType": "Device", "id": "b-device", "patient": reference("Patient/b")},
    ]  # fmt: skip


OF_A = {
    "Patient/a", "Encounter/a-stay", "Observation/a-bp", "Observation/a-lab", "Observation/a-panel", "Condition/a-condition",
    "DiagnosticReport/a-report", "List/a-list", "MedicationRequest/a-prescription", "AllergyIntolerance/a-allergy",
    "Appointment/a-alone", "Observation/a-by-b",
}  # fmt: skip
