"""A gateway, and what the questions of others expect to find in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tests.gateway import Gateway

SCOPES = ("system/*.cruds",)


@dataclass(frozen=True)
class Api:
    """Where the API is, and a token that opens all of it."""

    base: str
    token: str

    @property
    def headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.token}"}

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.base, headers=self.headers, timeout=60)


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """A gateway for each file: what one writes, the other does not count."""
    with Gateway(tmp_path_factory.mktemp("others"), translators=1) as gateway:
        yield Api(f"http://{gateway.http}/fhir", gateway.token("--scope", *SCOPES))


@pytest.fixture(scope="module")
def ward(api: Api) -> dict[str, Any]:
    """Some patients with measurements, as the published questions expect them: panels of blood pressure among them."""
    with api.client() as client:
        answer = client.post("", json=ward_bundle(), headers={"content-type": "application/fhir+json"})
        assert answer.status_code == 200, answer.text
        return dict(answer.json())


def ward_bundle(patients: int = 12) -> dict[str, Any]:
    """Return a transaction: patients of both genders, each with height, weight and two blood pressure panels."""
    entries: list[dict[str, Any]] = []

    def put(resource: dict[str, Any]) -> None:
        address = f"{resource['resourceType']}/{resource['id']}"
        entries.append(
            {
                "fullUrl": f"http://example.org/{address}",
                "resource": resource,
                "request": {"method": "PUT", "url": address},
            }
        )

    for number in range(patients):
        family = ("Smith", "Brun", "Sommer", "Berg")[number % 4]
        person = f"ward-{number}"
        put(
            {
                "resourceType": "Patient",
                "id": person,
                "active": True,
                "gender": "female" if number % 3 else "male",
                "birthDate": f"19{50 + number}-04-0{number % 9 + 1}",
                "identifier": [{"system": "urn:example:ward", "value": f"w{number}"}],
                "name": [{"family": family, "given": ["Anna" if number % 2 == 0 else "Bent"]}],
            }
        )
        put(
            {
                "resourceType": "Condition",
                "id": f"cond-{number}",
                "subject": {"reference": f"Patient/{person}"},
                "code": {"coding": [{"system": "http://snomed.info/sct", "code": "38341003"}]},
            }
        )
        for code, value, unit in (("8302-2", 150 + number, "cm"), ("29463-7", 60 + number, "kg")):
            put(_observation(f"o-{code}-{number}", person, code, number) | {"valueQuantity": _quantity(value, unit)})
        for reading in range(2):
            panel = _observation(f"bp-{number}-{reading}", person, "85354-9", number)
            panel["component"] = [
                {"code": _loinc(code), "valueQuantity": _quantity(value, "mm[Hg]")}
                for code, value in (("8480-6", 120 + 3 * number), ("8462-4", 80))
            ]
            put(panel)
    return {"resourceType": "Bundle", "type": "transaction", "entry": entries}


def _observation(own: str, person: str, code: str, number: int) -> dict[str, Any]:
    return {
        "resourceType": "Observation", "id": own, "status": "final", "code": _loinc(code),
        "category": [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "vital-signs"}]}],
        "subject": {"reference": f"Patient/{person}"}, "effectiveDateTime": f"20{10 + number}-03-01T08:00:00+01:00",
    }  # fmt: skip


def _loinc(code: str) -> dict[str, Any]:
    return {"coding": [{"system": "http://loinc.org", "code": code}]}


def _quantity(value: int, unit: str) -> dict[str, Any]:
    return {"value": value, "unit": unit, "system": "http://unitsofmeasure.org", "code": unit}
