"""Operations as the API asks them: by address, in entries of bundles, in parts."""

from __future__ import annotations

import httpx
import pytest

from gateway.formats import json as exact
from tests.journeys.fhir_answering import (
    CHANGING,
    ECHO,
    serve_answers,
)
from tests.journeys.fhir_reading import issue
from tests.journeys.fhir_server import FhirServer


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    yield from serve_answers(tmp_path_factory.mktemp("answers"))


@pytest.fixture
def client(server: FhirServer):
    with server.client() as client:
        yield client


def test_an_operation_is_asked_where_its_row_says(client):
    def at(answer: httpx.Response) -> str:
        return answer.json()["parameter"][0]["valueString"]

    assert at(client.get("/$echo?word=a")) == "/"
    assert at(client.get("/Patient/$echo")) == "Patient/"
    assert at(client.get("/Observation/o2/$echo")) == "Observation/o2"
    assert client.get("/Encounter/$echo").status_code == 404
    assert client.get("/Patient/$nothing").status_code == 404
    assert client.delete("/Patient/$echo").status_code == 405


@pytest.mark.parametrize("kind", ["batch", "transaction"])
def test_an_operation_that_reads_is_asked_in_an_entry_too(client, kind):
    urls = ["Patient/$echo?word=a", "Observation/o2/$echo", "$echo"]
    entries = [{"request": {"method": "GET", "url": url}} for url in urls]
    answer = client.post("", json={"resourceType": "Bundle", "type": kind, "entry": entries})
    assert answer.status_code == 200, answer.text
    said = [entry["resource"]["parameter"] for entry in answer.json()["entry"]]
    assert [parameter[0]["valueString"] for parameter in said] == ["Patient/", "Observation/o2", "/"]
    assert said[0][1] == {"name": "word", "valueString": "a"}


@pytest.mark.parametrize("kind", ["batch", "transaction"])
def test_an_operation_by_post_is_asked_in_an_entry_with_its_parameters(client, kind):
    sent = {"resourceType": "Parameters", "parameter": [{"name": "word", "valueDecimal": exact.loads("1.20")}]}
    entries = [{"request": {"method": "POST", "url": "Patient/$echo"}, "resource": sent},
               {"request": {"method": "POST", "url": "Patient/p0/$echo"}},
               {"request": {"method": "POST", "url": "$echo"}, "resource": {"resourceType": "Patient", "nonsense": 1}}]  # fmt: skip
    answer = client.post("", content=exact.dumps({"resourceType": "Bundle", "type": kind, "entry": entries}),
                         headers={"content-type": "application/fhir+json"})  # fmt: skip
    first, second, third = exact.loads(answer.content)["entry"]
    assert exact.dumps(first["resource"]) == exact.dumps(sent)
    assert second["resource"]["parameter"][0]["valueString"] == "Patient/p0"
    assert third["response"]["status"] == "422 Unprocessable Entity"


def test_an_operation_that_changes_something_is_asked_in_a_batch_and_not_in_a_transaction(server):
    entries = [{"request": {"method": "POST", "url": "$changing"}}]
    with server.client("system/*.cruds") as client:
        batch = client.post("", json={"resourceType": "Bundle", "type": "batch", "entry": entries})
        assert [one["response"]["status"] for one in batch.json()["entry"]] == ["200 OK"]
        whole = client.post("", json={"resourceType": "Bundle", "type": "transaction", "entry": entries})
        assert (whole.status_code, issue(whole)["expression"]) == (400, ["Bundle.entry[0].request.url"])


def test_parts_are_had_of_what_an_operation_answers(client):
    resource = {"resourceType": "Patient", "id": "x", "gender": "other", "photo": [{"title": "me"}]}
    inside = {"fullUrl": "urn:uuid:0d8a2d5c-6f4e-4c39-8a3e-5f1a2b3c4d5e", "resource": resource}
    for sent in (resource, {"resourceType": "Bundle", "type": "collection", "entry": [inside]}):
        kind = {"content-type": "application/fhir+json"}
        answer = client.post("/$echo?_summary=true", content=exact.dumps(sent), headers=kind).json()
        shown = answer["entry"][0]["resource"] if "entry" in answer else answer
        assert {*shown} == {"resourceType", "id", "meta", "gender"}


def test_operations_are_declared(client):
    (rest,) = client.get("/metadata").json()["rest"]
    said = [{"name": ECHO.code, "definition": ECHO.definition}]
    assert rest["operation"] == [*said, {"name": CHANGING.code, "definition": CHANGING.definition}]
    assert {one["type"] for one in rest["resource"] if one.get("operation") == said} == {"Patient", "Observation"}
