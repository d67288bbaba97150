"""Batch and transaction: order, references, conditions, readings, and what becomes of each entry."""

from __future__ import annotations

import base64
import concurrent.futures
import re
import uuid
from urllib.parse import quote

import pytest

from tests.journeys.fhir_server import FhirServer
from tests.journeys.fhir_writing import (
    entry,
    issues,
    number,
    observation,
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


@pytest.mark.parametrize("letter", ["ø", "Ł", "語"])
def test_criteria_with_a_letter_that_no_uri_has_are_refused_and_percent_encoded_ones_hold(client, letter):
    value = f"{letter}{number()}"

    def asked(written: str) -> tuple[dict, dict]:
        return (
            entry("POST", "Patient", patient(value), ifNoneExist=f"identifier=urn:x|{written}"),
            entry("POST", "Observation", observation(subject={"reference": f"Patient?identifier=urn:x|{written}"})),
        )

    creating, referring = asked(value)
    assert issues(post(client, "transaction", creating), 400)[0]["expression"] == [
        "Bundle.entry[0].request.ifNoneExist"
    ]
    refused = issues(post(client, "transaction", referring), 400)[0]
    assert refused["expression"] == ["Bundle.entry[0].resource.subject.reference"]
    creating, referring = asked(quote(value))
    statuses = [responses(post(client, "transaction", creating))[0]["status"] for _ in range(2)]
    assert statuses == ["201 Created", "200 OK"]
    assert responses(post(client, "transaction", referring))[0]["status"] == "201 Created"


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


@pytest.mark.parametrize("kind", ["batch", "transaction"])
def test_entries_search_by_post_after_what_was_written(client, kind):
    value = number()
    found = {"resourceType": "Parameters", "parameter": [{"name": "identifier", "valueString": f"urn:x|{value}"},
                                                         {"name": "_count", "valueInteger": 5}]}  # fmt: skip
    form = {"resourceType": "Binary", "contentType": "application/x-www-form-urlencoded",
            "data": base64.b64encode(f"identifier=urn:x%7C{value}".encode()).decode()}  # fmt: skip
    answer = post(
        client, kind, entry("POST", "Patient/_search", found), entry("POST", "_search?_type=Patient", form),
        entry("POST", f"Patient/_search?identifier=urn:x|{value}"), entry("POST", "Patient", patient(value)),
        entry("POST", "Patient/_search", {"resourceType": "Parameters", "parameter": [{"name": "nonsense", "valueString": "x"}]}),
        entry("POST", "Patient/_search", {"resourceType": "Parameters", "parameter": [{"name": "_id", "valuePeriod": {"start": "2026"}}]})
        if kind == "batch" else entry("GET", "Patient/none"),
    )  # fmt: skip
    told = answer.json()["entry"]
    statuses = [each["response"]["status"][:3] for each in told]
    assert statuses == ["200", "200", "200", "201", "400", "400" if kind == "batch" else "404"]
    for each in told[:3]:
        assert [one["resource"]["identifier"][0]["value"] for one in each["resource"]["entry"]] == [value]


def test_the_representation_of_an_entry_is_that_of_the_whole(client):
    client.put("/Patient/shown", json=patient(id="shown"))
    told = responses(
        post(client, "batch", entry("GET", "Patient/shown?_format=xml&_pretty=true"), entry("GET", "Patient/shown?x=1"))
    )
    assert [each["status"][:3] for each in told] == ["200", "400"]


@pytest.mark.parametrize(
    "bad", [patient(), [], {"resourceType": "Binary", "contentType": "text/plain", "data": "eA=="}]
)
def test_a_search_by_post_of_an_entry_is_told_what_it_may_bring(client, bad):
    told = responses(post(client, "batch", entry("POST", "Patient/_search", bad)))
    assert told[0]["status"] == "400 Bad Request"
    assert told[0]["outcome"]["issue"][0]["expression"][0].startswith("Bundle.entry[0].resource")


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
