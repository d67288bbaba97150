"""Laws of FHIR Observations on the home feed: whose, what they refer to, units and codings, what is claimed and refused."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from adapters.home_readings.translate import split
from gateway.fhir.validate import validate
from gateway.formats import json
from gateway.model import Mode, PersonKey, Trace
from tests.feeds.home_feed import IDS, RECEIVED, feed, observations, only, reading, refused, translated

CPR = "urn:oid:1.2.208.176.1.2"
UCUM = "http://unitsofmeasure.org"
MDC = "urn:iso:std:iso:11073:10101"
VITAL = [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "vital-signs"}]}]


def observation(**changed: Any) -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": "29463-7"}]},
        "subject": {"identifier": {"system": CPR, "value": "2512489996"}},
        "effectiveDateTime": "2026-11-20T08:00:00+01:00",
        "valueQuantity": {"value": Decimal("81.20"), "unit": "kg", "system": UCUM, "code": "kg"},
        **changed,
    }


def patient(**changed: Any) -> dict[str, Any]:
    return {"resourceType": "Patient", "id": "p", "identifier": [{"system": CPR, "value": "2512489996"}], **changed}


def bundle(*resources: dict[str, Any], kind: str = "collection") -> dict[str, Any]:
    return {"resourceType": "Bundle", "type": kind, "entry": [{"resource": each} for each in resources]}


def test_one_observation_alone_is_taken_with_codings_added_and_profiles_claimed():
    made = only(translated(observation()))
    assert [coding["code"] for coding in made["code"]["coding"]] == ["29463-7", "NPU03804", "NPU03804", "188736"]
    assert made["category"] == VITAL
    assert made["meta"]["profile"] == [
        "http://hl7.dk/fhir/core/StructureDefinition/dk-core-basic-observation",
        "http://hl7.org/fhir/StructureDefinition/bodyweight",
    ]
    assert str(made["valueQuantity"]["value"]) == "81.20"
    assert made["subject"] == {"reference": f"Patient/{IDS.patient(PersonKey(CPR, '2512489996'))}"}


def test_the_same_reading_has_one_id_whether_it_comes_as_json_or_as_fhir():
    assert only(translated(observation()))["id"] == only(translated(reading(value=Decimal("81.20"))))["id"]


def test_a_patient_gives_its_best_identifier_and_no_more():
    person = patient(identifier=[{"system": "urn:oid:2.999.1", "value": "7"}, {"system": CPR, "value": "2512489996"}])
    person["name"] = [{"family": "Berggren"}]
    translation = translated(bundle(person, observation(subject={"reference": "Patient/p"})))
    change = translation.changes[0]
    assert change.mode is Mode.ENSURE
    assert [(each["system"], each["value"]) for each in change.resource["identifier"]] == [(CPR, "2512489996")]
    assert "name" not in change.resource


def test_a_contained_patient_is_the_person_and_is_not_kept():
    sent = observation(contained=[patient()], subject={"reference": "#p"}, performer=[{"reference": "#p"}])
    made = only(translated(sent))
    assert "contained" not in made
    assert made["performer"] == [made["subject"]]
    assert validate(made) == []


@pytest.mark.parametrize(
    ("subject", "system", "value"),
    [
        ({"reference": "https://p.example.dk/fhir/Patient/76312"}, "https://p.example.dk/fhir/Patient", "76312"),
        ({"reference": "https://p.example.dk/fhir/Patient/7/_history/2"}, "https://p.example.dk/fhir/Patient", "7"),
        ({"reference": "Patient/76312"}, "urn:id:home:Patient", "76312"),
    ],
)
def test_a_person_elsewhere_is_named_by_the_senders_own_address(subject, system, value):
    translation = translated(observation(subject=subject, performer=[subject]))
    identifier = translation.changes[0].resource["identifier"][0]
    assert (identifier["system"], identifier["value"]) == (system, value)
    made = only(translation)
    assert made["performer"] == [made["subject"]]


def test_a_reference_to_none_of_the_messages_patients_is_refused():
    translation = translated(bundle(patient(), observation(subject={"reference": "Patient/q"})))
    assert refused(translation) == [("reference-broken", "Bundle.entry[1].resource.subject.reference")]


def test_two_patients_under_one_address_are_nobody():
    other = patient(identifier=[{"system": CPR, "value": "0101019989"}])
    translation = translated(bundle(patient(), other, observation(subject={"reference": "Patient/p"})))
    assert refused(translation) == [("reference-broken", "Bundle.entry[2].resource.subject.reference")]


def test_what_the_message_does_not_hold_is_referred_to_by_name_alone():
    made = only(translated(observation(basedOn=[{"reference": "https://c.example.dk/fhir/ServiceRequest/9"}])))
    assert made["basedOn"] == [{"identifier": {"system": "https://c.example.dk/fhir/ServiceRequest", "value": "9"}}]


def test_observations_that_refer_to_one_another_find_our_ids_refused_ones_their_senders():
    good = observation(id="a", effectiveDateTime="2026-11-20T08:00:00Z")
    bad = observation(id="b", valueQuantity={"value": 999, "system": UCUM, "code": "kg"})
    last = observation(id="c", derivedFrom=[{"reference": "Observation/a"}, {"reference": "Observation/b"}])
    translation = translated(bundle(last, good, bad))
    assert refused(translation) == [("implausible", "Bundle.entry[2].resource.valueQuantity.value")]
    made = {each["effectiveDateTime"]: each for each in observations(translation)}
    first, second = made["2026-11-20T08:00:00+01:00"]["derivedFrom"]
    assert first == {"reference": f"Observation/{made['2026-11-20T08:00:00Z']['id']}"}
    assert second == {"identifier": {"system": "urn:id:home:Observation", "value": "b"}}


@pytest.mark.parametrize(
    ("quantity", "made"),
    [
        ({"value": Decimal("0.97")}, ("97", "%")),
        ({"value": Decimal("0.97"), "unit": "NA"}, ("97", "%")),
        ({"value": Decimal("0.97"), "system": UCUM, "code": "1"}, ("97", "%")),
        ({"value": 97, "unit": "%"}, ("97", "%")),
        ({"value": Decimal("97.0"), "system": MDC, "code": "262688"}, ("97.0", "%")),
    ],
)
def test_a_saturation_in_fhir_obeys_the_same_rule(quantity, made):
    code = {"coding": [{"system": "urn:oid:1.2.208.176.2.1", "code": "NPU03011"}]}
    found = only(translated(observation(code=code, valueQuantity=quantity)))["valueQuantity"]
    assert (str(found["value"]), found["code"]) == made
    assert found["unit"]


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"valueQuantity": {"value": 12, "unit": "sten"}}, ("unit-unknown", "valueQuantity.unit")),
        ({"valueQuantity": {"value": 700, "unit": "kg"}}, ("implausible", "valueQuantity.value")),
        ({"valueQuantity": {"value": "81"}}, ("invalid-resource", "valueQuantity.value")),
        ({"valueQuantity": None}, ("required-missing", "value[x]")),
        ({"status": "færdig"}, ("invalid-resource", "status")),
        ({"effectiveDateTime": None}, ("required-missing", "effectiveDateTime")),
        ({"effectiveDateTime": "2027-01-01T00:00:00Z"}, ("clock", "effectiveDateTime")),
        ({"subject": None}, ("identity-missing", "subject")),
        ({"subject": {"display": "Nancy"}}, ("identity-missing", "subject.reference")),
        ({"meta": {"security": [{"code": "HTEST"}]}}, ("test-message", "meta.security")),
        ({"interpretation": [{"coding": [{"code": "demo-data"}]}]}, ("test-message", "interpretation")),
        (
            {
                "code": {
                    "coding": [{"system": "http://loinc.org", "code": "29463-7"}, {"system": MDC, "code": "150364"}]
                }
            },
            ("value-invalid", "code"),
        ),
        ({"code": None}, ("invalid-resource", "code")),
    ],
)
def test_what_cannot_be_taken_has_its_reason_and_element(changed, reason):
    sent = {name: value for name, value in observation(**changed).items() if value is not None}
    code, at = refused(translated(sent))[0]
    assert (code, at) == (reason[0], f"Observation.{reason[1]}")


def test_an_observation_that_nobody_knows_passes_as_it_is():
    code = {"coding": [{"system": MDC, "code": "150604"}]}
    components = [
        {
            "code": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/ASN1ToHL7", "code": "150604.2"}]},
            "valueBoolean": True,
        }
    ]
    sent = observation(code=code, component=components)
    del sent["valueQuantity"]
    made = only(translated(sent))
    assert (made["code"], made["component"]) == (code, components)


def test_not_a_number_is_a_reading_that_says_so():
    absent = {
        "coding": [{"system": "http://terminology.hl7.org/CodeSystem/data-absent-reason", "code": "not-a-number"}]
    }
    sent = observation(dataAbsentReason=absent)
    del sent["valueQuantity"]
    assert only(translated(sent))["dataAbsentReason"] == absent


def test_a_glucose_in_mass_units_keeps_its_own_codes_alone():
    code = {"coding": [{"system": MDC, "code": "160188"}]}
    made = only(
        translated(
            observation(code=code, valueQuantity={"value": 99, "system": UCUM, "code": "mg/dL", "unit": "mg/dL"})
        )
    )
    assert made["code"] == code


def test_a_retraction_comes_after_what_it_retracts():
    first, second = (translated(observation(status=status)).changes[-1] for status in ("final", "entered-in-error"))
    assert first.resource["id"] == second.resource["id"]
    assert first.event_time < second.event_time == RECEIVED


def test_the_senders_identifier_is_the_business_key():
    identifier = [{"system": "urn:oid:2.999.5", "value": "abc"}]
    one = only(translated(observation(identifier=identifier)))
    other = only(translated(observation(identifier=identifier, effectiveDateTime="2026-11-19T08:00:00Z")))
    assert one["id"] == other["id"] != only(translated(observation()))["id"]


def device(**changed: Any) -> dict[str, Any]:
    return {
        "resourceType": "Device",
        "id": "d",
        "manufacturer": "A&D",
        "modelNumber": "UA-651",
        "serialNumber": "77",
        **changed,
    }


def test_a_device_of_the_message_is_taken_without_its_patient():
    sent = device(patient={"reference": "Patient/p"}, text={"status": "generated", "div": "<div>x</div>"})
    translation = translated(bundle(sent, observation(device={"reference": "Device/d"})))
    made = next(change for change in translation.changes if change.resource["resourceType"] == "Device")
    assert made.mode is Mode.ENSURE
    assert not {"patient", "text"} & set(made.resource)
    assert only(translation)["device"] == {"reference": f"Device/{made.resource['id']}"}


def test_the_same_instrument_is_one_device_from_json_and_from_fhir():
    origin = {
        "deviceMeasurement": {
            "manufacturer": "A&D",
            "model": "UA-651",
            "primaryDeviceIdentifier": {"serialNumber": "77"},
        }
    }
    ids = {
        change.resource["id"]
        for translation in (translated(device()), translated(reading(origin=origin)))
        for change in translation.changes
        if change.resource["resourceType"] == "Device"
    }
    assert len(ids) == 1


def test_a_device_that_nothing_names_is_refused_and_the_reading_goes_on():
    unnamed = {"resourceType": "Device", "id": "d", "status": "active"}
    translation = translated(bundle(unnamed, observation(device={"reference": "Device/d"})))
    assert refused(translation) == [("identity-missing", "Bundle.entry[0].resource.identifier")]
    assert observations(translation)[0]["device"] == {"identifier": {"system": "urn:id:home:Device", "value": "d"}}


@pytest.mark.parametrize("kind", ["collection", "transaction", "batch", "searchset"])
def test_bundles_of_these_kinds_are_opened_also_inside_one_another_and_in_parameters(kind):
    inner = bundle(observation(), kind=kind)
    outer = {"resourceType": "Parameters", "parameter": [{"name": "measurement", "resource": bundle(inner)}]}
    assert len(observations(translated(outer))) == 1
    assert split(json.dumps(outer), "application/fhir+json", feed())[0].person == PersonKey(CPR, "2512489996")


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (bundle(observation(), kind="message"), ("unsupported-type", "Bundle.type")),
        ({"resourceType": "Bundle", "type": "collection"}, ("structure", "Bundle.entry")),
        ({"resourceType": "Bundle", "type": "batch", "entry": [{"request": {}}]}, ("structure", "Bundle.entry[0]")),
        ({"resourceType": "Media", "status": "completed"}, ("unsupported-type", "Media")),
        (patient(), ("structure", "Patient")),
        ({"resourceType": 7}, ("structure", "resourceType")),
    ],
)
def test_envelopes_and_content_of_other_kinds_are_refused(document, reason):
    translation = translated(document)
    assert refused(translation) == [reason]
    assert not translation.changes


def test_what_is_about_the_message_is_passed_over_with_a_notice():
    provenance = {"resourceType": "Provenance", "id": "x"}
    translation = translated(bundle(observation(), provenance))
    assert not translation.reasons
    assert [(notice.code, notice.at) for notice in translation.notices] == [
        ("entry-passed-over", "Bundle.entry[1].resource")
    ]


def test_no_profile_is_claimed_that_does_not_hold():
    two = {
        "coding": [{"system": "http://loinc.org", "code": "29463-7"}, {"system": "http://loinc.org", "code": "3141-9"}]
    }
    assert "http://hl7.dk/fhir/core/StructureDefinition/dk-core-observation" not in only(
        translated(observation(code=two))
    ).get("meta", {}).get("profile", [])
    foreign = only(translated(observation(meta={"profile": ["http://example.org/claimed"], "tag": [{"code": "x"}]})))
    assert "http://example.org/claimed" not in foreign["meta"]["profile"]
    assert foreign["meta"]["tag"] == [{"code": "x"}]


def test_lineage_says_what_was_taken_as_sent_and_what_was_completed():
    trace = Trace()
    made = only(translated(observation(), trace=trace))
    rules = {step.element: (step.rule, step.source) for step in trace.of(f"Observation/{made['id']}")}
    assert rules["status"] == ("as sent", "Observation.status")
    assert rules["code"] == ("mappings/home/measurements.csv", "Observation.code")
