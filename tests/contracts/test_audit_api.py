"""Every access is on record before its answer leaves; and the record is shown, each to whom it is for."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gateway.audit import Event
from gateway.audit.minlog import looks
from gateway.errors import Unavailable
from gateway.fhir.validate import validate
from gateway.search.query import reference
from gateway.serve.operations.who_has_seen import COPENHAGEN
from gateway.store.ledger import Block
from tests.contracts.audited import BASE, Audited, audited
from tests.contracts.stores import Database, observation
from tests.feeds.judge import judged

CPR = "2512489996"
P1, P2 = reference("patient", "Patient/p1"), reference("patient", "Patient/p2")


def patient(name: str) -> dict[str, Any]:
    return {
        "resourceType": "Patient",
        "id": name,
        "identifier": [{"system": "urn:oid:1.2.208.176.1.2", "value": CPR}],
        "name": [{"family": "Testperson"}],
    }


ORGANISATION = {
    "resourceType": "Organization",
    "id": "ouh",
    "identifier": [{"system": "urn:oid:1.2.208.176.1.1", "value": "265161000016000"}],
    "name": "Odense Universitetshospital",
}


def encounter(subject: str) -> dict[str, Any]:
    """What makes the hospital's relation to a patient."""
    return {
        "resourceType": "Encounter",
        "id": f"e-{subject}",
        "status": "in-progress",
        "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "IMP"},
        "subject": {"reference": f"Patient/{subject}"},
        "period": {"start": "2026-01-01"},
        "serviceProvider": {"reference": "Organization/ouh"},
    }


def consent(name: str, **rule: Any) -> dict[str, Any]:
    scope = {"system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "patient-privacy"}
    return {
        "resourceType": "Consent",
        "id": name,
        "status": "active",
        "scope": {"coding": [scope]},
        "category": [{"text": "x"}],
        "policyRule": {"text": "x"},
        "patient": {"reference": "Patient/p1"},
        "provision": rule,
    }


@pytest.fixture
async def ours(database: Database, tmp_path: Path) -> AsyncIterator[Audited]:
    async with audited(database.url, tmp_path) as made:
        await made.put(patient("p1"), patient("p2"), observation("o1"), observation("o2", subject="p2"), ORGANISATION)
        await made.put(encounter("p1"), encounter("p2"))
        yield made


async def test_a_read_says_who_whose_what_and_how_it_ended(ours: Audited) -> None:
    answer = await ours.get("Observation/o1", "doctor", headers={"traceparent": f"00-{'a' * 32}-{'b' * 16}-01"})
    assert answer.status_code == 200
    said = await ours.last()
    assert (said.event, said.status, said.type, said.count) == (Event.READ, 200, "Observation", 1)
    assert (said.patients, said.resources) == ((P1,), ("Observation/o1/1",))
    assert (said.client, said.subject, said.organisation, said.role) == ("ehr", "u-doctor-1", "265161000016000", "7170")
    assert (said.authorisation, said.purpose, said.assurance, said.session) == ("ABC12", "treatment", 2, "s-1")
    assert (said.trace, said.source) == ("a" * 32, "127.0.0.1")


async def test_a_search_says_every_patient_and_the_question_only_as_a_hash(ours: Audited) -> None:
    await ours.get(f"Observation?patient.identifier={CPR}&_count=1", "doctor")
    first = await ours.last()
    assert first.names == ("patient.identifier", "_count")
    page = (await ours.get(f"Observation?patient.identifier={CPR}&_count=1")).json()
    found = (await ours.last()).patients
    following = next(link["url"] for link in page["link"] if link["relation"] == "next")
    await ours.get(following.removeprefix(BASE + "/"))
    second = await ours.last()
    assert {*found, *second.patients} == {P1, P2}
    assert second.asked == first.asked != ""
    await ours.get("Observation?_count=10")
    assert {*(await ours.last()).patients} == {P1, P2}
    assert (await ours.last()).asked != first.asked


@pytest.mark.parametrize(
    ("address", "name", "status", "why"),
    [
        ("Patient/p1", "", 401, "no-token"),
        ("Patient/p1", "nobody", 401, "invalid-token"),
        ("Patient/p1", "reader", 403, "no-scope"),
        ("Patient/unknown", "system", 404, ""),
    ],
)
async def test_what_was_refused_is_on_record_with_why(
    ours: Audited, address: str, name: str, status: int, why: str
) -> None:
    assert (await ours.get(address, name)).status_code == status
    said = await ours.last()
    assert (said.event, said.status, said.why, said.address, said.patients) == (Event.READ, status, why, address, ())


async def test_an_older_version_is_about_whom_it_was_about_then(ours: Audited) -> None:
    await ours.put(observation("o1", subject="p2"))
    await ours.get("Observation/o1/_history/1")
    assert (await ours.last()).patients == (P1,)
    await ours.get("Observation/o1/_history")
    assert {*(await ours.last()).patients} == {P1, P2}
    assert (await ours.last()).resources == ("Observation/o1/2", "Observation/o1/1")
    async with ours.client() as client:
        await client.delete("Observation/o1")
    assert (await ours.last()).event is Event.DELETE
    assert (await ours.last()).patients == (P2,)


async def test_a_history_that_shows_one_version_records_one(ours: Audited) -> None:
    await ours.put(observation("o1", value=2), observation("o1", value=3))
    await ours.get("Observation/o1/_history?_count=1")
    assert (await ours.last()).resources == ("Observation/o1/3",)


async def test_a_change_is_on_record_before_it_is_made(ours: Audited) -> None:
    await ours.put(observation("o9"))
    (_, intended), (_, done) = (await ours.written())[-2:]
    assert (intended.event, intended.code, intended.address) == (Event.INTENDED, "update", "Observation/o9")
    assert (done.event, done.status, done.resources, done.patients) == (Event.UPDATE, 201, ("Observation/o9/1",), (P1,))


async def test_a_batch_is_one_record_with_its_entries(ours: Audited) -> None:
    bundle = {
        "resourceType": "Bundle",
        "type": "batch",
        "entry": [
            {"request": {"method": "GET", "url": "Observation/o1"}},
            {"request": {"method": "GET", "url": "Observation/none"}},
            {"request": {"method": "GET", "url": "Patient?_id=p2"}},
            {"request": {"method": "PUT", "url": "Observation/o5"}, "resource": observation("o5")},
        ],
    }
    async with ours.client() as client:
        assert (await client.post("", json=bundle)).status_code == 200
    said = await ours.last()
    assert said.event is Event.BUNDLE
    assert {(one.event, one.type, one.status) for one in said.entries} == {
        ("read", "Observation", 200), ("read", "Observation", 404), ("search", "Patient", 200), ("create", "Observation", 201),
    }  # fmt: skip
    assert {*said.resources} == {"Observation/o1/1", "Patient/p2/1", "Observation/o5/1"}
    assert {*said.patients} == {P1, P2}


@pytest.mark.parametrize(
    "address",
    [
        "Observation?patient=Patient/p1&_summary=count",
        "Observation?patient=Patient/p1&_count=0&_total=accurate",
        f"Observation?patient.identifier={CPR}&_id=o1&_summary=count",
        "Patient/p1/Observation?_summary=count",
        "?_type=Observation,Condition&patient=Patient/p1&_summary=count",
    ],
)
async def test_a_number_is_a_look_at_whom_it_counts(ours: Audited, address: str) -> None:
    answer = await ours.get(address, "doctor")
    assert answer.json()["total"] == 1
    assert "entry" not in answer.json()
    said = await ours.last()
    assert (said.patients, said.resources) == ((P1,), ("Observation/o1/1",))


async def test_a_number_of_nothing_is_a_look_at_nobody(ours: Audited) -> None:
    answer = await ours.get("Observation?patient=Patient/p1&status=cancelled&_summary=count", "doctor")
    assert answer.json()["total"] == 0
    assert (await ours.last()).patients == ()


@pytest.mark.parametrize("batched", [False, True])
async def test_a_patch_that_is_refused_is_a_look_at_what_it_was_tried_on(ours: Audited, batched: bool) -> None:
    """Whether its test holds tells what stands there, value by value."""
    async with ours.client("tester") as client:
        if batched:
            part = [
                {"name": "type", "valueCode": "replace"},
                {"name": "path", "valueString": "Observation.issued"},
                {"name": "value", "valueInstant": "2026-01-01T00:00:00Z"},
            ]
            patch = {"resourceType": "Parameters", "parameter": [{"name": "operation", "part": part}]}
            entry = {"request": {"method": "PATCH", "url": "Observation/o1"}, "resource": patch}
            answer = await client.post("", json={"resourceType": "Bundle", "type": "batch", "entry": [entry]})
            assert answer.json()["entry"][0]["response"]["status"].startswith("422")
        else:
            test = [{"op": "test", "path": "/status", "value": "cancelled"}]
            kind = {"content-type": "application/json-patch+json"}
            assert (await client.patch("Observation/o1", json=test, headers=kind)).status_code == 422
    said = await ours.last()
    assert (said.patients, said.resources) == ((P1,), ("Observation/o1/1",))
    (look, *_) = told((await ours.get("Patient/p1/$who-has-seen", "citizen-p1")).json())
    assert "læge, Odense Universitetshospital, så målinger og prøvesvar" in look["text"][0]
    block = (await ours.ledger_store.newest(low=None, high=None, upto=None, limit=10_000))[1]
    assert [(patient, "Opslag i ".strip().encode() in activity) for patient, activity in looks(block)] == [(P1, True)]


async def test_what_cannot_be_written_down_does_not_leave_and_is_not_done(
    ours: Audited, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(_: Block) -> None:
        raise Unavailable("the database does not answer")

    monkeypatch.setattr(ours.ledger_store, "append", away)
    for address in ("Observation/o1", "Observation?patient=p1", "Patient/p1/$who-has-seen"):
        answer = await ours.get(address)
        assert answer.status_code == 503
        assert answer.headers["retry-after"]
        assert "Observation/o1" not in answer.text
        assert "Testperson" not in answer.text
    async with ours.client() as client:
        assert (await client.put("Observation/o7", json=observation("o7"))).status_code == 503
        assert (await client.delete("Observation/o1")).status_code == 503
    monkeypatch.undo()
    assert (await ours.get("Observation/o7")).status_code == 404
    assert (await ours.get("Observation/o1")).status_code == 200


async def test_nothing_in_the_ledger_is_a_persons_number_or_content(ours: Audited) -> None:
    await ours.get(f"Patient?identifier={CPR}")
    await ours.get(f"Observation/{CPR}", headers={"x-request-id": f"for-{CPR}"})
    await ours.get(f"Observation?{CPR}=1")
    await ours.get("Observation/o1", "breaker")
    async with ours.client() as client:
        await client.post("Patient/_search", data={"identifier": f"urn:oid:1.2.208.176.1.2|{CPR}"})
        await client.post("Patient", json=patient("x"), headers={"if-none-exist": f"identifier={CPR}"})
    blocks = await ours.ledger_store.newest(low=None, high=None, upto=None, limit=1000)
    raw = b"".join(block.events + block.personal for block in blocks)
    assert b"Testperson" not in raw
    assert b"8867-4" not in raw
    assert CPR.encode() not in raw
    assert b"Observation/\xe2\x80\xa6" in raw  # who looked, and that what he asked for was shaped like a number


# --- as AuditEvents ---


async def events(ours: Audited, query: str, name: str = "operator") -> list[dict[str, Any]]:
    answer = await ours.get(f"AuditEvent?{query}", name)
    assert answer.status_code == 200, answer.text
    return [entry["resource"] for entry in answer.json().get("entry", [])]


async def test_audit_events_are_found_by_what_one_asks_of_them(ours: Audited) -> None:
    await ours.get("Observation/o1", "doctor")
    await ours.get("Observation/o2", "doctor")
    await ours.get("Patient/p1", "reader")
    about = await events(ours, "patient=Patient/p1&subtype=read")
    assert [one["entity"][1]["what"]["reference"] for one in about] == ["Observation/o1/_history/1"]
    assert about[0]["entity"][0]["what"] == {"reference": "Patient/p1"}
    assert len(await events(ours, "patient=p1,p2&subtype=read")) == 2
    assert len(await events(ours, "action=R&outcome=4")) == 1
    assert len(await events(ours, "entity=Observation/o2&subtype=read")) == 1
    assert len(await events(ours, "altid=ABC12")) == 2
    today = dt.datetime.fromisoformat(about[0]["recorded"]).astimezone(COPENHAGEN).date()
    assert len(await events(ours, f"altid=ABC12&date={today}")) == 2
    assert not await events(ours, "altid=ABC12&date=lt2020-01-01")
    one = (await ours.get(f"AuditEvent/{about[0]['id']}", "operator")).json()
    assert one == about[0]
    assert (await ours.get("AuditEvent/999-1", "operator")).status_code == 404
    assert (await ours.get("AuditEvent/x", "operator")).status_code == 404
    assert [e["id"] for e in await events(ours, f"_id={about[0]['id']}")] == [about[0]["id"]]
    inside = (await ours.get("Patient/p2/AuditEvent?subtype=read", "operator")).json()
    assert [entry["resource"]["entity"][1]["what"]["reference"] for entry in inside["entry"]] == [
        "Observation/o2/_history/1"
    ]


async def test_pages_of_audit_events_hold_every_one_once_while_more_come(ours: Audited) -> None:
    for _ in range(23):
        await ours.get("Observation/o1", "doctor")
    found: list[str] = []
    address = "AuditEvent?patient=p1&subtype=read&_count=5"
    while address:
        page = (await ours.get(address, "operator")).json()
        found += [entry["resource"]["id"] for entry in page.get("entry", [])]
        await ours.get("Observation/o1", "doctor")
        address = next(
            (link["url"].removeprefix(BASE + "/") for link in page["link"] if link["relation"] == "next"), ""
        )
    assert len(found) == len({*found}) == 23
    order = [int(one.partition("-")[2]) for one in found]
    assert order == sorted(order, reverse=True)


@pytest.mark.parametrize(
    "query",
    [
        "_sort=date",
        "_include=AuditEvent:patient",
        "_total=accurate",
        "patient.name=x",
        "_has:Provenance:target:agent=x",
        "colour=red",
    ],
)
async def test_what_the_view_cannot_do_is_refused_clearly(ours: Audited, query: str) -> None:
    answer = await ours.get(f"AuditEvent?{query}", "operator")
    assert answer.status_code == 400, answer.text
    assert answer.json()["issue"][0]["diagnostics"]


async def test_a_citizen_sees_his_own_events_and_no_employees_name(ours: Audited) -> None:
    await ours.get("Observation/o1", "doctor")
    await ours.get("Observation/o2", "doctor")
    await ours.get("Observation?_count=10", "doctor")
    mine = await events(ours, "_count=100", "citizen-p1")
    assert mine
    text = json.dumps(mine)
    for hidden in ("p2", "o2", "u-doctor-1", "ABC12", "127.0.0.1"):
        assert hidden not in text
    assert "265161000016000" in text
    other = (await events(ours, "patient=p2", "operator"))[0]["id"]
    read = (await ours.get("Observation/o2", "doctor"), await ours.written())[1][-1][0].name
    assert (await ours.get(f"AuditEvent/{read}", "citizen-p1")).status_code == 404
    assert (await ours.get(f"AuditEvent/{read}", "citizen-p2")).status_code == 200
    assert other
    assert not await events(ours, "patient=p2", "citizen-p1")
    assert (await ours.get("AuditEvent", "doctor")).status_code == 403


async def test_audit_events_are_not_written(ours: Audited) -> None:
    async with ours.client() as client:
        for answer in (
            await client.post("AuditEvent", json={"resourceType": "AuditEvent"}),
            await client.put("AuditEvent/1-1", json={"resourceType": "AuditEvent", "id": "1-1"}),
            await client.delete("AuditEvent/1-1"),
        ):
            assert answer.status_code == 405
            assert answer.headers["allow"] == "GET, HEAD"
        bundle = {
            "resourceType": "Bundle",
            "type": "transaction",
            "entry": [{"request": {"method": "DELETE", "url": "AuditEvent/1-1"}}],
        }
        assert (await client.post("", json=bundle)).status_code == 405
    stated = (await ours.get("metadata", "")).json()["rest"][0]["resource"]
    (own,) = [one for one in stated if one["type"] == "AuditEvent"]
    assert [one["code"] for one in own["interaction"]] == ["read", "vread", "search-type"]


async def everything(ours: Audited) -> list[dict[str, Any]]:
    """Cause a record of every kind and return all events."""
    await ours.get("Observation/o1", "doctor")
    await ours.get("Observation/o1/_history", "breaker")
    await ours.get("Observation?patient=p1&code=8867-4", "citizen-p1", headers={"x-request-id": "r-1"})
    await ours.get("Patient/p1", "reader")
    await ours.get("Patient/p1", "")
    await ours.get("Patient/p1/$who-has-seen", "citizen-p1")
    async with ours.client() as client:
        entry = {"request": {"method": "GET", "url": "Observation/o1"}}
        await client.post("", json={"resourceType": "Bundle", "type": "batch", "entry": [entry]})
        await client.delete("Observation/o2")
    for event in (Event.POSTED, Event.PRUNED, Event.ERASED):
        await ours.ledger.write(
            {"event": event, "status": 200, "door": "ledger", "type": "home", "more": {"chain": 1, "upto": 3}}
        )
    return await events(ours, "_count=500")


async def test_audit_events_are_valid(ours: Audited, tmp_path: Path) -> None:
    made = await everything(ours)
    mine = await events(ours, "_count=500", "citizen-p1")
    assert {one["subtype"][0]["code"] for one in made} >= {
        "read",
        "history",
        "search",
        "update",
        "delete",
        "batch",
        "operation",
    }
    for one in (*made, *mine):
        assert not validate(one), (one, validate(one))
    for number, one in enumerate(mine):
        one["id"] = f"own-{number}"
    body = b"\n".join(json.dumps(one).encode() for one in (*made, *mine))
    assert not judged([("AuditEvent", body)], tmp_path)


# --- in a citizen's words ---


def told(answer: dict[str, Any]) -> list[dict[str, list[Any]]]:
    found = []
    for part in answer.get("parameter", []):
        if part["name"] == "access":
            said: dict[str, list[Any]] = {}
            for one in part["part"]:
                said.setdefault(one["name"], []).append(next(value for name, value in one.items() if name != "name"))
            found.append(said)
    return found


async def test_a_citizen_reads_who_has_seen_his_data_in_plain_words(ours: Audited) -> None:
    for _ in range(3):
        await ours.get("Observation/o1", "doctor")
    await ours.get("Patient/p1", "doctor")
    await ours.get("Observation/o1", "breaker")
    await ours.get("Observation/o2", "doctor")
    answer = await ours.get("Patient/p1/$who-has-seen", "citizen-p1")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-language"] == "da"
    assert not validate(answer.json())
    override, treated = told(answer.json())[:2]
    assert treated["organisation"] == ["Odense Universitetshospital"]
    assert treated["who"] == ["læge"]
    assert treated["purpose"] == ["aktuel behandling"]
    assert {*treated["data"]} == {"målinger og prøvesvar", "stamoplysninger"}
    assert treated["looks"] == [4]
    assert "læge, Odense Universitetshospital, så " in treated["text"][0]
    assert override["purpose"][0].startswith("værdispring")
    english = told((await ours.get("Patient/p1/$who-has-seen?language=en", "citizen-p1")).json())
    assert "doctor at Odense Universitetshospital saw " in english[-2]["text"][0]
    for text in (answer.text, json.dumps(english)):
        for hidden in ("u-doctor", "ABC12", "o1", "8867-4", "Observation"):
            assert hidden not in text


async def test_who_acts_for_another_is_not_told_of_blocks(ours: Audited) -> None:
    power = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-RoleCode", "code": "POWATT"}]}
    mandate = consent("c1", type="permit", actor=[{"role": power, "reference": {"reference": "Patient/p2"}}])
    await ours.put(mandate, consent("c2", type="deny"))
    async with ours.client() as client:
        entries = [{"resource": one, "request": {"method": "PUT", "url": f"Consent/{one['id']}"}} for one in (mandate, consent("c3", type="deny"))]  # fmt: skip
        entries.append({"request": {"method": "GET", "url": "Observation/o1"}})
        await client.post("", json={"resourceType": "Bundle", "type": "batch", "entry": entries})
    assert "samtykker" in (await ours.get("Patient/p1/$who-has-seen", "citizen-p1")).text
    answer = await ours.get("Patient/p1/$who-has-seen", "p2-for-p1")
    assert answer.status_code == 200, answer.text
    assert "samtykker" not in answer.text
    assert any("et it-system så målinger og prøvesvar" in one["text"][0] for one in told(answer.json()))


async def test_nobody_but_the_citizen_and_operators_asks_who_has_seen(ours: Audited) -> None:
    assert (await ours.get("Patient/p2/$who-has-seen", "citizen-p1")).status_code == 403
    assert (await ours.get("Patient/p1/$who-has-seen", "doctor")).status_code == 403
    assert (await ours.get("Patient/p1/$who-has-seen", "operator")).status_code == 200
    assert (await ours.get("Patient/none/$who-has-seen", "operator")).status_code == 200  # who is a patient is not told
    assert (await ours.get("Patient/p1/$who-has-seen?language=xx", "operator")).status_code == 400


async def test_who_has_seen_comes_in_pages(ours: Audited) -> None:
    for _ in range(12):
        await ours.get("Observation/o1", "doctor")
    looks, address = 0, "Patient/p1/$who-has-seen?_count=5"
    while address:
        page = (await ours.get(address, "citizen-p1")).json()
        looks += sum(one["looks"][0] for one in told(page) if one["who"] == ["læge"])
        address = next(
            (one["valueUri"].removeprefix(BASE + "/") for one in page["parameter"] if one["name"] == "next"), ""
        )
    assert looks == 12
