"""Writing through the FHIR API as a caller sees it: a real server, real rows, real tokens."""

from __future__ import annotations

import base64
import concurrent.futures
import json
import re
import uuid

import httpx
import pytest

from gateway.fhir.ids import Ids
from gateway.formats import json as exact
from gateway.formats.packed import Limits
from gateway.model import PersonKey
from gateway.observe.events import RoleCrashed
from tests.journeys.fhir_server import FhirServer, serving

CPR = "urn:oid:1.2.208.176.1.2"
PERSON = "2512489996"  # a Danish test number
JSON_PATCH = {"content-type": "application/json-patch+json"}
FHIR = {"content-type": "application/fhir+json"}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("writes")) as server:
        yield server
        crashed = [told for told in server.told if isinstance(told, RoleCrashed)]
        assert not crashed


@pytest.fixture
def client(server: FhirServer):
    with server.client("system/*.cruds") as client:
        yield client


def number() -> str:
    return uuid.uuid4().hex


def patient(value: str = "", **more):
    identified = {"identifier": [{"system": "urn:x", "value": value}]} if value else {}
    return {"resourceType": "Patient", **identified, "name": [{"family": "Hansen"}], **more}


def observation(**more):
    return {"resourceType": "Observation", "status": "final", "code": {"text": "pulse"}, **more}


def issues(response: httpx.Response, status: int) -> list[dict]:
    assert response.status_code == status, response.text
    outcome = response.json()
    assert outcome["resourceType"] == "OperationOutcome"
    return outcome["issue"]


def entry(method: str, url: str, resource: dict | None = None, full_url: str = "", **request):
    made: dict = {"request": {"method": method, "url": url, **request}}
    if resource is not None:
        made["resource"] = resource
    if full_url:
        made["fullUrl"] = full_url
    return made


def post(client: httpx.Client, kind: str, *entries: dict, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.post("", json={"resourceType": "Bundle", "type": kind, "entry": list(entries)}, headers=named)


def responses(answer: httpx.Response) -> list[dict]:
    assert answer.status_code == 200, answer.text
    return [each["response"] for each in answer.json()["entry"]]


# create, update, delete


def test_a_creation_gets_an_id_of_the_servers_and_says_where_it_is(client, server):
    made = client.post("/Observation", json=observation(id="mine", meta={"versionId": "7", "tag": [{"code": "t"}]}))
    assert made.status_code == 201
    name = made.json()["id"]
    assert name != "mine"
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", name)
    assert made.headers["location"] == f"{server.base}/Observation/{name}/_history/1"
    assert made.headers["etag"] == 'W/"1"'
    assert "last-modified" in made.headers
    assert made.json()["meta"]["tag"] == [{"code": "t"}]
    assert made.json()["meta"]["versionId"] == "1"
    assert client.get(f"/Observation/{name}").content == made.content


def test_what_is_preferred_is_returned(client):
    for wanted, size in (("minimal", 0), ("OperationOutcome", 1), ("representation", 1), ("nonsense", 1)):
        made = client.post("/Patient", json=patient(), headers={"prefer": f"handling=strict, return={wanted}"})
        assert made.status_code == 201
        assert bool(made.content) == bool(size)
        if size:
            kind = "OperationOutcome" if wanted == "OperationOutcome" else "Patient"
            assert made.json()["resourceType"] == kind


def test_an_update_creates_replaces_and_leaves_alone_what_is_the_same(client):
    name = number()
    first = client.put(f"/Patient/{name}", json=patient(id=name, active=True))
    assert (first.status_code, first.headers["etag"]) == (201, 'W/"1"')
    second = client.put(f"/Patient/{name}", json=patient(id=name))
    assert (second.status_code, second.headers["etag"]) == (200, 'W/"2"')
    assert "active" not in second.json()
    again = client.put(f"/Patient/{name}", json=second.json())
    assert (again.status_code, again.headers["etag"], again.content) == (200, 'W/"2"', second.content)


def test_tags_and_profiles_are_replaced_as_the_client_sent_them(client):
    name = number()
    client.put(f"/Patient/{name}", json=patient(id=name, meta={"tag": [{"code": "a"}], "profile": ["http://x/y"]}))
    after = client.put(f"/Patient/{name}", json=patient(id=name, meta={"tag": [{"code": "b"}]}))
    assert after.json()["meta"]["tag"] == [{"code": "b"}]
    assert "profile" not in after.json()["meta"]


def test_a_deletion_can_be_repeated_and_undone_by_an_update(client):
    name = number()
    client.put(f"/Patient/{name}", json=patient(id=name))
    assert client.delete(f"/Patient/{name}").status_code == 204
    assert client.delete(f"/Patient/{name}").status_code == 204
    assert client.delete(f"/Patient/{number()}").status_code == 204
    assert client.get(f"/Patient/{name}").status_code == 410
    told = client.delete(f"/Patient/{name}", headers={"prefer": "return=OperationOutcome"})
    assert issues(told, 200)[0]["severity"] == "information"
    back = client.put(f"/Patient/{name}", json=patient(id=name))
    assert (back.status_code, back.headers["etag"]) == (201, 'W/"3"')


def test_what_was_written_is_found_at_once(client):
    value = number()
    client.post("/Patient", json=patient(value))
    found = client.get("/Patient", params={"identifier": f"urn:x|{value}"}).json()
    assert len(found["entry"]) == 1


def test_a_deletion_leaves_references_as_they_are(client):
    mother = client.post("/Patient", json=patient()).json()["id"]
    child = client.post("/Observation", json=observation(subject={"reference": f"Patient/{mother}"})).json()["id"]
    assert client.delete(f"/Patient/{mother}").status_code == 204
    assert client.get(f"/Observation/{child}").json()["subject"] == {"reference": f"Patient/{mother}"}


# conditions


def test_if_match_lets_the_version_it_names_pass_alone(client):
    name = number()
    client.put(f"/Patient/{name}", json=patient(id=name))
    for tag, status in (
        ('W/"2"', 412),
        ('"7"', 412),
        ('W/"1"', 200),
        ('W/"1"', 412),
        ('W/"7", W/"2"', 200),
        ("*", 200),
    ):
        active = {"active": status == 200, "gender": tag and "other", "multipleBirthInteger": len(tag)}
        answer = client.put(f"/Patient/{name}", json=patient(id=name, **active), headers={"if-match": tag})
        assert answer.status_code == status, (tag, answer.text)
    assert client.put(f"/Patient/{name}", json=patient(id=name), headers={"if-match": "x"}).status_code == 400
    missing = number()
    for tag in ('W/"1"', "*"):
        answer = client.put(f"/Patient/{missing}", json=patient(id=missing), headers={"if-match": tag})
        assert answer.status_code == 412
    assert client.delete(f"/Patient/{name}", headers={"if-match": 'W/"1"'}).status_code == 412
    current = client.get(f"/Patient/{name}").headers["etag"]
    assert client.delete(f"/Patient/{name}", headers={"if-match": current}).status_code == 204


def test_if_none_match_creates_and_never_replaces(client):
    name = number()
    only = {"if-none-match": "*"}
    assert client.put(f"/Patient/{name}", json=patient(id=name), headers=only).status_code == 201
    assert client.put(f"/Patient/{name}", json=patient(id=name, active=True), headers=only).status_code == 412
    client.delete(f"/Patient/{name}")
    assert client.put(f"/Patient/{name}", json=patient(id=name), headers=only).status_code == 201
    assert client.put(f"/Patient/{name}", json=patient(id=name), headers={"if-none-match": 'W/"1"'}).status_code == 400


def test_eight_threads_with_one_if_none_exist_make_one_resource(client, server):
    for _ in range(5):
        value = number()

        def create(_, value=value):
            with server.client("system/*.cruds") as own:
                return own.post("/Patient", json=patient(value), headers={"if-none-exist": f"identifier=urn:x|{value}"})

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(create, range(8)))
        assert sorted(answer.status_code for answer in answers) == [200] * 7 + [201]
        assert len({answer.json()["id"] for answer in answers}) == 1
        assert len({answer.headers["location"] for answer in answers}) == 1


def test_a_version_race_over_http_has_one_winner_and_bricks_nothing(client, server):
    name = number()
    client.put(f"/Patient/{name}", json=patient(id=name))

    def change(turn):
        with server.client("system/*.cruds") as own:
            sent = patient(id=name, multipleBirthInteger=turn)
            return own.put(f"/Patient/{name}", json=sent, headers={"if-match": 'W/"1"'}).status_code

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(change, range(8))) == [200] + [412] * 7
    assert client.get(f"/Patient/{name}").headers["etag"] == 'W/"2"'
    assert client.put(f"/Patient/{name}", json=patient(id=name)).status_code == 200


def test_conditional_creation_of_several_is_refused(client):
    value = number()
    for _ in range(2):
        client.post("/Patient", json=patient(value))
    answer = client.post(
        "/Patient", json=patient(value), headers={"if-none-exist": f"Patient?identifier=urn:x|{value}"}
    )
    assert issues(answer, 412)[0]["code"] == "multiple-matches"


def test_a_conditional_update_creates_updates_or_refuses(client):
    value, own = number(), number()
    where = {"identifier": f"urn:x|{value}"}
    made = client.put("/Patient", params=where, json=patient(value))
    assert made.status_code == 201
    name = made.json()["id"]
    updated = client.put("/Patient", params=where, json=patient(value, active=True))
    assert (updated.status_code, updated.json()["id"], updated.headers["etag"]) == (200, name, 'W/"2"')
    assert client.put("/Patient", params=where, json=patient(value, id=name)).status_code == 200
    assert client.put("/Patient", params=where, json=patient(value, id="another")).status_code == 400
    stale = client.put("/Patient", params=where, json=patient(value), headers={"if-match": 'W/"1"'})
    assert stale.status_code == 412
    other = {"identifier": f"urn:x|{own}"}
    chosen = client.put("/Patient", params=other, json=patient(own, id=own))
    assert (chosen.status_code, chosen.json()["id"]) == (201, own)
    taken = client.put("/Patient", params={"identifier": f"urn:x|{number()}"}, json=patient(id=own))
    assert issues(taken, 409)
    client.post("/Patient", json=patient(value))
    assert issues(client.put("/Patient", params=where, json=patient(value)), 412)[0]["code"] == "multiple-matches"


def test_a_conditional_deletion_takes_one_or_none(client):
    value = number()
    where = {"identifier": f"urn:x|{value}"}
    assert client.delete("/Patient", params=where).status_code == 204
    name = client.post("/Patient", json=patient(value)).json()["id"]
    assert client.delete("/Patient", params=where).status_code == 204
    assert client.get(f"/Patient/{name}").status_code == 410
    for _ in range(2):
        client.post("/Patient", json=patient(value))
    assert issues(client.delete("/Patient", params=where), 412)[0]["code"] == "multiple-matches"


@pytest.mark.parametrize("query", ["", "?", "?identifier=", "?nonsense=1", "?_count=1", "?_id=a&_sort=_lastUpdated"])
def test_a_condition_that_names_nothing_writes_nothing(client, query):
    lenient = {"prefer": "handling=lenient"}
    for answer in (
        client.delete(f"/Patient{query}", headers=lenient),
        client.put(f"/Patient{query}", json=patient(), headers=lenient),
        client.patch(f"/Patient{query}", content=b"[]", headers=JSON_PATCH),
    ):
        assert answer.status_code == 400, answer.text
        assert issues(answer, 400)


@pytest.mark.parametrize("header", ["if-match", "if-none-match", "if-none-exist"])
def test_an_empty_condition_writes_nothing(client, header):
    value = number()
    sent = {**FHIR, header: ""}
    if header == "if-none-exist":
        answer = client.post("/Patient", json=patient(value), headers=sent)
    else:
        answer = client.put(f"/Patient/{value}", json=patient(value, id=value), headers=sent)
    assert issues(answer, 400)[0]["expression"] == [header.title()]
    assert "entry" not in client.get("/Patient", params={"identifier": f"urn:x|{value}"}).json()


@pytest.mark.parametrize("moment", ["9999-12-31T23:59:59-12:00", "9999-12-31T23:59:59.999999Z"])
def test_a_moment_at_the_end_of_the_calendar_is_kept_and_found(client, moment):
    name = client.post("/Observation", json=observation(effectiveDateTime=moment)).json()["id"]
    found = client.get("/Observation", params={"_id": name, "date": "ge9999"}).json()
    assert [each["resource"]["effectiveDateTime"] for each in found["entry"]] == [moment]


@pytest.mark.parametrize("part", ["_summary=true", "_elements=name"])
def test_a_part_of_a_resource_is_not_written_in_place_of_the_whole(client, part):
    name = client.post("/Patient", json=patient(number(), photo=[{"title": "p"}])).json()["id"]
    whole = client.get(f"/Patient/{name}").content
    refused = issues(client.put(f"/Patient/{name}", json=client.get(f"/Patient/{name}?{part}").json()), 422)[0]
    assert (refused["code"], refused["expression"]) == ("business-rule", ["Patient.meta.tag"])
    assert client.get(f"/Patient/{name}").content == whole


# patch


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


def operation(kind, path, **parts):
    known = {"index": "valueInteger", "source": "valueInteger", "destination": "valueInteger", "name": "valueString"}
    made = [{"name": "type", "valueCode": kind}, {"name": "path", "valueString": path}]
    for name, value in parts.items():
        made.append({"name": name, **value} if isinstance(value, dict) else {"name": name, known[name]: value})
    return {"name": "operation", "part": made}


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


# transaction and batch


def test_a_transaction_is_done_in_its_order_and_answered_in_the_order_asked(client):
    old, value = number(), number()
    client.put(f"/Patient/{old}", json=patient(value, id=old))
    answer = post(
        client,
        "transaction",
        entry("GET", f"Patient?identifier=urn:x|{value}"),
        entry("PUT", f"Patient/{value}", patient(value, id=value)),
        entry("POST", "Patient", patient(value)),
        entry("DELETE", f"Patient/{old}"),
        entry("GET", f"Patient/{value}"),
        entry("HEAD", f"Patient/{value}"),
    )
    statuses = [each["status"].split()[0] for each in responses(answer)]
    assert statuses == ["200", "201", "201", "204", "200", "200"]
    found, _, created, _, read, head = answer.json()["entry"]
    assert len(found["resource"]["entry"]) == 2
    assert "resource" not in created  # not asked for
    assert created["response"]["etag"] == 'W/"1"'
    assert re.fullmatch(r"Patient/[-0-9a-f]+/_history/1", created["response"]["location"])
    assert "lastModified" in created["response"]
    assert read["resource"]["id"] == value
    assert "resource" not in head


def test_entries_refer_to_one_another_everywhere_and_in_a_circle(client):
    a, b, oid = f"urn:uuid:{uuid.uuid4()}", f"urn:uuid:{uuid.uuid4()}", "urn:oid:1.2.3.4"
    page = f'<div xmlns="http://www.w3.org/1999/xhtml"><a href="{b}">see</a> and <img src=\'{a}\' alt="{a}"/></div>'
    first = patient(
        link=[{"other": {"reference": b}, "type": "seealso"}],
        extension=[{"url": "http://x/e", "valueUri": a}, {"url": "http://x/f", "valueReference": {"reference": oid}}],
        identifier=[{"system": "urn:ietf:rfc:3986", "value": a}],
        text={"status": "generated", "div": page},
    )
    second = patient(link=[{"other": {"reference": a}, "type": "seealso"}])
    third = {"resourceType": "Organization", "name": oid, "partOf": {"reference": "http://old/fhir/Organization/7"}}
    fourth = {"resourceType": "Organization", "name": "o"}
    answer = post(
        client, "transaction", entry("POST", "Patient", first, a), entry("PUT", "Patient/circle", {**second, "id": "circle"}, b),
        entry("POST", "Organization", third, oid), entry("POST", "Organization", fourth, "http://old/fhir/Organization/7"),
        prefer="return=representation",
    )  # fmt: skip
    assert answer.status_code == 200, answer.text
    one, two, three, four = (each["resource"] for each in answer.json()["entry"])
    here, there = f"Patient/{one['id']}", "Patient/circle"
    assert one["link"][0]["other"]["reference"] == there
    assert two["link"][0]["other"]["reference"] == here
    assert one["extension"][0]["valueUri"] == here
    assert one["extension"][1]["valueReference"]["reference"] == f"Organization/{three['id']}"
    assert one["identifier"][0]["value"] == a
    assert one["text"]["div"] == page.replace(f'href="{b}"', f'href="{there}"').replace(f"src='{a}'", f"src='{here}'")
    assert three["partOf"]["reference"] == f"Organization/{four['id']}"
    assert three["name"] == oid
    found = client.get("/Patient", params={"link": there}).json()
    assert [each["resource"]["id"] for each in found["entry"]] == [one["id"]]


def test_a_relative_reference_is_below_the_server_of_its_entry(client):
    answer = post(
        client, "transaction",
        entry("POST", "Patient", patient(id="9"), "http://old/fhir/Patient/9"),
        entry("POST", "Observation", observation(subject={"reference": "Patient/9"}), "http://old/fhir/Observation/1"),
        prefer="return=representation",
    )  # fmt: skip
    who, what = (each["resource"] for each in answer.json()["entry"])
    assert what["subject"]["reference"] == f"Patient/{who['id']}"


def test_a_conditional_reference_names_the_one_it_finds_or_the_whole_fails(client):
    value = number()
    asking = entry("POST", "Observation", observation(subject={"reference": f"Patient?identifier=urn:x|{value}"}))
    other = number()
    along = entry("PUT", f"Patient/{other}", patient(id=other))
    refused = issues(post(client, "transaction", along, asking), 412)[0]
    assert refused["expression"] == ["Bundle.entry[1].resource.subject.reference"]
    assert client.get(f"/Patient/{other}").status_code == 404
    name = client.post("/Patient", json=patient(value)).json()["id"]
    answer = post(client, "transaction", along, asking, prefer="return=representation")
    assert answer.json()["entry"][1]["resource"]["subject"]["reference"] == f"Patient/{name}"
    client.post("/Patient", json=patient(value))
    assert issues(post(client, "transaction", along, asking), 412)[0]["code"] == "multiple-matches"


def test_a_conditional_reference_means_the_entry_that_is_created_under_its_condition(client):
    value = number()
    where = f"identifier=urn:x|{value}"
    answer = post(
        client, "transaction", entry("POST", "Patient", patient(value), ifNoneExist=where),
        entry("POST", "Observation", observation(subject={"reference": f"Patient?{where}"})), prefer="return=representation",
    )  # fmt: skip
    who, what = (each["resource"] for each in answer.json()["entry"])
    assert what["subject"]["reference"] == f"Patient/{who['id']}"


def test_a_urn_that_no_entry_has_is_refused_also_where_no_entry_has_any(client):
    nobody = observation(subject={"reference": f"urn:uuid:{uuid.uuid4()}"})
    for full_url in ("", f"urn:uuid:{uuid.uuid4()}"):
        refused = issues(post(client, "transaction", entry("POST", "Observation", nobody, full_url)), 400)[0]
        assert refused["expression"] == ["Bundle.entry[0].resource.subject.reference"]


def test_conditions_of_entries_hold_for_what_refers_to_them(client):
    value, place = number(), f"urn:uuid:{uuid.uuid4()}"
    who = entry("POST", "Patient", patient(value), place, ifNoneExist=f"identifier=urn:x|{value}")
    what = entry("POST", "Observation", observation(subject={"reference": place}))
    first = post(client, "transaction", who, what, prefer="return=representation")
    second = post(client, "transaction", who, what, prefer="return=representation")
    assert [each["status"] for each in responses(first)] == ["201 Created", "201 Created"]
    assert [each["status"] for each in responses(second)] == ["200 OK", "201 Created"]
    named = {answer.json()["entry"][1]["resource"]["subject"]["reference"] for answer in (first, second)}
    assert named == {f"Patient/{first.json()['entry'][0]['resource']['id']}"}


def test_parallel_transactions_with_one_if_none_exist_make_one(client, server):
    value, place = number(), f"urn:uuid:{uuid.uuid4()}"
    entries = (
        entry("POST", "Patient", patient(value), place, ifNoneExist=f"identifier=urn:x|{value}"),
        entry("POST", "Observation", observation(subject={"reference": place})),
    )

    def run(_):
        with server.client("system/*.cruds") as own:
            return post(own, "transaction", *entries)

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(run, range(8)))
    assert [answer.status_code for answer in answers] == [200] * 8
    assert sorted(responses(answer)[0]["status"] for answer in answers) == ["200 OK"] * 7 + ["201 Created"]
    (one,) = client.get("/Patient", params={"identifier": f"urn:x|{value}"}).json()["entry"]
    found = client.get("/Observation", params={"subject": f"Patient/{one['resource']['id']}", "_total": "accurate"})
    assert found.json()["total"] == 8


def test_the_same_resource_twice_is_an_error_however_it_is_named(client):
    value, name = number(), number()
    client.put(f"/Patient/{name}", json=patient(value, id=name))
    put = entry("PUT", f"Patient/{name}", patient(value, id=name, active=True))
    where = f"Patient?identifier=urn:x|{value}"
    new = f"Patient?identifier=urn:x|{number()}"
    for pair in (
        (put, put),
        (put, entry("DELETE", f"Patient/{name}")),
        (entry("PUT", where, patient(value)), entry("DELETE", where)),
        (put, entry("PUT", where, patient(value))),
        (entry("PUT", new, patient()), entry("PUT", new, patient())),
        (entry("POST", "Patient", patient(), ifNoneExist=new), entry("POST", "Patient", patient(), ifNoneExist=new)),
        (put, entry("POST", "Patient", patient(value), ifNoneExist=where)),
    ):
        assert "expression" in issues(post(client, "transaction", *pair), 400)[0]
    assert client.get(f"/Patient/{name}").headers["etag"] == 'W/"1"'


def test_a_transaction_that_fails_leaves_nothing(client):
    first, second = number(), number()
    client.put(f"/Patient/{second}", json=patient(id=second))
    answer = post(
        client, "transaction", entry("PUT", f"Patient/{first}", patient(id=first)),
        entry("PUT", f"Patient/{second}", patient(id=second, active=True), ifMatch='W/"8"'),
    )  # fmt: skip
    assert issues(answer, 412)[0]["expression"] == ["Bundle.entry[1].resource"]
    invalid = post(
        client, "transaction", entry("PUT", f"Patient/{first}", patient(id=first)),
        entry("POST", "Observation", {"resourceType": "Observation", "status": "x"}),
    )  # fmt: skip
    assert {each["expression"][0] for each in issues(invalid, 422)} == {
        "Bundle.entry[1].resource.status", "Bundle.entry[1].resource.code",
    }  # fmt: skip
    assert client.get(f"/Patient/{first}").status_code == 404


def test_entries_of_a_batch_know_nothing_of_one_another(client):
    name = number()
    answer = post(
        client, "batch",
        entry("PUT", f"Patient/{name}", patient(id=name)),
        entry("PUT", f"Patient/{name}", {"resourceType": "Patient", "gender": 3, "id": name}),
        {"fullUrl": "urn:uuid:x"},
        entry("GET", "Patient/unknown"),
        entry("POST", "Nonsense", {"resourceType": "Nonsense"}),
        entry("GET", f"Patient/{name}"),
        entry("GET", "http://elsewhere/fhir/Patient/1"),
        entry("PATCH", f"Patient/{name}", {"resourceType": "Parameters", "parameter": [operation("add", "Patient", name="active", value={"valueBoolean": True})]}),
        {**entry("GET", "metadata"), "nonsense": 1},
        entry("POST", "", {"resourceType": "Bundle", "type": "batch"}),
        entry("GET", "metadata"),
    )  # fmt: skip
    told = responses(answer)
    assert [each["status"].split()[0] for each in told] == [
        "201", "422", "400", "404", "404", "200", "400", "200", "422", "422", "200",
    ]  # fmt: skip
    for each in told:
        if each["status"][0] == "4":
            assert each["outcome"]["resourceType"] == "OperationOutcome"
    assert told[1]["outcome"]["issue"][0]["expression"] == ["Bundle.entry[1].resource.gender"]
    assert told[8]["outcome"]["issue"][0]["expression"] == ["Bundle.entry[8].nonsense"]
    assert client.get(f"/Patient/{name}").json()["active"] is True


def test_a_json_patch_comes_in_a_binary(client):
    name = client.post("/Patient", json=patient()).json()["id"]
    data = base64.b64encode(b'[{"op":"add","path":"/active","value":false}]').decode()
    binary = {"resourceType": "Binary", "contentType": "application/json-patch+json", "data": data}
    assert responses(post(client, "transaction", entry("PATCH", f"Patient/{name}", binary)))[0]["status"] == "200 OK"
    assert client.get(f"/Patient/{name}").json()["active"] is False


def test_each_entry_is_decided_on_its_own(server):
    name = number()
    with server.client("system/Patient.c", "system/Observation.cr") as client:
        batch = post(
            client, "batch", entry("POST", "Patient", patient()), entry("PUT", f"Patient/{name}", patient(id=name)),
            entry("GET", "Patient/x"), entry("POST", "Observation", observation()),
        )  # fmt: skip
        assert [each["status"].split()[0] for each in responses(batch)] == ["201", "403", "403", "201"]
        whole = post(client, "transaction", entry("POST", "Patient", patient()), entry("GET", f"Patient/{name}"))
        assert issues(whole, 403)[0]["code"] == "forbidden"
        hidden = entry("POST", "Observation", observation(subject={"reference": "Patient?identifier=x"}))
        assert post(client, "transaction", hidden).status_code == 403


def test_a_transaction_may_be_empty_and_has_a_greatest_size(client):
    assert client.post("/", json={"resourceType": "Bundle", "type": "transaction"}).json() == {
        "resourceType": "Bundle", "type": "transaction-response",
    }  # fmt: skip
    many = [entry("POST", "Basic", {"resourceType": "Basic", "code": {"text": "x"}})] * 10_001
    assert issues(post(client, "batch", *many), 413)[0]["code"] == "too-long"


def test_ten_thousand_entries_are_written_at_once(client):
    value = number()
    many = [
        entry("POST", "Basic", {"resourceType": "Basic", "code": {"coding": [{"code": value}]}}) for _ in range(10_000)
    ]
    client.timeout = 120
    answer = post(client, "transaction", *many)
    assert answer.status_code == 200, answer.text[:500]
    assert len(answer.json()["entry"]) == 10_000
    assert client.get("/Basic", params={"code": value, "_summary": "count"}).json()["total"] == 10_000


# who may


@pytest.mark.parametrize(
    ("scope", "allowed"),
    [("c", {"create"}), ("u", {"update"}), ("ru", {"update", "patch"}), ("d", {"delete"}), ("rs", set()), ("cs", {"create", "if-none-exist"}),
     ("us", {"update", "conditional-update"}), ("ds", {"delete", "conditional-delete"})],
)  # fmt: skip
def test_a_letter_opens_what_it_names_and_a_question_needs_s(server, scope, allowed):
    name, value = number(), number()
    with server.client("system/*.cruds") as owner:
        owner.put(f"/Patient/{name}", json=patient(value, id=name))
    where = {"identifier": f"urn:x|{value}"}
    with server.client(f"system/Patient.{scope}") as client:
        asked = {
            "create": lambda: client.post("/Patient", json=patient()),
            "if-none-exist": lambda: client.post("/Patient", json=patient(), headers={"if-none-exist": "_id=zz"}),
            "update": lambda: client.put(f"/Patient/{name}", json=patient(value, id=name)),
            "patch": lambda: client.patch(f"/Patient/{name}", content=b"[]", headers=JSON_PATCH),
            "conditional-update": lambda: client.put("/Patient", params=where, json=patient(value)),
            "conditional-delete": lambda: client.delete("/Patient", params=where),
            "delete": lambda: client.delete(f"/Patient/{name}"),
        }
        for what, ask in asked.items():
            status = ask().status_code
            assert (status < 300) == (what in allowed), (what, status)
            assert status < 300 or status == 403, (what, status)


def test_who_may_not_read_is_not_shown_what_he_did_not_send(server, client):
    value = number()
    name = client.post("/Patient", json=patient(value)).json()["id"]
    with server.client("system/Patient.cus") as blind:
        found = blind.post("/Patient", json=patient(value), headers={"if-none-exist": f"identifier=urn:x|{value}"})
        assert (found.status_code, found.content) == (200, b"")
        own = blind.put(f"/Patient/{name}", json=patient(value, id=name))
        assert own.json()["id"] == name


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


# lanes and the stream


def test_what_is_about_a_person_travels_on_the_lane_that_feeds_use(client, server):
    keyed = Ids(b"0123456789abcdef").lane(PersonKey(CPR, PERSON))
    place = f"urn:uuid:{uuid.uuid4()}"
    written = f"{PERSON[:6]}-{PERSON[6:]}"
    answer = post(
        client, "transaction", entry("POST", "Observation", observation(subject={"reference": place})),
        entry("POST", "Patient", patient(identifier=[{"system": CPR, "value": written}]), place),
        entry("POST", "Organization", {"resourceType": "Organization", "name": "o"}),
    )  # fmt: skip
    made = [each["location"].split("/")[:2] for each in responses(answer)]
    lanes = [server.run(server.store.read(kind, name)).lane for kind, name in made]
    assert lanes == [keyed, keyed, ""]
    who = "/".join(made[1])
    later = client.post("/Condition", json={"resourceType": "Condition", "subject": {"reference": who}}).json()["id"]
    assert server.run(server.store.read("Condition", later)).lane == keyed
    client.put(f"/{who}", json=patient(id=made[1][1]))  # without the number: the person stays on its lane
    assert server.run(server.store.read(*made[1])).lane == keyed
    nobody = client.post("/Condition", json={"resourceType": "Condition", "subject": {"reference": "Patient/unknown"}})
    lane = server.run(server.store.read("Condition", nobody.json()["id"])).lane
    assert re.fullmatch(r"[0-9a-f]{32}", lane)
    assert lane != keyed


# bad input


BAD = {
    "not JSON": (b"{", 400), "nothing": (b"", 400), "an array": (b"[]", 400), "a number": (b"7", 400), "text": (b'"x"', 400),
    "NaN": (b'{"resourceType":"Observation","valueQuantity":{"value":NaN}}', 400),
    "a name twice": (b'{"resourceType":"Patient","active":true,"active":false}', 400),
    "half a surrogate": (b'{"resourceType":"Patient","gender":"\\ud800"}', 400),
    "not UTF-8": (b'{"resourceType":"Patient","gender":"\xff"}', 400),
    "a huge number": (b'{"resourceType":"Patient","multipleBirthInteger":1e999999}', 400),
    "too many digits": (b'{"resourceType":"Patient","multipleBirthInteger":' + b"1" * 60 + b"}", 400),
    "depth": (b'{"resourceType":"Patient","extension":' + b"[" * 5000 + b"]" * 5000 + b"}", 400),
    "another type": (b'{"resourceType":"Person"}', 400), "no type": (b"{}", 400), "a type that is none": (b'{"resourceType":3}', 400),
    "an unknown element": (b'{"resourceType":"Patient","nonsense":1}', 422),
    "a wrong shape": (b'{"resourceType":"Patient","name":"x"}', 422), "an empty array": (b'{"resourceType":"Patient","name":[]}', 422),
    "null": (b'{"resourceType":"Patient","name":null}', 422), "an odd meta": (b'{"resourceType":"Patient","meta":7}', 422),
    "an odd reference": (b'{"resourceType":"Patient","generalPractitioner":[{"reference":["Patient?x"]}]}', 422),
    "a question for nothing": (b'{"resourceType":"Patient","generalPractitioner":[{"reference":"Practitioner?nonsense=1"}]}', 400),
    "a question of nothing": (b'{"resourceType":"Patient","generalPractitioner":[{"reference":"Nonsense?x=1"}]}', 400),
    "a resource that contains itself": (b'{"resourceType":"Patient","contained":[{"resourceType":"Patient","contained":[]}]}', 422),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_bad_body_is_told_what_is_wrong(client, name):
    body, status = BAD[name]
    for answer in (
        client.post("/Patient", content=body, headers=FHIR),
        client.put("/Patient/x", content=body, headers=FHIR),
    ):
        if status == 422 and answer.request.method == "PUT":
            assert answer.status_code in {400, 422}  # it has no id either
            continue
        (first, *_) = issues(answer, status)
        assert first["code"] in {"invalid", "structure", "value", "required", "code-invalid", "invariant"}
        assert first["diagnostics"]


def test_an_id_must_be_that_of_the_address(client):
    for body in (patient(), patient(id="other"), patient(id=7)):
        assert issues(client.put("/Patient/x", json=body), 400)[0]["expression"] == ["Patient.id"]
    assert client.put("/Patient/" + "x" * 65, json=patient()).status_code == 404
    assert client.put("/Nonsense/x", json=patient()).status_code == 404
    assert client.post("/Patient/x", json=patient()).status_code == 405


def test_other_content_types_and_too_much_are_refused(client, server):
    assert issues(client.post("/Patient", content=b"a=b", headers={"content-type": "text/plain"}), 415)
    server.api._limits, before = Limits(bytes_max=1000), server.api._limits
    try:
        assert issues(client.post("/Patient", json=patient(x="y" * 2000)), 413)
    finally:
        server.api._limits = before


@pytest.mark.parametrize(
    ("bundle", "status"),
    [
        ({"resourceType": "Patient"}, 400), ({"resourceType": "Bundle"}, 400), ({"resourceType": "Bundle", "type": "collection"}, 400),
        ({"resourceType": "Bundle", "type": "transaction", "entry": {}}, 400), ({"resourceType": "Bundle", "type": ["batch"]}, 400),
        ({"resourceType": "Bundle", "type": "transaction", "entry": [7]}, 400),
        ({"resourceType": "Bundle", "type": "transaction", "entry": []}, 200),
        ({"resourceType": "Bundle", "type": "transaction", "entry": [{}]}, 400),
        ({"resourceType": "Bundle", "type": "transaction", "nonsense": 1}, 422),
        ({"resourceType": "Bundle", "type": "transaction", "entry": [{"request": {"method": "POST"}}]}, 422),
        ({"resourceType": "Bundle", "type": "transaction", "entry": [{"request": {"method": "BREW", "url": "Patient"}}]}, 422),
        ({"resourceType": "Bundle", "type": "transaction", "entry": [{"request": {"method": "POST", "url": "Patient"}}]}, 400),
        ({"resourceType": "Bundle", "type": "transaction", "entry": [entry("POST", "Patient", observation())]}, 400),
        ({"resourceType": "Bundle", "type": "transaction", "entry": [entry("POST", "Patient", [])]}, 400),
        ({"resourceType": "Bundle", "type": "transaction", "entry": [entry("PUT", "Patient/1", patient(id="2"))]}, 400),
        ({"resourceType": "Bundle", "type": "transaction", "entry": [entry("PUT", "http://other/Patient/1", patient(id="1"))]}, 400),
        ({"resourceType": "Bundle", "type": "transaction", "entry": [entry("GET", "Patient/1/2/3")]}, 404),
        ({"resourceType": "Bundle", "type": "transaction", "entry": [entry("DELETE", "Patient")]}, 400),
        ({"resourceType": "Bundle", "type": "transaction", "entry": [entry("DELETE", "metadata")]}, 405),
        ({"resourceType": "Bundle", "type": "transaction", "entry": [entry("PATCH", "Patient/1", {"resourceType": "Binary"})]}, 400),
        ({"resourceType": "Bundle", "type": "transaction", "entry": [entry("PATCH", "Patient/1", patient())]}, 400),
        ({"resourceType": "Bundle", "type": "transaction", "entry": [entry("PUT", "Patient/1", patient(id="1"), ifMatch="x")]}, 400),
        ({"resourceType": "Bundle", "type": "transaction", "entry": [entry("POST", "Patient", patient(), ifNoneExist="x=y")]}, 400),
        ({"resourceType": "Bundle", "type": "transaction",
          "entry": [entry("POST", "Patient", patient(), "urn:uuid:1"), entry("POST", "Patient", patient(), "urn:uuid:1")]}, 422),
        ({"resourceType": "Bundle", "type": "transaction",
          "entry": [entry("POST", "Patient", patient(managingOrganization={"reference": "urn:uuid:no"}), "urn:uuid:1")]}, 400),
    ],
)  # fmt: skip
def test_a_bad_bundle_is_told_what_is_wrong(client, bundle, status):
    answer = client.post("/", json=bundle)
    assert answer.status_code == status, answer.text
    if status != 200:
        assert all(each["code"] and each["diagnostics"] and each.get("expression") for each in issues(answer, status))


def test_a_wrong_number_of_a_person_appears_in_no_answer(client):
    sent = patient(identifier=[{"system": CPR, "value": PERSON, PERSON: PERSON}], gender=PERSON)
    answer = client.post("/Patient", json=sent)
    assert answer.status_code == 422
    assert PERSON not in answer.text


def test_decimals_keep_their_precision_through_every_way_of_writing(client):
    body = (
        b'{"resourceType":"Observation","id":"%s","status":"final","code":{"text":"x"},"valueQuantity":{"value":1.20}}'
    )
    name = number().encode()
    client.put(f"/Observation/{name.decode()}", content=body % name, headers=FHIR)
    bundle = b'{"resourceType":"Bundle","type":"transaction","entry":[{"request":{"method":"PUT","url":"Observation/%s"},"resource":%s}]}'
    other = number().encode()
    assert client.post("/", content=bundle % (other, body % other), headers=FHIR).status_code == 200
    for each in (name, other):
        found = client.get(f"/Observation/{each.decode()}")
        assert str(exact.loads(found.content)["valueQuantity"]["value"]) == "1.20"
