"""The FHIR API over what real messages made: pages, versions, times, and who may not."""

from __future__ import annotations

import json

import httpx

from tests.gateway import Gateway
from tests.messages import MORNING, Person, lines, reading


def next_of(bundle: dict) -> str:
    return next((link["url"] for link in bundle["link"] if link["relation"] == "next"), "")


def test_pages_hold_every_result_once(gateway: Gateway, person: Person) -> None:
    hours = [MORNING.replace(hour=hour) for hour in range(8, 19)]
    receipts = gateway.post("home", lines([reading(person, at=at) for at in hours]), "application/x-ndjson").json()
    outcomes = [gateway.outcome(one["status"]) for one in receipts]
    patient = next(name for name in outcomes[0]["resources"] if name.startswith("Patient/"))
    made = [name for outcome in outcomes for name in outcome["resources"] if name.startswith("Observation/")]
    seen: list[str] = []
    with gateway.client() as client:
        address = f"/fhir/Observation?patient={patient}&_count=4"
        while address:
            page = client.get(address).json()
            assert len(page["entry"]) <= 4
            seen += [f"Observation/{entry['resource']['id']}" for entry in page["entry"]]
            address = next_of(page)
    assert sorted(seen) == sorted(made)
    since = f"Observation?patient={patient}&date=ge2025-03-29T12:00:00%2B01:00&date=lt2025-03-29T15:00:00%2B01:00"
    assert {one["effectiveDateTime"][11:13] for one in gateway.resources(since)} == {"12", "13", "14"}


def test_a_version_is_read_again_by_its_etag_and_its_number(gateway: Gateway, person: Person) -> None:
    first = gateway.sent("home", json.dumps(reading(person, value=61)).encode())
    gateway.sent("home", json.dumps(reading(person, value=62)).encode())
    name = next(one for one in first["resources"] if one.startswith("Observation/"))
    with gateway.client() as client:
        current = client.get(f"/fhir/{name}")
        assert current.headers["etag"] == 'W/"2"'
        same = client.get(f"/fhir/{name}", headers={"if-none-match": current.headers["etag"]})
        assert same.status_code == 304
        assert same.content == b""
        old = client.get(f"/fhir/{name}/_history/1")
        assert old.json()["valueQuantity"]["value"] == 61
        assert client.get(f"/fhir/{name}/_history/3").status_code == 404


def test_nobody_reads_without_a_token_and_everybody_asks_what_there_is(gateway: Gateway) -> None:
    with httpx.Client(base_url=f"http://{gateway.http}") as anonymous:
        for address in ("/fhir/Patient?_count=1", "/fhir/Patient/x", "/ingest/home/receipts/x"):
            refused = anonymous.get(address)
            assert refused.status_code == 401
            assert "WWW-Authenticate" in refused.headers
        assert anonymous.post("/ingest/home", content=b"{}").status_code == 401
        statement = anonymous.get("/fhir/metadata").json()
        assert statement["resourceType"] == "CapabilityStatement"
        assert statement["fhirVersion"] == "4.0.1"
        assert anonymous.get("/livez").status_code == 200
        assert anonymous.get("/readyz").json()["checks"] == {"database": "ok", "backbone": "ok"}


def test_what_is_not_there_is_said_in_the_language_of_each_door(gateway: Gateway) -> None:
    with gateway.client() as client:
        missing = client.get("/fhir/Patient/nobody")
        assert missing.status_code == 404
        assert missing.json()["resourceType"] == "OperationOutcome"
        unknown = client.get("/fhir/Patient?shoesize=44")
        assert unknown.status_code == 400
        assert "shoesize" in unknown.json()["issue"][0]["diagnostics"]
        assert client.post("/ingest/nowhere", content=b"{}").status_code == 404
        assert client.get("/ingest/home/receipts/made-up").status_code == 404
        wrong = client.post("/ingest/home", content=b"<a/>", headers={"content-type": "application/xml"})
        assert wrong.status_code == 415
        assert wrong.headers["content-type"] == "application/problem+json"
