"""The book of the order of application: what it says is what happened, and applying it again gives the same store."""

from __future__ import annotations

import asyncio
import itertools
import re
from typing import Any

import hypothesis
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import Fenced
from gateway.model import Mode, Position
from gateway.store.order import Entry, Opening, Run, packed, runs_of, unpacked
from gateway.store.port import Advance, Batch, Lease, MessageState, MessageWrite, Write
from gateway.store.postgres import migrate
from gateway.store.postgres.store import PostgresStore
from tests.contracts.stores import batch, message, observation, open_store, raw, write

PARTS = 4
WANTED = [("raw.f", part) for part in range(PARTS)]
WAITS = """
    select exists (select from pg_stat_activity
                    where query like '%select enter_order(%' and $1 = any (pg_blocking_pids(pid)))
"""
ROW_WAITED_FOR = """
    select exists (select from pg_stat_activity
                    where query like '%from resource where%for update%' and cardinality(pg_blocking_pids(pid)) > 0)
"""
_examples = itertools.count(1)


async def claimed(store: PostgresStore, owner: str, parts: list[int]) -> dict[int, Lease]:
    wanted = [("raw.f", part) for part in parts]
    return {lease.partition: lease for lease in await store.claim("translate", owner, wanted, limit=len(wanted))}


def advanced(messages: list[MessageWrite], leases: dict[int, Lease]) -> Batch:
    ends: dict[int, list[int]] = {}
    for one in messages:
        ends.setdefault(one.source.partition, []).append(one.source.offset)
    return Batch(
        messages,
        tuple(
            Advance("translate", "raw.f", part, offsets[0], offsets[-1] + 1, leases[part].epoch)
            for part, offsets in ends.items()
        ),
    )


async def history(store: PostgresStore, url: str) -> dict[str, Any]:
    """Return every version and the state of every resource, times of reception aside, and what messages became."""
    async with raw(url, store._schema) as connection:
        versions = await connection.fetch("""
            select v.type, v.id, v.version, v.deleted, v.lane, regexp_replace(convert_from(v.body, 'utf8'), '"lastUpdated":"[^"]+"', ''),
                   m.receipt
              from (select type, id, version, deleted, lane, body, message from resource
                    union all select type, id, version, deleted, lane, body, message from version) v
              join message m on m.seq = v.message order by 1, 2, 3""")
        states = await connection.fetch(
            "select type, id, event, received, line, state::text, tokens from resource order by 1, 2"
        )
        messages = await connection.fetch("""
            select m.receipt, m.state, m.first, m.made, f.receipt as of from message m
              left join message f on f.seq = m.duplicate_of order by 1""")
    return {
        "versions": [tuple(row) for row in versions],
        "states": [tuple(row) for row in states],
        "messages": [tuple(row) for row in messages],
    }


_MADE = re.compile(
    r"^(?:create (?:unique |unlogged )?(table|index|function) (\w+)|alter table (\w+) add column (\w+))", re.MULTILINE
)
"""What a migration makes."""

one_write = st.fixed_dictionaries(
    {
        "name": st.sampled_from("ab"),
        "mode": st.sampled_from([Mode.PUT, Mode.MERGE, Mode.MERGE, Mode.ENSURE]),
        "element": st.sampled_from(["issued", "note", "method"]),
        "value": st.integers(1, 3),
        "minute": st.integers(0, 3),
        "deleted": st.sampled_from([False] * 5 + [True]),
    }
)
one_message = st.fixed_dictionaries(
    {
        "part": st.integers(0, PARTS - 1),
        "letter": st.integers(0, 12),
        "envelope": st.one_of(st.none(), st.integers(0, 3)),
        "writes": st.lists(one_write, min_size=1, max_size=3),
    }
)
two_workers = st.tuples(*[st.lists(st.lists(one_message, min_size=1, max_size=4), min_size=1, max_size=5)] * 2)


def built(spec: dict[str, Any], worker: int, offsets: list[int], mark: str) -> MessageWrite:
    """Partitions 0 and 1 are the first worker's, 2 and 3 the second's; what is written has the same names in all."""
    part = worker * 2 + spec["part"] % 2
    offsets[part] += 1
    writes = []
    for change in spec["writes"]:
        extra = {change["element"]: {"text": str(change["value"])}}
        if change["element"] == "issued":
            extra = {"issued": f"2026-03-29T12:00:0{change['value']}Z"}
        resource = observation(f"{change['name']}{mark}", value=change["value"], **extra)
        deleted = change["deleted"] and change["mode"] is Mode.PUT
        writes.append(write(resource, mode=change["mode"], minute=change["minute"], lane=f"l{part}", deleted=deleted))
    return message(
        *writes,
        feed="f",
        part=part,
        offset=offsets[part] - 1,
        letter=f"{mark}-{spec['letter']}",
        envelope=None if spec["envelope"] is None else f"{mark}-{spec['envelope']}",
        lane=f"l{part}",
    )


@settings(max_examples=20, deadline=None, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture])
@given(work=two_workers, size=st.integers(1, 7))
async def test_what_two_workers_did_at_the_same_time_comes_out_again_when_their_book_is_applied(database, work, size):
    """In other batches, too: only the order of messages matters, not where a transaction ended."""
    mark = f"m{next(_examples)}"
    offsets = [0] * PARTS
    batches = [[[built(spec, n, offsets, mark) for spec in one] for one in specs] for n, specs in enumerate(work)]
    async with open_store(database.url) as store, open_store(database.url, schema=store._schema) as other:
        await store.order.begin(None)
        stores = (store, other)
        leases = [await claimed(each, f"w{n}", [2 * n, 2 * n + 1]) for n, each in enumerate(stores)]

        async def applied(n: int) -> None:
            for one in batches[n]:
                await stores[n].apply(advanced(one, leases[n]))

        await asyncio.gather(applied(0), applied(1))
        opening, *entries = await store.order.entries(limit=100)
        assert [entry.number for entry in entries] == list(range(1, sum(map(len, work)) + 1))
        assert (opening.number, Opening.unpacked(opening.entry)) == (0, Opening(opening.book))
        expected = await history(store, database.url)

        by_place = {(one.source.partition, one.source.offset): one for each in batches for made in each for one in made}
        ordered = [
            by_place[run.partition, offset]
            for entry in entries
            for run in unpacked(entry.entry)
            for offset in range(run.first, run.first + run.count)
        ]
        assert len(ordered) == len(by_place)
        async with open_store(database.url) as again:
            everything = await claimed(again, "w", list(range(PARTS)))
            for start in range(0, len(ordered), size):
                await again.apply(advanced(ordered[start : start + size], everything))
            assert await history(again, database.url) == expected


async def meanwhile(store: PostgresStore, url: str, planned: Batch, before: Any) -> Any:
    """Hold `planned` where it has decided everything and is about to be entered; let `before` happen; let it go on."""
    async with raw(url, store._schema) as connection, raw(url) as looking:
        held = connection.transaction()
        await held.start()
        await connection.execute("select from order_book for update")
        task = asyncio.create_task(store.apply(planned))
        while not await looking.fetchval(WAITS, connection.get_server_pid()):
            assert not task.done(), task
            await asyncio.sleep(0.01)
        await before()
        await held.rollback()
        return await task


async def test_what_was_found_to_need_no_change_is_looked_at_again_when_it_has_been_changed_meanwhile(store, database):
    leases = await claimed(store, "w", [0])
    await store.order.begin(None)
    organisation = {"resourceType": "Organization", "id": "o", "name": "One"}
    await store.apply(batch(message(write(organisation, mode=Mode.MERGE, minute=1))))
    mention = message(write(organisation, mode=Mode.ENSURE, minute=9), feed="f", offset=0)

    async def deleted() -> None:
        await store.apply(batch(message(write(organisation, minute=5, deleted=True))))

    applied = await meanwhile(store, database.url, advanced([mention], leases), deleted)
    assert applied.messages[0].versions == (("Organization", "o", 3),), "in the book it comes after the deletion"
    assert [entry.number for entry in await store.order.entries(limit=9)] == [0, 1]


async def test_an_envelope_that_was_used_meanwhile_is_seen(store, database):
    leases = await claimed(store, "w", [0])
    await store.order.begin(None)
    await store.apply(batch(message(write(observation("a")), feed="f", letter="known", envelope="e1")))
    letter = message(write(observation("b")), feed="f", offset=0, letter="new", envelope="e2")

    async def duplicate_in_it() -> None:
        again = await store.apply(batch(message(feed="f", part=1, letter="known", envelope="e2")))
        assert again.messages[0].state is MessageState.DUPLICATE

    applied = await meanwhile(store, database.url, advanced([letter], leases), duplicate_in_it)
    assert applied.messages[0].state is MessageState.REJECTED


async def test_a_letter_that_came_in_a_good_envelope_meanwhile_is_seen_by_the_one_that_is_refused_for_its_own(
    store, database
):
    leases = await claimed(store, "w", [0])
    await store.order.begin(None)
    await store.apply(batch(message(write(observation("a")), feed="f", letter="known", envelope="used")))
    letter = message(write(observation("b")), feed="f", offset=0, letter="new", envelope="used")

    async def sent_well() -> None:
        again = await store.apply(batch(message(write(observation("b")), feed="f", part=1, letter="new")))
        assert again.messages[0].state is MessageState.STORED

    applied = await meanwhile(store, database.url, advanced([letter], leases), sent_well)
    assert applied.messages[0].state is MessageState.DUPLICATE, "in the book it comes after the letter it repeats"


async def test_what_a_mention_met_in_a_transaction_that_came_to_nothing_is_not_remembered(store, database):
    """Of two mentions of one day the greater text holds. The first try has `3` before `2`; in the second `2` meets `1`."""
    leases = await claimed(store, "w", [0])
    await store.order.begin(None)
    organisation = {"resourceType": "Organization", "id": "o", "name": "One"}
    await store.apply(
        batch(
            message(write(organisation, mode=Mode.MERGE)),
            message(write(observation("a")), feed="f", letter="known", envelope="other"),
        )
    )

    def mentioned(alias: str) -> Write:
        return write({**organisation, "alias": [alias]}, mode=Mode.ENSURE)

    planned = [
        message(mentioned("3"), feed="f", offset=0, letter="refused in the end", envelope="used meanwhile"),
        message(mentioned("2"), feed="f", offset=1),
    ]
    waiting: list[asyncio.Task[Any]] = []

    async def another_comes_first() -> None:
        waiting.append(asyncio.create_task(store.apply(batch(message(mentioned("1"))))))
        async with raw(database.url) as looking:
            while not await looking.fetchval(ROW_WAITED_FOR):
                assert not waiting[0].done(), waiting
                await asyncio.sleep(0.01)
        await store.apply(batch(message(feed="f", part=1, letter="known", envelope="used meanwhile")))

    applied = await meanwhile(store, database.url, advanced(planned, leases), another_comes_first)
    await waiting[0]
    assert [one.state for one in applied.messages] == [MessageState.REJECTED, MessageState.STORED]
    assert applied.messages[1].versions == (("Organization", "o", 3),)
    stored = await store.read("Organization", "o")
    assert stored is not None
    assert b'"alias":["2"]' in stored.body


async def test_only_what_moves_a_position_is_entered_and_a_repeated_batch_is_not(store):
    leases = await claimed(store, "w", [0, 1])
    sent = [message(write(observation(f"a{n}")), feed="f", part=n % 2, offset=n // 2) for n in range(4)]
    await store.apply(advanced(sent[:2], leases))
    assert (await store.order.book()).last == 0
    assert await store.order.entries(limit=9) == [], "no book has been begun"
    book = await store.order.begin(("older", 17))
    assert await store.order.begin(None) == book, "the first one stands"
    for _ in range(2):
        await store.apply(advanced(sent[2:], leases))
    await store.apply(batch(message(write(observation("by-hand")))))
    runs = packed([Run("raw.f", 0, 1, 1), Run("raw.f", 1, 1, 1)])
    assert await store.order.entries(limit=9) == [
        Entry(book.name, 0, Opening(book.name, ("older", 17)).packed()),
        Entry(book.name, 1, runs),
    ]
    assert (await store.order.book()).last == 1


async def test_rows_are_forgotten_when_they_are_published_and_only_under_a_lease(store):
    leases = await claimed(store, "w", [0])
    await store.order.begin(None)
    for n in range(3):
        await store.apply(advanced([message(write(observation("a", value=n)), feed="f", offset=n)], leases))
    (zombie,) = await store.claim("publish-order", "p1", [("order", 0)], seconds=0.01)
    await asyncio.sleep(0.05)
    (heir,) = await store.claim("publish-order", "p2", [("order", 0)])
    with pytest.raises(Fenced):
        await store.order.published(2, epoch=zombie.epoch)
    await store.order.published(2, epoch=heir.epoch)
    assert [entry.number for entry in await store.order.entries(limit=9)] == [3]


async def test_a_store_behind_its_own_book_repeats_it(store):
    book = await store.order.begin(None)
    assert await store.order.lost("another") == book
    lost = await store.order.lost(book.name)
    assert (lost.name, lost.follows, lost.last) == ("", book.name, 0)
    assert await store.order.entries(limit=9) == []
    assert (await store.order.follow("another")).follows == book.name
    assert (await store.order.begin((book.name, 3))).name not in {"", book.name}


async def test_a_store_that_kept_no_book_before_begins_one_with_its_migration(store, database):
    leases = await claimed(store, "w", [0])
    await store.apply(advanced([message(write(observation("a")), feed="f", offset=0)], leases))
    (since,) = (number for number, name, _ in migrate.files() if "order" in name)
    later = "".join(sql for number, _, sql in migrate.files() if number >= since)
    async with raw(database.url, store._schema) as connection:
        for kind, name, table, column in _MADE.findall(later):
            drop = f"alter table {table} drop column {column}" if column else f"drop {kind} if exists {name} cascade"
            await connection.execute(drop)
        await connection.execute("delete from schema_version where number >= $1", since)
    async with open_store(database.url, schema=store._schema) as upgraded:
        book = await upgraded.order.book()
        assert book.name.startswith(store._schema)
        (opening,) = await upgraded.order.entries(limit=9)
        assert Opening.unpacked(opening.entry) == Opening(book.name)
        await upgraded.apply(advanced([message(write(observation("b")), feed="f", offset=1)], leases))
        assert (await upgraded.order.book()).last == 1


@given(
    st.lists(
        st.tuples(st.sampled_from(["raw.a", "raw.b"]), st.integers(0, 3), st.integers(0, 2), st.integers(1, 4)),
        max_size=20,
    )
)
def test_an_entry_says_positions_in_their_order(picked):
    ends: dict[tuple[str, int], int] = {}
    positions = []
    for topic, part, gap, count in picked:
        first = ends.get((topic, part), 0) + gap
        positions += [Position(topic, part, offset) for offset in range(first, first + count)]
        ends[topic, part] = first + count
    told = unpacked(packed(runs_of(positions)))
    assert [
        Position(run.topic, run.partition, offset) for run in told for offset in range(run.first, run.first + run.count)
    ] == positions
