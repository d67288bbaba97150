"""A's caller and everything that is B's: by every interaction, nothing of B's, nor that there is anything."""

from __future__ import annotations

import pytest

from tests.leaks import two_patients
from tests.leaks.gateway import Gateway, citizen, gateway
from tests.leaks.two_patients import OF_A, OPEN


@pytest.fixture(scope="module")
def here(postgres_url):
    with gateway(postgres_url) as made:
        made.put(*two_patients.world())
        made.know("a", citizen("a"))
        made.know("b", citizen("b"))
        made.know("a-user", citizen("a", "user/*.rs"))
        made.know("a-lab", citizen("a", "patient/Observation.rs?category=laboratory", "patient/Patient.rs"))
        yield made


EVERYTHING = [f"{one['resourceType']}/{one['id']}" for one in two_patients.world()]
SHARED = {"Organization", "Practitioner", "Location"}


def test_the_world_is_there(here: Gateway):
    for name in EVERYTHING:
        assert here.get("all", f"/{name}").status == 200


@pytest.mark.parametrize("who", ["a", "a-user"])
def test_who_reads_what_is_not_his_reads_what_was_never_there(here: Gateway, who):
    for name in EVERYTHING:
        kind = name.partition("/")[0]
        mine = name in OF_A or kind in SHARED or name in OPEN
        for address in (f"/{name}", f"/{name}/_history", f"/{name}/_history/1"):
            told = here.get(who, address)
            assert told.status == (200 if mine else 404), address
            if not mine:
                never = here.get(who, address.replace(name, f"{kind}/never-was"))
                assert (told.status, told.headers, told.body) == (never.status, never.headers, never.body)


def test_searches_find_what_is_his(here: Gateway):
    kinds = sorted({name.partition("/")[0] for name in EVERYTHING})
    for kind in kinds:
        expected = {
            name
            for name in EVERYTHING
            if name.startswith(f"{kind}/") and (name in OF_A or kind in SHARED or name in OPEN)
        }
        told = here.get("a", f"/{kind}?_total=accurate&_count=100")
        assert {*told.ids} == expected
        assert told.json["total"] == len(expected)
        history = here.get("a", f"/{kind}/_history?_count=100")
        assert {*history.ids} == expected


def test_a_search_that_names_the_other_is_one_of_nobody(here: Gateway):
    for question in (
        "Observation?patient=Patient/b", "Observation?subject=Patient/b", "Condition?patient=b", "Patient?_id=b",
        "Patient?identifier=B-1", "Patient?family=berg", "Observation?subject:Patient.family=berg", "Encounter?_id=b-stay",
        "Observation?encounter=Encounter/b-stay", "Observation?_id=b-bp,b-lab", "List?item=Observation/b-bp",
    ):  # fmt: skip
        for extra in ("_total=accurate", "_summary=count", "_sort=_id", "_sort=-_lastUpdated&_count=1"):
            told = here.get("a", f"/{question}&{extra}")
            assert told.status == 200
            assert told.ids == []
            assert told.json.get("total", 0) == 0
            assert not told.next
    # b measured a: that is in a's record
    assert here.pages("a", "/Patient/b/Observation?_count=2") == ["Observation/a-by-b"]
    assert "Observation/a-by-b" not in here.pages("b", "/Patient/b/Observation?_count=2")
    assert here.pages("a", "/Encounter/b-stay/Observation") == []
    assert here.get("a", "/Patient/b/$everything").status == 404
    assert here.get("a", "/Encounter/b-stay/$everything").status == 404
    assert here.get("a", "/Observation/$lastn?patient=Patient/b").ids == []


def test_everything_is_everything_of_his(here: Gateway):
    found = here.pages("a", "/Patient/a/$everything?_count=5")
    not_in_compartment = {"Binary/a-binary", "Binary/a-scan", "Provenance/a-made"}  # R4's, of what names him
    assert {*found} >= OF_A - not_in_compartment
    assert not [name for name in found if name not in OF_A | OPEN and name.partition("/")[0] not in SHARED]


def test_has_does_not_tell_of_what_is_hidden(here: Gateway):
    """HAPI #6065: `_has` went to resources that the caller cannot read, and told of them by bisection."""
    for question in (
        "Patient?_has:Observation:patient:_id=b-bp", "Patient?_has:Observation:performer:_id=a-by-b&_id=b",
        "Practitioner?_has:Patient:general-practitioner:family=berg", "Practitioner?_has:Patient:general-practitioner:_id=b",
        "Organization?_has:Observation:performer:_id=b-lab", "Organization?_has:Encounter:service-provider:_id=b-stay",
        "Organization?_has:Encounter:service-provider:patient.family=berg",
        "Organization?_has:Observation:performer:patient:Patient.family=berg",
        "Practitioner?_has:Patient:general-practitioner:_has:Observation:patient:_id=b-bp",
        "Patient?link:Patient._id=b", "Organization?_has:Observation:performer:_id:not=a-lab&_has:Observation:performer:code=2345-7&_has:Observation:performer:subject=Patient/b",
    ):  # fmt: skip
        told = here.get("a", f"/{question}")
        assert told.ids == [], question
        assert here.get("all", f"/{question}").status == told.status
    # the same questions of his own find
    assert here.get("a", "/Practitioner?_has:Patient:general-practitioner:family=andersen").ids == ["Practitioner/gp"]
    assert here.get("a", "/Organization?_has:Encounter:service-provider:_id=a-stay").ids == ["Organization/north"]


def test_includes_stay_within(here: Gateway):
    """Microsoft #5683: `_include` and `_revinclude` crossed the compartment."""
    for question in (
        "Practitioner?_id=gp&_revinclude=Patient:general-practitioner", "Organization?_revinclude=Encounter:service-provider",
        "Organization?_revinclude=Observation:performer&_revinclude:iterate=Observation:has-member",
        "Organization?_revinclude=*", "Patient?_revinclude=*", "Observation?_include=*&_include:iterate=*&_revinclude:iterate=*",
        "Observation?_include=Observation:performer&_revinclude:iterate=Observation:performer",
        "Organization?_revinclude=Encounter:service-provider&_revinclude:iterate=Observation:encounter&_include:iterate=Observation:subject",
        "Practitioner?_revinclude=Patient:general-practitioner&_revinclude:iterate=Observation:patient&_include:iterate=Observation:encounter",
        "Appointment?_include=Appointment:actor", "Location?_revinclude=*",
    ):  # fmt: skip
        told = here.get("a", f"/{question}")
        assert told.status == 200
        assert not [n for n in told.ids if n not in OF_A | OPEN and n.partition("/")[0] not in SHARED], question
    # a reference to another is followed by nobody who may not see him
    assert here.get("a", "/Observation?_id=a-by-b&_include=Observation:performer").ids == ["Observation/a-by-b"]


def test_missing_and_not_do_not_tell(here: Gateway):
    """Medplum #2840: `:missing` was put beside the compartment by OR."""
    for question in (
        "Observation?value-quantity:missing=true", "Observation?value-quantity:missing=false", "Observation?subject:missing=false",
        "Observation?code:not=8480-6", "Observation?status:not=cancelled", "Patient?birthdate:missing=false", "Observation?_id:not=x",
        "Observation?_filter=status eq final or status ne final", "Observation?_filter=not (code eq 8480-6)",
        "Observation?performer:missing=true", "Observation?code:text=x&performer:missing=true", "Observation?_content=final",
    ):  # fmt: skip
        told = here.get("a", f"/{question}&_count=100&_total=accurate")
        if told.status == 400:
            assert here.get("all", f"/{question}").status == 400
            continue
        assert told.status == 200
        assert {*told.ids} <= OF_A, question
        assert told.json["total"] == len(told.ids)


def test_nothing_is_an_empty_answer(here: Gateway):
    """LinuxForHealth #1849: 403 where others were meant, 200 where nothing was."""
    for path in (
        "/Observation?patient=Patient/b",
        "/Observation?patient=Patient/nobody",
        "/Bundle",
        "/Provenance?patient=b",
    ):
        told = here.get("a", path)
        assert (told.status, told.ids) == (200, [])


def test_a_constraint_of_a_scope_holds_on_every_way(here: Gateway):
    assert here.pages("a-lab", "/Observation") == ["Observation/a-lab"]
    assert here.get("a-lab", "/Observation/a-bp").status == 404
    assert here.get("a-lab", "/Observation/a-bp/_history").status == 404
    assert here.get("a-lab", "/Observation/a-lab").status == 200
    assert here.get("a-lab", "/Patient?_revinclude=Observation:patient").ids == ["Patient/a", "Observation/a-lab"]
    assert here.get("a-lab", "/Patient?_has:Observation:patient:_id=a-bp").ids == []
    assert here.get("a-lab", "/Patient?_has:Observation:patient:_id=a-lab").ids == ["Patient/a"]
    assert here.pages("a-lab", "/Observation/_history") == ["Observation/a-lab"]
    assert {*here.pages("a-lab", "/Patient/a/$everything")} == {"Patient/a", "Observation/a-lab"}
    assert here.get("a-lab", "/Condition").status == 403


def test_what_a_sees_is_what_all_see_and_is_a_s(here: Gateway):
    """Differential: result(A) == filter(result(all)), order included."""
    for question in (
        "Observation?_sort=-date,_id", "Observation?_sort=value-quantity,_id", "Observation?_sort=_id&code=8480-6", "Patient?_sort=family",
        "Observation?_sort=_id&_has:Observation:has-member:_id=a-panel,b-panel", "Observation?_sort=_id&date=ge2026", "Condition?_sort=_id",
        "Observation?_sort=_id&subject:Patient.birthdate=lt1990", "Encounter?_sort=_id&_has:Observation:encounter:code=8480-6",
    ):  # fmt: skip
        everything = here.pages("all", f"/{question}&_count=100")
        assert here.pages("a", f"/{question}&_count=2") == [name for name in everything if name in OF_A], question


def test_several_types_at_once(here: Gateway):
    assert {*here.pages("a", "/?_type=Patient,Observation,Condition,Group&_count=3")} == {
        name for name in OF_A if name.partition("/")[0] in {"Patient", "Observation", "Condition", "Group"}
    }
    assert {*here.pages("a", "/Patient/a/*?_count=100")} <= OF_A | OPEN
    assert not [
        n for n in here.pages("a", "/_history?_count=7") if n not in OF_A | OPEN and n.split("/")[0] not in SHARED
    ]


def test_a_batch_is_its_entries(here: Gateway):
    paths = ["Observation/b-bp", "Observation?patient=Patient/b", "Patient/b/_history", "Observation/a-bp"]
    entries = [{"request": {"method": "GET", "url": path}} for path in paths]
    told = here.ask("a", "POST", "", {"resourceType": "Bundle", "type": "batch", "entry": entries})
    assert [entry["response"]["status"][:3] for entry in told.json["entry"]] == ["404", "200", "404", "200"]
    assert b"b-bp" not in told.body


def test_a_page_of_another_is_none(here: Gateway):
    told = here.get("a", "/Observation?_count=1")
    assert here.get("a", told.next).status == 200
    assert here.get("b", told.next).status == 403
