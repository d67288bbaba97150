"""Whatever is asked, in whatever form: an answer or a refusal with an OperationOutcome, never a failure of ours."""

from __future__ import annotations

import socket
import string

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.observe.events import RoleCrashed
from gateway.search import parameters
from tests.journeys.fhir_answering import ECHO, LOINC, echo, observation
from tests.journeys.fhir_server import serving

OURS = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("hostile"), operations=[(ECHO, echo)]) as server:
        server.put({"resourceType": "Patient", "id": "p0"}, *(observation(n) for n in range(6)))
        yield server


@pytest.fixture(scope="module")
def client(server):
    with server.client() as client:
        yield client


def answered(server, response: httpx.Response) -> None:
    """It was answered below 500, nothing crashed, and a refusal says so as FHIR does."""
    assert response.status_code < 500, response.text
    assert not [event for event in server.told if isinstance(event, RoleCrashed)]
    if response.status_code >= 400:
        assert response.headers["content-type"].startswith(("application/fhir+json", "application/fhir+xml", "application/json", "application/xml", "text/xml"))  # fmt: skip
        assert b"OperationOutcome" in response.content


names = st.sampled_from(
    [
        *(parameter.name for parameter in parameters.of("Observation").all()), "_count", "_sort", "_include", "_revinclude", "_include:iterate", "_elements", "_summary",
        "_total", "_page", "_type", "_has:Observation:patient:code", "subject:Patient.name", "_filter", "_list", "_format", "_pretty", "subject:identifier", "code:not",
        "code:text", "code:in", "value-quantity:missing", "_at", "_since", "mode", "_contained", "_query", "patient.organization.name",
    ]
) | st.text(max_size=12)  # fmt: skip
values = (
    st.sampled_from(
        ["", "x", "0", "-1", "1e400", "1.20", "2026-03-29", "gt2026", "ap2026-02-30", "Patient/p0", "http://x/y|z", "a$b", "\\", "a,b\\,c", "|", "||", "*", "true",
         "Observation:subject", "*:*", "-date", "date,-code", "_lastUpdated", "xml", "json", "p0", LOINC + "|8480-6", "code eq x and (date gt 2026)", "🜁", "\x00", "a" * 3000, "subject,value.unit"]
    )
    | st.text(max_size=30)
)  # fmt: skip
PATHS = (
    "/Observation", "/", "/Patient/p0/Observation", "/Patient/p0/*", "/Observation/o0", "/Observation/o0/_history", "/Observation/_history", "/_history", "/metadata",
    "/Observation/o0/_history/1", "/Observation/$echo", "/Patient/$echo",
)  # fmt: skip


@given(path=st.sampled_from(PATHS), pairs=st.lists(st.tuples(names, values), max_size=5), lenient=st.booleans())
@OURS
def test_any_question_is_answered_or_refused(server, client, path, pairs, lenient):
    headers = {"prefer": "handling=lenient"} if lenient else {}
    answered(server, client.get(path, params=httpx.QueryParams(pairs), headers=headers))


@given(pairs=st.lists(st.tuples(names, values), max_size=5), path=st.sampled_from(["/Observation/_search", "/_search"]))
@OURS
def test_any_form_is_answered_or_refused(server, client, path, pairs):
    kind = {"content-type": "application/x-www-form-urlencoded"}
    answered(server, client.post(path, content=str(httpx.QueryParams(pairs)).encode(), headers=kind))


@given(query=st.binary(max_size=120), path=st.text(string.printable.replace("#", "").replace("?", ""), max_size=40))
@OURS
def test_any_address_is_answered_or_refused(server, client, path, query):
    quoted = "".join(char if char.isalnum() or char in "/_$*.-" else f"%{ord(char):02X}" for char in path)
    raw = "".join(f"%{byte:02x}" for byte in query)
    answered(server, client.get(f"/{quoted}?{raw}"))
    answered(server, client.get(f"/{quoted}?code={raw}&{raw}=x"))


header_values = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=60).map(str.strip)


@given(
    headers=st.dictionaries(
        st.sampled_from(
            ["accept", "prefer", "if-none-match", "if-modified-since", "accept-encoding", "x-request-id", "if-match"]
        ),
        header_values
        | st.sampled_from(
            [
                "*/*",
                "application/fhir+xml;q=0.5",
                "gzip;q=2",
                'W/"1"',
                "Sun, 06 Nov 1994 08:49:37 GMT",
                "handling=lenient",
                "return=x",
            ]
        ),
        max_size=4,
    ),
    path=st.sampled_from(PATHS),
)
@OURS
def test_any_headers_are_answered_or_refused(server, client, headers, path):
    answered(server, client.get(path, headers=headers))


bodies = (
    st.binary(max_size=200)
    | st.sampled_from(
        [b"{", b"[]", b"null", b'"x"', b'{"a":1,"a":2}', b'{"a":NaN}', b'{"a":"\\ud800"}', b'{"a":1e999}', b'{"a":' * 200, b"[" * 5000,
         b'{"resourceType":"Nonsense"}', b'{"resourceType":7}', b'{"resourceType":"Patient","name":7}', b'{"resourceType":"Bundle","entry":[{"resource":{"resourceType":"x"}}]}',
         b'<Patient xmlns="http://hl7.org/fhir"/>', b'<Patient xmlns="http://hl7.org/fhir"><id value="x"/></Patient>', b"<a/>", b"<!DOCTYPE a><a/>", b"\x1f\x8b\x08", b"\xff\xfe"]
    )
)  # fmt: skip


@given(
    body=bodies,
    kind=st.sampled_from(
        ["application/fhir+json", "application/fhir+xml", "text/xml", "application/json; charset=utf-16", "", "x"]
    ),
    encoding=st.sampled_from(["", "gzip", "br", "identity"]),
    accept=st.sampled_from(["application/fhir+json", "application/fhir+xml"]),
    shape=st.sampled_from(["", "?_summary=true", "?_elements=name", "?_summary=text&_elements=a.b.c"]),
)
@OURS
def test_any_body_is_answered_or_refused(server, client, body, kind, encoding, accept, shape):
    headers = {"content-type": kind, "content-encoding": encoding, "accept": accept}
    answered(server, client.post(f"/$echo{shape}", content=body, headers={k: v for k, v in headers.items() if v}))


def spoken(server, request: bytes) -> httpx.Response:
    """Say something on a socket and return what is answered."""
    url = httpx.URL(server.address)
    with socket.create_connection((url.host, url.port), timeout=10) as connection:
        connection.sendall(request)
        head, _, body = b"".join(iter(lambda: connection.recv(65536), b"")).partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    return httpx.Response(int(status.split()[1]), headers=[tuple(line.split(": ", 1)) for line in lines], content=body)


@pytest.mark.parametrize(
    "request_",
    [
        b"FOO /fhir/Patient HTTP/1.1\r\n\r\n",
        b"GET /fhir/Patient HTTP/1.1\r\nIf-Match: \x00\r\n\r\n",
        b"\x16\x03\x01\r\n",
    ],
)
def test_what_is_no_http_is_refused_with_an_outcome(server, request_):
    answer = spoken(server, request_)
    assert answer.status_code == 400
    assert answer.headers["content-type"].startswith("application/fhir+json")
    assert answer.json()["issue"][0]["code"] == "invalid"


@pytest.mark.parametrize(
    "name", ["{}", "name:{}", "organization.{}", "_has:Observation:{}:code", "_has:Observation:patient:{}"]
)
@pytest.mark.parametrize("person", ["2512489996", "251248-9996"])
@pytest.mark.parametrize("handling", ["strict", "lenient"])
def test_a_number_where_a_name_should_stand_is_not_repeated(client, name, person, handling):
    answer = client.get("/Patient", params={name.format(person): "1"}, headers={"prefer": f"handling={handling}"})
    assert answer.status_code in {200, 400}
    assert person not in answer.text
