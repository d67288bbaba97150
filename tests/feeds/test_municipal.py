"""What the municipal feed makes of MedCom messages, rule by rule."""

from __future__ import annotations

import copy
import datetime as dt
import json as plain_json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.municipal_medcom import translate as municipal
from adapters.municipal_medcom.compose import notification_activity, notification_status
from adapters.municipal_medcom.message import ENTRIES_MAX
from gateway.errors import Unprocessable
from gateway.fhir import merge
from gateway.fhir import xml as fhirxml
from gateway.fhir.validate import validate
from gateway.formats import json
from gateway.model import Change, Mode, PersonKey, Trace
from tests.feeds.municipal_feed import (
    IDS,
    RECEIVED,
    altered,
    changes,
    context,
    feed,
    only,
    part,
    refused,
    translated,
)
from tests.feeds.municipal_samples import CITIZEN, messages

CPR = PersonKey("urn:oid:1.2.208.176.1.2", CITIZEN.cpr)
STIN = messages()["hospital-notification-stin"]
MORS = messages()["hospital-notification-mors"]
REPORT = messages()["homecare-observation-report"]
NPU = "http://npu-terminology.org"
OID = "urn:oid:1.2.208.176.2.1"


def notified(code: str) -> dict[str, Any]:
    return only(translated(messages()[f"hospital-notification-{code}"]), "Encounter")


# ── the door's look ──────────────────────────────────────────────────────────────────────────────────────────────


def test_the_door_finds_person_and_control_id_in_json_and_in_xml_and_behind_a_byte_order_mark():
    written = json.dumps(STIN)
    shuffled = plain_json.dumps(STIN, sort_keys=True, indent=2).encode()
    for body in (written, shuffled, b"\xef\xbb\xbf" + written, b"\n " + written, fhirxml.dumps(STIN)):
        (piece,) = municipal.split(body, "application/octet-stream", feed())
        assert piece.person == CPR
        assert piece.control_id == STIN["entry"][0]["resource"]["id"]
        assert piece.body == body


def test_ndjson_is_cut_into_its_lines_and_a_bad_line_is_still_a_piece():
    body = b"\n".join([json.dumps(STIN), b"{nonsense", b"", json.dumps(REPORT)])
    pieces = municipal.split(body, "application/fhir+ndjson; charset=utf-8", feed())
    assert [piece.person for piece in pieces] == [CPR, None, CPR]
    assert b"\n".join(piece.body for piece in pieces) == body.replace(b"\n\n", b"\n")
    assert refused(translated(pieces[1].body)) == [("malformed", "line 1 column 2")]


@pytest.mark.parametrize(
    "body", [b"", b"   ", b"MSH|^~\\&|", b"{", b"[1", b"<a>", b"<!DOCTYPE a><a/>", b"\xff\xfe{\x00}\x00", b'"x']
)
def test_a_body_that_is_neither_json_nor_xml_is_refused_at_the_door(body):
    for content_type in ("application/fhir+json", "application/fhir+xml"):
        with pytest.raises(Unprocessable):
            municipal.split(body, content_type, feed())


@pytest.mark.parametrize(
    "value", [{}, [], 7, {"entry": 7}, {"entry": [7, {}, {"resource": 7}, {"resource": {"resourceType": "Patient"}}]}]
)
def test_json_of_another_shape_is_written_down_before_it_is_understood(value):
    (piece,) = municipal.split(json.dumps(value), "application/json", feed())
    assert piece.person is None
    assert translated(piece.body).reasons


def test_a_cpr_number_written_with_a_hyphen_is_the_same_person():
    def hyphen(patient: dict[str, Any]) -> None:
        patient["identifier"][0]["value"] = f"{CITIZEN.cpr[:6]}-{CITIZEN.cpr[6:]}"

    message = altered(STIN, hyphen, "Patient")
    (piece,) = municipal.split(json.dumps(message), "application/fhir+json", feed())
    assert piece.person == CPR
    assert only(translated(message), "Patient")["identifier"][0]["value"] == CITIZEN.cpr


# ── HospitalNotification ─────────────────────────────────────────────────────────────────────────────────────────


def test_every_letter_of_a_stay_is_about_one_encounter_of_one_patient_on_one_lane():
    made = [translated(message) for name, message in messages().items() if name.startswith("hospital")]
    assert len({only(one, "Encounter")["id"] for one in made}) == 1
    assert {change.lane for one in made for kind in ("Encounter", "Patient") for change in changes(one, kind)} == {
        IDS.lane(CPR)
    }
    assert {change.lane for one in made for change in changes(one, "Organization")} == {None}
    assert {only(one, "Encounter")["subject"]["reference"] for one in made} == {f"Patient/{IDS.patient(CPR)}"}


def test_the_table_of_notification_codes_holds_for_what_is_composed_and_what_comes_out():
    rows = {(row["row"], row["class"]): row for row in context().tables.rows("medcom/hospital-notification")}
    for (code, encounter_class), row in rows.items():
        if encounter_class != "*":
            assert notification_activity(code, encounter_class) == row["activity"], code
            assert notification_status(code) == row["status"], code
    for code in ("stin", "stor", "slor", "slhj", "re_stin", "an_stin", "staa", "mors"):
        assert notified(code)["status"] == notification_status(code.upper()), code
        assert translated(messages()[f"hospital-notification-{code}"]).notices == [], code


def test_the_event_time_is_when_it_happened_by_the_senders_clock():
    (change,) = changes(translated(STIN), "Encounter")
    assert change.mode is Mode.MERGE
    assert change.event_time == dt.datetime(2026, 3, 26, 9, 5, tzinfo=dt.UTC)


def test_history_that_the_letter_carries_along_does_not_date_it_whatever_its_order():
    message = altered(
        messages()["hospital-notification-slhj"], lambda bundle: bundle["entry"].append(bundle["entry"].pop(5))
    )
    (change,) = changes(translated(message), "Encounter")
    assert change.event_time == dt.datetime(2026, 3, 30, 9, 0, tzinfo=dt.UTC)
    assert only(translated(message), "Provenance")["activity"]["coding"][0]["code"] == "discharge-inpatient-home"


def test_a_death_is_stated_and_the_rest_of_the_patient_only_mentioned():
    mentioned, stated = changes(translated(MORS), "Patient")
    assert mentioned.mode is Mode.ENSURE
    assert "deceasedBoolean" not in mentioned.resource
    assert stated.mode is Mode.MERGE
    assert stated.resource == {"resourceType": "Patient", "id": IDS.patient(CPR), "deceasedBoolean": True}
    assert only(translated(MORS), "Provenance")["activity"]["coding"][0]["code"] == "admit-inpatient"


def stored(changes_in_order: list[Change]) -> dict[str, Any]:
    """What the store ends with for one resource."""
    resource, state = None, None
    for change in changes_in_order:
        resource, state, _ = merge.merge(resource, state, change, feed="municipal", received_at=RECEIVED)
    assert resource is not None
    return resource


def test_a_death_gets_past_what_the_hospital_said_before_and_can_be_taken_back():
    patient = {"resourceType": "Patient", "id": IDS.patient(CPR), "deceasedDateTime": "2026-03-27"}
    admitted = Change(patient, Mode.MERGE, IDS.lane(CPR), dt.datetime(2026, 3, 27, tzinfo=dt.UTC))
    died = changes(translated(MORS), "Patient")
    lived = changes(translated(messages()["hospital-notification-an_mors"]), "Patient")
    for order in ([admitted, *died], [*died, admitted], [*reversed(died), admitted]):
        assert stored(order)["deceasedBoolean"] is True
        assert "deceasedDateTime" not in stored(order)
    for order in ([admitted, *died, *lived], [*lived, *died, admitted]):
        assert stored(order)["deceasedBoolean"] is False
        assert validate(stored(order)) == []


@given(st.permutations(["stin", "stor", "slor", "slhj"]))
def test_the_letters_of_a_stay_end_in_the_same_encounter_in_whatever_order_they_come(order):
    letters = [changes(translated(messages()[f"hospital-notification-{name}"]), "Encounter")[0] for name in order]
    made = stored(letters)
    assert made["status"] == "finished"
    assert made["period"] == {"start": "2026-03-26T10:00:00+01:00", "end": "2026-03-30T11:00:00+02:00"}
    assert made["extension"][0]["valuePeriod"]["end"] == "2026-03-29T20:00:00+02:00"
    assert validate(made) == []


@given(st.permutations(["stin", "re_stin", "an_stin"]))
def test_a_cancelled_admission_is_in_error_in_whatever_order_its_letters_come(order):
    letters = [changes(translated(messages()[f"hospital-notification-{name}"]), "Encounter")[0] for name in order]
    assert stored(letters)["status"] == "entered-in-error"


def test_a_letter_that_says_nothing_of_death_leaves_it_alone():
    (mentioned,) = changes(translated(STIN), "Patient")
    assert mentioned.mode is Mode.ENSURE


def test_a_cancelled_leave_takes_its_period_away_and_other_letters_leave_it():
    def cancelled(bundle: dict[str, Any]) -> None:
        bundle["entry"][-1]["resource"]["activity"]["coding"][0]["code"] = "cancel-start-leave-inpatient"
        bundle["entry"][2]["resource"]["status"] = "in-progress"

    (change,) = changes(translated(altered(messages()["hospital-notification-stor"], cancelled)), "Encounter")
    assert change.clear == ("extension",)
    assert "extension" not in change.resource
    (home,) = changes(translated(messages()["hospital-notification-slhj"]), "Encounter")
    assert home.clear == ()


def test_the_leave_period_is_known_under_older_canonicals():
    def older(encounter: dict[str, Any]) -> None:
        encounter["extension"][0]["url"] = encounter["extension"][0]["url"].replace("/ig/", "/fhir/ig/")
        encounter["extension"].append({"url": "http://example.org/else", "valueString": "x"})

    made = only(translated(altered(messages()["hospital-notification-stor"], older, "Encounter")), "Encounter")
    assert [item["url"].split("/")[3:5] for item in made["extension"]] == [["ig", "hospitalnotification"]]


def test_the_stay_is_named_by_the_hospitals_own_number_before_the_national_one():
    national = {
        "identifier": {"system": "https://www.esundhed.dk/Registre/Landspatientregisteret", "value": "urn:uuid:x"}
    }
    both = altered(STIN, lambda encounter: encounter["episodeOfCare"].insert(0, national), "Encounter")
    assert only(translated(both), "Encounter")["id"] == only(translated(STIN), "Encounter")["id"]
    alone = altered(STIN, lambda encounter: encounter.update(episodeOfCare=[national]), "Encounter")
    assert only(translated(alone), "Encounter")["id"] != only(translated(STIN), "Encounter")["id"]


def test_what_the_profile_forbids_in_an_encounter_is_not_carried_further_and_said_so():
    def diagnosis(encounter: dict[str, Any]) -> None:
        encounter["reasonCode"] = [{"text": "private"}]
        encounter["diagnosis"] = [{"condition": {"reference": "Condition/none"}}]

    made = translated(altered(STIN, diagnosis, "Encounter"))
    assert {"reasonCode", "diagnosis"}.isdisjoint(only(made, "Encounter"))
    assert [(notice.code, notice.at) for notice in made.notices] == [
        ("element-not-taken", "Bundle.entry[2].resource.reasonCode"),
        ("element-not-taken", "Bundle.entry[2].resource.diagnosis"),
    ]


def test_a_combination_that_is_no_notification_code_is_taken_and_noticed():
    made = translated(altered(MORS, lambda encounter: encounter.update(status="in-progress"), "Encounter"))
    assert only(made, "Encounter")["status"] == "in-progress"
    assert [notice.code for notice in made.notices] == ["code-combination"]


def drop(*path: Any):
    def change(resource: Any) -> None:
        for step in path[:-1]:
            resource = resource[step]
        del resource[path[-1]]

    return change


def put(value: Any, *path: Any):
    def change(resource: Any) -> None:
        for step in path[:-1]:
            resource = resource[step]
        resource[path[-1]] = value

    return change


ENCOUNTER, PROVENANCE = "Bundle.entry[2].resource", "Bundle.entry[5].resource"


@pytest.mark.parametrize(
    ("kind", "change", "code", "at"),
    [
        ("Encounter", put("arrived", "status"), "code-unknown", f"{ENCOUNTER}.status"),
        ("Encounter", put("AMB", "class", "code"), "code-unknown", f"{ENCOUNTER}.class.code"),
        ("Encounter", drop("status"), "required-missing", f"{ENCOUNTER}.status"),
        ("Encounter", drop("class"), "required-missing", f"{ENCOUNTER}.class"),
        ("Encounter", drop("subject"), "required-missing", f"{ENCOUNTER}.subject"),
        ("Encounter", drop("serviceProvider"), "required-missing", f"{ENCOUNTER}.serviceProvider"),
        ("Encounter", drop("episodeOfCare"), "required-missing", f"{ENCOUNTER}.episodeOfCare"),
        ("Encounter", drop("period", "start"), "required-missing", f"{ENCOUNTER}.period.start"),
        ("Encounter", put("2026-03-26T10:00:00", "period", "start"), "value-invalid", f"{ENCOUNTER}.period.start"),
        ("Encounter", put("2026-03-32T10:00:00Z", "period", "start"), "value-invalid", f"{ENCOUNTER}.period.start"),
        ("Encounter", put("${start}", "period", "start"), "value-invalid", f"{ENCOUNTER}.period.start"),
        ("Encounter", put("2099-01-01T10:00:00Z", "period", "start"), "clock", f"{ENCOUNTER}.period.start"),
        ("Encounter", put("26/3", "period", "end"), "value-invalid", f"{ENCOUNTER}.period.end"),
        ("Encounter", put({"reference": "Patient/x"}, "subject"), "reference-broken", f"{ENCOUNTER}.subject.reference"),
        ("Encounter", put(7, "subject"), "value-invalid", f"{ENCOUNTER}.subject"),
        (
            "Patient",
            put("3113009996", "identifier", 0, "value"),
            "identity-invalid",
            "Bundle.entry[1].resource.identifier[0].value",
        ),
        (
            "Patient",
            put("${cpr}", "identifier", 0, "value"),
            "identity-invalid",
            "Bundle.entry[1].resource.identifier[0].value",
        ),
        ("Patient", drop("identifier"), "identity-missing", "Bundle.entry[1].resource.identifier"),
        ("Patient", put("Berggren", "name"), "value-invalid", "Bundle.entry[1].resource.name"),
        ("Patient", put("yes", "deceasedBoolean"), "value-invalid", "Bundle.entry[1].resource.deceasedBoolean"),
        ("Provenance", put("${when}", "occurredDateTime"), "value-invalid", f"{PROVENANCE}.occurredDateTime"),
        ("Provenance", put("2099-01-01T10:00:00Z", "occurredDateTime"), "clock", f"{PROVENANCE}.occurredDateTime"),
        (
            "Provenance",
            put("admit-hotel", "activity", "coding", 0, "code"),
            "code-unknown",
            f"{PROVENANCE}.activity.coding[0].code",
        ),
        ("Provenance", drop("recorded"), "required-missing", f"{PROVENANCE}.recorded"),
        ("Provenance", put([{"reference": "MessageHeader/x"}], "target"), "structure", "Bundle.entry"),
        ("MessageHeader", drop("focus"), "required-missing", "Bundle.entry[0].resource.focus"),
        ("MessageHeader", drop("sender"), "required-missing", "Bundle.entry[0].resource.sender"),
        ("MessageHeader", drop("destination"), "required-missing", "Bundle.entry[0].resource.destination"),
        ("Bundle", put("collection", "type"), "structure", "Bundle.type"),
        ("Bundle", drop("id"), "required-missing", "Bundle.id"),
        ("Bundle", drop("entry", 0), "structure", "Bundle.entry"),
        ("Bundle", drop("entry", 1), "structure", "Bundle.entry"),
        ("Bundle", lambda bundle: bundle["entry"].reverse(), "structure", "Bundle.entry"),
        (
            "Bundle",
            lambda bundle: bundle["entry"].extend(bundle["entry"][3:4] * ENTRIES_MAX),
            "too-large",
            "Bundle.entry",
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_place_and_never_its_value(kind, change, code, at):
    made = translated(altered(STIN, change, kind))
    assert (code, at) in refused(made)
    assert all(CITIZEN.cpr not in reason.text + reason.at for reason in made.reasons)


def test_a_replacement_number_is_a_person_for_a_measurement_but_not_for_a_notification():
    replacement = [{"system": "urn:oid:1.2.208.176.1.6.1.1", "value": "0703921VJ4"}]
    change = put(replacement, "identifier")
    assert refused(translated(altered(STIN, change, "Patient"))) == [
        ("identity-invalid", "Bundle.entry[1].resource.identifier")
    ]
    patient = only(translated(altered(REPORT, change, "Patient")), "Patient")
    assert patient["identifier"] == [{**replacement[0], "use": "temp"}]
    assert patient["id"] == IDS.patient(PersonKey(replacement[0]["system"], replacement[0]["value"]))


def test_the_best_number_of_a_person_names_the_person():
    both = [
        {"system": "urn:oid:1.2.208.176.1.6.1.1", "value": "0703921VJ4"},
        {"system": CPR.system, "value": CPR.value},
    ]
    assert only(translated(altered(REPORT, put(both, "identifier"), "Patient")), "Patient")["id"] == IDS.patient(CPR)


# ── HomeCareObservation ──────────────────────────────────────────────────────────────────────────────────────────


def observed(message: dict[str, Any], code: str) -> dict[str, Any]:
    made = translated(message)
    assert not made.reasons, made.reasons
    (found,) = [
        change.resource
        for change in changes(made, "Observation")
        if any(coding["code"] == code for coding in change.resource["code"]["coding"])
    ]
    return found


def measured(code: str, quantity: Any) -> dict[str, Any]:
    """The report with another quantity under a code."""
    made = copy.deepcopy(REPORT)
    for entry in made["entry"]:
        if (
            entry["resource"]["resourceType"] == "Observation"
            and entry["resource"]["code"]["coding"][0]["code"] == code
        ):
            entry["resource"]["valueQuantity"] = quantity
    return made


def test_a_measurement_keeps_the_senders_code_and_gets_the_house_and_international_ones_beside_it():
    codings = observed(REPORT, "DNK05472")["code"]["coding"]
    assert [(one["system"], one["code"]) for one in codings] == [
        (OID, "DNK05472"),
        (NPU, "DNK05472"),
        ("http://loinc.org", "8480-6"),
        ("urn:iso:std:iso:11073:10101", "150021"),
    ]


@pytest.mark.parametrize(
    ("code", "unit", "ucum"),
    [
        ("DNK05472", "mmHg", "mm[Hg]"),
        ("NPU21692", " 1/min", "/min"),
        ("NPU08676", "°C", "Cel"),
        ("NPU19748", "mg/l", "mg/L"),
    ],
)
def test_a_unit_in_words_gets_its_ucum_code_and_stays_as_written(code, unit, ucum):
    quantity = observed(measured(code, {"value": Decimal("92.0"), "unit": unit}), code)["valueQuantity"]
    assert quantity == {
        "value": Decimal("92.0"),
        "unit": unit.strip(),
        "system": "http://unitsofmeasure.org",
        "code": ucum,
    }
    assert str(quantity["value"]) == "92.0"


def test_a_unit_that_has_no_ucum_code_is_kept_and_noticed():
    made = translated(REPORT)
    assert observed(REPORT, "NPU04206")["valueQuantity"] == {"value": 1, "unit": "+"}
    assert [notice.code for notice in made.notices] == ["unit-without-ucum"]


def test_a_measured_value_without_any_unit_is_rejected_but_a_score_needs_none():
    made = translated(measured("DNK05472", {"value": 147}))
    assert [code for code, _ in refused(made)] == ["unit-unknown"]
    assert observed(measured("MCS88125", {"value": 3}), "MCS88125")["valueQuantity"]["code"] == "1"


@pytest.mark.parametrize(
    ("sent", "value"),
    [
        ({"value": Decimal("0.94"), "system": "http://unitsofmeasure.org", "code": "1"}, "94"),
        ({"value": Decimal("0.940"), "unit": "NA"}, "94.0"),
        ({"value": Decimal("0.94")}, "94"),
        ({"value": 1}, "100"),
        ({"value": Decimal("0.9")}, "90"),
        ({"value": 94, "unit": "1"}, "94"),
        ({"value": 94}, "94"),
    ],
)
def test_a_saturation_becomes_percent_and_keeps_what_was_sent(sent, value):
    quantity = observed(measured("NPU10197", sent), "NPU10197")["valueQuantity"]
    assert (str(quantity["value"]), quantity["unit"], quantity["code"]) == (value, "%", "%")
    assert quantity["extension"] == [
        {"url": "http://hl7.org/fhir/StructureDefinition/iso21090-PQ-translation", "valueQuantity": sent}
    ]


def test_a_saturation_in_percent_is_left_as_it_is():
    sent = {"value": 94, "unit": "%", "system": "http://unitsofmeasure.org", "code": "%"}
    assert observed(measured("NPU10197", sent), "NPU10197")["valueQuantity"] == sent


@pytest.mark.parametrize(
    "sent",
    [
        {"value": 12},
        {"value": 101},
        {"value": -1},
        {"value": Decimal("0.94"), "unit": "%"},
        {"value": 940, "unit": "%"},
    ],
)
def test_a_saturation_that_cannot_be_is_rejected(sent):
    assert [code for code, _ in refused(translated(measured("NPU10197", sent)))] == ["implausible"]


def test_a_comparator_survives():
    sent = {"value": 5, "comparator": "<", "unit": "mg/L"}
    assert observed(measured("NPU19748", sent), "NPU19748")["valueQuantity"]["comparator"] == "<"


def test_a_value_in_a_unit_other_than_the_codes_keeps_its_own_code_only():
    made = observed(
        measured("NPU19748", {"value": 26, "system": "http://unitsofmeasure.org", "code": "ug/L"}), "NPU19748"
    )
    assert {one["system"] for one in made["code"]["coding"]} == {OID, NPU}


def test_a_corrected_report_meets_the_same_report_and_observations_and_comes_after():
    before, after = translated(REPORT), translated(messages()["homecare-observation-report-corrected"])
    ids = [[change.resource["id"] for change in changes(one, "Observation")] for one in (before, after)]
    assert sorted(ids[0]) == sorted(ids[1])
    assert only(before, "DiagnosticReport")["id"] == only(after, "DiagnosticReport")["id"]
    assert changes(before, "DiagnosticReport")[0].event_time < changes(after, "DiagnosticReport")[0].event_time
    assert changes(after, "DiagnosticReport")[0].mode is Mode.PUT
    assert observed(REPORT, "DNK05472")["valueQuantity"]["value"] == 147
    assert observed(messages()["homecare-observation-report-corrected"], "DNK05472")["valueQuantity"]["value"] == 149


def test_two_measurements_of_one_code_are_two_observations():
    def twice(bundle: dict[str, Any]) -> None:
        second = copy.deepcopy(bundle["entry"][-1])
        second["fullUrl"] += "2"
        second["resource"]["id"] += "2"
        bundle["entry"].append(second)
        report = part(bundle, "DiagnosticReport")
        report["result"].append({"reference": f"Observation/{second['resource']['id']}"})

    made = translated(altered(REPORT, twice))
    assert len({change.resource["id"] for change in changes(made, "Observation")}) == 11


def test_a_report_that_must_not_be_shared_marks_what_it_holds():
    made = translated(messages()["homecare-observation-report-restricted"])
    marked = [
        change.resource["meta"]["security"][0]["code"]
        for kind in ("DiagnosticReport", "Observation")
        for change in changes(made, kind)
    ]
    assert marked == ["R", "R", "R"]


def test_a_report_taken_back_is_entered_in_error_with_all_it_holds():
    def retract(bundle: dict[str, Any]) -> None:
        part(bundle, "Provenance")["activity"]["coding"][0]["code"] = "retract-message"

    made = translated(altered(REPORT, retract))
    states = {
        change.resource["status"] for kind in ("DiagnosticReport", "Observation") for change in changes(made, kind)
    }
    assert states == {"entered-in-error"}


def test_a_reading_about_somebody_else_is_never_taken():
    def stranger(bundle: dict[str, Any]) -> None:
        bundle["entry"][-1]["resource"]["subject"] = {"reference": "Patient/another"}

    made = translated(altered(REPORT, stranger))
    at = f"Bundle.entry[{len(REPORT['entry']) - 1}].resource.subject.reference"
    assert refused(made) == [("reference-broken", at)]


def test_references_that_go_in_a_circle_end():
    def circle(bundle: dict[str, Any]) -> None:
        observation = bundle["entry"][-1]["resource"]
        observation["hasMember"] = [{"reference": f"Observation/{observation['id']}"}]

    made = translated(altered(REPORT, circle))
    assert not made.reasons
    assert changes(made, "Observation")[-1].resource["hasMember"][0]["reference"].startswith("Observation/")


def test_revisions_that_go_in_a_circle_end():
    def circle(bundle: dict[str, Any]) -> None:
        first, second = bundle["entry"][-12]["resource"], bundle["entry"][-11]["resource"]
        assert {first["resourceType"], second["resourceType"]} == {"Provenance"}
        first["entity"] = [{"role": "revision", "what": {"reference": second["target"][0]["reference"]}}]

    assert not translated(altered(messages()["homecare-observation-report-corrected"], circle)).reasons


# ── acknowledgements ─────────────────────────────────────────────────────────────────────────────────────────────


def answer(body: bytes | None) -> dict[str, Any]:
    assert body is not None
    made = json.loads(body)
    assert isinstance(made, dict)
    return made


def test_a_message_taken_is_answered_ok_with_its_letter_and_not_its_envelope():
    made = translated(STIN)
    response = part(answer(made.reply), "MessageHeader")["response"]
    assert response == {"identifier": STIN["entry"][0]["resource"]["id"], "code": "ok"}
    assert (made.letter, made.envelope) == (response["identifier"], STIN["id"])
    assert [entry["resource"]["resourceType"] for entry in answer(made.reply)["entry"]].count("Provenance") == 2


def test_a_message_rejected_is_answered_with_the_reasons_and_nothing_of_the_person():
    made = translated(altered(STIN, put("arrived", "status"), "Encounter"))
    reply = answer(made.reply)
    assert part(reply, "MessageHeader")["response"]["code"] == "fatal-error"
    (issue,) = part(reply, "OperationOutcome")["issue"]
    assert issue["expression"] == ["Bundle.entry[2].resource.status"]
    assert issue["details"]["coding"][0]["code"] == "MSG_VALUESET_VALUE_UNKNOWN"
    assert CITIZEN.cpr.encode() not in (made.reply or b"")


@pytest.mark.parametrize("event", ["care-communication-message", "empty-message", "x" * 50, CITIZEN.cpr])
def test_another_type_is_answered_with_medcoms_code_for_it_and_its_name_is_not_repeated(event):
    made = translated(altered(STIN, put(event, "eventCoding", "code"), "MessageHeader"))
    assert refused(made) == [("unsupported-type", "Bundle.entry[0].resource.eventCoding")]
    issue = part(answer(made.reply), "OperationOutcome")["issue"][0]
    assert issue["details"]["coding"][0]["code"] == "MSG_RECEIVER_UNABLE_TO_RECEIVE_MSG_TYPE"
    assert made.message_type == (event if event.endswith("-message") else "unknown")


def test_an_envelope_used_again_around_another_letter_has_its_own_answer():
    made = translated(STIN)
    reply = answer(made.reply_reused)
    assert part(reply, "MessageHeader")["response"]["code"] == "fatal-error"
    assert part(reply, "OperationOutcome")["issue"][0]["code"] == "duplicate"
    assert reply["id"] != answer(made.reply)["id"]


def test_a_sender_of_xml_is_answered_in_xml_and_gets_the_same_resources():
    from_json, from_xml = translated(STIN), translated(fhirxml.dumps(STIN))
    assert from_xml.reply_content_type == "application/fhir+xml"
    assert fhirxml.loads(from_xml.reply or b"") == answer(from_json.reply)
    in_order = [
        sorted((change.resource for change in one.changes), key=lambda made: str(made["id"]))
        for one in (from_xml, from_json)
    ]
    assert in_order[0] == in_order[1]


def test_the_same_message_at_the_same_moment_gives_the_same_bytes_and_another_moment_the_same_resources():
    once, again = translated(REPORT), translated(REPORT)
    assert (once.reply, once.reply_reused, once.changes) == (again.reply, again.reply_reused, again.changes)
    later = translated(REPORT, received_at=RECEIVED + dt.timedelta(days=1))
    assert later.changes == once.changes


def test_an_acknowledgement_is_recorded_and_never_acknowledged():
    rejected = translated(altered(STIN, put("arrived", "status"), "Encounter"))
    made = translated(rejected.reply)
    assert made.reply is None
    assert made.reply_reused is None
    header = only(made, "MessageHeader")
    assert header["response"]["identifier"] == STIN["entry"][0]["resource"]["id"]
    assert header["response"]["details"] == {"reference": "#outcome"}
    assert header["contained"][0]["resourceType"] == "OperationOutcome"
    assert {change.lane for change in made.changes} == {None}


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        ("MessageHeader", ("source",)),
        ("MessageHeader", ("destination", 0, "receiver")),
        ("Organization", ("identifier", 0)),
    ],
)
def test_a_message_that_could_not_be_acknowledged_is_not_taken(kind, path):
    made = translated(altered(STIN, drop(*path), kind))
    assert refused(made)
    assert made.reply is None


# ── lineage, secrets ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("message", [STIN, MORS, REPORT])
def test_every_element_has_its_line_of_lineage(message):
    trace = Trace()
    made = translated(message, trace=trace)
    for change in made.changes:
        reference = f"{change.resource['resourceType']}/{change.resource['id']}"
        told = {step.element.partition(".")[0].partition("[")[0] for step in trace.of(reference)}
        assert set(change.resource) - {"resourceType"} <= told, reference
    assert all(step.source.startswith("Bundle.entry[") for step in trace.steps)
    assert made.changes == translated(message).changes


def test_nothing_but_resources_and_bodies_carries_the_persons_number():
    made = translated(MORS)
    for change in made.changes:
        assert CITIZEN.cpr not in change.resource["id"]
    assert CITIZEN.cpr.encode() not in (made.reply or b"") + (made.reply_reused or b"")
    assert CITIZEN.cpr not in repr((made.reasons, made.notices, made.letter, made.envelope, made.message_type))


def test_a_name_that_is_a_persons_number_is_not_shown_as_a_place():
    made = translated(altered(STIN, put({"reference": "Nothing/x"}, CITIZEN.cpr), "MessageHeader"))
    assert refused(made)
    assert all(CITIZEN.cpr not in reason.at + reason.text for reason in made.reasons)
