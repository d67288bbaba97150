"""What the municipal feed makes of a HomeCareObservation, rule by rule."""

from __future__ import annotations

import copy
from decimal import Decimal
from typing import Any

import pytest

from gateway.model import Mode
from tests.feeds.municipal_feed import (
    altered,
    changes,
    only,
    part,
    refused,
    translated,
)
from tests.feeds.municipal_samples import NPU, OID, REPORT, messages


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
