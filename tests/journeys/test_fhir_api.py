"""Reading through the FHIR API as a caller sees it: a real server, real rows, real tokens."""

from __future__ import annotations

import datetime as dt
import email.utils
import json
import re
import socket

import pytest

from gateway.fhir.validate import validate
from gateway.formats import json as exact
from gateway.search import parameters, parse
from gateway.serve.routes import COMPARTMENTS, TABLE, Interaction
from tests.journeys.fhir_reading import LOINC, PERSON, every, issue, link, serve_readings
from tests.journeys.fhir_server import FhirServer


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    yield from serve_readings(tmp_path_factory.mktemp("fhir"))


@pytest.fixture
def client(server: FhirServer):
    with server.client() as client:
        yield client


def test_a_read_gives_the_stored_bytes_with_version_and_time(client, server):
    answer = client.get("/Observation/o0")
    assert answer.status_code == 200
    assert answer.headers["etag"] == 'W/"2"'
    body = answer.json()
    assert body["meta"]["versionId"] == "2"
    assert body["status"] == "amended"
    assert b'"value":1.20' in answer.content
    stored = server.run(server.store.read("Observation", "o0"))
    assert answer.content == stored.body
    modified = email.utils.parsedate_to_datetime(answer.headers["last-modified"])
    assert abs(modified - stored.last_updated) < dt.timedelta(seconds=1)


def test_a_conditional_read_of_what_is_known_has_no_body(client):
    first = client.get("/Observation/o0")
    for headers in (
        {"if-none-match": first.headers["etag"]}, {"if-none-match": '"2"'}, {"if-none-match": 'W/"7", W/"2"'}, {"if-none-match": "*"},
        {"if-modified-since": first.headers["last-modified"]}, {"if-none-match": 'W/"2"', "if-modified-since": "Thu, 01 Jan 1970 00:00:00 GMT"},
    ):  # fmt: skip
        again = client.get("/Observation/o0", headers=headers)
        assert (again.status_code, again.content) == (304, b""), headers
        assert again.headers["etag"] == first.headers["etag"]
    for headers in (
        {"if-none-match": 'W/"1"'}, {"if-modified-since": "Thu, 01 Jan 1970 00:00:00 GMT"}, {"if-modified-since": "yesterday"},
        {"if-none-match": 'W/"1"', "if-modified-since": first.headers["last-modified"]},
    ):  # fmt: skip
        assert client.get("/Observation/o0", headers=headers).status_code == 200, headers


def test_versions_and_their_history(client):
    assert client.get("/Observation/o0/_history/1").json()["status"] == "final"
    assert client.get("/Observation/o0/_history/2").json()["status"] == "amended"
    assert client.get("/Observation/o0/_history/3").status_code == 404
    history = client.get("/Observation/o0/_history").json()
    assert (history["type"], history["total"]) == ("history", 2)
    assert [entry["resource"]["meta"]["versionId"] for entry in history["entry"]] == ["2", "1"]
    assert [entry["response"]["status"] for entry in history["entry"]] == ["200", "201"]


def test_a_deleted_resource_is_gone_and_its_history_says_when(client):
    gone = client.get("/Observation/o1")
    assert gone.status_code == 410
    assert issue(gone)["code"] == "deleted"
    assert client.get("/Observation/o1/_history/1").status_code == 200
    assert client.get("/Observation/o1/_history/2").status_code == 410
    deletion, creation = client.get("/Observation/o1/_history").json()["entry"]
    assert deletion["request"] == {"method": "DELETE", "url": "Observation/o1"}
    assert "resource" not in deletion
    assert creation["resource"]["id"] == "o1"
    assert "o1" not in [entry["resource"]["id"] for entry in every(client, "/Observation?_count=100")]


def test_a_history_is_paged(client):
    first = client.get("/Observation/o0/_history", params={"_count": 1}).json()
    assert len(first["entry"]) == 1
    following = link(first, "next")
    assert PERSON not in following
    second = client.get(following).json()
    assert second["entry"][0]["resource"]["meta"]["versionId"] == "1"
    assert link(second, "next") is None


def test_head_is_get_without_the_body(client):
    answer = client.head("/Observation/o0")
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-length"] == str(len(client.get("/Observation/o0").content))


def test_pretty_is_the_same_json_with_line_breaks(client):
    plain, pretty = client.get("/Observation/o0"), client.get("/Observation/o0", params={"_pretty": "true"})
    assert pretty.content.count(b"\n") > 10
    assert exact.loads(pretty.content) == exact.loads(plain.content)
    assert b'"value": 1.20' in pretty.content


def test_a_search_gives_the_stored_bytes_newest_first(client, server):
    answer = client.get(
        "/Observation", params={"patient": "Patient/p0", "code": f"{LOINC}|8480-6", "_total": "accurate", "_count": "5"}
    )
    bundle = answer.json()
    assert (bundle["resourceType"], bundle["type"], bundle["total"]) == ("Bundle", "searchset", 20)
    assert len(bundle["entry"]) == 5
    dates = [entry["resource"]["effectiveDateTime"] for entry in bundle["entry"]]
    assert dates == sorted(dates, reverse=True)
    for entry in bundle["entry"]:
        assert entry["search"] == {"mode": "match"}
        assert entry["fullUrl"] == f"{server.base}/Observation/{entry['resource']['id']}"
        assert entry["resource"]["subject"]["reference"] == "Patient/p0"
    assert b'"value":1.20' in answer.content


def test_post_search_is_get_search(client):
    got = client.get("/Observation", params={"patient": "p0", "_count": "3"}).json()
    for posted in (
        client.post("/Observation/_search", data={"patient": "p0", "_count": "3"}),
        client.post("/Observation/_search?_count=3", data={"patient": "p0"}),
    ):
        assert posted.json()["entry"] == got["entry"]


@pytest.mark.parametrize("sort", ["_lastUpdated", "-_lastUpdated", "date", "-date"])
@pytest.mark.parametrize("count", [1, 7, 100])
def test_pages_together_hold_every_match_once(client, sort, count):
    found = every(client, f"/Observation?_sort={sort}&_count={count}")
    assert len(found) == 59
    assert len({entry["resource"]["id"] for entry in found}) == 59


def test_no_total_unless_asked_and_none_shown_for_count_zero(client):
    assert "total" not in client.get("/Observation").json()
    counted = client.get("/Observation", params={"_count": "0", "status": "final"}).json()
    assert counted["total"] == 58
    assert "entry" not in counted
    assert client.get("/Observation", params={"_summary": "count"}).json()["total"] == 59


def test_nothing_found_is_an_empty_bundle(client):
    bundle = client.get("/Observation", params={"code": "none"}).json()
    assert bundle["type"] == "searchset"
    assert "entry" not in bundle


def test_self_names_what_was_asked_and_shows_no_value(client, server):
    asked = client.get("/Observation", params={"code": "8480-6", "patient": "p0", "_count": "2"}).json()
    own = link(asked, "self")
    assert re.fullmatch(rf"{server.base}/Observation\?code=&patient=&_count=&_page=[\w-]+", own)
    again = client.get(own).json()
    assert again["entry"] == asked["entry"]
    person = client.get("/Patient", params={"identifier": f"urn:oid:1.2.208.176.1.2|{PERSON}", "_count": "1"})
    bundle = person.json()
    assert len(bundle["entry"]) == 1
    for relation in ("self", "next"):
        assert PERSON not in link(bundle, relation)
    assert len(every(client, link(bundle, "next"))) == 2


def test_a_next_link_shows_nothing_of_the_search(client):
    address = link(client.get("/Observation", params={"patient": "p0", "_count": "1"}).json(), "next")
    assert re.fullmatch(r"http://[\d.:]+/fhir/Observation\?patient=&_count=&_page=[\w-]+", address)


def test_a_page_is_for_its_caller_alone_and_for_its_address(client, server):
    address = link(client.get("/Observation", params={"_count": "1"}).json(), "next")
    with server.client(name="another") as another, server.client("system/Observation.rs") as narrower:
        for other in (another, narrower):
            refused = other.get(address)
            assert refused.status_code == 403
            assert issue(refused)["code"] == "forbidden"
    token = address.partition("_page=")[2]
    assert client.get("/Patient", params={"_page": token}).status_code == 400
    assert client.get("/Observation/o0/_history", params={"_page": token}).status_code == 400
    assert client.get("/Observation", params={"_page": token, "status": "final"}).status_code == 400
    changed = token[:40] + ("A" if token[40] != "A" else "B") + token[41:]
    for wrong in (changed, "x", "", token + "A", "å" * 50, "A" * 20000):
        assert client.get("/Observation", params={"_page": wrong}).status_code in ({200} if not wrong else {400})


def test_lenient_ignores_and_says_so(client):
    strict = client.get("/Observation", params={"colour": "blue"})
    assert strict.status_code == 400
    assert "colour" in issue(strict)["diagnostics"]
    lenient = client.get(
        "/Observation", params={"colour": "blue", "code": "8480-6"}, headers={"prefer": "handling=lenient"}
    ).json()
    *_, note = lenient["entry"]
    assert note["search"] == {"mode": "outcome"}
    assert "colour" in note["resource"]["issue"][0]["diagnostics"]
    assert "colour" not in link(lenient, "self")


def test_the_capability_statement_says_what_the_tables_say(client):
    statement = client.get("/metadata").json()
    assert (statement["fhirVersion"], statement["kind"]) == ("4.0.1", "instance")
    (rest,) = statement["rest"]
    assert {resource["type"] for resource in rest["resource"]} == set(parameters.types())
    without = {Interaction.CAPABILITIES, Interaction.OPERATION, Interaction.SEARCH_COMPARTMENT}
    for typed, said in ((True, rest["resource"]), (False, [rest])):
        rows = {row.interaction.value for row in TABLE if row.pattern.startswith("/{type}") is typed} - without
        for part in said:
            assert {interaction["code"] for interaction in part["interaction"]} - {"batch"} == rows
    assert {address.rpartition("/")[2] for address in rest["compartment"]} == {
        name[0].lower() + name[1:] for name in COMPARTMENTS
    }


@pytest.mark.parametrize("mode", ["full", "normative", "terminology"])
def test_what_the_server_says_of_itself_is_valid_in_every_mode(client, mode):
    statement = exact.loads(client.get("/metadata", params={"mode": mode}).content)
    assert validate(statement) == []
    summary = exact.loads(client.get("/metadata", params={"mode": mode, "_summary": "true"}).content)
    assert summary["meta"]["tag"][0]["code"] == "SUBSETTED"
    assert mode == "terminology" or len(exact.dumps(summary)) < len(exact.dumps(statement))


def test_every_declared_search_parameter_is_understood(client, server):
    value = {
        "token": "true", "reference": "Patient/p0", "date": "2026", "uri": "urn:x", "string": "a", "number": "1", "quantity": "1", "special": "1|2|3|km",
    }  # fmt: skip
    (rest,) = client.get("/metadata").json()["rest"]
    for said in rest["searchParam"]:
        answer = client.get("", params={"_type": "Patient,Observation", said["name"]: "2026"})
        assert answer.status_code == 200, said["name"]
    for resource in rest["resource"]:
        for said in resource["searchParam"]:
            known = parameters.of(resource["type"])
            parameter = known.get(said["name"])
            parts = [known.get(part.name).kind for part in parameter.components] or [said["type"]]
            parse.parse(resource["type"], [(said["name"], "$".join(value[kind] for kind in parts))])
        for name in ("_include", "_revinclude"):
            for said in resource.get("searchRevInclude" if name == "_revinclude" else "searchInclude", ()):
                parse.parse(resource["type"], [(name, said)])


def test_requests_in_a_row_on_one_connection(server):
    """Pipelined by hand: the API leaves nothing behind on a connection."""
    host, port = server.address.removeprefix("http://").split(":")
    token = server.issuer.issue("tester", ["system/*.rs"])
    request = f"GET /fhir/Observation/o0 HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n"
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall((f"{request}\r\n" * 2 + f"{request}Connection: close\r\n\r\n").encode())
        received = b"".join(iter(lambda: connection.recv(65536), b""))
    assert received.count(b"HTTP/1.1 200 OK") == 3


def test_what_is_served_is_json_of_the_stored_resource(client):
    for entry in json.loads(client.get("/Observation?_count=100").content)["entry"]:
        assert entry["resource"]["resourceType"] == "Observation"
