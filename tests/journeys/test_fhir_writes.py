"""Writing through the FHIR API as a caller sees it: a real server, real rows, real tokens."""

from __future__ import annotations

import re
import uuid

import pytest

from gateway.fhir.ids import Ids
from gateway.formats import json as exact
from gateway.formats.packed import Limits
from gateway.model import PersonKey
from tests.journeys.fhir_server import FhirServer
from tests.journeys.fhir_writing import (
    CPR,
    FHIR,
    JSON_PATCH,
    PERSON,
    entry,
    issues,
    number,
    observation,
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


@pytest.mark.parametrize("way", ["alone", "transaction", "if-none-exist"])
def test_a_history_says_how_each_version_came_about(client, way):
    value = number()
    if way == "transaction":
        made = post(client, "transaction", entry("POST", "Patient", patient(value)))
        name = responses(made)[0]["location"].split("/")[1]
    else:
        condition = {"if-none-exist": f"identifier=urn:x|{value}"} if way == "if-none-exist" else {}
        name = client.post("/Patient", json=patient(value), headers=condition).json()["id"]
    client.patch(f"/Patient/{name}", content=b'[{"op":"add","path":"/active","value":true}]', headers=JSON_PATCH)
    client.put(f"/Patient/{name}", json=patient(value, id=name, gender="male"))
    client.delete(f"/Patient/{name}")
    client.put(f"/Patient/{name}", json=patient(value, id=name))
    client.put(f"/Patient/{value}", json=patient(value, id=value))
    own, other = f"Patient/{name}", f"Patient/{value}"
    for history in (f"/{own}/_history", "/Patient/_history?_count=6", "/_history?_count=6"):
        entries = [each for each in client.get(history).json()["entry"] if each["fullUrl"].endswith(own)]
        assert [(each["request"]["method"], each["request"]["url"], each["response"]["status"]) for each in entries] == [
            ("PUT", own, "200"), ("DELETE", own, "204"), ("PUT", own, "200"), ("PUT", own, "200"), ("POST", "Patient", "201"),
        ]  # fmt: skip
        assert [each.get("resource", {}).get("meta", {}).get("versionId") for each in entries] == [
            "5",
            None,
            "3",
            "2",
            "1",
        ]
    (first,) = client.get(f"/{other}/_history").json()["entry"]
    assert (first["request"], first["response"]["status"]) == ({"method": "PUT", "url": other}, "201")


def test_what_was_written_is_found_at_once(client):
    value = number()
    client.post("/Patient", json=patient(value))
    found = client.get("/Patient", params={"identifier": f"urn:x|{value}"}).json()
    assert len(found["entry"]) == 1


@pytest.mark.parametrize("version", ["", "/_history/1"])
def test_a_reference_below_this_server_is_a_relative_one(client, server, version):
    family = number()
    name = client.post("/Patient", json=patient(name=[{"family": family}])).json()["id"]
    absolute = f"{server.base}/Patient/{name}{version}"
    elsewhere = f"http://elsewhere.example/fhir/Patient/{name}"
    sent = observation(
        subject={"reference": absolute},
        focus=[{"reference": elsewhere}, {"reference": f"{server.base}/$everything"}],
        extension=[{"url": "urn:e", "valueReference": {"reference": absolute}}, {"url": "urn:f", "valueUri": absolute}],
    )
    made = client.post("/Observation", json=sent).json()
    assert made["subject"] == made["extension"][0]["valueReference"] == {"reference": f"Patient/{name}{version}"}
    assert made["extension"][1] == sent["extension"][1]
    assert made["focus"] == sent["focus"]
    for question in (
        f"subject=Patient/{name}", f"subject={name}", f"patient={name}", f"subject={server.base}/Patient/{name}",
        f"subject:Patient.family={family}",
    ):  # fmt: skip
        found = client.get(f"/Observation?{question}").json()
        assert [each["resource"]["id"] for each in found["entry"] if each["search"]["mode"] == "match"] == [made["id"]]
    assert client.get(f"/Patient/{name}/Observation?_summary=count").json()["total"] == 1
    again = client.put(f"/Observation/{made['id']}", json={**sent, "id": made["id"]})
    assert again.json()["meta"]["versionId"] == "1"
    patch = [{"op": "add", "path": "/performer", "value": [{"reference": absolute}]}]
    patched = client.patch(f"/Observation/{made['id']}", json=patch, headers=JSON_PATCH)
    assert patched.json()["performer"] == [{"reference": f"Patient/{name}{version}"}]


def test_a_reference_within_a_bundle_that_is_kept_stays_as_it_is(client, server):
    absolute = f"{server.base}/Patient/x"
    inside = {"fullUrl": f"urn:uuid:{uuid.uuid4()}", "resource": observation(subject={"reference": absolute})}
    made = client.post("/Bundle", json={"resourceType": "Bundle", "type": "collection", "entry": [inside]})
    assert made.status_code == 201, made.text
    assert made.json()["entry"][0]["resource"]["subject"] == {"reference": absolute}


def test_a_deletion_leaves_references_as_they_are(client):
    mother = client.post("/Patient", json=patient()).json()["id"]
    child = client.post("/Observation", json=observation(subject={"reference": f"Patient/{mother}"})).json()["id"]
    assert client.delete(f"/Patient/{mother}").status_code == 204
    assert client.get(f"/Observation/{child}").json()["subject"] == {"reference": f"Patient/{mother}"}


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
