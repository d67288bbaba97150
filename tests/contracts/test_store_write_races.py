"""What `write` promises to those who meet: versions, creations and conditions hold at the commit."""

from __future__ import annotations

import asyncio
import multiprocessing
from typing import Any

import pytest

from gateway.search import parse
from gateway.search.index import extract as real_extract
from gateway.store.port import Condition, Moved
from gateway.store.postgres.store import PostgresStore
from tests.contracts.store_edits import ALL_PARTS, content, deletion, edit, none_has, patient, total
from tests.contracts.stores import merge, observation, open_store, partition


async def test_creations_of_one_id_make_one_resource(database):
    async with open_store(database.url) as store, open_store(database.url, schema=store._schema) as other:
        for number in range(10):
            calls = [
                each.write([edit(observation(f"r{number}", value=v), expect=0)])
                for v in range(4)
                for each in (store, other)
            ]
            answers = await asyncio.gather(*calls, return_exceptions=True)
            assert sum(not isinstance(each, BaseException) for each in answers) == 1
            assert all(isinstance(each, list | Moved) for each in answers)


async def test_a_version_race_has_one_winner_and_bricks_nothing(database):
    async with open_store(database.url) as store, open_store(database.url, schema=store._schema) as other:
        await store.write([edit(observation("a", value=0))])
        for round_ in range(1, 11):
            calls = [
                each.write([edit(observation("a", value=100 * round_ + v), expect=round_)])
                for v in range(4)
                for each in (store, other)
            ]
            answers = await asyncio.gather(*calls, return_exceptions=True)
            assert sum(not isinstance(each, BaseException) for each in answers) == 1, answers
        assert (await store.read("Observation", "a")).version == 11
        page = await store.history("Observation", "a", count=50)
        assert [v.version for v in page.versions] == list(range(11, 0, -1))


async def test_writes_and_deletions_of_one_resource_end_and_leave_every_version(database):
    async with open_store(database.url) as store, open_store(database.url, schema=store._schema) as other:

        async def work(each, number):
            for step in range(15):
                if (step + number) % 3:
                    await each.write([edit(observation("a", value=100 * number + step))])
                else:
                    await each.write([deletion("a")])

        await asyncio.gather(*(work(each, number) for number, each in enumerate((store, other, store, other))))
        page = await store.history("Observation", "a", count=100)
        assert [v.version for v in page.versions] == list(range(page.total, 0, -1))
        rows = await store.outbox(ALL_PARTS, limit=200)
        assert sorted(row.version for row in rows) == list(range(1, page.total + 1))
        (done,) = await store.write([edit(observation("a", value=-1))])
        assert done.version.version == page.total + 1


async def test_transactions_in_opposite_order_end(database):
    async with open_store(database.url) as store, open_store(database.url, schema=store._schema) as other:
        names = [f"x{number}" for number in range(12)]

        async def work(each, order, turn):
            for round_ in range(6):
                await each.write([edit(observation(name, value=10 * round_ + turn)) for name in order])

        await asyncio.gather(
            *(work(each, order, turn) for turn, (each, order) in enumerate(
                [(store, names), (other, names[::-1]), (store, names[::-1]), (other, names)]))
        )  # fmt: skip
        values = {(await content(store, name))["valueQuantity"]["value"] for name in names}
        assert len(values) == 1  # one transaction was the last for all of them


async def test_a_condition_that_holds_lets_the_edits_pass_and_one_that_does_not_stops_them(store):
    await store.write([edit(patient("p1"))], [none_has("1")])
    with pytest.raises(Moved) as moved:
        await store.write([edit(patient("p2"))], [none_has("1")])
    assert moved.value.at == "Patient"
    one = Condition(none_has("1").query, ("p1",))
    await store.write([edit(patient("p1", active=True))], [one])
    with pytest.raises(Moved):
        await store.write([edit(patient("p3", "3"))], [one, Condition(none_has("1").query, ("other",))])
    assert await total(store, "1") == 1
    assert await total(store, "3") == 0


async def test_equal_conditions_in_another_order_of_their_criteria_wait_for_one_another(store):
    one = parse.parse("Patient", [("identifier", "urn:x|7"), ("active", "true"), ("_count", "5")])
    two = parse.parse("Patient", [("active", "true"), ("identifier", "urn:x|7")])
    assert store._writer._mark(one) == store._writer._mark(two)
    assert store._writer._mark(one) != store._writer._mark(none_has("7").query)


def _create_if_none(url: str, schema: str, number: int, begin: Any, told: Any) -> None:
    async def run() -> None:
        store = PostgresStore(url, outbox_partition=partition, extract=real_extract, merge=merge, schema=schema)
        await store.start()
        begin.wait(20)
        made = moved = 0
        for round_ in range(10):
            calls = [
                store.write(
                    [edit(patient(f"p{round_}-{number}-{turn}", f"n{round_}"), expect=0)], [none_has(f"n{round_}")]
                )
                for turn in range(8)
            ]
            answers = await asyncio.gather(*calls, return_exceptions=True)
            made += sum(isinstance(each, list) for each in answers)
            moved += sum(isinstance(each, Moved) for each in answers)
        await store.stop()
        told.put((made, moved))

    asyncio.run(run())


async def test_of_many_that_create_if_none_exists_in_two_processes_one_does(database, store):
    context = multiprocessing.get_context("spawn")
    begin, told = context.Barrier(2), context.Queue()
    running = [
        context.Process(target=_create_if_none, args=(database.url, store._schema, number, begin, told))
        for number in range(2)
    ]
    for process in running:
        process.start()
    sums = [await asyncio.to_thread(told.get, True, 60) for _ in running]
    for process in running:
        await asyncio.to_thread(process.join, 20)
    assert (sum(made for made, _ in sums), sum(moved for _, moved in sums)) == (10, 150)
    assert [await total(store, f"n{round_}") for round_ in range(10)] == [1] * 10


async def test_a_full_house_of_waiting_conditions_lets_others_write(store):
    conditional = [store.write([edit(patient(f"w{n}", "w"), expect=0)], [none_has("w")]) for n in range(40)]
    plain = [store.write([edit(observation(f"w{n}"))]) for n in range(40)]
    answers = await asyncio.wait_for(asyncio.gather(*conditional, *plain, return_exceptions=True), 30)
    assert sum(isinstance(each, list) for each in answers) == 41
