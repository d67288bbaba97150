"""The shape of an answer: parts of resources, XML, histories, headers, packed bodies, and what stands beside the API."""

from __future__ import annotations

import gzip

import httpx
import pytest

from gateway.fhir import xml
from gateway.formats import json as exact
from tests.journeys.fhir_answering import (
    LOINC,
    SUBSETTED,
    names,
    serve_answers,
)
from tests.journeys.fhir_reading import every, issue
from tests.journeys.fhir_server import FhirServer


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    yield from serve_answers(tmp_path_factory.mktemp("answers"))


@pytest.fixture
def client(server: FhirServer):
    with server.client() as client:
        yield client


def test_a_summary_is_what_the_definitions_mark(client):
    whole = client.get("/Observation/o2").json()
    summary = client.get("/Observation/o2", params={"_summary": "true"}).json()
    assert summary["meta"]["tag"] == [SUBSETTED]
    assert {*whole} - {*summary} == {"text", "category"}
    text = client.get("/Observation/o2", params={"_summary": "text"}).json()
    assert {*text} == {"resourceType", "id", "meta", "text", "status", "code"}
    data = client.get("/Observation/o2", params={"_summary": "data"}).json()
    assert {*whole} - {*data} == {"text"}
    assert client.get("/Observation/o2", params={"_summary": "false"}).json() == whole


def test_elements_come_with_what_must_be_there(client):
    part = client.get("/Observation/o2", params={"_elements": "subject,value.unit"})
    assert part.json() == {
        "resourceType": "Observation",
        "id": "o2",
        "meta": {**client.get("/Observation/o2").json()["meta"], "tag": [SUBSETTED]},
        "status": "final",
        "code": {"coding": [{"system": LOINC, "code": "8480-6"}]},
        "subject": {"reference": "Patient/p2"},
        "valueQuantity": {"unit": "mmHg"},
    }
    assert b'"value":1.20' in client.get("/Observation/o2", params={"_elements": "value"}).content


@pytest.mark.parametrize(
    "path",
    ["/Observation?_id=o0&", "/Observation/o0/_history?", "/Observation/_history?", "/Observation/o0/_history/1?"],
)
def test_parts_are_had_of_searches_histories_and_versions(client, path):
    answer = client.get(f"{path}_elements=subject").json()
    resources = [entry["resource"] for entry in answer.get("entry", ()) if "resource" in entry] or [answer]
    for resource in resources:
        assert {*resource} == {"resourceType", "id", "meta", "status", "code", "subject"}
        assert resource["meta"]["tag"] == [SUBSETTED]


def test_a_part_stays_a_part_on_every_page(client):
    for entry in every(client, "/Observation?_elements=subject&_count=5&_include=Observation:encounter"):
        assert entry["resource"]["meta"]["tag"] == [SUBSETTED]
        assert "category" not in entry["resource"]


@pytest.mark.parametrize(
    "path", ["/Observation/o2", "/Observation?_sort=date&_count=3", "/Observation/o0/_history", "/metadata"]
)
def test_xml_says_what_json_says(client, path):
    as_json = client.get(path, headers={"accept": "application/fhir+json"})
    for ask in ({"headers": {"accept": "application/fhir+xml"}}, {"params": {**dict(httpx.QueryParams(path.partition("?")[2])), "_format": "xml"}}):  # fmt: skip
        answer = client.get(path.partition("?")[0] if "params" in ask else path, **ask)
        assert answer.headers["content-type"] == "application/fhir+xml; charset=utf-8"
        one, other = xml.loads(answer.content), exact.loads(as_json.content)
        for resource in (one, other):
            resource.pop("link", None)  # sealed anew
        assert one == other
    pretty = client.get(path, headers={"accept": "application/xml", "x-y": "z"}, params={"_pretty": "true"} if "?" not in path else None)  # fmt: skip
    assert "?" in path or pretty.content.count(b"\n") > 10


def test_a_refusal_is_in_xml_where_xml_was_asked_for(client):
    for path in ("/Observation/none", "/Nothing/x/y/z", "/Observation?nonsense=1"):
        outcome = xml.loads(client.get(path, headers={"accept": "application/fhir+xml"}).content)
        assert outcome["resourceType"] == "OperationOutcome"


def test_what_comes_in_xml_is_read_like_json(client):
    sent = {"resourceType": "Parameters", "parameter": [{"name": "n", "valueDecimal": exact.loads("1.20")}]}
    for kind in ("application/fhir+xml", "application/xml", "text/xml; charset=utf-8"):
        answer = client.post("/$echo", content=xml.dumps(sent), headers={"content-type": kind})
        assert answer.status_code == 200, answer.text
        assert exact.loads(answer.content) == sent
        assert b"1.20" in answer.content
    bad = client.post("/$echo", content=b"<Parameters/>", headers={"content-type": "application/fhir+xml"})
    assert (bad.status_code, issue(bad)["code"]) == (400, "invalid")
    bomb = b'<!DOCTYPE x [<!ENTITY a "b">]><Parameters xmlns="http://hl7.org/fhir"/>'
    assert client.post("/$echo", content=bomb, headers={"content-type": "application/fhir+xml"}).status_code == 400
    for kind in (
        "text/plain",
        "application/fhir+json; charset=iso-8859-1",
        "application/fhir+json; fhirVersion=5.0",
        "",
    ):
        refused = client.post("/$echo", content=b"{}", headers={"content-type": kind})
        assert (refused.status_code, issue(refused)["code"]) == (415, "not-supported"), kind


def test_a_large_answer_is_packed_for_who_takes_it(client):
    plain = client.get("/Observation?_count=12", headers={"accept-encoding": "identity"})
    assert "content-encoding" not in plain.headers
    for accepted, coding in (("gzip, deflate", "gzip"), ("gzip;q=0.5, zstd;q=0", "gzip"), ("br", None)):
        packed = client.get("/Observation?_count=12", headers={"accept-encoding": accepted})
        assert packed.headers.get("content-encoding") == coding
        assert packed.json()["entry"] == plain.json()["entry"]
    assert "accept-encoding" in plain.headers["vary"]
    assert int(client.get("/Observation?_count=12").headers["content-length"]) < len(plain.content) / 3
    assert "content-encoding" not in client.get("/Encounter/e0").headers


def test_a_head_has_the_headers_of_its_get(client):
    for path in ("/Observation?_count=1", "/Observation/o2", "/metadata", "/Observation/_history"):
        got, head = client.get(path), client.head(path)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-type"] == got.headers["content-type"]


def versions(entries: list[dict]) -> list[tuple[str, str, bool]]:
    return [
        (entry["request"]["url"], entry["response"]["etag"], entry["request"]["method"] == "DELETE")
        for entry in entries
    ]


@pytest.mark.parametrize("count", [1, 3, 100])
def test_the_history_of_a_type_is_every_version_newest_first(client, count):
    entries = every(client, f"/Observation/_history?_count={count}")
    assert len(entries) == 14
    assert versions(entries)[:2] == [("Observation/o1", 'W/"2"', True), ("Observation/o0", 'W/"2"', False)]
    moments = [entry["response"]["lastModified"] for entry in entries]
    assert moments == sorted(moments, reverse=True)
    assert all(("resource" in entry) is (entry["request"]["method"] != "DELETE") for entry in entries)


def test_the_history_of_the_system_is_of_what_the_caller_may_see(client, server):
    kinds = {entry["request"]["url"].partition("/")[0] for entry in every(client, "/_history?_count=7")}
    assert kinds == {"Patient", "Practitioner", "Organization", "Encounter", "Observation"}
    with server.client("system/Encounter.s") as narrow:
        assert {entry["request"]["url"] for entry in every(narrow, "/_history")} == {"Encounter/e0", "Encounter/e1"}
        assert narrow.get("/Observation/_history").status_code == 403


def test_since_and_at_name_moments_of_a_history(client):
    amended, created = client.get("/Observation/o0/_history").json()["entry"]
    deletion, begun = client.get("/Observation/o1/_history").json()["entry"]
    then, later = created["response"]["lastModified"], amended["response"]["lastModified"]
    gone = deletion["response"]["lastModified"]
    assert then == begun["response"]["lastModified"] < later < gone

    def asked(path: str, **parameters: str) -> list[tuple[str, str, bool]]:
        answer = client.get(path, params=parameters)
        assert answer.status_code == 200, answer.text
        return versions(every(client, str(answer.url)))

    assert asked("/Observation/o0/_history", _since=later) == [("Observation/o0", 'W/"2"', False)]
    assert asked("/Observation/o0/_history", _at=then) == [("Observation/o0", 'W/"1"', False)]
    assert asked("/Observation/o0/_history", _at=later) == [("Observation/o0", 'W/"2"', False)]
    assert asked("/Observation/o0/_history", _at=gone) == [("Observation/o0", 'W/"2"', False)]
    assert asked("/Observation/o0/_history", _at="2020") == []
    assert len(asked("/Observation/o0/_history", _at=then[:4])) == 2
    assert asked("/Observation/_history", _since=later) == [
        ("Observation/o1", 'W/"2"', True),
        ("Observation/o0", 'W/"2"', False),
    ]
    for count in ("2", "50"):
        stood = asked("/Observation/_history", _at=later, _count=count)
        assert sorted(stood) == sorted(
            [("Observation/o0", 'W/"2"', False), *((f"Observation/o{n}", 'W/"1"', False) for n in range(1, 12))]
        )


def test_who_sends_a_request_id_hears_it_again(client):
    assert client.get("/Observation/o2", headers={"x-request-id": "abc-1"}).headers["x-request-id"] == "abc-1"
    assert client.get("/Observation/none", headers={"x-request-id": "abc-1"}).headers["x-request-id"] == "abc-1"
    assert "x-request-id" not in client.get("/Observation/o2", headers={"x-request-id": "x" * 200}).headers
    assert "x-request-id" not in client.get("/Observation/o2").headers


def test_a_preference_that_was_applied_is_said(client):
    for wish in ("strict", "lenient"):
        answer = client.get("/Observation?code=8480-6", headers={"prefer": f"handling={wish}"})
        assert answer.headers["preference-applied"] == f"handling={wish}"
    assert "preference-applied" not in client.get("/Observation?code=8480-6").headers


def test_pages_of_any_origin_may_ask_what_the_server_can_do_and_nothing_else(client):
    origin = {"origin": "https://app.example"}
    assert client.get("/metadata", headers=origin).headers["access-control-allow-origin"] == "*"
    preflight = client.options("/metadata", headers={**origin, "access-control-request-method": "GET"})
    assert (preflight.status_code, preflight.content) == (204, b"")
    assert "GET" in preflight.headers["access-control-allow-methods"]
    assert "access-control-allow-origin" not in client.get("/Observation/o2", headers=origin).headers


def test_a_packed_body_is_unpacked_within_the_limits(client):
    form = {"content-type": "application/x-www-form-urlencoded", "content-encoding": "gzip"}
    found = client.post("/Observation/_search", content=gzip.compress(b"_id=o2"), headers=form)
    assert names(found.json()) == ["Observation/o2"]
    kind = {"content-type": "application/fhir+json", "content-encoding": "gzip"}
    for body, status, code in (
        (gzip.compress(b"{}" + b" " * 50_000), 413, "too-long"),
        (gzip.compress(b"{}")[:-4], 400, "invalid"),
        (b"{}", 400, "invalid"),
    ):
        refused = client.post("/$echo", content=body, headers=kind)
        assert (refused.status_code, issue(refused)["code"]) == (status, code)
    assert client.post("/$echo", content=b"{}", headers={**kind, "content-encoding": "br"}).status_code == 415
    assert client.post("/$echo", content=b'{"resourceType":"Basic","a":"' + b"x" * 100_001).status_code == 413


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/nothing", 404),
        ("TRACE", "/", 404),
        ("TRACE", "/openapi.json", 405),
        ("GET", "/fhirx", 404),
    ],
)
def test_an_unknown_address_outside_the_api_is_a_problem_in_json(server, method, path, status):
    answer = httpx.request(method, server.address + path)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert answer.json()["status"] == status
    assert "/fhir" in answer.json()["detail"]


def test_the_description_is_served_and_so_is_a_page_of_it(server):
    document = httpx.get(f"{server.address}/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    assert document["servers"] == [{"url": server.address}]
    assert "/fhir/{type}/{id}/$echo" in document["paths"]
    page = httpx.get(f"{server.address}/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert "<script" not in page.text
    assert "/fhir/{type}/{id}" in page.text
