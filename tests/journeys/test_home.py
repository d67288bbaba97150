"""Readings from homes: alone, in batches, line by line, packed; the good ones are taken when others are not."""

from __future__ import annotations

import datetime as dt
import gzip
import json

from tests.gateway import Gateway
from tests.messages import MORNING, People, Person, lines, reading

NDJSON = "application/x-ndjson"


def minutes(count: int) -> list[dt.datetime]:
    return [MORNING + dt.timedelta(minutes=n) for n in range(count)]


def test_a_reading_becomes_an_observation_that_is_found_by_its_code(gateway: Gateway, person: Person) -> None:
    answer = gateway.sent("home", json.dumps(reading(person, value=71)).encode())
    assert answer["state"] == "stored"
    patient = next(name for name in answer["resources"] if name.startswith("Patient/"))
    (pulse,) = gateway.resources(f"Observation?patient={patient}&code=http://loinc.org|8867-4")
    assert f"Observation/{pulse['id']}" in answer["resources"]
    assert pulse["valueQuantity"] == {
        "value": 71,
        "unit": pulse["valueQuantity"]["unit"],
        "system": "http://unitsofmeasure.org",
        "code": "/min",
    }


def test_lines_get_a_receipt_each_in_their_order(gateway: Gateway, people: People) -> None:
    persons = [people.one() for _ in range(5)]
    body = lines([reading(person, value=60 + n) for n, person in enumerate(persons)])
    answer = gateway.post("home", body, NDJSON)
    assert answer.status_code == 202
    outcomes = [gateway.outcome(one["status"]) for one in answer.json()]
    assert [one["state"] for one in outcomes] == ["stored"] * 5
    values = []
    for outcome in outcomes:
        name = next(one for one in outcome["resources"] if one.startswith("Observation/"))
        values.append(gateway.get(f"/fhir/{name}").json()["valueQuantity"]["value"])
    assert values == [60, 61, 62, 63, 64]


def test_a_line_that_is_not_json_is_refused_and_the_others_are_taken(gateway: Gateway, person: Person) -> None:
    body = lines([reading(person)]) + b"{not json\n" + lines([reading(person, at=MORNING + dt.timedelta(hours=1))])
    first, second, third = gateway.post("home", body, NDJSON).json()
    assert second["state"] == "refused"
    assert second["reasons"][0]["code"] == "malformed"
    assert [gateway.outcome(one["status"])["state"] for one in (first, third)] == ["stored", "stored"]


def test_a_packed_batch_of_which_some_readings_are_no_good_is_stored_in_part(gateway: Gateway, person: Person) -> None:
    good = [reading(person, value=70 + n, at=at) for n, at in enumerate(minutes(3))]
    bad = [reading(person, value=0.97, kind="saturation", unit="%"), reading(person, value=9, kind="nonsense")]
    body = gzip.compress(json.dumps({"results": [good[0], bad[0], good[1], bad[1], good[2]]}).encode())
    answer = gateway.post("home", body, headers={"content-encoding": "gzip"})
    assert answer.status_code == 202
    outcome = gateway.outcome(answer.json()["status"])
    assert outcome["state"] == "stored"
    assert len([name for name in outcome["resources"] if name.startswith("Observation/")]) == 3
    assert [(one["code"], one["at"].partition(".")[0]) for one in outcome["reasons"]] == [
        ("implausible", "results[1]"),
        ("code-unknown", "results[3]"),
    ]
    receipt = answer.json()["receipt"]
    assert receipt in {one["receipt"] for one in gateway.lines("rejected", "home", "--count", "5")}


def test_a_reading_sent_again_is_a_duplicate_that_names_the_first(gateway: Gateway, person: Person) -> None:
    body = json.dumps(reading(person)).encode()
    first = gateway.post("home", body).json()
    stored = gateway.outcome(first["status"])
    again = gateway.sent("home", body)
    assert again["state"] == "duplicate"
    assert again["duplicate_of"] == first["status"]
    assert again["resources"] == stored["resources"]
    observation = next(name for name in stored["resources"] if name.startswith("Observation/"))
    assert gateway.bundle(f"{observation}/_history")["total"] == 1


def test_a_corrected_reading_is_the_next_version_of_the_same_observation(gateway: Gateway, person: Person) -> None:
    first = gateway.sent("home", json.dumps(reading(person, value=72)).encode())
    second = gateway.sent("home", json.dumps(reading(person, value=74)).encode())
    assert set(first["resources"]) == set(second["resources"])
    observation = next(name for name in first["resources"] if name.startswith("Observation/"))
    history = gateway.bundle(f"{observation}/_history")
    assert [entry["resource"]["valueQuantity"]["value"] for entry in history["entry"]] == [74, 72]


def test_all_three_feeds_meet_in_one_patient(gateway: Gateway, person: Person) -> None:
    from tests.messages import adt, notification

    home = gateway.sent("home", json.dumps(reading(person)).encode())
    hospital = gateway.sent("hospital", adt(person, f"meet-{person.cpr}"), "application/hl7-v2")
    municipal = gateway.sent("municipal", notification(person), "application/fhir+json")
    patients = [
        {name for name in answer["resources"] if name.startswith("Patient/")} for answer in (home, hospital, municipal)
    ]
    assert patients[0] == patients[1] == patients[2]
    assert len(patients[0]) == 1
