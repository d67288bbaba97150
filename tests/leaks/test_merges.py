"""A merge of records: what is said of one of a person's records is said of the person, from the commit on, everywhere."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace

import pytest

from gateway.access import Purpose
from gateway.identity.persons import PersonIndex
from gateway.search import within
from gateway.search.indexed import reference as key_of
from tests.leaks import two_patients
from tests.leaks.gateway import Gateway, citizen, gateway, staff
from tests.leaks.test_rights import ROLES, blocked, observations
from tests.leaks.test_writes import spaerring
from tests.leaks.two_patients import NORTH, SOUTH, encounter, observation, patient, reference

OF_A = {"Observation/a-bp", "Observation/a-lab", "Observation/a-panel", "Observation/a-by-b"}
OF_OLD = {"Observation/old-bp", "Observation/old-dated"}


def record(name: str, born: str = "1980-05-17", **links: list[str]) -> dict:
    """A Patient, with links by their type (`replaced_by=["a"]`)."""
    named = [(kind.replace("_", "-"), other) for kind, others in links.items() for other in others]
    made = patient(name, name, born, f"{name}-1")
    links_of = [{"other": reference(f"Patient/{other}"), "type": kind} for kind, other in named]
    return {**made, "link": links_of} if named else made


@pytest.fixture
def both(postgres_url):
    """Two processes on one database: what one commits, the other asks."""
    with gateway(postgres_url) as one:
        one.put(
            *two_patients.world(),
            record("old"),
            observation("old-bp", "old"),
            observation("old-dated", "old", effectiveDateTime="2015-06-01T08:00:00+02:00"),
        )
        with gateway(postgres_url, schema=one.store._schema) as other:
            for each in (one, other):
                each.know("a", citizen("a"))
                each.know("north", staff(NORTH))
                each.know("ann", staff(NORTH, authorisation="BCDF1"))
                each.know("south", staff(SOUTH))
            yield one, other


MERGED = record("old", replaced_by=["a"])
APART = record("old")


def of_person(here: Gateway, who: str) -> set[str]:
    return observations(here, who) & (OF_A | OF_OLD)


def test_who_treats_a_person_sees_what_stands_under_each_of_his_numbers(both):
    one, other = both
    assert of_person(other, "north") == OF_A
    one.put(MERGED)
    assert of_person(other, "north") == OF_A | OF_OLD
    assert other.get("north", "/Patient/old").status == 200
    assert of_person(other, "south") == set()
    assert of_person(other, "a") == OF_A | OF_OLD
    one.put(APART)
    assert of_person(other, "north") == OF_A
    assert other.get("north", "/Patient/old").status == 404
    assert of_person(other, "a") == OF_A


@pytest.mark.parametrize("stated_of", ["a", "old"])
@pytest.mark.parametrize("order", ["merge first", "block first", "at once"])
def test_a_block_follows_a_merge_whichever_comes_first(both, stated_of, order):
    one, other = both
    block = {**spaerring(stated_of, actor=[blocked("Practitioner/ann")]), "id": "block"}
    steps = {"merge first": [[MERGED], [block]], "block first": [[block], [MERGED]], "at once": [[block, MERGED]]}
    for step in steps[order]:
        one.put(*step)
    assert of_person(other, "ann") == set()
    for path in ("/Observation/a-bp", "/Observation/old-bp", "/Observation/old-bp/_history", "/Observation/a-bp/_history/1"):  # fmt: skip
        assert other.get("ann", path).status == 404, path
    assert "Condition/a-condition" not in other.pages("ann", "/Condition")
    assert other.get("ann", "/Patient?_has:Observation:patient:_id=old-bp,a-bp").ids == []
    assert other.get("ann", "/Observation?_summary=count&_total=accurate&patient=a,old").json["total"] == 0
    assert of_person(other, "north") == OF_A | OF_OLD, "whom it does not name, it does not shut out"
    assert of_person(other, "a") == OF_A | OF_OLD
    one.put(APART)
    assert of_person(other, "ann") == (set() if stated_of == "a" else OF_A)
    one.put(MERGED)
    assert of_person(other, "ann") == set()
    assert one.ask("all", "DELETE", "/Consent/block").status == 204
    assert of_person(other, "ann") == OF_A | OF_OLD


@pytest.mark.parametrize(
    ("rule", "hidden"),
    [
        ({"dataPeriod": {"start": "2015", "end": "2015"}}, {"Observation/old-dated"}),
        ({"data": [{"meaning": "instance", "reference": reference("Observation/a-bp")}]}, {"Observation/a-bp"}),
        ({"data": [{"meaning": "authoredby", "reference": reference("Organization/north")}]}, {"Observation/a-bp"}),
        ({"data": [{"meaning": "authoredby", "reference": reference("Organization/south")}]}, {"Observation/a-lab"}),
        ({"actor": [blocked("Organization/ward")]}, set()),
        ({"period": {"end": "2026-11-21"}}, set()),
    ],
)
def test_a_block_of_the_old_record_is_about_the_same_data_of_the_person(both, rule, hidden):
    one, other = both
    one.put({**spaerring("old", **rule), "id": "block"}, MERGED)
    assert of_person(other, "north") == (OF_A | OF_OLD) - hidden


def test_a_chain_and_a_circle_of_merges_are_one_person(both):
    one, other = both
    one.put(record("oldest", replaced_by=["old"]), observation("oldest-bp", "oldest"), MERGED)
    assert observations(other, "north") >= {"Observation/oldest-bp"}
    one.put({**spaerring("oldest"), "id": "block"})
    assert of_person(other, "north") == set()
    one.put(record("oldest", replaced_by=["old"]), record("old", replaced_by=["oldest"]))
    assert of_person(other, "north") == OF_A, "taken apart from a, and in a circle"


def test_a_link_counts_when_both_records_say_so(both):
    one, other = both
    one.put({**spaerring("old"), "id": "block"})
    one.put(record("old", seealso=["a"]))
    assert of_person(other, "north") == OF_A, "who is said to be another has not said so"
    one.put(record("a", seealso=["old"]))
    assert of_person(other, "north") == set()
    one.put(record("a", replaces=["old"]))
    assert of_person(other, "north") == OF_A, "replaces says nothing by itself"


def test_a_fuldmagt_of_one_record_is_of_the_person(both):
    one, other = both
    role = {"coding": [{"system": ROLES, "code": "POWATT"}]}
    one.put({**spaerring("old", type="permit", actor=[{"role": role, "reference": reference("Patient/b")}]), "id": "f"})
    for each in (one, other):
        each.know("for a", citizen("b", on_behalf_of="Patient/a"))
        each.know("for old", citizen("b", on_behalf_of="Patient/old"))
    assert (of_person(other, "for a"), of_person(other, "for old")) == (set(), OF_OLD)
    one.put(MERGED)
    assert (of_person(other, "for a"), of_person(other, "for old")) == (OF_A | OF_OLD, OF_A | OF_OLD)
    one.put({**spaerring("a", actor=[blocked("Patient/b")]), "id": "block"})
    assert (of_person(other, "for a"), of_person(other, "for old")) == (set(), set())


def test_an_agreement_and_a_vaerdispring_are_of_the_person(both):
    one, other = both
    one.put({**spaerring("old", type="permit", actor=[blocked("Organization/south")]), "id": "agreed"}, MERGED)
    other.know("agreed", staff(SOUTH, purpose=Purpose.CONSENT))
    other.know("jump", staff(SOUTH, purpose=Purpose.VAERDISPRING, patient="Patient/a", reason="bevidstløs"))
    other.know("launched", staff(NORTH, "patient/*.rs", patient="Patient/old"))
    for who in ("agreed", "jump", "launched"):
        assert of_person(other, who) == OF_A | OF_OLD, who
        assert other.get(who, "/Observation/b-bp").status == 404


def test_custody_ends_by_the_earliest_birthday_of_a_child_s_records(both):
    """A replacement number without a known birthday is as young as the day it was made."""
    one, other = both
    guard = {"resourceType": "RelatedPerson", "id": "mother", "patient": reference("Patient/temporary"), "relationship": [{"coding": [{"system": ROLES, "code": "GUARD"}]}]}  # fmt: skip
    one.put(record("temporary", "2026-11-01"), guard, observation("child-bp", "child"), observation("temporary-bp", "temporary"))  # fmt: skip
    one.put({**record("a"), "link": [{"other": reference("RelatedPerson/mother"), "type": "seealso"}]})
    other.know("mother", citizen("a", on_behalf_of="Patient/temporary"))
    assert observations(other, "mother") == {"Observation/temporary-bp"}
    one.put(record("child", "2015-01-01"), record("temporary", "2026-11-01", replaced_by=["child"]))
    assert observations(other, "mother") == {"Observation/child-bp", "Observation/temporary-bp"}
    one.put(record("child", "2009-01-01"))
    assert observations(other, "mother") == set()


def test_what_treats_the_person_may_be_written_under_either_number(both):
    one, other = both
    assert other.ask("north", "POST", "/Observation", observation("x", "old")).status == 403
    one.put(MERGED, {**spaerring("a"), "id": "block"})
    told = other.ask("north", "POST", "/Observation", observation("x", "old"))
    assert told.status == 201, "a refusal would tell of the block"
    assert other.get("north", f"/Observation/{told.json['id']}").status == 404


def test_an_encounter_of_either_record_is_a_relation_to_the_person(both):
    one, other = both
    one.put(encounter("old-visit", "old", "south", "2026-11-20T10:00:00+01:00"))
    assert of_person(other, "south") == OF_OLD
    one.put(MERGED)
    assert of_person(other, "south") == OF_A | OF_OLD
    assert {*other.pages("south", "/Patient?_count=1")} == {"Patient/a", "Patient/old"}
    assert {*other.pages("south", "/_history?_count=3")} >= OF_A | OF_OLD


def test_blocks_and_merges_that_commit_at_the_same_moment_both_hold(both):
    """Twelve pairs written at once through two processes: none is lost to the other, whichever was first."""
    one, other = both
    names = [f"n{place}" for place in range(12)]
    one.put(*(record(name) for name in names), *(observation(f"{name}-bp", name) for name in names))
    one.put(*(encounter(f"{name}-stay", name, "north", "2026-11-01T08:00:00+01:00") for name in names))
    mine = {f"Observation/{name}-bp" for name in names}
    assert observations(other, "north") >= mine

    def written(name: str) -> list:
        merge, block = record(name, replaced_by=["old"]), {**spaerring(name), "id": f"block-{name}"}
        paths = [(merge, f"/Patient/{name}"), (block, f"/Consent/block-{name}")]
        return [one.answer("all", "PUT", path, body) for body, path in paths]

    async def at_once():
        return await asyncio.gather(*(told for name in names for told in written(name)))

    one.put(MERGED)
    assert {told.status for told in one.runner.run(at_once())} == {200, 201}
    assert not observations(other, "north") & (mine | OF_A | OF_OLD)


@pytest.mark.parametrize("seed", range(6))
def test_the_statements_the_memory_and_the_person_index_know_the_same_persons(both, seed):
    one, _ = both
    chance = random.Random(seed)
    names = [f"g{place}" for place in range(9)]
    kinds = ["replaced_by", "replaces", "seealso", "refer"]
    world = []
    for name in names:
        links: dict[str, list[str]] = {}
        for _ in range(chance.choice([0, 1, 1, 2])):
            links.setdefault(chance.choice(kinds), []).append(chance.choice([*names, "nobody"]))
        world.append(record(name, **links))
    one.put(*world, *(observation(f"{name}-bp", name) for name in names))
    memory, index = within.World.of(world), PersonIndex(one.store)
    for name in names:
        person = one.runner.run(index.person_of(f"Patient/{name}")).all
        assert memory.records(key_of("patient", f"Patient/{name}")) == {key_of("patient", each) for each in person}
        one.know("he", replace(citizen(name), records=()))
        expected = {f"Observation/{each.removeprefix('Patient/')}-bp" for each in person} - {"Observation/nobody-bp"}
        assert observations(one, "he") == expected, (name, person)
