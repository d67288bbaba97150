"""Conditions of a write: If-Match, If-None-Match, If-None-Exist, criteria in the address; and who meets whom."""

from __future__ import annotations

import concurrent.futures

import pytest

from tests.journeys.fhir_server import FhirServer
from tests.journeys.fhir_writing import (
    FHIR,
    JSON_PATCH,
    issues,
    number,
    observation,
    patient,
    written_to,
)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    yield from written_to(tmp_path_factory.mktemp("writes"))


@pytest.fixture
def client(server: FhirServer):
    with server.client("system/*.cruds") as client:
        yield client


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
    refused = client.put("/Patient", params=where, json=patient(value, id="another"))
    assert issues(refused, 400)[0]["expression"] == ["Patient.id"]
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
