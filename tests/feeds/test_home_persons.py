"""Whose a reading is, and when it was taken: numbers, links, clocks and zones of the home feed."""

from __future__ import annotations

import datetime as dt

import pytest

from adapters.home_readings.translate import split
from gateway.formats import json
from gateway.model import Mode, PersonKey
from tests.feeds.home_feed import (
    IDS,
    RECEIVED,
    feed,
    only,
    reading,
    refused,
    translated,
)

CPR = "urn:oid:1.2.208.176.1.2"
NNDNK = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "NNDNK"}]}


@pytest.mark.parametrize(
    "named",
    [
        {"patient": {"cpr": "2512489996"}},
        {"patient": {"cpr": "251248-9996"}},
        {"patient": "2512489996"},
        {"patient": {"system": CPR, "value": "2512489996"}},
        {"patient": {"system": "1.2.208.176.1.2", "value": "251248-9996"}},
        {
            "patient": {
                "identifier": [{"system": "urn:oid:2.999.1", "value": "7"}, {"system": CPR, "value": "2512489996"}]
            }
        },
        {"patient": {"uniqueId": "2512489996", "links": {"self": "https://v.example.dk/patients/7"}}},
        {"patient": None, "cpr": "2512489996"},
    ],
)
def test_a_person_is_the_same_however_named_and_the_door_sees_the_same_one(named):
    sent = reading(**named)
    translation = translated(sent)
    expected = PersonKey(CPR, "2512489996")
    assert translation.changes[0].resource == {
        "resourceType": "Patient",
        "id": IDS.patient(expected),
        "identifier": [{"use": "official", "type": NNDNK, "system": CPR, "value": "2512489996"}],
    }
    assert translation.changes[0].mode is Mode.ENSURE
    assert {change.lane for change in translation.changes} == {IDS.lane(expected)}
    assert split(json.dumps(sent), "application/json", feed())[0].person == expected


@pytest.mark.parametrize(
    "value", ["3102489996", "0000000000", "251248999", "25124899961", "251248x996", 2512489996, ["2512489996"]]
)
def test_an_impossible_cpr_number_is_refused_without_being_repeated(value):
    translation = translated(reading(patient={"cpr": value}))
    assert refused(translation) == [("identity-invalid", "patient.cpr")]
    assert str(value) not in translation.reasons[0].text


def test_modulus_11_is_not_asked_for_and_the_century_decides_a_leap_day():
    assert not translated(reading(patient={"cpr": "0101659989"})).reasons
    assert not translated(reading(patient={"cpr": "2902009989"})).reasons  # digit 7 is 9, year 00: 2000, a leap year
    assert translated(reading(patient={"cpr": "290200" + "0989"})).reasons  # digit 7 is 0: 1900, not one


def test_a_replacement_number_is_keyed_by_its_system():
    system = "urn:oid:1.2.208.176.1.6.1.3.183"
    patient = translated(reading(patient={"system": system, "value": "0203260WQ3"})).changes[0].resource
    assert patient["identifier"] == [{"use": "temp", "type": NNDNK, "system": system, "value": "0203260WQ3"}]
    assert refused(translated(reading(patient={"system": system, "value": "0203261WQ3"}))) == [
        ("identity-invalid", "patient.value")
    ]


def link(number, host="https://v.example.dk"):
    return {"links": {"patient": f"{host}/api/patients/{number}"}, "patient": None}


def test_a_link_names_a_person_under_the_vendors_own_naming_system():
    identifier = translated(reading(**link(7))).changes[0].resource["identifier"][0]
    assert (identifier["system"], identifier["value"]) == ("https://v.example.dk/api/patients", "7")
    mapped = {"https://v.example.dk/api/patients": "urn:oid:2.999.7"}
    identifier = translated(reading(**link(7)), systems=mapped).changes[0].resource["identifier"][0]
    assert identifier["system"] == "urn:oid:2.999.7"


def test_a_host_name_without_a_dot_is_another_host_at_every_feed():
    one = translated(reading(**link(7, "http://clinician:8080"))).changes[0].resource["identifier"][0]["system"]
    other = (
        translated(reading(**link(7, "http://clinician:8080")), name="other")
        .changes[0]
        .resource["identifier"][0]["system"]
    )
    assert one != other


def test_persons_who_come_with_the_readings_are_found_by_their_links():
    message = {"patients": [{"uniqueId": "2512489996", "links": {"self": "https://v.example.dk/api/patients/7"}}]}
    message["results"] = [reading(**link(7)), reading(**link(8))]
    identifiers = [c.resource["identifier"][0] for c in translated(message).changes if c.mode is Mode.ENSURE]
    assert [(each["system"], each["value"]) for each in identifiers] == [
        (CPR, "2512489996"),
        ("https://v.example.dk/api/patients", "8"),
    ]
    assert split(json.dumps(message), "", feed())[0].person == PersonKey(CPR, "2512489996")


def test_one_person_named_for_readings_of_two_is_refused_for_the_second():
    message = {
        "patient": {"cpr": "2512489996"},
        "results": [reading(**link(7)), reading("pulse", 60, "BPM", **link(8))],
    }
    assert refused(translated(message)) == [("identity-invalid", "results[1].links.patient")]


def test_a_reading_of_nobody_is_refused():
    assert refused(translated(reading(patient=None))) == [("identity-missing", "patient")]


@pytest.mark.parametrize(
    ("text", "becomes"),
    [
        ("2026-03-29T01:59:59", "2026-03-29T01:59:59+01:00"),
        ("2026-03-29T03:00:00", "2026-03-29T03:00:00+02:00"),
        ("2026-10-25T02:30:00", "2026-10-25T02:30:00+02:00"),
        ("2026-10-25T03:00:00", "2026-10-25T03:00:00+01:00"),
    ],
)
def test_a_time_without_a_zone_is_the_feeds_with_its_daylight_saving(text, becomes):
    translation = translated(reading(timestamp=text))
    assert only(translation)["effectiveDateTime"] == becomes
    assert [notice.code for notice in translation.notices] == ["zone-assumed"]


@pytest.mark.parametrize(
    "text",
    [
        "2026-02-30T08:00:00Z",
        "2026-11-20",
        "i går",
        1795000000,
        None,
        "2026-11-20T08:00:00+15:00",
        "2026-11-20T24:00:00Z",
    ],
)
def test_a_time_that_cannot_be_one_is_refused(text):
    assert refused(translated(reading(timestamp=text))) == [("value-invalid", "timestamp")]


def at(minutes: float) -> str:
    return (RECEIVED + dt.timedelta(minutes=minutes)).isoformat()


def test_without_sent_at_a_reading_may_be_five_minutes_ahead_and_no_more():
    assert not translated(reading(timestamp=at(4.9))).reasons
    assert refused(translated(reading(timestamp=at(5.1)))) == [("clock", "timestamp")]
    assert refused(translated(reading(timestamp="2000-01-01T00:00:05Z"))) == [("clock", "timestamp")]


def test_a_clock_that_is_off_is_corrected_and_its_own_time_kept():
    translation = translated({"sent_at": at(-120), "results": [reading(timestamp=at(-150))]})
    observation = only(translation)
    assert observation["effectiveDateTime"] == at(-30)
    assert observation["_effectiveDateTime"]["extension"][0]["valueDateTime"] == at(-150)
    assert [notice.code for notice in translation.notices] == ["clock-corrected"]
    assert observation["id"] == only(translated(reading(timestamp=at(-150))))["id"]


def test_a_corrected_reading_sent_again_seconds_later_has_the_same_content():
    first = translated({"sent_at": at(-120), "results": [reading(timestamp=at(-150))]})
    later = {"sent_at": at(-115), "results": [reading(timestamp=at(-150))]}
    again = translated(later, received_at=RECEIVED + dt.timedelta(minutes=5, seconds=11))
    assert json.dumps(only(first)) == json.dumps(only(again))


@pytest.mark.parametrize(
    ("sent", "measured", "place"), [(-49 * 60, -50 * 60, "sent_at"), (49 * 60, 0, "sent_at"), (0, 2, "timestamp")]
)
def test_a_clock_that_cannot_be_placed_is_refused(sent, measured, place):
    translation = translated({"sent_at": at(sent), "results": [reading(timestamp=at(measured))]})
    assert refused(translation) == [("clock", f"results[0].{place}")]


def test_a_clock_within_a_minute_is_left_alone():
    observation = only(translated({"sent_at": at(-0.9), "results": [reading(timestamp=at(-3))]}))
    assert observation["effectiveDateTime"] == at(-3)
    assert "_effectiveDateTime" not in observation
