"""What the tests of writing share: resources, entries of bundles, and a server that must not have crashed."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx

from gateway.observe.events import RoleCrashed
from tests.journeys.fhir_server import FhirServer, serving

CPR = "urn:oid:1.2.208.176.1.2"
PERSON = "2512489996"  # a Danish test number
JSON_PATCH = {"content-type": "application/json-patch+json"}
FHIR = {"content-type": "application/fhir+json"}


def written_to(folder: Path) -> Iterator[FhirServer]:
    """Serve, and see in the end that nothing was a bug."""
    with serving(folder) as server:
        yield server
        crashed = [told for told in server.told if isinstance(told, RoleCrashed)]
        assert not crashed


def number() -> str:
    return uuid.uuid4().hex


def patient(value: str = "", **more):
    identified = {"identifier": [{"system": "urn:x", "value": value}]} if value else {}
    return {"resourceType": "Patient", **identified, "name": [{"family": "Hansen"}], **more}


def observation(**more):
    return {"resourceType": "Observation", "status": "final", "code": {"text": "pulse"}, **more}


def issues(response: httpx.Response, status: int) -> list[dict]:
    assert response.status_code == status, response.text
    outcome = response.json()
    assert outcome["resourceType"] == "OperationOutcome"
    return outcome["issue"]


def entry(method: str, url: str, resource: dict | None = None, full_url: str = "", **request):
    made: dict = {"request": {"method": method, "url": url, **request}}
    if resource is not None:
        made["resource"] = resource
    if full_url:
        made["fullUrl"] = full_url
    return made


def post(client: httpx.Client, kind: str, *entries: dict, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.post("", json={"resourceType": "Bundle", "type": kind, "entry": list(entries)}, headers=named)


def responses(answer: httpx.Response) -> list[dict]:
    assert answer.status_code == 200, answer.text
    return [each["response"] for each in answer.json()["entry"]]


def operation(kind, path, **parts):
    known = {"index": "valueInteger", "source": "valueInteger", "destination": "valueInteger", "name": "valueString"}
    made = [{"name": "type", "valueCode": kind}, {"name": "path", "valueString": path}]
    for name, value in parts.items():
        made.append({"name": name, **value} if isinstance(value, dict) else {"name": name, known[name]: value})
    return {"name": "operation", "part": made}
