"""What `apply` promises about resources: versions, modes, lateness, deletion, one transaction."""

from __future__ import annotations

import asyncio
import datetime as dt
import itertools

import pytest

from gateway.clock import FrozenClock
from gateway.formats import json
from gateway.model import Mode
from gateway.store.port import MessageState
from gateway.store.postgres.store import PostgresStore
from tests.contracts.stores import NOON, batch, message, observation, open_store, raw, write


async def value_of(store: PostgresStore, name: str) -> int:
    version = await store.read("Observation", name)
    assert version is not None
    value: int = json.loads(version.body)["valueQuantity"]["value"]
    return value


async def test_a_new_resource_is_version_1_with_its_stamp_in_the_stored_bytes(database):
    clock = FrozenClock(dt.datetime(2026, 10, 25, 0, 30, 0, 123999, tzinfo=dt.UTC))  # the hour that comes twice
    async with open_store(database.url, clock=clock) as store:
        applied = await store.apply(batch(message(write(observation("a"), lane="ab12"), receipt="first")))
        found = await store.read("Observation", "a")
    assert applied.messages[0].state is MessageState.STORED
    assert applied.messages[0].versions == (("Observation", "a", 1),)
    assert found is not None
    assert (found.version, found.lane, found.message, found.deleted) == (1, "ab12", "first", False)
    assert json.loads(found.body)["meta"] == {"versionId": "1", "lastUpdated": "2026-10-25T00:30:00.123Z"}
    assert found.last_updated == dt.datetime(2026, 10, 25, 0, 30, 0, 123000, tzinfo=dt.UTC)


async def test_the_same_content_again_makes_no_version(store):
    await store.apply(batch(message(write(observation("a")))))
    again = await store.apply(batch(message(write(observation("a"), minute=5))))
    assert again.messages[0].versions == ()
    assert again.messages[0].unchanged == 1
    assert (await store.history("Observation", "a", count=10)).total == 1


async def test_an_older_event_does_not_overwrite_and_is_counted_late(store):
    await store.apply(batch(message(write(observation("a", value=2), minute=10))))
    late = await store.apply(batch(message(write(observation("a", value=1), minute=9))))
    assert (late.messages[0].late, late.messages[0].versions) == (1, ())
    assert await value_of(store, "a") == 2


async def test_content_stated_again_later_is_not_overwritten_by_an_event_in_between(store):
    for minute, value in ((1, 7), (30, 7), (20, 8)):
        await store.apply(batch(message(write(observation("a", value=value), minute=minute))))
    assert await value_of(store, "a") == 7


async def test_of_equal_event_times_the_later_arrival_of_a_lane_wins(store):
    for value in (1, 3, 2):
        await store.apply(batch(message(write(observation("a", value=value)), lane="l", received_at=NOON)))
    assert await value_of(store, "a") == 2


async def test_writes_of_several_lanes_converge_in_whatever_order_they_arrive(store):
    def arrivals(name):
        # two lanes of one feed and a second feed, equal event times, received in the same microsecond
        return [
            message(write(observation(name, value=1)), lane="l1", received_at=NOON),
            message(write(observation(name, value=2)), lane="l2", received_at=NOON),
            message(write(observation(name, value=3)), lane="l1", feed="home", received_at=NOON),
            message(write(observation(name, value=4), minute=-1), lane="l3", received_at=NOON + dt.timedelta(hours=1)),
        ]

    ends = set()
    for number, order in enumerate(itertools.permutations(range(4))):
        made = arrivals(f"o{number}")
        for place in order:
            await store.apply(batch(made[place]))
        ends.add(await value_of(store, f"o{number}"))
    assert len(ends) == 1
    assert ends != {4}


async def test_messages_of_one_batch_make_their_versions_in_message_order(store):
    applied = await store.apply(
        batch(*(message(write(observation("a", value=value), minute=value), lane="l") for value in range(1, 6)))
    )
    assert [m.versions for m in applied.messages] == [(("Observation", "a", n),) for n in range(1, 6)]
    page = await store.history("Observation", "a", count=10)
    assert [v.version for v in page.versions] == [5, 4, 3, 2, 1]
    assert [json.loads(v.body)["valueQuantity"]["value"] for v in page.versions] == [5, 4, 3, 2, 1]
    assert [json.loads(v.body)["meta"]["versionId"] for v in page.versions] == ["5", "4", "3", "2", "1"]


async def test_merged_content_is_indexed_anew_and_keeps_what_others_stated(store):
    first = observation("a", issued="2026-03-29T10:00:00+02:00")
    second = {"resourceType": "Observation", "id": "a", "status": "amended", "note": [{"text": "x"}]}
    await store.apply(batch(message(write(first, mode=Mode.MERGE))))
    await store.apply(batch(message(write(second, mode=Mode.MERGE, minute=1), write(observation("b")))))
    found = await store.read("Observation", "a")
    assert found is not None
    content = json.loads(found.body)
    assert (content["status"], content["note"], content["valueQuantity"]["value"]) == ("amended", [{"text": "x"}], 1)


async def test_a_days_mentions_that_say_nothing_new_write_nothing(database, store):
    """Every message mentions its hospital: were its row rewritten each time, all writers would queue up there."""
    place = {"resourceType": "Organization", "id": "o", "name": "Sygehus"}

    async def row(connection):
        return await connection.fetchrow("select xmin::text, ctid::text from resource where id = 'o'")

    await store.apply(batch(message(write(place, mode=Mode.ENSURE, minute=5))))
    async with raw(database.url, store._schema) as connection, open_store(database.url, schema=store._schema) as other:
        before = await row(connection)
        for minute in (4, 6, 60):
            for each in (store, other):
                again = await each.apply(batch(message(write(place, mode=Mode.ENSURE, minute=minute))))
                assert again.messages[0].unchanged == 1
        assert await row(connection) == before
        await store.apply(batch(message(write(place, mode=Mode.ENSURE, minute=24 * 60))))
        assert await row(connection) != before  # the next day it counts anew, without a version
    assert (await store.history("Organization", "o", count=9)).total == 1


async def test_of_two_mentions_the_one_of_the_later_day_stands_in_any_order(store):
    old, new = {"resourceType": "Location", "name": "Gammel"}, {"resourceType": "Location", "name": "Ny"}
    for name, order in (("a", (old, new)), ("b", (new, old))):
        for place in order:
            minute = 24 * 60 if place is new else 0
            await store.apply(batch(message(write({**place, "id": name}, mode=Mode.ENSURE, minute=minute))))
        found = await store.read("Location", name)
        assert found is not None
        assert json.loads(found.body)["name"] == "Ny"


async def test_what_was_put_and_then_stated_in_part_ends_the_same_in_either_order(store):
    whole = observation("x", value=1, note=[{"text": "a"}])
    part = {"resourceType": "Observation", "id": "x", "status": "amended"}
    ends = set()
    for number, order in enumerate(itertools.permutations([("put", 0), ("merge", 5), ("put", 9), ("merge", 2)])):
        for kind, minute in order:
            base = (
                {**whole, "valueQuantity": {"value": minute}}
                if kind == "put"
                else {**part, "note": [{"text": str(minute)}]}
            )
            mode = Mode.PUT if kind == "put" else Mode.MERGE
            given = write({**base, "id": f"x{number}"}, mode=mode, minute=minute)
            await store.apply(batch(message(given, received_at=NOON)))
        found = await store.read("Observation", f"x{number}")
        assert found is not None
        ends.add(json.dumps({k: v for k, v in json.loads(found.body).items() if k not in {"id", "meta"}}))
    assert len({tuple(sorted(json.loads(end).items(), key=str)).__repr__() for end in ends}) == 1


async def test_notes_of_concurrent_transactions_on_one_row_are_all_kept(store, database):
    """Two feeds state different elements, unchanged in content, at the same moment: neither stamp may be lost."""
    base = {"resourceType": "Organization", "id": "o", "name": "A", "alias": ["B"]}
    await store.apply(batch(message(write(base, mode=Mode.MERGE))))
    async with open_store(database.url, schema=store._schema) as other:
        for round_ in range(1, 11):
            await asyncio.gather(
                *(
                    each.apply(batch(message(write({**only, "id": "o"}, mode=Mode.MERGE, minute=round_), part=part)))
                    for part, (each, only) in enumerate(
                        (
                            (store, {"resourceType": "Organization", "name": "A"}),
                            (other, {"resourceType": "Organization", "alias": ["B"]}),
                        )
                    )
                )
            )
    async with raw(database.url, store._schema) as connection:
        state = json.loads((await connection.fetchval("select state from resource where id = 'o'")).encode())
    assert {state["name"][1][11:16], state["alias"][1][11:16]} == {"12:10"}


async def test_a_deletion_is_a_version_and_a_later_write_brings_the_resource_back(store):
    await store.apply(batch(message(write(observation("a"), lane="l"))))
    await store.apply(batch(message(write(observation("a"), minute=1, deleted=True))))
    gone = await store.read("Observation", "a")
    assert gone is not None
    assert (gone.deleted, gone.version, gone.body, gone.lane) == (True, 2, b"", "l")
    await store.apply(batch(message(write(observation("a", value=9), minute=2))))
    assert await value_of(store, "a") == 9
    assert [v.deleted for v in (await store.history("Observation", "a", count=5)).versions] == [False, True, False]


async def test_a_late_write_does_not_bring_a_deleted_resource_back(store):
    await store.apply(batch(message(write(observation("a"), minute=1, deleted=True))))
    for mode in (Mode.PUT, Mode.MERGE):
        applied = await store.apply(batch(message(write(observation("a"), mode=mode))))
        assert applied.messages[0].late == 1
    gone = await store.read("Observation", "a")
    assert gone is not None
    assert gone.deleted


async def test_last_updated_never_goes_backwards_for_a_resource(database):
    clock = FrozenClock(NOON)
    async with open_store(database.url, clock=clock) as store:
        await store.apply(batch(message(write(observation("a")))))
        clock.advance(dt.timedelta(seconds=-3600))
        await store.apply(batch(message(write(observation("a", value=2), minute=1))))
        versions = (await store.history("Observation", "a", count=5)).versions
    assert versions[0].last_updated == versions[1].last_updated == NOON


async def test_index_rows_follow_the_current_version(database, store):
    await store.apply(batch(message(write(observation("a", issued="2026-01-01T00:00:00+00:00")))))
    await store.apply(
        batch(message(write(observation("a", code="9279-1", issued="2026-02-02T00:00:00+00:00"), minute=1)))
    )
    await store.apply(batch(message(write(observation("b", issued="2026-02-03T00:00:00+00:00")))))
    await store.apply(batch(message(write(observation("b"), minute=1, deleted=True))))
    async with raw(database.url, store._schema) as connection:
        dates = await connection.fetch("select r.id, d.low from date_of d join resource r on r.rid = d.rid")
        rows = {row["id"]: row for row in await connection.fetch("select * from resource")}
    assert [(row["id"], row["low"].month) for row in dates] == [("a", 2)]
    expected = write(observation("a", code="9279-1", issued="2026-02-02T00:00:00+00:00")).index
    assert (rows["a"]["patient"], rows["a"]["code"], rows["a"]["tokens"]) == (
        expected.patient,
        expected.code,
        expected.tokens,
    )
    assert (rows["b"]["patient"], rows["b"]["low"], rows["b"]["tokens"]) == (None, None, [])


async def test_what_one_writer_cannot_store_does_not_fail_its_companions(store):
    bad = write(observation("bad"))
    bad.type = "Nonsense"
    results = await asyncio.gather(
        *(store.apply(batch(message(write(observation(f"n{n}"))))) for n in range(20)),
        store.apply(batch(message(bad, write(observation("beside"))))),
        *(store.apply(batch(message(write(observation(f"m{n}"))))) for n in range(20)),
        return_exceptions=True,
    )
    failed = [result for result in results if isinstance(result, BaseException)]
    assert [type(error) for error in failed] == [KeyError]
    assert await store.read("Observation", "beside") is None
    for name in [f"{letter}{n}" for letter in "nm" for n in range(20)]:
        assert await store.read("Observation", name) is not None


async def test_writers_of_the_same_resource_at_the_same_moment_number_without_gaps(store, database):
    async with open_store(database.url, schema=store._schema) as other:
        await asyncio.gather(
            *(
                (store if n % 2 else other).apply(
                    batch(message(write(observation("a", value=n), minute=0), lane=f"l{n % 7}"))
                )
                for n in range(60)
            )
        )
        page = await store.history("Observation", "a", count=100)
    versions = [version.version for version in page.versions]
    assert versions == list(range(len(versions), 0, -1))
    assert page.total == len(versions)


async def test_new_resources_shared_by_concurrent_batches_are_made_once(store, database):
    place = {"resourceType": "Organization", "id": "shared", "name": "Sygehus"}
    other_place = {"resourceType": "Organization", "id": "also", "name": "Afdeling"}
    async with open_store(database.url, schema=store._schema) as other:
        await asyncio.gather(
            *(
                (store if n % 2 else other).apply(
                    batch(
                        message(
                            *(write(p, mode=Mode.ENSURE) for p in ((place, other_place), (other_place, place))[n % 2]),
                            write(observation(f"o{n}")),
                        )
                    )
                )
                for n in range(40)
            )
        )
    assert [v.version for v in (await store.history("Organization", "shared", count=9)).versions] == [1]
    for n in range(40):
        assert await store.read("Observation", f"o{n}") is not None


@pytest.mark.parametrize("count", [1, 2, 5])
async def test_history_pages_meet_without_overlap(store, count):
    await store.apply(batch(*(message(write(observation("a", value=n), minute=n), lane="l") for n in range(5))))
    seen, before = [], None
    while True:
        page = await store.history("Observation", "a", count=count, before=before)
        seen += [version.version for version in page.versions]
        if not page.more:
            break
        before = seen[-1]
    assert seen == [5, 4, 3, 2, 1]


async def test_what_does_not_exist_reads_as_none(store):
    assert await store.read("Observation", "nothing") is None
    assert await store.read("NoSuchType", "nothing") is None
    assert await store.vread("Observation", "nothing", 1) is None
    assert await store.vread("Observation", "nothing", 10**30) is None
    assert (await store.history("Observation", "nothing", count=5)).versions == ()
    assert await store.message("nothing") is None
    assert await store.made("Observation", "nothing") == []


async def test_reads_at_the_same_moment_each_get_their_own_answer(store):
    await store.apply(batch(*(message(write(observation(f"o{n}", value=n))) for n in range(300))))
    found = await asyncio.gather(*(store.read("Observation", f"o{n}") for n in range(400)))
    for number, version in enumerate(found):
        if number < 300:
            assert version is not None
            assert json.loads(version.body)["valueQuantity"]["value"] == number
        else:
            assert version is None


async def test_a_sender_may_write_what_postgresql_text_cannot_hold(store):
    strange = message(
        write(observation("a")), sender="a\0b\ud800", message_type="\0", letter="\0\ud800", control_id="\0"
    )
    await store.apply(batch(strange))
    found = await store.message(strange.receipt)
    assert found is not None
    assert found.state is MessageState.STORED
