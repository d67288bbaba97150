"""A Binary in its own form: bytes in, bytes out, and nothing that a browser would run."""

from __future__ import annotations

import base64
import uuid

import pytest

from tests.journeys.fhir_server import FhirServer, serving

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
FHIR = "application/fhir+json"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("binary")) as server:
        yield server


@pytest.fixture
def client(server: FhirServer):
    with server.client("system/*.cruds") as client:
        yield client


def test_bytes_come_back_as_they_went_in(client):
    made = client.post("/Binary", content=PNG, headers={"content-type": "image/png", "accept": FHIR})
    assert made.status_code == 201, made.text
    resource = made.json()
    assert (resource["contentType"], base64.b64decode(resource["data"])) == ("image/png", PNG)
    raw = client.get(f"/Binary/{resource['id']}", headers={"accept": "image/png"})
    assert (raw.status_code, raw.content, raw.headers["content-type"]) == (200, PNG, "image/png")
    assert raw.headers["etag"] == made.headers["etag"]
    version = client.get(f"/Binary/{resource['id']}/_history/1", headers={"accept": "application/octet-stream"})
    assert version.content == PNG
    again = client.get(
        f"/Binary/{resource['id']}", headers={"accept": "image/png", "if-none-match": raw.headers["etag"]}
    )
    assert (again.status_code, again.content) == (304, b"")
    head = client.head(f"/Binary/{resource['id']}", headers={"accept": "image/png"})
    assert (head.headers["content-length"], head.content) == (str(len(PNG)), b"")


@pytest.mark.parametrize(
    ("accept", "form", "native"),
    [
        ("image/png", "", True), ("image/*", "", True), ("application/pdf", "", True), ("image/png, */*;q=0.5", "", True), ("*/*", "", False),
        (FHIR, "", False), ("application/fhir+xml", "", False), ("image/png, application/fhir+json", "", False), ("image/png", "json", False),
        ("text/html,application/xml;q=0.9,*/*;q=0.8", "", False),
    ],
)  # fmt: skip
def test_who_names_one_of_fhirs_types_or_none_gets_the_resource(client, accept, form, native):
    name = uuid.uuid4().hex
    assert (
        client.put(f"/Binary/{name}", content=PNG, headers={"content-type": "image/png", "accept": FHIR}).status_code
        == 201
    )
    answer = client.get(f"/Binary/{name}", params={"_format": form} if form else None, headers={"accept": accept})
    assert answer.status_code == 200
    assert (answer.content == PNG) is native
    assert native or "fhir" in answer.headers["content-type"] or "xml" in answer.headers["content-type"]


@pytest.mark.parametrize("kind", ["text/html", "image/svg+xml", "application/javascript", 'text/html; charset="utf-8"'])
def test_what_a_browser_would_run_goes_out_as_an_attachment_in_a_sandbox(client, kind):
    name = client.post("/Binary", content=b"<script>x</script>", headers={"content-type": kind, "accept": FHIR}).json()[
        "id"
    ]
    raw = client.get(f"/Binary/{name}", headers={"accept": "text/html"})
    assert raw.content == b"<script>x</script>"
    assert raw.headers["content-security-policy"].startswith("sandbox")
    assert raw.headers["content-disposition"] == "attachment"
    assert raw.headers["x-content-type-options"] == "nosniff"


def test_a_stored_type_that_is_none_is_not_repeated_as_a_header(client):
    body = {"resourceType": "Binary", "contentType": "text/html\nset-cookie: a=b", "data": "eA=="}
    made = client.post("/Binary", json=body)
    assert made.status_code == 201  # to R4 it is a code
    raw = client.get(f"/Binary/{made.json()['id']}", headers={"accept": "image/png"})
    assert (raw.content, raw.headers["content-type"]) == (b"x", "application/octet-stream")
    assert "set-cookie" not in raw.headers


def test_the_security_context_goes_in_and_out_as_a_header(client):
    headers = {"content-type": "text/plain", "x-security-context": "Patient/p1", "accept": FHIR}
    made = client.post("/Binary", content=b"x", headers=headers)
    assert made.json()["securityContext"] == {"reference": "Patient/p1"}
    raw = client.get(f"/Binary/{made.json()['id']}", headers={"accept": "text/plain"})
    assert raw.headers["x-security-context"] == "Patient/p1"
    for bad in ("", "a b"):
        refused = client.post("/Binary", content=b"x", headers={**headers, "x-security-context": bad})
        assert refused.status_code == 400
        assert refused.json()["issue"][0]["expression"] == ["X-Security-Context"]


def test_bytes_are_written_under_the_conditions_of_any_write(client):
    name = uuid.uuid4().hex
    text = {"content-type": "text/plain; charset=utf-8", "accept": FHIR}
    assert client.put(f"/Binary/{name}", content=b"1", headers=text).status_code == 201
    second = client.put(f"/Binary/{name}", content=b"2", headers={**text, "if-match": 'W/"1"'})
    assert (second.status_code, second.headers["etag"]) == (200, 'W/"2"')
    assert client.put(f"/Binary/{name}", content=b"3", headers={**text, "if-match": 'W/"1"'}).status_code == 412
    assert client.post("/Binary", content=b"", headers=text).json().get("data") is None
    assert client.get(f"/Binary/{name}", headers={"accept": "text/plain"}).content == b"2"


def test_other_types_are_for_a_binary_alone(client, server):
    assert client.post("/Patient", content=b"x", headers={"content-type": "image/png"}).status_code == 415
    assert client.post("/Binary", content=b"x", headers={"content-type": "nonsense"}).status_code == 415
    assert client.post("/Binary", content=b"x").status_code == 415
    name = client.post("/Binary", content=PNG, headers={"content-type": "image/png", "accept": FHIR}).json()["id"]
    for path in ("/Binary", f"/Binary/{name}/_history", "/Patient/x"):
        assert client.get(path, headers={"accept": "image/png"}).status_code == 406
    assert client.get("/Binary/none", headers={"accept": "image/png"}).headers["content-type"].startswith(FHIR)
    with server.client("system/Patient.r") as other:
        assert other.get(f"/Binary/{name}", headers={"accept": "image/png"}).status_code == 403
