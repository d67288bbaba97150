"""Searches beyond one type: what goes along, several types, compartments, links, pages, and chains that are closed."""

from __future__ import annotations

import hashlib
import re

import pytest

from tests.journeys.fhir_answering import (
    PERSON,
    names,
    serve_answers,
)
from tests.journeys.fhir_reading import every, link
from tests.journeys.fhir_server import FhirServer


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    yield from serve_answers(tmp_path_factory.mktemp("answers"))


@pytest.fixture
def client(server: FhirServer):
    with server.client() as client:
        yield client


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("Observation?_id=o2&_include=Observation:subject", {"Patient/p2"}),
        ("Observation?_id=o2&_include=Observation:subject:Group", set()),
        ("Observation?_id=o2,o5&_include=Observation:subject&_include=Observation:patient", {"Patient/p2"}),
        ("Observation?_id=o2&_include=*", {"Patient/p2", "Encounter/e0", "Practitioner/d0"}),
        ("Observation?_id=o2&_include=Observation:*", {"Patient/p2", "Encounter/e0", "Practitioner/d0"}),
        ("Observation?_id=o2&_include=Observation:subject&_include=Patient:organization", {"Patient/p2"}),
        (
            "Observation?_id=o2&_include=Observation:subject&_include:iterate=Patient:organization",
            {"Patient/p2", "Organization/g0"},
        ),
        (
            "Observation?_id=o2&_include=Observation:subject&_include:iterate=Patient:organization&_include:iterate=Organization:partof",
            {"Patient/p2", "Organization/g0", "Organization/g1"},
        ),
        ("Patient?_id=p2&_revinclude=Observation:subject", {"Observation/o2", "Observation/o5", "Observation/o8", "Observation/o11"}),
        ("Patient?_id=p0,p1&_revinclude=Encounter:patient", {"Encounter/e0", "Encounter/e1"}),
        (
            "Patient?_id=p1&_revinclude=Encounter:patient&_revinclude:iterate=Observation:encounter",
            {"Encounter/e1", *(f"Observation/o{n}" for n in (3, 5, 7, 9, 11))},
        ),
        ("Patient?_id=p2&_revinclude=Observation:*", {"Observation/o2", "Observation/o5", "Observation/o8", "Observation/o11"}),
    ],
)  # fmt: skip
def test_includes_bring_what_belongs_along_once(client, question, expected):
    bundle = client.get("/" + question).json()
    brought = names(bundle, "include")
    assert sorted(brought) == sorted(expected)
    assert not {*brought} & {*names(bundle)}


def test_what_is_already_a_match_is_not_included(client):
    bundle = client.get("/Organization?_include:iterate=Organization:partof").json()
    assert sorted(names(bundle)) == ["Organization/g0", "Organization/g1"]
    assert names(bundle, "include") == []


def test_included_resources_do_not_count(client):
    bundle = client.get("/Observation?_count=2&_total=accurate&_include=Observation:subject").json()
    assert (len(names(bundle)), bundle["total"]) == (2, 11)
    assert names(bundle, "include")


def test_what_the_caller_may_not_see_is_not_included(server):
    with server.client("system/Observation.s", "system/Encounter.r") as narrow:
        bundle = narrow.get("/Observation?_id=o2&_include=*").json()
        assert names(bundle, "include") == ["Encounter/e0"]
    with server.client("system/Patient.s", "system/Observation.r") as narrow:
        bundle = narrow.get("/Patient?_id=p2&_revinclude=Observation:subject").json()
        assert names(bundle, "include") == []


def test_several_types_have_one_order_over_all_pages(client):
    address = "/?_type=Patient,Observation,Encounter&_count=4"
    together = client.get(address).json()
    assert len(names(together)) == 4
    everything = every(client, address)
    found = [f"{entry['resource']['resourceType']}/{entry['resource']['id']}" for entry in everything]
    assert len(found) == len({*found}) == 3 + 11 + 2
    times = [entry["resource"]["meta"]["lastUpdated"] for entry in everything]
    assert times == sorted(times, reverse=True)
    oldest = [entry["resource"]["meta"]["lastUpdated"] for entry in every(client, address + "&_sort=_lastUpdated")]
    assert oldest == sorted(times)


def test_a_form_to_the_system_is_the_same_question(client):
    asked = {"_type": "Patient,Encounter", "_count": "3", "_total": "accurate"}
    posted, got = client.post("/_search", data=asked).json(), client.get("/", params=asked).json()
    assert posted["entry"] == got["entry"]
    assert posted["total"] == got["total"] == 5
    assert client.get("/", params={**asked, "_count": 0}).json()["total"] == 5


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/Patient/p2/Observation", {"Observation/o2", "Observation/o5", "Observation/o8", "Observation/o11"}),
        ("/Patient/p2/Observation?_id=o5,o6", {"Observation/o5"}),
        ("/Encounter/e1/Observation?date=ge2026-03-08", {"Observation/o7", "Observation/o9", "Observation/o11"}),
        ("/Practitioner/d0/Patient", {"Patient/p0", "Patient/p1", "Patient/p2"}),
        ("/Patient/p0/Patient", {"Patient/p0"}),
        ("/Patient/p0/*?_type=Encounter,Patient", {"Patient/p0", "Encounter/e0"}),
        ("/Patient/none/Observation", set()),
    ],
)
def test_a_compartment_holds_what_its_definition_says(client, path, expected):
    assert {*names(client.get(path).json())} == expected


def test_a_whole_compartment_is_narrowed_to_what_the_caller_may_search(client, server):
    everything = {
        f"{entry['resource']['resourceType']}/{entry['resource']['id']}"
        for entry in every(client, "/Patient/p1/*?_count=2")
    }
    assert everything == {"Patient/p1", "Encounter/e1", *(f"Observation/o{n}" for n in (4, 7, 10))}
    with server.client("system/Encounter.s") as narrow:
        assert names(narrow.get("/Patient/p1/*").json()) == ["Encounter/e1"]
        assert narrow.get("/Patient/p1/*?_type=Encounter,Observation").status_code == 403
        assert narrow.get("/?_type=Encounter,Observation").status_code == 403
    with server.client("ingest/home") as nobody:
        assert nobody.get("/Patient/p1/*").status_code == 403
        assert nobody.get("/_history").status_code == 403


def test_no_link_of_any_search_shows_what_was_searched_for(client):
    person = {"identifier": f"urn:oid:1.2.208.176.1.2|{PERSON}", "_count": "1", "family:contains": "bjørn"}
    for bundle in (
        client.get("/Patient", params=person).json(),
        client.post("/Patient/_search", data=person).json(),
        client.get("/Observation", params={"subject:Patient.identifier": PERSON, "_count": "1"}).json(),
        client.get("/Patient", params={"_has:Observation:patient:code": "8480-6", "_count": "1"}).json(),
        client.get("/Practitioner/d0/Patient", params=person).json(),
    ):
        assert len(names(bundle)) == 1
        for relation in ("self", "next"):
            address = link(bundle, relation)
            assert re.fullmatch(r"[^?]+\?((?!_page)[\w%.:-]+=&)+_page=[\w-]+", address)
            assert PERSON not in address
        assert names(client.get(link(bundle, "self")).json()) == names(bundle)


def test_a_further_page_leads_back_to_the_first(client):
    first = client.get("/Observation?_count=5&_total=accurate&_sort=date").json()
    second = client.get(link(first, "next")).json()
    assert second["total"] == first["total"] == 11
    assert names(client.get(link(second, "first")).json()) == names(first)
    assert link(first, "first") is None
    assert link(second, "previous") is None


def test_a_question_too_long_for_a_link_is_still_answered(client):
    ids, codes = (",".join(hashlib.sha256(f"{n} {k}".encode()).hexdigest()[:60] for n in range(99)) for k in range(2))
    answer = client.post("/Observation/_search", data={"_id": ids, "code": codes})
    assert answer.status_code == 200
    assert "_page" not in link(answer.json(), "self")


def test_what_comes_into_being_after_the_first_page_does_not_show_on_the_others(client, server):
    def basics(*numbers: int) -> None:
        server.put(*({"resourceType": "Basic", "id": f"b{n}", "code": {"text": "x"}} for n in numbers))

    basics(1, 2, 3)
    for kind in ("/Basic?", "/?_type=Basic,Linkage&"):
        first = client.get(f"{kind}_count=2&_sort=_lastUpdated").json()
        basics(*(n + 100 * len(kind) for n in range(4)))
        rest = names(client.get(link(first, "next")).json())
        assert names(first) + rest == [f"Basic/b{n}" for n in (1, 2, 3)] or kind != "/Basic?"
        new = {f"Basic/b{n + 100 * len(kind)}" for n in range(4)}
        assert not new & {entry["resource"]["resourceType"] + "/" + entry["resource"]["id"] for entry in every(client, link(first, "next"))}  # fmt: skip
        assert new <= {f"Basic/{entry['resource']['id']}" for entry in every(client, "/Basic?_count=50")}


@pytest.mark.parametrize(
    "sort",
    ["subject", "-subject", "identifier,-_id", "-identifier", "date", "-date", "_lastUpdated", "-_lastUpdated", "-_id"],
)
@pytest.mark.parametrize("kinds", ["/Flag?", "/?_type=Flag,Linkage&"])
def test_all_pages_are_one_answer_while_others_change_make_and_delete(client, server, sort, kinds):
    if kinds != "/Flag?" and "lastUpdated" not in sort:  # the order of several types
        return
    minute = server.minute = getattr(server, "minute", 100) + 10

    def flags(*numbers, of=0, code="a", deleted=False, late=0):
        made = [
            {
                "resourceType": "Flag", "id": f"f{n}", "status": "active", "code": {"text": "x"}, "identifier": [{"system": "s", "value": f"{code}{n % 3}"}],
                "subject": {"reference": f"Group/g{of or n % 4}"}, "period": {"start": f"2026-01-0{n % 7 + 1}"},
            }
            for n in numbers
        ]  # fmt: skip
        server.put(*made, minute=minute + late, deleted=deleted)

    server.put(*({"resourceType": "Group", "id": f"g{n}", "type": "person", "actual": True} for n in range(10)))
    flags(*range(30), deleted=True)
    flags(*range(12), late=1)
    query = f"{kinds}_sort={sort}&_count=3&_include=Flag:subject"
    whole = [one["resource"] for one in every(client, query) if one["search"]["mode"] == "match"]
    assert len(whole) == 12
    bundle = client.get(query).json()
    entries = [*bundle["entry"]]
    seen = {one["resource"]["id"] for one in entries}
    left = [one["id"] for one in whole if one["id"] not in seen]
    flags(*(int(one[1:]) for one in left[1:5]), of=9, code="z", late=2)
    flags(*(int(one["id"][1:]) for one in whole[:2]), of=9, code="z", late=2)  # has been shown
    flags(*range(20, 25), late=2)
    flags(int(left[0][1:]), deleted=True, late=3)
    while next_ := link(bundle, "next"):
        bundle = client.get(next_).json()
        matched = [
            one["resource"]["subject"]["reference"] for one in bundle["entry"] if one["search"]["mode"] == "match"
        ]
        included = [f"Group/{one['resource']['id']}" for one in bundle["entry"] if one["search"]["mode"] == "include"]
        assert sorted(included) == sorted(set(matched)), "what a match that is shown refers to comes along"
        entries += bundle["entry"]
    assert [one["resource"] for one in entries if one["search"]["mode"] == "match"] == [
        one for one in whole if one["id"] != left[0]
    ]
    assert not {one["search"]["mode"] for one in entries} - {"match", "include"}


@pytest.mark.parametrize(
    ("scope", "path"),
    [
        ("system/Observation.rs", "/Observation?patient.family=Hansen"),
        ("system/Observation.rs", "/Observation?subject:Patient.gender=female"),
        ("system/Observation.rs", "/Observation?_filter=patient.family eq Hansen"),
        ("system/Observation.rs", "/Observation?_filter=not (patient.family eq Hansen)"),
        ("system/Observation.rs", "/Observation?_list=l"),
        ("system/Patient.rs", "/Patient?_has:Observation:patient:code=8480-6"),
        ("system/Patient.rs system/Observation.rs", "/Patient?_has:Observation:patient:encounter.status=finished"),
    ],
)
def test_nobody_learns_by_a_chain_what_he_may_not_search(server, client, scope, path):
    with server.client(*scope.split()) as narrow:
        answer = narrow.get(path)
        assert answer.status_code == 403, answer.text
        assert answer.json()["issue"][0]["code"] == "forbidden"
    assert client.get(path).status_code == 200


def test_a_chain_over_several_types_goes_through_those_that_may_be_searched(server):
    with server.client("system/Observation.rs", "system/Group.s") as narrow:
        answer = narrow.get("/Observation?subject._id=p0,p1,p2")
        assert answer.status_code == 200, answer.text
        assert "entry" not in answer.json()
