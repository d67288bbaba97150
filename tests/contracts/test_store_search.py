"""What a search of the store promises beside its law: pages that stand still, totals that are never stale, limits that
refuse instead of leaving out, values that are never SQL, and an index that is made again when it is out of date.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from dataclasses import replace

import pytest

from gateway.errors import Incorrect, TooCostly
from gateway.fhir import body as bodies
from gateway.fhir.merge import merge
from gateway.model import Mode
from gateway.search import parse
from gateway.search.index import extract
from gateway.search.query import After, How, Query, Sort, SortBy, StringTerm
from gateway.store.port import Batch, Write
from gateway.store.postgres import indexing, migrate, search, search_recheck, search_snapshot, search_sql
from gateway.store.postgres.store import PostgresStore
from tests.contracts import stores
from tests.contracts.stores import raw

UCUM = "http://unitsofmeasure.org"


class Ticking:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.at = stores.NOON

    def now(self) -> dt.datetime:
        return self.at


class World:
    """A store of real indexes, written a resource at a time."""

    def __init__(self, url: str, schema: str) -> None:
        self.url, self.schema, self.clock = url, schema, Ticking()
        self.store = self.another()

    def another(self) -> PostgresStore:
        """Another process on the same store, as far as the store can tell."""
        return PostgresStore(
            self.url,
            outbox_partition=stores.partition,
            extract=extract,
            merge=merge,
            schema=self.schema,
            clock=self.clock,
        )

    async def put(self, *resources, deleted=False):
        self.clock.at += dt.timedelta(seconds=1)
        writes = []
        for resource in resources:
            body = bodies.prepare(resource)
            digest = bodies.content_digest(body)
            at = self.clock.at
            writes.append(
                Write(resource["resourceType"], resource["id"], Mode.PUT, b"" if deleted else body, digest, at, index=extract(resource), deleted=deleted)
            )  # fmt: skip
        await self.store.apply(Batch([stores.message(*writes)]))
        return self.clock.at

    async def ids(self, kind, *pairs, store=None, **more):
        page = await (store or self.store).search(replace(parse.parse(kind, list(pairs)), **more))
        return [version.id for version in page.versions]


@pytest.fixture
async def world(database):
    made = World(database.url, f"s_{id(object()):x}")
    await made.store.start()
    try:
        yield made
    finally:
        await made.store.stop()
        async with raw(database.url) as connection:
            await connection.execute(f"drop schema {made.schema} cascade")


def patient(name, family="Jensen", **more):
    return {"resourceType": "Patient", "id": name, "name": [{"family": family}], **more}


def observation(name, value, unit="mg", *, subject="p1"):
    quantity = {"value": value, "unit": unit, "system": UCUM, "code": unit}
    code = {"coding": [{"system": "http://loinc.org", "code": "1-1"}]}
    return {"resourceType": "Observation", "id": name, "status": "final", "code": code, "subject": {"reference": f"Patient/{subject}"}, "valueQuantity": quantity}  # fmt: skip


@pytest.mark.parametrize("order", ["family", "-_lastUpdated", "_id", "birthdate"])
async def test_what_is_created_after_the_first_page_is_on_no_later_one(world, order):
    await world.put(*(patient(f"p{number}", family=f"F{number}") for number in range(9)))
    first_seen = world.clock.at
    query = replace(parse.parse("Patient", [("_sort", order)]), count=4, until=first_seen)
    page = await world.store.search(query)
    shown = [version.id for version in page.versions]
    await world.put(*(patient(f"new{number}", family=f"F{number}x") for number in range(9)))
    while page.more:
        after = After(page.last_key, page.last_rid, page.last_keys)
        page = await world.store.search(replace(query, after=after))
        shown += [version.id for version in page.versions]
    assert sorted(shown) == sorted(f"p{number}" for number in range(9))
    counted = await world.store.search(replace(query, total=True))
    assert counted.total == 9


async def test_what_was_there_at_the_moment_stays_there_however_often_it_changes_and_what_was_deleted_then_does_not(
    world,
):
    await world.put(patient("kept"), patient("gone"), patient("back"))
    await world.put(patient("gone"), patient("back"), deleted=True)
    moment = world.clock.at
    await world.put(patient("kept", gender="male"))
    await world.put(patient("kept", gender="female"), patient("back"), patient("new"))
    assert sorted(await world.ids("Patient", until=moment)) == ["kept"]
    assert sorted(await world.ids("Patient", until=moment - dt.timedelta(seconds=1))) == ["back", "kept"]
    assert sorted(await world.ids("Patient")) == ["back", "kept", "new"]


async def walk(world, query, page):
    """The versions of all pages after the first, with it; and whether one of them was loose."""
    shown, loose = [*page.versions], page.loose
    while page.more:
        after = After(page.last_key, page.last_rid, page.last_keys)
        page = await world.store.search(replace(query, after=after, as_of=page.as_of))
        shown += page.versions
        loose = loose or page.loose
    return [(version.id, version.version) for version in shown], loose


@pytest.mark.parametrize("order", ["family", "-family", "-_lastUpdated", "_id", "gender,-family"])
async def test_what_is_being_changed_while_the_first_page_is_read_comes_once_as_it_was(world, order):
    """A change is stamped before the page is read, and committed after it: no time tells, but the snapshot does."""
    await world.put(*(patient(f"p{number}", family=f"F{number}", gender="male") for number in range(8)))
    query = replace(parse.parse("Patient", [("_sort", order)]), count=3)
    async with raw(world.url, world.schema) as blocking:
        held = blocking.transaction()
        await held.start()
        await blocking.execute("select from outbox_head for update")
        moved = [patient("p5", family="F0a", gender="female"), patient("p1", family="F6a"), patient("new", family="F9")]
        changing = asyncio.create_task(world.put(*moved))
        waiting = "select count(*) from pg_stat_activity where wait_event_type = 'Lock'"
        async with asyncio.timeout(10):
            while not await blocking.fetchval(waiting):
                await asyncio.sleep(0.01)
        page = await world.store.search(query)
        await held.rollback()
    await changing
    shown, loose = await walk(world, query, page)
    assert not loose
    expected = [(f"p{number}", 1) for number in range(8)]
    assert [one for one in shown if one[0] != "new"] == (sorted(expected, reverse="-family" in order) if order != "-_lastUpdated" else [one for one in shown if one in expected])  # fmt: skip
    assert sorted(one for one in shown if one[0] != "new") == expected
    assert [one[0] for one in shown].count("new") <= 1, "made in that very moment: shown or not, but not twice"


async def test_what_is_told_again_unchanged_has_not_been_changed(world):
    people = [patient(f"p{number}", family=f"F{number}") for number in range(6)]
    await world.put(*people)
    await world.put(patient("p4", family="F4", gender="male"))
    query = replace(parse.parse("Patient", [("_sort", "family")]), count=2)
    page = await world.store.search(query)
    await world.put(*people[:4], patient("p4", family="F4", gender="male"), people[5])
    shown, _ = await walk(world, query, page)
    assert shown == [("p0", 1), ("p1", 1), ("p2", 1), ("p3", 1), ("p4", 2), ("p5", 1)]


@pytest.mark.parametrize("condition", ["subject:Patient.family", "_has:Observation:has-member:status", "_content"])
async def test_what_has_been_changed_is_judged_by_what_it_said_then(world, condition):
    await world.put(patient("p1"), patient("p2", family="Hansen"))
    note = {"note": [{"text": "jensen"}]}
    await world.put(
        *({**observation(f"o{n}", n, subject="p1" if n % 2 else "p2"), **(note if n % 2 else {})} for n in range(10))
    )
    members = [{"reference": f"Observation/o{n}"} for n in range(1, 10, 2)]
    await world.put({**observation("group", 99), "hasMember": members, "status": "amended"})
    value = "amended" if "_has" in condition else "jensen"
    query = replace(
        parse.parse("Observation", [(condition, value), ("_sort", "value-quantity"), ("status", "final")]), count=2
    )
    page = await world.store.search(query)
    await world.put(
        observation("o7", -1, subject="p2"), observation("o1", 50, subject="p2"), observation("o2", 8, subject="p1")
    )
    await world.put(observation("o5", 1), deleted=True)
    shown, _ = await walk(world, query, page)
    assert shown == [("o1", 1), ("o3", 1), ("o7", 1), ("o9", 1)]


async def test_when_more_has_been_changed_than_is_followed_the_page_says_so(world, monkeypatch):
    monkeypatch.setattr(search_snapshot, "CHANGED_MAX", 3)
    await world.put(*(patient(f"p{number}", family=f"F{number}") for number in range(9)))
    query = replace(parse.parse("Patient", [("_sort", "family")]), count=3)
    page = await world.store.search(query)
    await world.put(*(patient(f"p{number}", family=f"F{number}", gender="male") for number in range(4, 7)))
    assert await walk(world, query, page) == ([(f"p{number}", 1) for number in range(9)], False)
    await world.put(*(patient(f"p{number}", family=f"F{number}x") for number in range(4, 9)), patient("new"))
    shown, loose = await walk(world, query, page)
    assert loose
    assert [one for one, _ in shown] == [f"p{number}" for number in range(9)], "none was moved past the last page"


async def test_a_total_is_remembered_and_never_stale_whoever_writes(world):
    query = replace(parse.parse("Patient", [("family", "jen")]), count=0, total=True)
    other = world.another()
    await other.start()
    try:
        for number in range(1, 6):
            await world.put(patient(f"p{number}"))
            for store in (world.store, other):
                assert (await store.search(query)).total == number
                assert (await store.search(query)).total == number, "remembered"
        await world.put(patient("p1"), deleted=True)
        assert [(await store.search(query)).total for store in (other, world.store)] == [4, 4]
    finally:
        await other.stop()


async def test_a_unit_that_another_process_has_just_written_is_compared_at_once(world):
    other = world.another()
    await other.start()
    try:
        await world.put(observation("one", 5000, "mg"))
        question = [("value-quantity", f"gt4|{UCUM}|g")]
        assert await world.ids("Observation", *question, store=other) == ["one"]
        await world.put(observation("two", 6, "g"), observation("three", 1, "kg"), observation("four", 9, "L"))
        assert sorted(await world.ids("Observation", *question, store=other)) == ["one", "three", "two"]
        found = await asyncio.gather(
            *(store._indexing.units.learn([("s", f"c{n}", "") for n in range(30)]) for store in (world.store, other))
        )
        assert found == [None, None]
        await other._indexing.units.learn([("s", "after", "")])
        async with other._connections.session() as connection:
            await world.store._indexing.units.look(connection)
        assert world.store._indexing.units.numbers == other._indexing.units.numbers
        assert len(set(other._indexing.units.numbers.values())) == len(other._indexing.units.numbers)
    finally:
        await other.stop()


HOSTILE = [
    "'; drop table resource; --",
    "$1",
    "%",
    "_%",
    "\\",
    "a\0b",
    "\ud800",
    "{0}",
    "/* conditions */",
    '"',
    "é" * 300,
    "\U0010ffff",
]


@pytest.mark.parametrize("text", HOSTILE)
async def test_values_are_arguments_whatever_they_hold(world, text):
    await world.put(patient("plain"), patient("same", family=text.replace("\0", "").replace("\ud800", "") or "x"))
    for how in How:
        query = Query("Patient", (StringTerm("family", (text,), how),), order=(SortBy("family"),))
        page = await world.store.search(replace(query, total=True))
        assert page.total == len(page.versions)
        sql = search_sql.page(query, world.store._searches._scope()).sql
        assert sql.isascii()
        assert "'" not in sql
        assert "drop" not in sql
        await world.store.search(replace(query, after=After(None, 1, (text,))))
    for name in ("identifier", "family:contains", "_id", "general-practitioner", "_profile:below"):
        try:
            query = parse.parse("Patient", [(name, text)])
        except Incorrect:
            continue
        await world.store.search(query)
    assert await world.ids("Patient", ("family", "jensen")) == ["plain"]


async def test_beyond_its_limit_a_search_that_reads_bodies_is_refused_and_below_it_complete(world, monkeypatch):
    """A text of two characters may begin any word."""
    monkeypatch.setattr(search_recheck, "SCAN_MAX", 300)
    told = {"status": "generated", "div": "<div>rare words</div>"}
    await world.put(*(patient(f"p{number:03}", text=told if number == 0 else {}) for number in range(250)))
    assert await world.ids("Patient", ("_text", "ra")) == ["p000"]
    await world.put(*(patient(f"q{number:03}") for number in range(400)))
    with pytest.raises(TooCostly) as refused:
        await world.ids("Patient", ("_text", "ra"))
    assert refused.value.issue == "too-costly"
    assert len(await world.ids("Patient", ("_text", "no"), ("family", "none"))) == 0, "what an index answers narrows"
    assert await world.ids("Patient", ("_text", "ra"), ("_id", "p000")) == ["p000"]
    assert await world.ids("Patient", ("_text", "rare")) == ["p000"], "a longer one is told by tokens"


async def test_what_was_written_last_goes_into_the_token_index_with_a_look_at_the_statistics(database, world):
    await world.put(*(patient(f"p{number}", family=f"F{number}") for number in range(50)))
    assert await world.ids("Patient", ("family", "f1,f2")) != []
    async with raw(database.url, world.schema) as connection:
        assert await connection.fetchval("select gin_clean_pending_list('resource_tokens')") == 0
        world.store._searches._frequencies._look_at = 1e18
        await world.put(patient("last"))
        await world.ids("Patient", ("family", "f1"))
        assert await connection.fetchval("select gin_clean_pending_list('resource_tokens')") > 0


async def test_beyond_its_limit_what_no_index_has_in_order_is_not_sorted(world, monkeypatch):
    monkeypatch.setattr(search, "SORT_MAX", 20)
    sets = [
        {"resourceType": "ValueSet", "id": f"v{n}", "status": "active", "url": f"http://x.example/{n % 7}/{n}"}
        for n in range(30)
    ]
    await world.put(*sets[:20])
    assert await world.ids("ValueSet", ("_sort", "url")) == [
        one["id"] for one in sorted(sets[:20], key=lambda one: one["url"])
    ]
    await world.put(*sets[20:])
    with pytest.raises(TooCostly):
        await world.ids("ValueSet", ("_sort", "url"))
    assert len(await world.ids("ValueSet", ("_sort", "url"), ("url:below", "http://x.example/1"))) == 5


async def test_what_cannot_be_sorted_by_is_refused(world):
    with pytest.raises(Incorrect):
        await world.store.search(Query("Patient", order=(SortBy("_text"),)))


async def test_an_index_made_by_another_table_is_made_again_at_the_next_start_and_goes_on_where_it_stopped(
    world, monkeypatch
):
    monkeypatch.setattr(indexing, "_BATCH", 10)
    await world.put(*(patient(f"p{n:02}", family=f"Name{n:02}") for n in range(35)), observation("o", 3))
    await world.put(patient("p00"), deleted=True)
    async with raw(world.url, world.schema) as connection:
        await connection.execute("update resource set tokens = '{}', own = null, patient = null, present = 0")
        await connection.execute("truncate string_of; truncate measure_of")
        await connection.execute("update search_index set made_by = 'old'")
        assert await world.ids("Patient", ("family", "name07")) == []
        again = world.another()
        # dies in the middle
        batches = 0
        batch = indexing.Indexing._batch

        async def dying(self, *given):
            nonlocal batches
            batches += 1
            if batches == 3:
                raise KeyboardInterrupt
            return await batch(self, *given)

        monkeypatch.setattr(indexing.Indexing, "_batch", dying)
        with pytest.raises(KeyboardInterrupt):
            await again.start()
        upto = await connection.fetchval("select upto from search_index")
        assert upto is not None
        assert await connection.fetchval("select count(*) from string_of") > 10
        monkeypatch.setattr(indexing.Indexing, "_batch", batch)
        assert await world.store.reindex() == 36 - 20
        assert await world.store.reindex() == 0
        assert await connection.fetchval("select upto from search_index") is None
    assert await world.ids("Patient", ("family", "name07")) == ["p07"]
    assert await world.ids("Patient", ("family", "name00")) == []
    assert len(await world.ids("Patient", ("family:contains", "ame1"), ("family:missing", "false"))) == 10


async def test_a_store_of_the_first_layout_is_brought_to_this_one(database):
    """Rows as they were before, without own, present, strings and measures; dates under names."""
    world = World(database.url, f"s_{id(object()):x}")
    files = migrate.files()
    before = files[: next(place for place, (_, name, _) in enumerate(files) if name.endswith("search_index.sql"))]
    async with raw(database.url) as connection:
        await connection.execute(f"create schema {world.schema}")
    try:
        async with raw(database.url, world.schema) as connection:
            await connection.execute(
                "create table schema_version (number integer primary key, file text not null, applied timestamptz not null default now())"
            )
            for number, name, sql in before:
                await connection.execute(sql)
                await connection.execute("insert into schema_version (number, file) values ($1, $2)", number, name)
            kind = await connection.fetchval("select code from resource_type where name = 'Patient'")
            body = bodies.stamped(
                bodies.prepare(patient("old", deceasedDateTime="2020-01-01")), 1, stores.NOON.isoformat()
            )
            await connection.execute(
                "insert into resource (rid, updated, event, received, line, message, version, type, deleted, id, lane, digest, tokens, body)"
                " values (1, $1, $1, $1, 0, 1, 1, $2, false, 'old', '', '', '{}', $3)", stores.NOON, kind, body,
            )  # fmt: skip
            await connection.execute("insert into date_of values (1, $1, $1, $2, 'death-date')", stores.NOON, kind)
        await world.store.start()
        try:
            for question in (
                ("family", "jen"),
                ("death-date", "2020"),
                ("family:missing", "false"),
                ("name:contains", "nse"),
            ):
                assert await world.ids("Patient", question) == ["old"], question
            await world.put(observation("o", 1, subject="old"))
            assert await world.ids("Observation", ("patient.family", "jensen")) == ["o"]
            assert await world.ids("Patient", ("_has:Observation:patient:code", "1-1")) == ["old"]
        finally:
            await world.store.stop()
    finally:
        async with raw(database.url) as connection:
            await connection.execute(f"drop schema {world.schema} cascade")


async def test_a_new_version_takes_its_index_rows_with_it_and_a_deletion_all_of_them(world):
    await world.put(observation("o", 3), patient("p1", family="Before"))
    await world.put(observation("o", 4), patient("p1", family="After"))
    assert await world.ids("Patient", ("family", "before")) == []
    assert await world.ids("Patient", ("family", "after")) == ["p1"]
    assert await world.ids("Observation", ("value-quantity", "3")) == []
    assert await world.ids("Observation", ("value-quantity", "4.0")) == ["o"]
    await world.put(observation("o", 4), patient("p1"), deleted=True)
    async with raw(world.url, world.schema) as connection:
        for table in ("string_of", "measure_of", "date_of"):
            assert await connection.fetchval(f"select count(*) from {table}") == 0, table
        assert await connection.fetchval("select count(*) from resource where own is not null") == 0


async def test_a_search_on_a_writers_connection_sees_what_its_transaction_has_written(world):
    """Conditions of the API are looked at inside the transaction that depends on them."""
    query = replace(parse.parse("Patient", [("family", "jen")]), sort=Sort.NEWEST)
    await world.put(patient("p1"))
    async with world.store._connections.session() as connection, connection.transaction():
        await connection.execute("delete from string_of")
        assert (await world.store._searches.on(connection, query)).versions == ()
    assert await world.ids("Patient", ("family", "jen")) == []


async def test_two_bounds_are_a_range_of_one_value_and_may_be_met_by_two_values_of_what_repeats(world):
    def of(name, *values):
        parts = [{"code": {"text": "part"}, "valueQuantity": observation("x", value)["valueQuantity"]} for value in values]  # fmt: skip
        return {**observation(name, values[0]), "component": parts}

    await world.put(of("both", 1, 9), of("low", 1), of("middle", 5), of("high", 9, 9))
    for name, found in (("component-value-quantity", {"both", "middle"}), ("value-quantity", {"middle"})):
        for unit, factor in ((f"|{UCUM}|mg", 1), ("", 1), (f"|{UCUM}|ug", 1000)):
            bounds = [(name, f"gt{2 * factor}{unit}"), (name, f"lt{8 * factor}{unit}")]
            assert {*await world.ids("Observation", *bounds)} == found
            assert (await world.store.search(parse.parse("Observation", [*bounds, ("_total", "accurate")]))).total == len(found)  # fmt: skip


async def test_a_patient_is_found_by_a_code_that_stands_beside_the_preferred_one(world):
    loinc, other = {"system": "http://loinc.org", "code": "1-1"}, {"system": "urn:local", "code": "L"}
    both = {**observation("o", 1), "code": {"coding": [other, loinc]}}
    await world.put(patient("p1"), patient("p2"), both, observation("q", 1, subject="p2"))
    asked = {"urn:local|L": ["p1"], "L": ["p1"], "http://loinc.org|1-1": ["p1", "p2"], "urn:other|L": [], "urn:local|1-1": []}  # fmt: skip
    for code, found in asked.items():
        assert sorted(await world.ids("Patient", ("_has:Observation:patient:code", code))) == found
