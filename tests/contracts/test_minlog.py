"""Looks are registered in MinLog: valid by its schema, within its limits, each until it is taken, and nobody else's."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from lxml import etree

from gateway.access import Actor, Kind, Purpose
from gateway.access.scopes import Scopes
from gateway.audit import minlog
from gateway.audit.record import who
from gateway.audit.registrar import Registrar, SoapSender
from gateway.errors import Incorrect, Unavailable
from gateway.observe.events import MinlogMeasured, MinlogSent, Observation
from gateway.store.minlog import Waiting
from gateway.store.postgres.minlog import PostgresMinlog
from tests.contracts.ledgers import World, record, world
from tests.contracts.minlog_server import SCHEMA, MinlogServer
from tests.contracts.stores import Database

pytestmark = pytest.mark.skipif(not SCHEMA.exists(), reason="NOT RUN: the schema of MinLog2 is not beside the project")
CPR = "2512489996"


def staff(**more: Any) -> Actor:
    given: dict[str, Any] = {"organisation": "265161000016000", "role": "7170", "authorisation": "ABC12", **more}
    return Actor("ehr", Scopes(), kind=Kind.STAFF, purpose=given.pop("purpose", Purpose.TREATMENT), **given)


class Registering:
    """An outbox on the world's ledger, with a registrar towards a server."""

    def __init__(self, ours: World, server: MinlogServer, store: PostgresMinlog) -> None:
        self.ours = ours
        self.server = server
        self.store = store
        self.told: list[Observation] = []
        self.unknown: set[int] = set()
        self.ledger = ours.writer()

        async def patients(wanted: Sequence[int]) -> dict[int, Any]:
            made = {"identifier": [{"system": "urn:oid:1.2.208.176.1.2", "value": CPR}]}
            return {one: made for one in wanted if one not in self.unknown}

        async def names(_: str) -> str:
            return "Odense Universitetshospital"

        self.registrar = Registrar(
            store,
            SoapSender(server.address),
            patients,
            names,
            "Sundbro",
            self.told.append,
            hold_seconds=0,
            again_seconds=0,
        )

    async def look(self, actor: Actor, patient: int = 7, **more: Any) -> None:
        self.ours.clock.advance(dt.timedelta(seconds=1))
        await self.ledger.write(record(patient=patient, **more), who(actor))

    async def sent(self) -> int:
        """Collect and send all that is due."""
        while await self.registrar.collect():
            pass
        total = 0
        while added := await self.registrar.deliver():
            total += added
        return total

    async def sql(self, statement: str) -> None:
        connection = await asyncpg.connect(self.ours.url, server_settings={"search_path": self.ours.schema})
        await connection.execute(statement)
        await connection.close()


@pytest.fixture
def server() -> Iterator[MinlogServer]:
    with MinlogServer() as running:
        yield running


@pytest.fixture
async def here(database: Database, tmp_path: Path, server: MinlogServer) -> AsyncIterator[Registering]:
    async with world(database.url, tmp_path) as ours:
        store = PostgresMinlog(ours.url, schema=ours.schema)
        await store.start()
        yield Registering(ours, server, store)
        await store.stop()


async def test_a_look_is_registered_in_words_that_a_citizen_reads(here: Registering) -> None:
    await here.look(staff())
    assert await here.sent() == 1
    (entry,) = here.server.taken
    assert entry["Activity"] == [("Opslag i målinger og prøvesvar", {})]
    assert entry["Addition"] == [("Ingen", {})]
    assert entry["PersonIdentifier"] == [(CPR, {"source": "CPR"})]
    assert entry["UserPersonIdentifier"] == [("ABC12", {"source": "Autorisation"})]
    assert entry["OrganisationId"] == [("265161000016000", {"source": "SOR"})]
    assert entry["OrganisationName"] == [("Odense Universitetshospital", {})]
    assert entry["UserRole"] == [("læge", {})]
    assert entry["DateTime"][0][0].endswith("Z")
    assert (await here.store.queue()).waiting == 0
    assert [one for one in here.told if isinstance(one, MinlogSent)] == [MinlogSent(1, 0)]


async def test_additions_filters_and_changes_are_said(here: Registering) -> None:
    await here.look(staff(purpose=Purpose.VAERDISPRING), 1)
    await here.look(staff(purpose=Purpose.CONSENT), 2)
    await here.look(staff(), 3, rules=["hidden-from-parents", "hidden-from-citizen"])
    await here.look(staff(), 4, event="update")
    assert await here.sent() == 4
    said = [
        [text for name in ("Addition", "Activity", "Filter") for text, _ in entry.get(name, [])]
        for entry in here.server.taken
    ]
    saw = "Opslag i målinger og prøvesvar"
    assert sorted(said) == sorted(
        [
            ["Værdispring", saw],
            ["Samtykke", saw],
            ["Ingen", saw, "Ikke borger", "Ikke forældremyndigheds-indehaver"],
            ["Ingen", "Ændring af målinger og prøvesvar"],
        ]
    )


async def test_what_was_looked_at_to_refuse_it_is_registered(here: Registering) -> None:
    await here.look(staff(), event="patch", status=422)
    assert await here.sent() == 1


async def test_what_is_no_look_by_staff_is_not_registered(here: Registering) -> None:
    citizen = Actor("app", Scopes(), kind=Kind.CITIZEN, purpose=Purpose.OWN, person="Patient/x")
    await here.look(citizen)
    await here.look(Actor("partner", Scopes()))
    await here.look(staff(), status=503)
    await here.ledger.write(record(patients=(), status=403), who(staff()))
    await here.look(staff(), event="intended")
    await here.ledger.write(record(patients=()), who(staff()))
    assert await here.sent() == 0
    assert (await here.store.queue()).waiting == 0


async def test_looks_that_wait_together_are_one_entry_with_a_period(here: Registering) -> None:
    for _ in range(10):
        await here.look(staff())
    await here.look(staff(authorisation="OTHER"))
    assert await here.sent() == 2
    (period,) = [entry for entry in here.server.taken if "FromDateTime" in entry]
    assert period["FromDateTime"] < period["ToDateTime"]


async def test_batches_have_at_most_500_entries_and_an_hour_20_requests(here: Registering) -> None:
    await asyncio.gather(*(here.ledger.write(record(patient=number), who(staff())) for number in range(1100)))
    assert await here.sent() == 1100
    assert here.server.requests == [500, 500, 100]
    await here.sql("insert into minlog_request select now() - interval '59 minutes' from generate_series(1, 17)")
    await here.look(staff())
    assert await here.sent() == 0
    await here.sql("update minlog_request set at = at - interval '2 minutes'")
    assert await here.sent() == 1


async def test_of_a_batch_taken_in_part_only_what_failed_comes_again(here: Registering) -> None:
    refused = {"n": 0}

    def refuse(entry: dict[str, Any]) -> str:
        refused["n"] += 1
        return "TEMPORARY" if refused["n"] in {2, 4} else ""

    here.server.refuse = refuse
    for patient in range(5):
        await here.look(staff(), patient)
    await here.registrar.collect()
    assert await here.registrar.deliver() == 3
    assert (await here.store.queue()).waiting == 2
    assert await here.registrar.deliver() == 2
    assert here.server.requests == [5, 2]
    numbers = [entry["SequenceNumber"][0][0] for entry in here.server.taken]
    assert len({*numbers}) == 5


async def test_while_minlog_is_away_everything_waits_and_goes_out_under_the_same_ids(here: Registering) -> None:
    seen: list[str] = []
    await here.look(staff())
    here.server.down = True
    await here.registrar.collect()
    for _ in range(12):  # longer than an entry that is itself at fault would be tried
        with pytest.raises(Unavailable):
            await here.registrar.deliver()
        await here.sql("delete from minlog_request")
    assert (await here.store.queue()).parked == 0
    await here.look(staff())  # what was sent once is not added to
    here.server.down = False
    assert await here.sent() == 2
    seen += [entry["CorrelationId"][0][0] for entry in here.server.taken]
    assert len({*seen}) == 2


async def test_an_entry_that_minlog_never_takes_waits_for_a_person(here: Registering) -> None:
    here.server.refuse = lambda _: "INVALID_CPR"
    await here.look(staff())
    await here.registrar.collect()
    for _ in range(8):
        await here.registrar.deliver()
    assert (await here.store.queue()).parked == 1
    assert [(one["state"], one["fault"]) for one in await here.store.faults()] == [("parked", "INVALID_CPR")]
    here.server.refuse = lambda _: ""
    assert await here.store.release() == 1
    assert await here.sent() == 1


async def test_who_cannot_be_named_is_parked_and_told(here: Registering) -> None:
    here.unknown.add(1)
    await here.look(staff(), 1)
    await here.look(staff(authorisation=""), 2)
    await here.look(staff(), 3)
    assert await here.sent() == 1
    assert {one["fault"] for one in await here.store.faults()} == {"no-person-number", "no-authorisation"}


async def test_nothing_of_the_outbox_is_a_persons_number(here: Registering) -> None:
    await here.look(staff())
    await here.registrar.collect()
    connection = await asyncpg.connect(here.ours.url, server_settings={"search_path": here.ours.schema})
    rows = await connection.fetch("select convert_from(look, 'utf8') as look, e::text as whole from minlog_entry e")
    await connection.close()
    assert len(rows) == 1
    assert CPR not in rows[0]["whole"] + rows[0]["look"]


async def test_two_registrars_at_once_register_every_look_once(here: Registering) -> None:
    for patient in range(40):
        await here.look(staff(), patient)
    other = Registering(here.ours, here.server, here.store)
    await asyncio.gather(here.registrar.collect(), other.registrar.collect())
    await asyncio.gather(here.sent(), other.sent())
    numbers = [entry["SequenceNumber"][0][0] for entry in here.server.taken]
    assert len(numbers) == len({*numbers}) == 40


async def test_the_role_tells_how_much_waits(here: Registering) -> None:
    here.server.down = True
    await here.look(staff())
    stop = asyncio.Event()
    task = asyncio.create_task(here.registrar.run(stop))
    await asyncio.sleep(0.3)
    here.server.down = False
    stop.set()
    await task
    assert not any(isinstance(one, MinlogMeasured) and one.parked for one in here.told)


@pytest.mark.parametrize("answer", [b"<html/>", b"not xml", b"<!DOCTYPE x><x/>", b"<RegistrationResponse/>"])
def test_an_answer_that_is_none_is_refused(answer: bytes) -> None:
    with pytest.raises(Incorrect):
        minlog.outcome(answer)


def test_whatever_stands_in_a_look_the_request_is_valid_by_the_schema() -> None:
    schema = etree.XMLSchema(etree.parse(str(SCHEMA)))
    moment = dt.datetime(2026, 10, 25, 0, 59, tzinfo=dt.UTC)
    for activity, role, name in (("Opslag i " + "æ" * 66, "x" * 300, "y" * 300), ("&<>\x00\x1f", "\ud7ff", "")):
        look = json.dumps(
            {"activity": activity, "addition": "Ingen", "user": "A" * 50, "role": role, "organisation": "1"}
        )
        entry = Waiting(1, moment, moment, 7, 1, 1, look.encode())
        made = minlog.request([(entry, minlog.Person("eCPR", "251248AAA6"), name)], "Sundbro")
        assert schema.validate(etree.ElementTree(etree.fromstring(made))), schema.error_log


def test_an_activity_fits() -> None:
    kinds = ["målinger og prøvesvar", "diagnoser og helbredsproblemer", "kontakter og indlæggelser", "medicin"]
    assert minlog._fitted("Opslag i ", kinds) == "Opslag i målinger og prøvesvar, diagnoser og helbredsproblemer m.m."
