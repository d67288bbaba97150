"""The person index: numbers by (system, value), merges and their withdrawal as hospitals send them, through the real store."""

from __future__ import annotations

import dataclasses
import datetime as dt
import secrets
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.fhir.merge import merge
from gateway.fhir.persons import CPR, D_ECPR, X_ECPR, danish, is_danish
from gateway.identity.persons import RECORDS_MAX, PersonIndex
from gateway.model import Mode, PersonKey
from gateway.search.index import extract
from gateway.serve.lanes import Lanes
from gateway.store.postgres.store import PostgresStore
from tests.contracts.stores import batch, message, partition, write
from tests.identity.house import IDS

SYD, SJAELLAND = f"{D_ECPR}.183", f"{D_ECPR}.177"


@pytest.fixture
async def store(postgres_url: str) -> AsyncIterator[PostgresStore]:
    schema = f"p{secrets.token_hex(4)}"
    opened = PostgresStore(postgres_url, outbox_partition=partition, extract=extract, merge=merge, schema=schema)
    await opened.start()
    yield opened
    await opened.stop()


def patient(name: str, **links: list[str]):
    listed = [
        {"other": {"reference": f"Patient/{other}"}, "type": kind.replace("_", "-")}
        for kind, others in links.items()
        for other in others
    ]
    return {"resourceType": "Patient", "id": name, **({"link": listed} if listed else {})}


def indexed(resource):
    return dataclasses.replace(write(resource, mode=Mode.PUT), index=extract(resource))


async def put(store: PostgresStore, *patients) -> None:
    await store.apply(batch(message(*(indexed(each) for each in patients))))


async def same(store: PostgresStore, name: str) -> tuple[str, set[str]]:
    found = await PersonIndex(store).person_of(f"Patient/{name}")
    return found.current.removeprefix("Patient/"), {one.removeprefix("Patient/") for one in found.all}


async def test_a_record_that_nobody_has_linked_or_written_is_alone(store):
    await put(store, patient("a"))
    assert await same(store, "a") == ("a", {"a"})
    assert await same(store, "nobody") == ("nobody", {"nobody"})


async def test_the_old_number_reaches_the_survivor_and_the_new_one_keeps_the_old(store):
    await put(store, patient("old", replaced_by=["new"]), patient("new", replaces=["old"]))
    assert await same(store, "old") == ("new", {"old", "new"})
    assert await same(store, "new") == ("new", {"old", "new"})


async def test_merges_follow_one_another_and_come_together(store):
    await put(
        store,
        patient("a", replaced_by=["b"]),
        patient("b", replaced_by=["c"]),
        patient("x", replaced_by=["c"]),
        patient("c", replaces=["x"]),
    )
    for one in "abcx":
        assert await same(store, one) == ("c", {"a", "b", "c", "x"}), (
            "the survivor's own links name the last merge alone"
        )


async def test_a_merge_that_was_taken_back_is_none(store):
    await put(store, patient("old", replaced_by=["new"]), patient("new", replaces=["old"]))
    await put(store, patient("old"))
    assert await same(store, "old") == ("old", {"old"})
    assert await same(store, "new") == ("new", {"new"}), "replaces alone says nothing"


async def test_see_also_counts_when_both_say_so(store):
    await put(store, patient("a", seealso=["b", "c"]), patient("b", seealso=["a"]), patient("c"))
    assert await same(store, "a") == ("a", {"a", "b"})
    assert await same(store, "c") == ("c", {"c"})


async def test_a_claim_from_outside_makes_nobody_the_same_person(store):
    await put(store, patient("victim"), patient("attacker", replaces=["victim"], seealso=["victim"], refer=["victim"]))
    assert await same(store, "attacker") == ("attacker", {"attacker"})
    assert await same(store, "victim") == ("victim", {"victim"})


async def test_a_circle_ends_and_a_crowd_is_bounded(store):
    await put(store, patient("a", replaced_by=["b"]), patient("b", replaced_by=["a"]))
    assert await same(store, "a") == ("a", {"a", "b"})
    await put(store, *(patient(f"m{n}", replaced_by=["many"]) for n in range(100)), patient("many"))
    assert len((await same(store, "many"))[1]) <= 101
    await put(store, *(patient(f"c{n}", replaced_by=[f"c{n + 1}"]) for n in range(100)))
    assert len((await same(store, "c0"))[1]) <= RECORDS_MAX + 2


async def test_a_hospitals_merge_makes_a_log_in_with_the_old_number_reach_the_survivor(store):
    """HL7 v2 A40 through the adapter: a D-eCPR of the region becomes a CPR number."""
    from tests.feeds.test_hospital_adt import CPR as NUMBER
    from tests.feeds.test_hospital_adt import adt, done, pid

    result = done(adt("A40", pid(f3=f"{NUMBER}^^^CPR"), "MRG|0101905QX2^^^D-ECPR"))
    survivor, replaced = result.changes
    await store.apply(batch(message(*(indexed(each.resource) for each in result.changes))))
    assert await same(store, replaced.resource["id"]) == (
        survivor.resource["id"],
        {survivor.resource["id"], replaced.resource["id"]},
    )


# --- numbers ---


def test_a_regional_replacement_number_is_another_person_in_another_region():
    number = "0101905QX2"
    ids = {IDS.patient(danish(system, number)) for system in (SYD, SJAELLAND, D_ECPR)}
    lanes = {IDS.lane(danish(system, number)) for system in (SYD, SJAELLAND, D_ECPR)}
    assert len(ids) == len(lanes) == 3


@pytest.mark.parametrize(
    ("system", "value", "expected"),
    [
        (CPR, "251248-9996", "2512489996"), (CPR, " 251248 9996 ", "2512489996"), (X_ECPR, "0203291wq3", "0203291WQ3"), (SYD, "010190 5qx2", "0101905QX2"),
        (CPR, "2902009906", "2902009906"), (CPR, "3002489996", None), (CPR, "3113489996", None), (CPR, "0000009996", None), (CPR, "251248999", None),
        (X_ECPR, "0101905QX2", None), (SYD, "0203291WQ3", None), (CPR, "0203291WQ3", None), ("urn:x", "2512489996", None), (CPR, "".join(chr(0x660 + int(digit)) for digit in "2512489996"), None),
    ],
)  # fmt: skip
def test_a_number_is_judged_by_its_own_system(system, value, expected):
    found = danish(system, value)
    assert (found.value if found else None) == expected


@given(st.dates(dt.date(1937, 1, 1), dt.date(1999, 12, 31)), st.integers(0, 99))
def test_no_number_is_refused_for_modulus_11(born, serial):
    number = f"{born:%d%m%y}99{serial:02d}"
    assert danish(CPR, number) == PersonKey(CPR, number)


def test_only_danish_systems_are_danish():
    assert all(map(is_danish, (CPR, X_ECPR, D_ECPR, SYD)))
    assert not any(map(is_danish, ("", f"{D_ECPR}183", f"{CPR}.1", "urn:oid:1.2.208.176.1.6.9")))


@pytest.mark.parametrize(
    ("system", "value"), [(CPR, "2512489996"), (X_ECPR, "0203291WQ3"), (SYD, "0101905QX2"), (SJAELLAND, "0101905QX2")]
)
async def test_what_the_api_writes_travels_on_the_lane_that_feeds_put_the_person_on(store, system, value):
    written = {
        "resourceType": "Patient",
        "id": "p",
        "identifier": [{"system": "urn:local", "value": "7"}, {"system": system, "value": value}],
    }
    assert await Lanes(store, IDS.lane).of([written], new=["p"]) == [IDS.lane(PersonKey(system, value))]


async def test_the_cpr_number_is_the_lane_before_a_replacement_number(store):
    numbers = [
        {"system": SYD, "value": "0101905QX2"},
        {"system": X_ECPR, "value": "0203291WQ3"},
        {"system": CPR, "value": "251248-9996"},
    ]
    for order in (numbers, numbers[::-1]):
        lanes = await Lanes(store, IDS.lane).of(
            [{"resourceType": "Patient", "id": "p", "identifier": order}], new=["p"]
        )
        assert lanes == [IDS.lane(PersonKey(CPR, "2512489996"))]
