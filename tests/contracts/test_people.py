"""Whom the authorization server offers a user: the store's facts of custody and fuldmagt, and what a professional would find."""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator
from typing import Any

import pytest

from gateway.access import Assurance, Kind, Policy
from gateway.app.people import StoredPeople, policy_of
from gateway.clock import FrozenClock
from gateway.fhir import persons
from gateway.fhir.ids import Ids
from gateway.identity.session import LogIn
from gateway.search.query import reference as key_of
from gateway.search.standing import Category
from gateway.settings import Settings
from synthetic.rights import fuldmagt, guardian
from tests.contracts.audited import Audited, audited
from tests.leaks.two_patients import NORTH, SOUTH, encounter, organisation

NOON = dt.datetime(2026, 11, 22, 11, 0, tzinfo=dt.UTC)
IDS = Ids(bytes(32))
KEY = persons.danish(persons.CPR, "2512489996")
assert KEY is not None
KNOWN = IDS.patient(KEY)


def patient(name: str, born: str, family: str, **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "Patient",
        "id": name,
        "name": [{"family": family, "given": ["Prøve"]}],
        "birthDate": born,
        **more,
    }


@pytest.fixture
async def world(postgres_url: str, tmp_path: Any) -> AsyncIterator[Audited]:
    async with audited(postgres_url, tmp_path) as made:
        links = [{"other": {"reference": f"RelatedPerson/{one}"}, "type": "seealso"} for one in ("g-child", "g-teen")]
        await made.put(
            organisation("north", NORTH),
            organisation("south", SOUTH),
            patient("parent", "1980-01-01", "Prøvesen", link=links),
            patient("child", "2011-11-23", "Barnsen"),
            patient("teen", "2011-11-22", "Teensen"),
            patient("grantor", "1939-06-30", "Gammel"),
            patient(KNOWN, "1948-12-25", "Kendt"),
            guardian("g-child", "Patient/child"),
            guardian("g-teen", "Patient/teen"),
            fuldmagt("f-grantor", "Patient/parent", "Patient/grantor"),
            encounter("e-known", KNOWN, "north", "2026-11-20T10:00:00+01:00"),
        )
        yield made


def people(world: Audited, at: dt.datetime = NOON) -> StoredPeople:
    return StoredPeople(world.store, world.ledger, IDS, FrozenClock(at), Policy())


def doctor(organisation: str, kind: Kind = Kind.STAFF) -> LogIn:
    return LogIn("subject-d", kind, "local", NOON, Assurance.SUBSTANTIAL, organisation=organisation, role="7170")


async def test_a_citizen_acts_for_children_under_fifteen_and_for_who_gave_him_fuldmagt(world: Audited) -> None:
    asked = people(world)
    assert {(one.reference, one.shown) for one in await asked.represented("Patient/parent")} == {
        ("Patient/child", "Prøve Barnsen"),
        ("Patient/grantor", "Prøve Gammel"),
    }
    assert await asked.may_act("Patient/parent", "Patient/child")
    assert await asked.may_act("Patient/parent", "Patient/grantor")
    assert not await asked.may_act("Patient/parent", "Patient/teen")
    assert not await asked.may_act("Patient/parent", "Patient/parent"), "for himself he need not act"
    assert not await asked.may_act("Patient/child", "Patient/parent")
    midnight = dt.datetime(2026, 11, 22, 23, 0, tzinfo=dt.UTC)
    assert not await people(world, midnight).may_act("Patient/parent", "Patient/child"), "the birthday has begun"


async def test_a_fuldmagt_withdrawn_or_of_another_time_is_none(world: Audited) -> None:
    given = fuldmagt("f-grantor", "Patient/parent", "Patient/grantor")
    await world.put({**given, "status": "inactive"})
    assert not await people(world).may_act("Patient/parent", "Patient/grantor")
    await world.put({**given, "provision": {**given["provision"], "period": {"start": "2026-11-23"}}})
    assert not await people(world).may_act("Patient/parent", "Patient/grantor")
    assert await people(world, NOON + dt.timedelta(days=1)).may_act("Patient/parent", "Patient/grantor")


async def test_a_fuldmagt_of_other_types_gives_no_name_away(world: Audited) -> None:
    given = fuldmagt("f-grantor", "Patient/parent", "Patient/grantor")
    types = [{"system": "http://hl7.org/fhir/resource-types", "code": "Observation"}]
    await world.put({**given, "provision": {**given["provision"], "class": types}})
    shown = {one.reference: one.shown for one in await people(world).represented("Patient/parent")}
    assert shown["Patient/grantor"] == "(fuldmagt)"


@pytest.mark.parametrize("words", ["251248-9996", "251248 9996", "kendt prøve", "1948-12-25 Kendt"])
async def test_a_professional_finds_whom_he_treats_and_nobody_else(world: Audited, words: str) -> None:
    before = len(await world.written())
    (found,) = await people(world).find(doctor(NORTH), words)
    assert (found.reference, found.shown) == (f"Patient/{KNOWN}", "Prøve Kendt (1948-12-25)")
    (*_, (_, record)) = await world.written()
    assert len(await world.written()) == before + 1, "who was shown to whom is on record"
    assert record.patients == (key_of("patient", f"Patient/{KNOWN}"),)
    assert (record.organisation, record.subject) == (NORTH, "subject-d")
    assert await people(world).find(doctor(SOUTH), words) == []
    assert await people(world).find(doctor(NORTH, Kind.OPERATOR), words) == ()
    assert len(await world.written()) == before + 1


@pytest.mark.parametrize(
    "words", ["", "kendt", "1948-12-25", "a,b |$ \\", "9" * 2000, "2512489996x", "kendt 1948-99-99"]
)
async def test_what_names_nobody_finds_nobody(world: Audited, words: str) -> None:
    assert list(await people(world).find(doctor(NORTH), words)) == []


def test_the_settings_of_relations_are_the_policy_s() -> None:
    assert policy_of(Settings()) == Policy()
    given = Settings(relation_least="B+", relation_days_after=1, relation_unclear=True)
    expected = Policy(Category.B_PLUS, lasts_after=dt.timedelta(days=1), unclear_opens=True)
    assert policy_of(given) == expected
