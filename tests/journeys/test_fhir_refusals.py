"""What a refusal says: the place in the request, and words that name the reason and not another one."""

from __future__ import annotations

import pytest

from gateway.terminology.for_search import Codes
from gateway.terminology.library import Library
from tests.contracts.operations import SHELF
from tests.journeys.fhir_server import FhirServer, serving


async def codes(_, __):
    return Codes(Library(SHELF))


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("refusals"), codes=codes) as server:
        server.put({"resourceType": "Patient", "id": "p"})
        yield server


@pytest.fixture
def client(server: FhirServer):
    with server.client("system/*.cruds") as client:
        yield client


@pytest.mark.parametrize(
    ("path", "status", "at", "words"),
    [
        ("/Patient/p?foo=1", 400, "foo", "a read takes"), ("/Patient/p/_history/1?foo=1", 400, "foo", "a read takes"),
        ("/Patient/p/_history?foo=1", 400, "foo", "a history takes"), ("/_history?foo=1", 400, "foo", "a history takes"),
        ("/metadata?foo=1", 400, "foo", "metadata takes"), ("/Patient/p?2512489996=1", 400, "?", "a read takes"),
        ("/Patient/p?_pretty=x", 400, "_pretty", "true or false"), ("/Patient?_pretty=x", 400, "_pretty", "true or false"),
        ("/Observation?code:in=http://x.example/none", 400, "code", "no such value set"),
        ("/Observation?subject:Patient._tag:in=http://x.example/none", 400, "subject:Patient._tag:in", "no such value set"),
        ("/Observation?value-quantity=ge" + "9" * 51, 400, "value-quantity", "more than 50 digits"),
        ("/Observation?value-quantity=x", 400, "value-quantity", "is not a number"),
        ("/Patient?" + "&".join(["name=x"] * 201), 400, None, "at most 200 parameters"),
        ("/Patient?" + "&".join(["name=x"] * 41), 400, None, "at most 40 parameters"), ("/Patient?a=%ff", 400, None, "UTF-8"),
        ("/$foo", 404, None, "no such operation"), ("/Patient/$foo", 404, None, "no such operation"),
        ("/Patient/p/$foo", 404, None, "no such operation"), ("/_foo", 404, None, "nothing has this address"), ("/foo", 404, None, "resource type"),
        ("/Patient?_list=$current-problems", 400, "_list", "functional list"), ("/Patient?_list=a b", 400, "_list", "ids of Lists"),
        ("/Patient?_query=x", 400, "_query", "named query"), ("/Patient?_contained=true", 400, "_contained", "contained in others"),
        ("/Patient?_contained=both", 400, "_contained", "contained in others"),
        ("/Patient?_containedType=contained", 400, "_containedType", "contained in others"),
    ],
)  # fmt: skip
def test_a_refusal_names_the_place_and_the_reason(client, path, status, at, words):
    answer = client.get(path)
    assert answer.status_code == status, answer.text
    (issue,) = answer.json()["issue"]
    assert issue.get("expression") == (None if at is None else [at])
    assert words in issue["diagnostics"]


def test_a_named_query_is_refused_to_the_lenient_too(client):
    assert client.get("/Patient?_query=x", headers={"prefer": "handling=lenient"}).status_code == 400
    assert client.get("/Patient?_pretty=x", headers={"prefer": "handling=lenient"}).status_code == 200


@pytest.mark.parametrize(
    "path",
    ["/Patient?_contained=false", "/Patient?_containedType=container", "/Observation?value-quantity=ge" + "9" * 50],
)
def test_what_says_no_more_than_usual_is_taken(client, path):
    assert client.get(path).status_code == 200


@pytest.mark.parametrize(
    ("body", "at"),
    [
        (b'<Patient xmlns="http://hl7.org/fhir"><name><bar/></name></Patient>', "Patient.name[0].bar"),
        (b'<Patient xmlns="http://hl7.org/fhir"><active value="x"/></Patient>', "Patient.active"), (b"<Patient", None),
        (b'<!DOCTYPE x><Patient xmlns="http://hl7.org/fhir"/>', None), (b"\xff\xfe<", None), (b"<a>" * 300, None),
    ],
)  # fmt: skip
def test_what_cannot_be_parsed_has_no_expression_and_what_can_has_a_fhirpath(client, body, at):
    answer = client.post("/Patient", content=body, headers={"content-type": "application/fhir+xml"})
    assert answer.status_code == 400
    assert answer.json()["issue"][0].get("expression") == (None if at is None else [at])


@pytest.mark.parametrize(
    "headers",
    [{"if-modified-since": "x"}, {"if-modified-since": "2026-01-01"}, {"prefer": "return=nonsense"}, {"prefer": "nonsense"},
     {"prefer": "handling=nonsense"}, {"if-none-match": "x"}],
)  # fmt: skip
def test_what_http_wants_passed_over_is_passed_over(client, headers):
    assert client.get("/Patient/p", headers=headers).status_code == 200
