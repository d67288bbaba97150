"""Writing tells nothing of what is hidden, and nobody writes himself a right."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.access import Assurance
from tests.leaks import two_patients
from tests.leaks.gateway import Gateway, citizen, gateway, staff
from tests.leaks.two_patients import NORTH, SOUTH, observation, reference


@pytest.fixture
def here(postgres_url):
    with gateway(postgres_url) as made:
        made.put(*two_patients.world())
        made.know("a", citizen("a"))
        made.know("b", citizen("b"))
        made.know("a-low", replace(citizen("a"), assurance=Assurance.LOW))
        made.know("north", staff(NORTH))
        made.know("south", staff(SOUTH))
        yield made


def spaerring(who: str, **rule: object) -> dict:
    return {
        "resourceType": "Consent",
        "status": "active",
        "scope": {
            "coding": [{"system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "patient-privacy"}]
        },
        "category": [{"coding": [{"system": "http://loinc.org", "code": "59284-0"}]}],
        "patient": reference(f"Patient/{who}"),
        "policyRule": {"text": "x"},
        "provision": {"type": "deny", **rule},
    }


def same(one, two) -> None:
    assert (one.status, one.body) == (two.status, two.body)


def test_what_is_hidden_is_written_like_what_was_never_there(here: Gateway):
    new = observation("b-bp", "a")
    never = observation("never", "a")
    for who in ("a", "south", "north"):
        for headers in ({}, {"if_match": 'W/"1"'}, {"if_none_match": "*"}):
            headers = {name.replace("_", "-"): value for name, value in headers.items()}  # noqa: PLW2901
            body, other = {**new, "status": "amended"}, {**never, "status": "amended"}
            # north treats both: what it may not see is nothing here, so it is asked of what nobody has
            if who != "north":
                same(
                    here.ask(who, "PUT", "/Observation/b-bp", body, **headers),
                    here.ask(who, "PUT", "/Observation/never", other, **headers),
                )
            patch = b'[{"op":"replace","path":"/status","value":"amended"}]'
            kind = {"content-type": "application/json-patch+json"}
            if who != "north":
                same(
                    here.ask(who, "PATCH", "/Observation/b-bp", patch, **kind, **headers),
                    here.ask(who, "PATCH", "/Observation/never", patch, **kind, **headers),
                )
    for kind in ("Consent", "Observation"):
        same(here.ask("a", "DELETE", f"/{kind}/b-bp"), here.ask("a", "DELETE", f"/{kind}/never"))
    assert here.get("all", "/Observation/b-bp").headers["etag"] == 'W/"1"'


def test_a_deletion_of_what_is_hidden_deletes_nothing(here: Gateway):
    put = here.ask("all", "PUT", "/Consent/of-b", {**spaerring("b"), "id": "of-b"})
    assert put.status == 201
    same(here.ask("a", "DELETE", "/Consent/of-b"), here.ask("a", "DELETE", "/Consent/never"))
    same(here.ask("a", "DELETE", "/Consent?patient=b"), here.ask("a", "DELETE", "/Consent?patient=nobody"))
    assert here.get("b", "/Consent/of-b").status == 200
    assert here.ask("b", "DELETE", "/Consent/of-b").status == 204
    assert here.get("b", "/Consent/of-b").status == 404


def test_a_condition_does_not_find_what_is_hidden(here: Gateway):
    new = observation("x", "a")
    told = here.ask("a", "POST", "/Observation", new, **{"if-none-exist": "_id=b-bp"})
    assert told.status == 201
    told = here.ask("a", "POST", "/Observation", new, **{"if-none-exist": "_id=a-bp"})
    assert told.status == 200
    assert told.json["id"] == "a-bp"
    # a conditional reference, too
    told = here.ask("a", "POST", "/Observation", {**new, "performer": [{"reference": "Patient?identifier=B-1"}]})
    nobody = here.ask("a", "POST", "/Observation", {**new, "performer": [{"reference": "Patient?identifier=C-1"}]})
    same(told, nobody)


def test_what_is_written_is_within_reach_before_and_after(here: Gateway):
    ours = observation("x", "a")
    mine = here.ask("a", "POST", "/Observation", ours)
    assert mine.status == 201
    other = here.ask("a", "POST", "/Observation", observation("x", "b"))
    nobody = here.ask("a", "POST", "/Observation", observation("x", "nobody"))
    assert other.status == 403
    same(other, nobody)
    move = b'[{"op":"replace","path":"/subject/reference","value":"Patient/b"}]'
    none = b'[{"op":"replace","path":"/subject/reference","value":"Patient/nobody"}]'
    kind = {"content-type": "application/json-patch+json"}
    assert here.ask("south", "PATCH", "/Observation/a-bp", move, **kind).status == 404
    told = here.ask("north", "PATCH", "/Observation/a-bp", none, **kind)
    assert told.status == 403
    assert here.ask("north", "PATCH", "/Observation/a-bp", move, **kind).status == 200  # it treats both
    assert here.get("a", "/Observation/a-bp").status == 404
    assert here.get("b", "/Observation/a-bp").status == 200
    # the version that was a's is not b's to see, nor a's any more
    assert here.get("b", "/Observation/a-bp/_history/1").status == 404
    assert here.get("b", "/Observation/a-bp/_history").json["total"] == 1


def test_a_citizen_writes_what_is_his_to_write(here: Gateway):
    assert here.ask("a", "POST", "/Consent", spaerring("a")).status == 201
    assert here.ask("a", "POST", "/Consent", spaerring("b")).status == 403
    for kind in ("Patient", "Encounter", "RelatedPerson", "Organization", "Practitioner", "Condition"):
        told = here.ask("a", "PUT", f"/{kind}/x", {"resourceType": kind, "id": "x"})
        assert told.status == 403
    assert here.ask("a-low", "POST", "/Consent", spaerring("a")).status == 403
    assert here.get("a-low", "/Observation").status == 403


def test_staff_writes_no_evidence_for_itself(here: Gateway):
    for kind in ("Encounter", "EpisodeOfCare", "ServiceRequest", "Patient", "RelatedPerson", "Consent", "Organization"):
        assert here.ask("south", "POST", f"/{kind}", {"resourceType": kind}).status == 403
    assert here.ask("south", "POST", "/Observation", observation("x", "a")).status == 403
    assert here.ask("north", "POST", "/Observation", observation("x", "a")).status == 201


def test_security_labels_are_not_the_writers(here: Gateway):
    label = {"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "R"}
    labelled = {**observation("a-secret", "a"), "meta": {"security": [label]}}
    here.put(labelled)
    told = here.ask("north", "PUT", "/Observation/a-secret", observation("a-secret", "a", status="amended"))
    assert told.status == 200
    assert told.json["meta"]["security"] == [label]
    new = here.ask("north", "POST", "/Observation", labelled)
    assert "security" not in new.json["meta"]
    sent = {"resourceType": "Parameters", "parameter": [{"name": "meta", "valueMeta": {"security": [label]}}]}
    assert here.ask("north", "POST", "/Observation/a-secret/$meta-delete", sent).status == 403


def test_a_conditional_update_that_finds_nothing_makes_what_its_writer_may_write(here: Gateway):
    def pressure(who: str, number: str) -> dict:
        made = {**observation("x", who), "identifier": [{"system": "urn:x", "value": number}]}
        del made["id"]
        return made

    here.put({**pressure("b", "2"), "id": "b-numbered"})
    here.know("only-a", staff(NORTH, "patient/*.rs", "patient/*.cu", patient="Patient/a"))
    for number, who, status in (("1", "only-a", 201), ("1", "only-a", 200), ("2", "only-a", 201), ("3", "south", 403)):
        told = here.ask(who, "PUT", f"/Observation?identifier=urn:x|{number}", pressure("a", number))
        assert told.status == status, "the second is another's: it is not there, and a new one is made"
    assert here.get("b", "/Observation/b-numbered").json["meta"]["versionId"] == "1"
    assert here.ask("only-a", "PUT", "/Observation?identifier=urn:x|4", pressure("b", "4")).status == 403
    free = {**pressure("a", "5"), "id": "free"}
    assert here.ask("only-a", "PUT", "/Observation?identifier=urn:x|5", free).status == 404, (
        "an id is not his to choose"
    )
    entry = {"resource": pressure("a", "6"), "request": {"method": "PUT", "url": "Observation?identifier=urn:x|6"}}
    for kind in ("transaction", "batch"):
        told = here.ask("only-a", "POST", "", {"resourceType": "Bundle", "type": kind, "entry": [entry]})
        assert told.json["entry"][0]["response"]["status"][:3] == ("201" if kind == "transaction" else "200")


def test_a_transaction_is_all_within_reach_or_nothing(here: Gateway):
    entries = [
        {"resource": observation("x", "a"), "request": {"method": "POST", "url": "Observation"}},
        {"resource": observation("y", "b"), "request": {"method": "POST", "url": "Observation"}},
    ]
    before = here.get("all", "/Observation?_summary=count&_total=accurate").json["total"]
    told = here.ask("a", "POST", "", {"resourceType": "Bundle", "type": "transaction", "entry": entries})
    assert told.status == 403
    assert here.get("all", "/Observation?_summary=count&_total=accurate").json["total"] == before
    told = here.ask("a", "POST", "", {"resourceType": "Bundle", "type": "batch", "entry": entries})
    assert [entry["response"]["status"][:3] for entry in told.json["entry"]] == ["201", "403"]


def test_what_is_found_by_a_wider_scope_is_not_replaced_by_a_narrower_one(here: Gateway):
    scopes = ("user/Observation.rs", "user/Observation.cu?category=laboratory")
    here.know("narrow", staff(NORTH, *scopes))
    laboratory = next(one for one in two_patients.world() if one["id"] == "a-lab")
    pressure = {**laboratory, "id": "a-bp"}
    assert here.get("narrow", "/Observation/a-bp").status == 200
    for path in ("/Observation/a-bp", "/Observation?_id=a-bp"):
        assert here.ask("narrow", "PUT", path, pressure).status in {403, 404}
    told = here.ask("narrow", "PUT", "/Observation/a-lab", {**laboratory, "status": "amended"})
    assert told.status == 200
    told = here.ask("narrow", "PUT", "/Observation/a-lab", {**laboratory, "category": []} | {"category": pressure["category"][:0] or [{"text": "x"}]})  # fmt: skip
    assert told.status == 403
