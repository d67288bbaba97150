"""What the API answers beyond a read and a search of one type: what goes along, compartments, parts, XML, histories."""

from __future__ import annotations

import gzip
import hashlib
import re

import httpx
import pytest

from gateway import errors
from gateway.access.scopes import Letter
from gateway.fhir import xml
from gateway.fhir.validate import validate
from gateway.formats import json as exact
from gateway.formats.packed import Limits
from gateway.serve.answer import Answer
from gateway.serve.operation import Field, Level, Operation
from tests.journeys.fhir_server import FhirServer, serving
from tests.journeys.test_fhir_api import every, issue, link

PERSON = "2512489996"  # a Danish test number
LOINC = "http://loinc.org"
SUBSETTED = {
    "system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue",
    "code": "SUBSETTED",
    "display": "subsetted",
}
ECHO = Operation(
    "echo",
    "http://example.org/OperationDefinition/echo",
    frozenset(Level),
    Letter.READ,
    "What was sent",
    types=("Patient", "Observation"),
    fields=(Field("word", "string", "A word"), Field("thing", "Reference", "A thing")),
)


CHANGING = Operation(
    "changing",
    "http://example.org/OperationDefinition/changing",
    frozenset({Level.SYSTEM}),
    Letter.UPDATE,
    "What was sent, as an operation that changes something",
    methods=("POST",),
)


async def echo(_, asking):
    if asking.body:
        sent = asking.resource()
        if validate(sent):
            raise errors.Unprocessable("this is not valid FHIR R4")
        return Answer(200, exact.dumps(sent))
    said = [{"name": name, "valueString": value} for name, value in asking.pairs]
    matched = asking.matched
    place = {"name": "at", "valueString": f"{matched.type}/{matched.id}"}
    return Answer(200, exact.dumps({"resourceType": "Parameters", "parameter": [place, *said]}))


def observation(number: int, **more):
    return {
        "resourceType": "Observation", "id": f"o{number}", "status": "final", "category": [{"text": "vital"}],
        "text": {"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml">a &lt; b</div>'},
        "code": {"coding": [{"system": LOINC, "code": "8480-6"}]}, "subject": {"reference": f"Patient/p{number % 3}"},
        "encounter": {"reference": f"Encounter/e{number % 2}"}, "performer": [{"reference": "Practitioner/d0"}],
        "effectiveDateTime": f"2026-03-{number % 28 + 1:02d}T08:00:00+01:00", "valueQuantity": {"value": exact.loads("1.20"), "unit": "mmHg"}, **more,
    }  # fmt: skip


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    limits = Limits(bytes_max=100_000, gzip_ratio_max=20, seconds_max=5)
    with serving(
        tmp_path_factory.mktemp("answers"), operations=[(ECHO, echo), (CHANGING, echo)], limits=limits
    ) as server:
        server.put(
            *(
                {
                    "resourceType": "Patient",
                    "id": f"p{n}",
                    "identifier": [{"system": "urn:oid:1.2.208.176.1.2", "value": PERSON}],
                    "name": [{"family": "Bjørnsen", "given": ["Ane"]}],
                    "managingOrganization": {"reference": "Organization/g0"},
                    "generalPractitioner": [{"reference": "Practitioner/d0"}],
                }
                for n in range(3)
            ),
            {"resourceType": "Practitioner", "id": "d0", "name": [{"family": "Holm"}]},
            {"resourceType": "Organization", "id": "g0", "name": "Sygehus", "partOf": {"reference": "Organization/g1"}},
            {"resourceType": "Organization", "id": "g1", "name": "Region", "partOf": {"reference": "Organization/g0"}},
            *(
                {
                    "resourceType": "Encounter",
                    "id": f"e{n}",
                    "status": "finished",
                    "class": {"code": "IMP"},
                    "subject": {"reference": f"Patient/p{n}"},
                }
                for n in range(2)
            ),
            *(observation(n) for n in range(12)),
        )
        server.put(observation(0, status="amended"), minute=1)
        server.put(observation(1), minute=2, deleted=True)
        yield server


@pytest.fixture
def client(server: FhirServer):
    with server.client() as client:
        yield client


def names(bundle: dict, mode: str = "match") -> list[str]:
    return [
        f"{entry['resource']['resourceType']}/{entry['resource']['id']}"
        for entry in bundle.get("entry", ())
        if entry["search"]["mode"] == mode
    ]


# what goes along


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


# several types


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


# parts of resources


def test_a_summary_is_what_the_definitions_mark(client):
    whole = client.get("/Observation/o2").json()
    summary = client.get("/Observation/o2", params={"_summary": "true"}).json()
    assert summary["meta"]["tag"] == [SUBSETTED]
    assert {*whole} - {*summary} == {"text", "category"}
    text = client.get("/Observation/o2", params={"_summary": "text"}).json()
    assert {*text} == {"resourceType", "id", "meta", "text", "status", "code"}
    data = client.get("/Observation/o2", params={"_summary": "data"}).json()
    assert {*whole} - {*data} == {"text"}
    assert client.get("/Observation/o2", params={"_summary": "false"}).json() == whole


def test_elements_come_with_what_must_be_there(client):
    part = client.get("/Observation/o2", params={"_elements": "subject,value.unit"})
    assert part.json() == {
        "resourceType": "Observation",
        "id": "o2",
        "meta": {**client.get("/Observation/o2").json()["meta"], "tag": [SUBSETTED]},
        "status": "final",
        "code": {"coding": [{"system": LOINC, "code": "8480-6"}]},
        "subject": {"reference": "Patient/p2"},
        "valueQuantity": {"unit": "mmHg"},
    }
    assert b'"value":1.20' in client.get("/Observation/o2", params={"_elements": "value"}).content


@pytest.mark.parametrize(
    "path",
    ["/Observation?_id=o0&", "/Observation/o0/_history?", "/Observation/_history?", "/Observation/o0/_history/1?"],
)
def test_parts_are_had_of_searches_histories_and_versions(client, path):
    answer = client.get(f"{path}_elements=subject").json()
    resources = [entry["resource"] for entry in answer.get("entry", ()) if "resource" in entry] or [answer]
    for resource in resources:
        assert {*resource} == {"resourceType", "id", "meta", "status", "code", "subject"}
        assert resource["meta"]["tag"] == [SUBSETTED]


def test_a_part_stays_a_part_on_every_page(client):
    for entry in every(client, "/Observation?_elements=subject&_count=5&_include=Observation:encounter"):
        assert entry["resource"]["meta"]["tag"] == [SUBSETTED]
        assert "category" not in entry["resource"]


# representations


@pytest.mark.parametrize(
    "path", ["/Observation/o2", "/Observation?_sort=date&_count=3", "/Observation/o0/_history", "/metadata"]
)
def test_xml_says_what_json_says(client, path):
    as_json = client.get(path, headers={"accept": "application/fhir+json"})
    for ask in ({"headers": {"accept": "application/fhir+xml"}}, {"params": {**dict(httpx.QueryParams(path.partition("?")[2])), "_format": "xml"}}):  # fmt: skip
        answer = client.get(path.partition("?")[0] if "params" in ask else path, **ask)
        assert answer.headers["content-type"] == "application/fhir+xml; charset=utf-8"
        one, other = xml.loads(answer.content), exact.loads(as_json.content)
        for resource in (one, other):
            resource.pop("link", None)  # sealed anew
        assert one == other
    pretty = client.get(path, headers={"accept": "application/xml", "x-y": "z"}, params={"_pretty": "true"} if "?" not in path else None)  # fmt: skip
    assert "?" in path or pretty.content.count(b"\n") > 10


def test_a_refusal_is_in_xml_where_xml_was_asked_for(client):
    for path in ("/Observation/none", "/Nothing/x/y/z", "/Observation?nonsense=1"):
        outcome = xml.loads(client.get(path, headers={"accept": "application/fhir+xml"}).content)
        assert outcome["resourceType"] == "OperationOutcome"


def test_what_comes_in_xml_is_read_like_json(client):
    sent = {"resourceType": "Parameters", "parameter": [{"name": "n", "valueDecimal": exact.loads("1.20")}]}
    for kind in ("application/fhir+xml", "application/xml", "text/xml; charset=utf-8"):
        answer = client.post("/$echo", content=xml.dumps(sent), headers={"content-type": kind})
        assert answer.status_code == 200, answer.text
        assert exact.loads(answer.content) == sent
        assert b"1.20" in answer.content
    bad = client.post("/$echo", content=b"<Parameters/>", headers={"content-type": "application/fhir+xml"})
    assert (bad.status_code, issue(bad)["code"]) == (400, "invalid")
    bomb = b'<!DOCTYPE x [<!ENTITY a "b">]><Parameters xmlns="http://hl7.org/fhir"/>'
    assert client.post("/$echo", content=bomb, headers={"content-type": "application/fhir+xml"}).status_code == 400
    for kind in (
        "text/plain",
        "application/fhir+json; charset=iso-8859-1",
        "application/fhir+json; fhirVersion=5.0",
        "",
    ):
        refused = client.post("/$echo", content=b"{}", headers={"content-type": kind})
        assert (refused.status_code, issue(refused)["code"]) == (415, "not-supported"), kind


def test_a_large_answer_is_packed_for_who_takes_it(client):
    plain = client.get("/Observation?_count=12", headers={"accept-encoding": "identity"})
    assert "content-encoding" not in plain.headers
    for accepted, coding in (("gzip, deflate", "gzip"), ("gzip;q=0.5, zstd;q=0", "gzip"), ("br", None)):
        packed = client.get("/Observation?_count=12", headers={"accept-encoding": accepted})
        assert packed.headers.get("content-encoding") == coding
        assert packed.json()["entry"] == plain.json()["entry"]
    assert "accept-encoding" in plain.headers["vary"]
    assert int(client.get("/Observation?_count=12").headers["content-length"]) < len(plain.content) / 3
    assert "content-encoding" not in client.get("/Encounter/e0").headers


def test_a_head_has_the_headers_of_its_get(client):
    for path in ("/Observation?_count=1", "/Observation/o2", "/metadata", "/Observation/_history"):
        got, head = client.get(path), client.head(path)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-type"] == got.headers["content-type"]


# histories


def versions(entries: list[dict]) -> list[tuple[str, str, bool]]:
    return [
        (entry["request"]["url"], entry["response"]["etag"], entry["request"]["method"] == "DELETE")
        for entry in entries
    ]


@pytest.mark.parametrize("count", [1, 3, 100])
def test_the_history_of_a_type_is_every_version_newest_first(client, count):
    entries = every(client, f"/Observation/_history?_count={count}")
    assert len(entries) == 14
    assert versions(entries)[:2] == [("Observation/o1", 'W/"2"', True), ("Observation/o0", 'W/"2"', False)]
    moments = [entry["response"]["lastModified"] for entry in entries]
    assert moments == sorted(moments, reverse=True)
    assert all(("resource" in entry) is (entry["request"]["method"] != "DELETE") for entry in entries)


def test_the_history_of_the_system_is_of_what_the_caller_may_see(client, server):
    kinds = {entry["request"]["url"].partition("/")[0] for entry in every(client, "/_history?_count=7")}
    assert kinds == {"Patient", "Practitioner", "Organization", "Encounter", "Observation"}
    with server.client("system/Encounter.s") as narrow:
        assert {entry["request"]["url"] for entry in every(narrow, "/_history")} == {"Encounter/e0", "Encounter/e1"}
        assert narrow.get("/Observation/_history").status_code == 403


def test_since_and_at_name_moments_of_a_history(client):
    amended, created = client.get("/Observation/o0/_history").json()["entry"]
    deletion, begun = client.get("/Observation/o1/_history").json()["entry"]
    then, later = created["response"]["lastModified"], amended["response"]["lastModified"]
    gone = deletion["response"]["lastModified"]
    assert then == begun["response"]["lastModified"] < later < gone

    def asked(path: str, **parameters: str) -> list[tuple[str, str, bool]]:
        answer = client.get(path, params=parameters)
        assert answer.status_code == 200, answer.text
        return versions(every(client, str(answer.url)))

    assert asked("/Observation/o0/_history", _since=later) == [("Observation/o0", 'W/"2"', False)]
    assert asked("/Observation/o0/_history", _at=then) == [("Observation/o0", 'W/"1"', False)]
    assert asked("/Observation/o0/_history", _at=later) == [("Observation/o0", 'W/"2"', False)]
    assert asked("/Observation/o0/_history", _at=gone) == [("Observation/o0", 'W/"2"', False)]
    assert asked("/Observation/o0/_history", _at="2020") == []
    assert len(asked("/Observation/o0/_history", _at=then[:4])) == 2
    assert asked("/Observation/_history", _since=later) == [
        ("Observation/o1", 'W/"2"', True),
        ("Observation/o0", 'W/"2"', False),
    ]
    for count in ("2", "50"):
        stood = asked("/Observation/_history", _at=later, _count=count)
        assert sorted(stood) == sorted(
            [("Observation/o0", 'W/"2"', False), *((f"Observation/o{n}", 'W/"1"', False) for n in range(1, 12))]
        )


# links


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


# headers


def test_who_sends_a_request_id_hears_it_again(client):
    assert client.get("/Observation/o2", headers={"x-request-id": "abc-1"}).headers["x-request-id"] == "abc-1"
    assert client.get("/Observation/none", headers={"x-request-id": "abc-1"}).headers["x-request-id"] == "abc-1"
    assert "x-request-id" not in client.get("/Observation/o2", headers={"x-request-id": "x" * 200}).headers
    assert "x-request-id" not in client.get("/Observation/o2").headers


def test_a_preference_that_was_applied_is_said(client):
    for wish in ("strict", "lenient"):
        answer = client.get("/Observation?code=8480-6", headers={"prefer": f"handling={wish}"})
        assert answer.headers["preference-applied"] == f"handling={wish}"
    assert "preference-applied" not in client.get("/Observation?code=8480-6").headers


def test_pages_of_any_origin_may_ask_what_the_server_can_do_and_nothing_else(client):
    origin = {"origin": "https://app.example"}
    assert client.get("/metadata", headers=origin).headers["access-control-allow-origin"] == "*"
    preflight = client.options("/metadata", headers={**origin, "access-control-request-method": "GET"})
    assert (preflight.status_code, preflight.content) == (204, b"")
    assert "GET" in preflight.headers["access-control-allow-methods"]
    assert "access-control-allow-origin" not in client.get("/Observation/o2", headers=origin).headers


# bodies


def test_a_packed_body_is_unpacked_within_the_limits(client):
    form = {"content-type": "application/x-www-form-urlencoded", "content-encoding": "gzip"}
    found = client.post("/Observation/_search", content=gzip.compress(b"_id=o2"), headers=form)
    assert names(found.json()) == ["Observation/o2"]
    kind = {"content-type": "application/fhir+json", "content-encoding": "gzip"}
    for body, status, code in (
        (gzip.compress(b"{}" + b" " * 50_000), 413, "too-long"),
        (gzip.compress(b"{}")[:-4], 400, "invalid"),
        (b"{}", 400, "invalid"),
    ):
        refused = client.post("/$echo", content=body, headers=kind)
        assert (refused.status_code, issue(refused)["code"]) == (status, code)
    assert client.post("/$echo", content=b"{}", headers={**kind, "content-encoding": "br"}).status_code == 415
    assert client.post("/$echo", content=b'{"resourceType":"Basic","a":"' + b"x" * 100_001).status_code == 413


# operations


def test_an_operation_is_asked_where_its_row_says(client):
    def at(answer: httpx.Response) -> str:
        return answer.json()["parameter"][0]["valueString"]

    assert at(client.get("/$echo?word=a")) == "/"
    assert at(client.get("/Patient/$echo")) == "Patient/"
    assert at(client.get("/Observation/o2/$echo")) == "Observation/o2"
    assert client.get("/Encounter/$echo").status_code == 404
    assert client.get("/Patient/$nothing").status_code == 404
    assert client.delete("/Patient/$echo").status_code == 405


@pytest.mark.parametrize("kind", ["batch", "transaction"])
def test_an_operation_that_reads_is_asked_in_an_entry_too(client, kind):
    urls = ["Patient/$echo?word=a", "Observation/o2/$echo", "$echo"]
    entries = [{"request": {"method": "GET", "url": url}} for url in urls]
    answer = client.post("", json={"resourceType": "Bundle", "type": kind, "entry": entries})
    assert answer.status_code == 200, answer.text
    said = [entry["resource"]["parameter"] for entry in answer.json()["entry"]]
    assert [parameter[0]["valueString"] for parameter in said] == ["Patient/", "Observation/o2", "/"]
    assert said[0][1] == {"name": "word", "valueString": "a"}


@pytest.mark.parametrize("kind", ["batch", "transaction"])
def test_an_operation_by_post_is_asked_in_an_entry_with_its_parameters(client, kind):
    sent = {"resourceType": "Parameters", "parameter": [{"name": "word", "valueDecimal": exact.loads("1.20")}]}
    entries = [{"request": {"method": "POST", "url": "Patient/$echo"}, "resource": sent},
               {"request": {"method": "POST", "url": "Patient/p0/$echo"}},
               {"request": {"method": "POST", "url": "$echo"}, "resource": {"resourceType": "Patient", "nonsense": 1}}]  # fmt: skip
    answer = client.post("", content=exact.dumps({"resourceType": "Bundle", "type": kind, "entry": entries}),
                         headers={"content-type": "application/fhir+json"})  # fmt: skip
    first, second, third = exact.loads(answer.content)["entry"]
    assert exact.dumps(first["resource"]) == exact.dumps(sent)
    assert second["resource"]["parameter"][0]["valueString"] == "Patient/p0"
    assert third["response"]["status"] == "422 Unprocessable Entity"


def test_an_operation_that_changes_something_is_asked_in_a_batch_and_not_in_a_transaction(server):
    entries = [{"request": {"method": "POST", "url": "$changing"}}]
    with server.client("system/*.cruds") as client:
        batch = client.post("", json={"resourceType": "Bundle", "type": "batch", "entry": entries})
        assert [one["response"]["status"] for one in batch.json()["entry"]] == ["200 OK"]
        whole = client.post("", json={"resourceType": "Bundle", "type": "transaction", "entry": entries})
        assert (whole.status_code, issue(whole)["expression"]) == (400, ["Bundle.entry[0].request.url"])


def test_parts_are_had_of_what_an_operation_answers(client):
    resource = {"resourceType": "Patient", "id": "x", "gender": "other", "photo": [{"title": "me"}]}
    inside = {"fullUrl": "urn:uuid:0d8a2d5c-6f4e-4c39-8a3e-5f1a2b3c4d5e", "resource": resource}
    for sent in (resource, {"resourceType": "Bundle", "type": "collection", "entry": [inside]}):
        kind = {"content-type": "application/fhir+json"}
        answer = client.post("/$echo?_summary=true", content=exact.dumps(sent), headers=kind).json()
        shown = answer["entry"][0]["resource"] if "entry" in answer else answer
        assert {*shown} == {"resourceType", "id", "meta", "gender"}


def test_operations_are_declared(client):
    (rest,) = client.get("/metadata").json()["rest"]
    said = [{"name": ECHO.code, "definition": ECHO.definition}]
    assert rest["operation"] == [*said, {"name": CHANGING.code, "definition": CHANGING.definition}]
    assert {one["type"] for one in rest["resource"] if one.get("operation") == said} == {"Patient", "Observation"}


# beside the API


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/nothing", 404),
        ("TRACE", "/", 404),
        ("TRACE", "/openapi.json", 405),
        ("GET", "/fhirx", 404),
    ],
)
def test_an_unknown_address_outside_the_api_is_a_problem_in_json(server, method, path, status):
    answer = httpx.request(method, server.address + path)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert answer.json()["status"] == status
    assert "/fhir" in answer.json()["detail"]


def test_the_description_is_served_and_so_is_a_page_of_it(server):
    document = httpx.get(f"{server.address}/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    assert document["servers"] == [{"url": server.address}]
    assert "/fhir/{type}/{id}/$echo" in document["paths"]
    page = httpx.get(f"{server.address}/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert "<script" not in page.text
    assert "/fhir/{type}/{id}" in page.text


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
