"""What the municipal feed makes of a HospitalNotification, rule by rule."""

from __future__ import annotations

import datetime as dt
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from adapters.municipal_medcom.compose import notification_activity, notification_status
from gateway.fhir import merge
from gateway.fhir.validate import validate
from gateway.model import Change, Mode
from tests.feeds.municipal_feed import (
    IDS,
    RECEIVED,
    altered,
    changes,
    context,
    only,
    translated,
)
from tests.feeds.municipal_samples import CPR, MORS, STIN, messages


def notified(code: str) -> dict[str, Any]:
    return only(translated(messages()[f"hospital-notification-{code}"]), "Encounter")


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
