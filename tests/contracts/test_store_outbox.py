"""The outbox: numbers without gaps, in commit order, with many writers; and why a sequence would not do."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from gateway.errors import Fenced
from gateway.store.port import OutboxRow
from gateway.store.postgres.store import PostgresStore
from tests.contracts.stores import PARTITIONS, batch, message, observation, open_store, partition, raw, write


class Follower:
    """Reads one partition as a publisher does: from where it stopped, never looking back."""

    def __init__(self, store: PostgresStore, part: int) -> None:
        self.store, self.part = store, part
        self.rows: list[OutboxRow] = []

    async def look(self) -> None:
        after = self.rows[-1].seq if self.rows else 0
        self.rows += await self.store.outbox({self.part: after}, limit=7)


async def test_with_many_writers_a_follower_sees_no_gap_and_each_resource_in_version_order(store, database):
    followers = [Follower(store, part) for part in range(PARTITIONS)]
    done = asyncio.Event()

    async def follow(follower: Follower) -> None:
        while not done.is_set():
            await follower.look()
            await asyncio.sleep(0)

    async def writer(target: PostgresStore, number: int) -> None:
        for turn in range(12):
            lane = f"lane-{(number + turn) % 5}"  # the same lanes from every writer
            own = write(observation(f"w{number}", value=turn), minute=turn, lane=f"own-{number}")
            shared = write(observation(f"s-{lane}", value=number * 100 + turn), lane=lane)
            await target.apply(batch(message(own, shared, lane=f"own-{number}")))

    async with open_store(database.url, schema=store._schema) as other:
        tasks = [asyncio.create_task(follow(follower)) for follower in followers]
        await asyncio.gather(*(writer((store, other)[n % 2], n) for n in range(10)))
        done.set()
        await asyncio.gather(*tasks)
    for follower in followers:
        while len(await store.outbox({follower.part: len(follower.rows)}, limit=1)):
            await follower.look()
        assert [row.seq for row in follower.rows] == list(range(1, len(follower.rows) + 1))
        assert all(partition(row.lane) == follower.part for row in follower.rows)
    seen: dict[str, list[int]] = {}
    for follower in followers:
        for row in follower.rows:
            seen.setdefault(row.id, []).append(row.version)
    async with raw(database.url, store._schema) as connection:
        total = await connection.fetchval("select sum(version) from resource")
    assert sum(map(len, seen.values())) == total
    for versions in seen.values():
        assert versions == list(range(1, len(versions) + 1))


async def test_a_transaction_held_open_holds_back_later_numbers_of_its_partition_only(store, database):
    """The property is real: a slow transaction has its number, and a faster one may not be seen before it."""
    lane = "slow"
    part = partition(lane)
    elsewhere = next(f"l{n}" for n in range(99) if partition(f"l{n}") != part)
    await store.apply(batch(message(write(observation("a"), lane=lane))))
    async with open_store(database.url, schema=store._schema) as other, raw(database.url, store._schema) as connection:
        slow = connection.transaction()
        await slow.start()
        seq = await connection.fetchval("select seq from outbox_head where part = $1 for update", part)
        await connection.execute("insert into outbox values ($1, 1, $2, 1, 1, 'slow')", seq + 1, part)
        await connection.execute("update outbox_head set seq = seq + 1 where part = $1", part)
        fast = asyncio.create_task(store.apply(batch(message(write(observation("b"), lane=lane)))))
        await asyncio.sleep(0.1)
        await other.apply(batch(message(write(observation("c"), lane=elsewhere), part=1)))
        assert not fast.done()
        assert [row.seq for row in await store.outbox({part: 0}, limit=9)] == [1]
        await slow.commit()
        await fast
    rows = await store.outbox({part: 0}, limit=9)
    assert [(row.seq, row.id) for row in rows] == [(1, "a"), (2, "slow"), (3, "b")]


async def test_a_plain_sequence_would_show_a_gap_that_a_follower_steps_over(store, database):
    """The counter-example: the same two transactions, numbered by a sequence instead."""
    async with raw(database.url, store._schema) as one, raw(database.url, store._schema) as two:
        await one.execute("create table plain (seq bigint generated always as identity, id text)")
        slow = one.transaction()
        await slow.start()
        await one.execute("insert into plain (id) values ('slow')")
        await two.execute("insert into plain (id) values ('fast')")
        seen = await two.fetch("select seq, id from plain order by seq")
        await slow.commit()
        missed = await two.fetch("select id from plain where seq > $1", seen[-1]["seq"])
        everything = await two.fetch("select id from plain order by seq")
    assert [row["id"] for row in seen] == ["fast"]
    assert missed == []
    assert [row["id"] for row in everything] == ["slow", "fast"]


async def test_a_row_carries_the_version_it_points_at_even_when_it_is_no_longer_current(store):
    sent = [message(write(observation("a", value=n), minute=n, lane="l"), traceparent=f"t{n}") for n in range(3)]
    for each in sent:
        await store.apply(batch(each))
    await store.apply(batch(message(write(observation("a"), minute=9, deleted=True))))
    rows = await store.outbox({partition("l"): 0}, limit=9)
    assert [(row.version, row.deleted, row.lane) for row in rows] == [
        (1, False, "l"), (2, False, "l"), (3, False, "l"), (4, True, "l"),
    ]  # fmt: skip
    assert [row.body for row in rows] == [
        version.body for version in reversed((await store.history("Observation", "a", count=9)).versions)
    ]
    assert [(row.message, row.traceparent) for row in rows[:3]] == [(m.receipt, m.traceparent) for m in sent]


async def test_what_belongs_to_nobody_goes_out_under_its_own_name(store):
    await store.apply(batch(message(write({"resourceType": "Organization", "id": "o"}), lane="l")))
    rows = await store.outbox({partition("Organization/o"): 0}, limit=9)
    assert [(row.type, row.id, row.lane) for row in rows] == [("Organization", "o", "")]


async def test_published_rows_are_gone_and_the_position_tells_where_to_go_on(store):
    await store.apply(batch(*(message(write(observation(f"a{n}"), lane="l")) for n in range(5))))
    part = partition("l")
    (lease,) = await store.claim("publish", "p1", [("outbox", part)])
    assert lease.next_offset == 0
    await store.published({part: 3}, epochs={part: lease.epoch})
    await store.published({part: 2}, epochs={part: lease.epoch})  # said again, late: nothing goes backwards
    (lease,) = await store.claim("publish", "p1", [("outbox", part)])
    assert [row.seq for row in await store.outbox({part: lease.next_offset}, limit=9)] == [4, 5]
    assert [row.seq for row in await store.outbox({part: 0}, limit=9)] == [4, 5]
    await store.published({part: 5}, epochs={part: lease.epoch})
    await store.apply(batch(message(write(observation("b"), lane="l"))))
    assert [row.seq for row in await store.outbox({part: 0}, limit=9)] == [6]


async def test_a_publisher_that_was_overtaken_is_fenced(store):
    await store.apply(batch(message(write(observation("a"), lane="l"))))
    part = partition("l")
    (zombie,) = await store.claim("publish", "p1", [("outbox", part)], seconds=0.01)
    await asyncio.sleep(0.05)
    (heir,) = await store.claim("publish", "p2", [("outbox", part)])
    with pytest.raises(Fenced):
        await store.published({part: 1}, epochs={part: zombie.epoch})
    assert len(await store.outbox({part: 0}, limit=9)) == 1
    await store.published({part: 1}, epochs={part: heir.epoch})


async def test_waiting_ends_when_something_is_added_here_or_in_another_process(store, database):
    async with open_store(database.url, schema=store._schema) as other:
        await other.apply(batch(message(write(observation("first")))))
        for writer in (store, other):
            waiting = asyncio.create_task(store.wait_outbox(20))
            await asyncio.sleep(0.1)
            with contextlib.suppress(AssertionError):
                assert waiting.done()
                waiting = asyncio.create_task(store.wait_outbox(20))
                await asyncio.sleep(0)
            await writer.apply(batch(message(write(observation(f"x{id(writer)}")))))
            await asyncio.wait_for(waiting, 5)
    await asyncio.wait_for(store.wait_outbox(0.05), 2)
