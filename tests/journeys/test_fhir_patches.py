"""JSON Patch and FHIRPath Patch through the API: what they change, what they refuse, and what they tell nobody."""

from __future__ import annotations

import base64
import concurrent.futures
import json

import pytest

from tests.journeys.fhir_server import FhirServer
from tests.journeys.fhir_writing import (
    FHIR,
    JSON_PATCH,
    entry,
    issues,
    number,
    operation,
    patient,
    post,
    responses,
    written_to,
)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    yield from written_to(tmp_path_factory.mktemp("writes"))


@pytest.fixture
def client(server: FhirServer):
    with server.client("system/*.cruds") as client:
        yield client


def test_a_json_patch_changes_what_it_names_and_keeps_every_digit(client):
    sent = b'{"resourceType":"Observation","status":"final","code":{"text":"x"},"valueQuantity":{"value":1.20},"note":[{"text":"a"}]}'
    name = client.post("/Observation", content=sent, headers=FHIR).json()["id"]
    patch = b'[{"op":"test","path":"/valueQuantity/value","value":1.2},{"op":"add","path":"/valueQuantity/unit","value":"kg"},{"op":"add","path":"/referenceRange","value":[{"low":{"value":0.10}}]},{"op":"remove","path":"/note"}]'
    made = client.patch(f"/Observation/{name}", content=patch, headers=JSON_PATCH)
    assert made.status_code == 200
    assert b'"value":1.20,' in made.content
    assert b'"value":0.10}' in made.content
    assert "note" not in made.json()
    assert made.headers["etag"] == 'W/"2"'
    nothing = client.patch(f"/Observation/{name}", content=b"[]", headers=JSON_PATCH)
    assert (nothing.status_code, nothing.headers["etag"]) == (200, 'W/"2"')


def test_a_fhirpath_patch_changes_what_it_names_and_keeps_every_digit(client):
    sent = b'{"resourceType":"Observation","status":"final","code":{"text":"x"},"component":[{"code":{"text":"a"},"valueQuantity":{"value":1.20}},{"code":{"text":"b"},"valueString":"old"}]}'
    name = client.post("/Observation", content=sent, headers=FHIR).json()["id"]
    parameters = {
        "resourceType": "Parameters",
        "parameter": [
            operation("replace", "Observation.status", value={"valueCode": "amended"}),
            operation("replace", "Observation.component.where(code.text = 'b').value", value={"valueInteger": 3}),
            operation(
                "add",
                "Observation.component[0]",
                name="dataAbsentReason",
                value={"valueCodeableConcept": {"text": "c"}},
            ),
            operation("move", "Observation.component", source=1, destination=0),
        ],
    }
    made = client.patch(f"/Observation/{name}", json=parameters, headers=FHIR)
    assert made.status_code == 200, made.text
    assert b'"value":1.20' in made.content
    first, second = made.json()["component"]
    assert first == {"code": {"text": "b"}, "valueInteger": 3}
    assert second["dataAbsentReason"] == {"text": "c"}


def test_a_patch_that_cannot_be_done_changes_nothing(client):
    name = client.post("/Patient", json=patient("1")).json()["id"]
    cases = [
        ([{"op": "test", "path": "/name/0/family", "value": "Jensen"}], 422),
        ([{"op": "replace", "path": "/name/7/family", "value": "x"}], 422),
        ([{"op": "replace", "path": "/gender", "value": "x"}], 422),
        ([{"op": "replace", "path": "/id", "value": "x"}], 422),
        ([{"op": "replace", "path": "/resourceType", "value": "Person"}], 422),
        ([{"op": "add", "path": "/gender", "value": "no such code"}], 422),
        ([{"op": "add", "path": "", "value": []}], 422),
        ([{"op": "nonsense", "path": "/x"}], 400),
        ([{"op": "add", "path": "/x"}], 400),
        ([{"op": "add", "path": 3, "value": 1}], 400),
        ([{"op": "move", "path": "/x", "from": {}}], 400),
        (["x"], 400),
        ({"op": "add"}, 400),
        ([{"op": "copy", "from": "/name", "path": "/name/-"}] * 60, (413, 422)),
        ([{"op": "test", "path": "", "value": 1}] * 501, 413),
    ]  # fmt: skip
    for patch, status in cases:
        answer = client.patch(f"/Patient/{name}", content=json.dumps(patch), headers=JSON_PATCH)
        assert answer.status_code in (status if isinstance(status, tuple) else (status,)), (patch, answer.text)
        assert issues(answer, answer.status_code)[0]["diagnostics"]
    assert client.get(f"/Patient/{name}").headers["etag"] == 'W/"1"'
    assert client.patch(f"/Patient/{number()}", content=b"[]", headers=JSON_PATCH).status_code == 404
    xml = client.patch(f"/Patient/{name}", content=b"<diff/>", headers={"content-type": "application/xml-patch+xml"})
    assert xml.status_code == 415


def test_a_conditional_patch_needs_exactly_one(client):
    value = number()
    where, patch = {"identifier": f"urn:x|{value}"}, b'[{"op":"add","path":"/active","value":true}]'
    assert client.patch("/Patient", params=where, content=patch, headers=JSON_PATCH).status_code == 404
    client.post("/Patient", json=patient(value))
    made = client.patch("/Patient", params=where, content=patch, headers=JSON_PATCH)
    assert (made.status_code, made.json()["active"]) == (200, True)
    client.post("/Patient", json=patient(value))
    assert client.patch("/Patient", params=where, content=patch, headers=JSON_PATCH).status_code == 412


def test_patches_that_meet_are_all_done(client, server):
    name = client.post("/Patient", json=patient()).json()["id"]

    def add(turn):
        patch = [{"op": "add", "path": "/name/-", "value": {"family": f"f{turn}"}}]
        with server.client("system/*.cruds") as own:
            return own.patch(f"/Patient/{name}", json=patch, headers=JSON_PATCH).status_code

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        codes = list(pool.map(add, range(4)))
    names = {each["family"] for each in client.get(f"/Patient/{name}").json()["name"]}
    assert names == {"Hansen", *(f"f{turn}" for turn, code in enumerate(codes) if code == 200)}
    assert codes == [200] * 4


def test_a_json_patch_comes_in_a_binary(client):
    name = client.post("/Patient", json=patient()).json()["id"]
    data = base64.b64encode(b'[{"op":"add","path":"/active","value":false}]').decode()
    binary = {"resourceType": "Binary", "contentType": "application/json-patch+json", "data": data}
    assert responses(post(client, "transaction", entry("PATCH", f"Patient/{name}", binary)))[0]["status"] == "200 OK"
    assert client.get(f"/Patient/{name}").json()["active"] is False


@pytest.mark.parametrize("where", ["one", "found", "batch", "transaction"])
def test_who_may_not_read_learns_nothing_by_a_patch(server, client, where):
    """Nor by its words: a test that holds and one that does not are refused alike, before either is looked at."""
    value = number()
    name = client.post("/Patient", json=patient(value, gender="female")).json()["id"]
    address, found = f"Patient/{name}", f"Patient?identifier=urn:x|{value}"
    told = []
    with server.client("system/Patient.cuds") as blind:
        for guess in ("female", "male"):
            body = json.dumps([{"op": "test", "path": "/gender", "value": guess}]).encode()
            if where in {"one", "found"}:
                answer = blind.patch(f"/{address if where == 'one' else found}", content=body, headers=JSON_PATCH)
                assert answer.status_code == 403
                told.append(answer.content)
                continue
            binary = {"resourceType": "Binary", "contentType": JSON_PATCH["content-type"],
                      "data": base64.b64encode(body).decode()}  # fmt: skip
            answer = post(blind, where, entry("PATCH", address, binary))
            assert (
                (answer.status_code, responses(answer)[0]["status"]) == (200, "403 Forbidden")
                if where == "batch"
                else (answer.status_code == 403)
            )
            told.append(answer.content)
    assert told[0] == told[1]
    assert client.get(f"/{address}").headers["etag"] == 'W/"1"'
