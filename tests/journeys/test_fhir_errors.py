"""Who may ask, and what a refusal looks like: every error an OperationOutcome, none with a person in it."""

from __future__ import annotations

import time

import httpx
import pytest

from gateway.observe.events import AccessRefused, RequestAnswered, RoleCrashed
from tests.journeys.fhir_reading import PERSON, issue, serve_readings
from tests.journeys.fhir_server import FhirServer


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    yield from serve_readings(tmp_path_factory.mktemp("fhir"))


@pytest.fixture
def client(server: FhirServer):
    with server.client() as client:
        yield client


def test_nothing_is_open_but_the_capability_statement(server):
    with httpx.Client(base_url=server.base) as nobody:
        assert nobody.get("/metadata").status_code == 200
        for path in (
            "/Observation",
            "/Observation/o0",
            "/Observation/o0/_history",
            "/Observation/o0/_history/1",
            "/Observation?nonsense=1",
        ):
            answer = nobody.get(path)
            assert answer.status_code == 401, path
            assert answer.headers["www-authenticate"] == 'Bearer realm="sundbro"'
            assert issue(answer)["code"] == "login"
        answer = nobody.get("/Observation", headers={"authorization": "Bearer x.y.z"})
        assert 'error="invalid_token"' in answer.headers["www-authenticate"]
        assert AccessRefused("read", "no-token") in server.told


@pytest.mark.parametrize(
    ("scopes", "read", "search"),
    [
        (("system/Observation.r",), 200, 403),
        (("system/Observation.s",), 403, 200),
        (("system/Patient.rs",), 403, 403),
        (("ingest/home",), 403, 403),
    ],
)
def test_scopes_decide(server, scopes, read, search):
    with server.client(*scopes) as client:
        assert client.get("/Observation/o0").status_code == read
        assert client.get("/Observation/none").status_code == (404 if read == 200 else 403)
        assert client.get("/Observation/o0/_history").status_code == read
        assert client.get("/Observation/o0/_history/1").status_code == read
        assert client.get("/Observation").status_code == search
        assert client.get("/Observation?nonsense=1").status_code == (400 if search == 200 else 403)


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/Observation/none", 404, "not-found"), ("GET", "/Observation/none/_history", 404, "not-found"), ("GET", "/Cat/1", 404, "not-found"),
        ("GET", "/Cat", 404, "not-found"), ("TRACE", "/Observation/o0", 405, "not-supported"), ("TRACE", "/", 405, "not-supported"), ("GET", "/Observation/o0/nothing", 404, "not-found"),
        ("GET", "/Observation/a_b", 404, "not-found"), ("GET", f"/Observation/{'x' * 65}", 404, "not-found"), ("GET", "/Observation/o0/_history/0", 404, "not-found"),
        ("GET", "/Observation/o0/_history/99999999999", 404, "not-found"), ("GET", "/Observation/%00", 404, "not-found"), ("GET", "/Observation/%FF", 404, "not-found"),
        ("GET", "/..%2fObservation", 404, "not-found"), ("POST", "/Observation/o0", 405, "not-supported"), ("DELETE", "/metadata", 405, "not-supported"),
        ("PUT", "/metadata", 405, "not-supported"), ("PATCH", "/Observation/o0/_history", 405, "not-supported"), ("GET", "/Observation/_search", 405, "not-supported"),
        ("OPTIONS", "/Observation", 405, "not-supported"), ("POST", "/metadata", 405, "not-supported"), ("GET", "/Observation?code=%FF", 400, "invalid"),
        ("GET", "/Observation?code=" + "&code=x" * 41, 400, "invalid"), ("GET", "/Observation?" + "x=1&" * 300, 400, "invalid"), ("GET", "/Observation/o0?code=x", 400, "invalid"),
        ("GET", "/Observation?date=tomorrow", 400, "invalid"), ("GET", "/Observation?_count=x", 400, "invalid"), ("GET", "/Observation?subject.nonsense=x", 400, "invalid"),
        ("GET", "/Observation/o0/_history?_count=0", 400, "invalid"), ("GET", "/Observation/o0/_history?_since=2020-13", 400, "invalid"), ("GET", "/Observation/o0/_history?_at=x", 400, "invalid"),
        ("GET", "/Observation/o0?_summary=x", 400, "invalid"), ("GET", "/Observation/o0?_elements=colour", 400, "invalid"), ("GET", "/metadata?mode=x", 400, "invalid"),
        ("GET", "/?_type=Cat", 400, "invalid"), ("GET", "/Observation/o0/Patient", 404, "not-found"), ("GET", "/Patient/p0/Patience", 404, "not-found"),
        ("GET", "/Patient/p0/Organization", 404, "not-found"), ("GET", "/Patient/p0/*?_type=Organization", 400, "invalid"),
    ],
)  # fmt: skip
def test_every_error_is_an_outcome_by_the_table(client, method, path, status, code):
    answer = client.request(method, path if path.startswith("/") else client.base_url)
    assert answer.status_code == status, answer.text
    assert issue(answer)["code"] == code
    if status == 405:
        assert answer.headers["allow"]


def test_a_form_of_another_kind_or_too_large_is_refused(client):
    assert client.post("/Observation/_search", json={"code": "x"}).status_code == 415
    big = client.post("/Observation/_search", data={"code": "x" * 70_000})
    assert big.status_code == 413
    assert issue(big)["code"] == "too-long"
    assert client.post("/Observation/_search").status_code == 200


@pytest.mark.parametrize(
    "accept",
    [
        "text/html",
        "text/turtle",
        "application/fhir+json;fhirVersion=5.0",
        "application/fhir+json;q=0",
        "image/*",
    ],
)
def test_what_we_do_not_speak_is_not_acceptable(client, accept):
    answer = client.get("/Observation/o0", headers={"accept": accept})
    assert answer.status_code == 406
    assert "application/fhir+xml" in issue(answer)["diagnostics"]


@pytest.mark.parametrize(
    ("accept", "format_", "expected"),
    [
        ("*/*", None, "application/fhir+json"), ("application/json", None, "application/json"), ("text/html, application/fhir+json;q=0.5", None, "application/fhir+json"),
        ("application/fhir+json;fhirVersion=4.0", None, "application/fhir+json"), ("application/fhir+xml", "json", "application/fhir+json"),
        ("application/json, */*;q=0.1", None, "application/json"), ("nonsense", "application/fhir+json", "application/fhir+json"), ("", None, "application/fhir+json"),
        ("application/fhir+xml", None, "application/fhir+xml"), ("application/fhir+json", "xml", "application/fhir+xml"), ("text/xml", None, "text/xml"),
        ("application/xml;q=0.9, application/json;q=0.8", None, "application/xml"), ("application/xml;q=0.8, application/json;q=0.9", None, "application/json"),
        ("application/json;q=0.5, application/fhir+xml;fhirVersion=5.0", None, "application/json"), ("*/*", "application/fhir xml", "application/fhir+xml"),
    ],
)  # fmt: skip
def test_format_goes_before_accept(client, accept, format_, expected):
    answer = client.get("/Observation/o0", headers={"accept": accept}, params={"_format": format_} if format_ else {})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == f"{expected}; charset=utf-8"


def test_what_cannot_be_a_format_is_refused_in_words(client):
    answer = client.get("/Observation/o0", params={"_format": "ttl"})
    assert answer.status_code == 406
    assert answer.headers["content-type"].startswith("application/fhir+json")


def test_a_bug_says_nothing_and_is_told(server, client, monkeypatch):
    async def broken(*_):
        raise RuntimeError(f"the number {PERSON} in an exception")

    monkeypatch.setattr(server.store, "read", broken)
    answer = client.get("/Observation/o0")
    assert answer.status_code == 500
    assert PERSON not in answer.text
    assert "Runtime" not in answer.text
    crashed = [event for event in server.told if isinstance(event, RoleCrashed)]
    assert crashed
    assert PERSON not in str(crashed)
    assert "serve/permitted.py" in crashed[-1].error


def test_an_unavailable_store_is_503_and_says_when_to_come_back(server, client, monkeypatch):
    from gateway.errors import Unavailable

    async def away(*_):
        raise Unavailable("the database does not answer")

    monkeypatch.setattr(server.store, "search", away)
    answer = client.get("/Observation")
    assert (answer.status_code, issue(answer)["code"]) == (503, "transient")
    assert answer.headers["retry-after"] == "1"


def test_nobody_sees_a_person_in_what_is_told(server, client):
    before = len(server.told)
    client.get("/Patient", params={"identifier": PERSON})
    client.get(f"/Patient/{PERSON}")
    client.get(f"/{PERSON}/1")
    answered: list[RequestAnswered] = []
    deadline = time.monotonic() + 5
    while len(answered) < 3 and time.monotonic() < deadline:  # it is told after the answer has left
        answered = [event for event in server.told[before:] if isinstance(event, RequestAnswered)]
        time.sleep(0.01)
    assert [(event.interaction, event.resource_type, event.status) for event in answered] == [
        ("search-type", "Patient", 200),
        ("read", "Patient", 404),
        ("unknown", "", 404),
    ]
    assert PERSON not in repr(answered)
