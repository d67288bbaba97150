"""What the municipal feed refuses, with the place and never the value; and which number names a person."""

from __future__ import annotations

import pytest

from adapters.municipal_medcom.message import ENTRIES_MAX
from gateway.model import PersonKey
from tests.feeds.municipal_feed import (
    IDS,
    altered,
    drop,
    only,
    put,
    refused,
    translated,
)
from tests.feeds.municipal_samples import CITIZEN, CPR, REPORT, STIN

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
