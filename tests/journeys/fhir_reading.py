"""What the tests of reading share: a server with observations, and what a caller takes out of an answer."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import httpx

from tests.journeys.fhir_server import FhirServer, serving

PERSON = "2512489996"  # a Danish test number
LOINC = "http://loinc.org"


def reading(number: int, **more):
    return {
        "resourceType": "Observation", "id": f"o{number}", "status": "final", "code": {"coding": [{"system": LOINC, "code": "8480-6"}]},
        "subject": {"reference": f"Patient/p{number % 3}"}, "effectiveDateTime": f"2026-03-{number % 28 + 1:02d}T08:00:00+01:00",
        "valueQuantity": {"value": Decimal("1.20"), "unit": "mmHg"}, **more,
    }  # fmt: skip


def serve_readings(folder: Path) -> Iterator[FhirServer]:
    """Serve three patients and 60 observations, of which one was amended and one deleted."""
    with serving(folder) as server:
        patients = [
            {
                "resourceType": "Patient",
                "id": f"p{n}",
                "identifier": [{"system": "urn:oid:1.2.208.176.1.2", "value": PERSON}],
                "name": [{"family": "Bjørnsen"}],
            }
            for n in range(3)
        ]
        server.put(*patients)
        server.put(*(reading(n) for n in range(60)))
        server.put(reading(0, status="amended"), minute=1)
        server.put(reading(1), minute=1)
        server.put(reading(1), minute=2, deleted=True)
        yield server


def issue(response: httpx.Response) -> dict:
    assert response.headers["content-type"].startswith("application/fhir+json")
    outcome = response.json()
    assert outcome["resourceType"] == "OperationOutcome"
    return outcome["issue"][0]


def link(bundle: dict, relation: str) -> str | None:
    return next((each["url"] for each in bundle["link"] if each["relation"] == relation), None)


def every(client: httpx.Client, address: str) -> list[dict]:
    found, following = [], address
    while following:
        bundle = client.get(following)
        assert bundle.status_code == 200, bundle.text
        found += bundle.json().get("entry", [])
        following = link(bundle.json(), "next")
    return found
