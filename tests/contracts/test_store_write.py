"""What `write` promises: edits of the API, all or none, in any company, and beside feeds."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt

import asyncpg
import pytest

from gateway.backbone.postgres import PostgresBackbone
from gateway.clock import FrozenClock, SystemClock
from gateway.formats import json
from gateway.model import Mode, Position, Record
from gateway.observe.events import silent
from gateway.publish.publisher import Publisher
from gateway.search import parse
from gateway.store.port import Edit, Moved
from gateway.store.postgres.landing import FEW
from tests.contracts.store_edits import ALL_PARTS, content, deletion, edit, patient
from tests.contracts.stores import NOON, batch, message, observation, open_store, partition, raw, write


async def test_an_edit_makes_a_version_with_its_search_rows_and_its_outbox_row(store):
    (done,) = await store.write([edit(observation("a"), lane="l1")])
    assert (done.new, done.created) == (True, True)
    found = await store.read("Observation", "a")
    assert found == done.version
    assert (found.version, found.lane, found.message, found.deleted) == (1, "l1", "", False)
    page = await store.search(parse.parse("Observation", [("patient", "p1"), ("code", "8867-4")]))
    assert [version.id for version in page.versions] == ["a"]
    (row,) = await store.outbox(ALL_PARTS, limit=10)
    assert (row.type, row.id, row.version, row.lane, row.body) == ("Observation", "a", 1, "l1", found.body)
    assert (row.message, row.feed, row.traceparent, row.reply_to) == ("", "", "", "")


async def test_what_the_api_wrote_can_be_read_in_every_way_without_a_message(store):
    await store.write([edit(observation("a", value=1))])
    await store.write([edit(observation("a", value=2))])
    first, second = await store.vread("Observation", "a", 1), await store.vread("Observation", "a", 2)
    assert [json.loads(v.body)["valueQuantity"]["value"] for v in (first, second)] == [1, 2]
    page = await store.history("Observation", "a", count=5)
    assert [(v.version, v.message) for v in page.versions] == [(2, ""), (1, "")]
    assert await store.made("Observation", "a") == []
    assert await store.read_many([("Observation", "a"), ("Observation", "no")]) == [second]
    assert [row.version for row in await store.outbox(ALL_PARTS, limit=10)] == [1, 2]
    assert [row async for row in store.journal()] == []


async def test_the_same_content_again_makes_no_version_and_answers_the_stored_bytes(store):
    (first,) = await store.write([edit(observation("a"))])
    (again,) = await store.write([edit(observation("a"))])
    assert (again.new, again.created) == (False, False)
    assert again.version == first.version
    assert (await store.history("Observation", "a", count=9)).total == 1
    assert len(await store.outbox(ALL_PARTS, limit=9)) == 1


async def test_a_deletion_is_a_version_and_what_is_not_there_needs_none(store):
    await store.write([edit(observation("a"))])
    (gone,) = await store.write([deletion("a")])
    assert (gone.new, gone.version.version, gone.version.deleted, gone.version.body) == (True, 2, True, b"")
    (again,) = await store.write([deletion("a")])
    assert (again.new, again.version.version, again.version.deleted) == (False, 2, True)
    (never,) = await store.write([deletion("never")])
    assert (never.new, never.version.version) == (False, 0)
    assert await store.read("Observation", "never") is None
    page = await store.search(parse.parse("Observation", [("code", "8867-4")]))
    assert page.versions == ()
    (back,) = await store.write([edit(observation("a"), expect=2)])
    assert (back.new, back.created, back.version.version) == (True, True, 3)


@pytest.mark.parametrize(("expect", "passes"), [(None, True), (2, True), (1, False), (3, False), (0, False)])
async def test_an_expected_version_decides(store, expect, passes):
    await store.write([edit(observation("a", value=1))])
    await store.write([edit(observation("a", value=2))])
    if passes:
        (done,) = await store.write([edit(observation("a", value=3), expect=expect)])
        assert done.version.version == 3
    else:
        with pytest.raises(Moved) as moved:
            await store.write([edit(observation("a", value=3), expect=expect)])
        assert moved.value.at == "Observation/a"
        assert (await content(store, "a"))["valueQuantity"]["value"] == 2


async def test_edits_are_all_written_or_none(store):
    await store.write([edit(observation("a"))])
    with pytest.raises(Moved):
        await store.write([edit(observation("b")), edit(observation("a", value=9), expect=7), edit(observation("c"))])
    assert await store.read_many([("Observation", name) for name in "bc"]) == []
    assert (await content(store, "a"))["valueQuantity"]["value"] == 1


async def test_one_that_moved_does_not_fail_its_company(store):
    await store.write([edit(observation("a"))])
    calls = [store.write([edit(observation(f"n{number}"))]) for number in range(20)]
    calls.insert(7, store.write([edit(observation("a", value=2), expect=5)]))
    calls.insert(9, store.write([edit(observation("a", value=3), expect=0)]))
    calls.insert(11, store.write([edit(observation("a", value=4), expect=1)]))
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert [place for place, each in enumerate(answers) if isinstance(each, BaseException)] == [7, 9]
    assert all(isinstance(answers[place], Moved) for place in (7, 9))
    assert (await content(store, "a"))["valueQuantity"]["value"] == 4


async def test_what_somebody_touched_after_it_was_looked_at_is_planned_again(database, store):
    """A feed notes a later event of the same content: no new version, and the API's own must not fall behind it."""
    await store.write([edit(observation("a"))])
    later = dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)
    other = await asyncpg.connect(database.url, server_settings={"search_path": store._schema})
    try:
        async with other.transaction():
            await other.execute("select from resource where id = 'a' for update")
            writing = asyncio.create_task(store.write([edit(observation("a", value=2))]))
            await _waits_for_a_lock(other)
            await other.execute("update resource set event = $1 where id = 'a'", later)
        (done,) = await writing
        assert (done.version.version, done.new) == (2, True)
        assert await other.fetchval("select event from resource where id = 'a'") == later
    finally:
        await other.close()


async def _waits_for_a_lock(connection: asyncpg.Connection) -> None:
    for _ in range(300):
        if await connection.fetchval("select exists (select from pg_locks where not granted)"):
            return
        await asyncio.sleep(0.05)
    raise AssertionError("nobody waits for a lock")


async def test_of_many_who_replace_the_same_resource_in_two_processes_each_makes_a_version(database, store):
    async with open_store(database.url, schema=store._schema) as other:
        await store.write([edit(observation("a"))])
        calls = [
            (store, other)[number % 2].write([edit(observation("a", value=number)), edit(observation(f"n{number}"))])
            for number in range(100, 124)
        ]
        answers = await asyncio.gather(*calls)
        assert sorted(first.version.version for first, _ in answers) == list(range(2, 26))
        history = await store.history("Observation", "a", count=99)
        assert [version.version for version in history.versions] == list(range(25, 0, -1))
        last = max(answers, key=lambda answer: answer[0].version.version)[0].version
        assert history.versions[0].body == last.body
    page = await store.search(parse.parse("Observation", [("value-quantity", "ge100")]))
    assert [version.id for version in page.versions] == ["a"]  # found by the last of its contents, once


async def test_one_that_the_database_refuses_does_not_fail_its_company(store):
    broken = edit(observation("bad"))
    broken.index.tokens.append(1 << 70)
    calls = [store.write([edit(observation(f"n{number}"))]) for number in range(6)]
    calls.insert(3, store.write([broken]))
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert [isinstance(each, BaseException) for each in answers] == [False] * 3 + [True] + [False] * 3
    assert len(await store.read_many([("Observation", f"n{number}") for number in range(6)])) == 6


async def test_what_the_api_wrote_is_published_as_of_the_api(database, store):
    backbone = PostgresBackbone(database.url)
    await backbone.start()
    stop = asyncio.Event()
    publisher = Publisher(
        owner="t", partitions=4, backbone=backbone, store=store, tell=silent, clock=SystemClock(), retention_hours=0
    )
    running = asyncio.create_task(publisher.run(stop))
    try:
        (first,) = await store.write([edit({"resourceType": "Basic", "id": "b", "code": {"text": "x"}}, lane="l")])
        await store.write([Edit("Basic", "b", b"")])
        part = partition("l")
        records = [await _appended(backbone, Position("fhir.Basic", part, offset)) for offset in range(2)]
    finally:
        stop.set()
        await running
        await backbone.stop()
    headers = [dict(record.headers) for record in records]
    assert [each["ce_source"] for each in headers] == [b"/fhir", b"/fhir"]
    assert [each["ce_id"] for each in headers] == [b"Basic/b/1", b"Basic/b/2"]
    assert [each["ce_type"].decode().split(".")[-2] for each in headers] == ["upserted", "deleted"]
    assert [record.value for record in records] == [first.version.body, b""]
    assert [record.key for record in records] == [b"l", b"l"]


async def _appended(backbone: PostgresBackbone, position: Position) -> Record:
    for _ in range(300):
        with contextlib.suppress(Exception):
            if delivered := await backbone.read(position):
                return delivered.record
        await asyncio.sleep(0.05)
    raise AssertionError("not published")


async def test_a_feed_states_on_top_of_what_the_api_wrote_and_an_older_statement_does_not(database):
    clock = FrozenClock(NOON + dt.timedelta(hours=1))
    async with open_store(database.url, clock=clock) as store:
        await store.apply(batch(message(write(observation("a", note=[{"text": "feed"}]), mode=Mode.MERGE))))
        await store.write([edit(observation("a", value=5))])
        assert "note" not in await content(store, "a")
        older = {"resourceType": "Observation", "id": "a", "status": "amended"}
        late = await store.apply(batch(message(write(older, mode=Mode.MERGE, minute=59))))
        assert late.messages[0].late == 1
        whole = await store.apply(batch(message(write(observation("a", value=6), minute=59))))
        assert whole.messages[0].late == 1
        assert (await content(store, "a"))["status"] == "final"
        newer = {"resourceType": "Observation", "id": "a", "status": "corrected"}
        await store.apply(batch(message(write(newer, mode=Mode.MERGE, minute=61))))
        found = await content(store, "a")
    assert (found["status"], found["valueQuantity"]["value"]) == ("corrected", 5)


async def test_what_the_api_states_again_is_not_overwritten_by_an_event_in_between(database):
    clock = FrozenClock(NOON)
    async with open_store(database.url, clock=clock) as store:
        await store.write([edit(observation("a", value=7))])
        clock.advance(dt.timedelta(minutes=30))
        (again,) = await store.write([edit(observation("a", value=7))])
        assert not again.new
        await store.apply(batch(message(write(observation("a", value=8), minute=20))))
        assert (await content(store, "a"))["valueQuantity"]["value"] == 7


async def test_the_api_replaces_what_a_sender_with_a_fast_clock_wrote(database):
    async with open_store(database.url, clock=FrozenClock(NOON)) as store:
        await store.apply(batch(message(write(observation("a", value=1), minute=600))))
        await store.write([edit(observation("a", value=2))])
        assert (await content(store, "a"))["valueQuantity"]["value"] == 2
        await store.apply(batch(message(write(observation("a", value=3), minute=500))))
        assert (await content(store, "a"))["valueQuantity"]["value"] == 2


async def test_a_merge_state_is_gone_after_the_api_wrote(database, store):
    await store.apply(batch(message(write(observation("a"), mode=Mode.MERGE))))
    await store.write([edit(observation("a"))])  # the same content: no version, and still stated anew
    async with raw(database.url, store._schema) as connection:
        assert await connection.fetchval("select state from resource where id = 'a'") is None


async def test_changes_show_every_version_of_every_type_newest_first_page_by_page(database):
    clock = FrozenClock(NOON)
    async with open_store(database.url, clock=clock) as store:
        for number in range(6):
            await store.write(
                [edit(observation("a", value=number)), edit(patient(f"p{number}")), edit(observation(f"o{number}"))]
            )
            clock.advance(dt.timedelta(seconds=1))
        await store.write([deletion("o3")])
        whole = await store.changes((), count=100)
        assert (len(whole.versions), whole.more) == (19, False)
        assert [v.last_updated for v in whole.versions] == sorted(
            (v.last_updated for v in whole.versions), reverse=True
        )
        assert (whole.versions[0].id, whole.versions[0].deleted) == ("o3", True)
        paged, before = [], None
        while True:
            page = await store.changes((), count=4, before=before)
            paged += page.versions
            if not page.more:
                break
            last = page.versions[-1]
            before = (last.last_updated, last.type, last.id, last.version)
        assert paged == list(whole.versions)
        only = await store.changes(("Patient",), count=100)
        assert {v.type for v in only.versions} == {"Patient"}
        assert len(only.versions) == 6
        since = await store.changes(("Observation",), count=100, since=NOON + dt.timedelta(seconds=5))
        assert [v.id for v in since.versions] == ["o3", "o5", "a"]
        assert (await store.changes(("Nothing",), count=5)).versions == ()


@pytest.mark.parametrize("count", [3, FEW + 1])
async def test_a_partition_whose_head_is_not_there_after_all_is_given_one_and_nothing_is_lost(store, count):
    """What a process takes for a head may have been made in a transaction that came to nothing."""
    store._transactor.landing.heads.update(range(len(ALL_PARTS)))
    await store.write([edit(observation(f"o{n}"), expect=0, lane=f"l{n}") for n in range(count)])
    rows = await store.outbox(ALL_PARTS, limit=10 * count)
    assert {row.id for row in rows} == {f"o{n}" for n in range(count)}
    for part in ALL_PARTS:
        mine = [row.seq for row in rows if row.partition == part]
        assert mine == list(range(1, len(mine) + 1))
