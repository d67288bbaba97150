"""The log alone is enough: an empty store beside the old one, filled from the log, ends the same byte for byte.

Every version of every resource, of whatever feeds and persons meet in it, in the order in which they were made the first
time; what messages became as well. Only the times of reception by the store differ. So also through kill -9 on either way.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from gateway.store.order import OPENINGS, Opening, topic_of, unpacked
from tests.gateway import Gateway
from tests.journeys.conftest import BACKBONES
from tests.load import Load
from tests.quarrel import Quarrel
from tests.verdict import check_versions, content, versions_of

TIME = re.compile(rb'"lastUpdated":"[^"]+"')
VERSIONS = """
    select t.name || '/' || v.id as name, v.version, v.deleted, v.lane, v.body, m.receipt
      from (select type, id, version, deleted, lane, body, message from resource
            union all select type, id, version, deleted, lane, body, message from version) v
      join resource_type t on t.code = v.type join message m on m.seq = v.message
"""
MESSAGES = """
    select m.receipt, m.feed, m.state, m.first, m.topic, m.part, m.at_offset, m.letter, m.envelope, m.control, m.type, m.sender,
           m.lane, m.mapping, m.provenance, m.made, m.reasons::text, m.reply, f.receipt as first_receipt
      from message m left join message f on f.seq = m.duplicate_of
"""
STATES = """
    select t.name || '/' || r.id as name, r.event, r.received, r.line, r.digest, r.state::text, r.tokens, r.low, r.high
      from resource r join resource_type t on t.code = r.type
"""


def everything(gateway: Gateway) -> dict[str, Any]:
    """Return all that a store holds, the times and numbers of its own work aside."""
    versions = {
        (row["name"], row["version"]): (row["deleted"], row["lane"], TIME.sub(b"", row["body"]), row["receipt"])
        for row in gateway.sql(VERSIONS)
    }
    return {
        "versions": versions,
        "messages": {row["receipt"]: tuple(row) for row in gateway.sql(MESSAGES)},
        "states": {row["name"]: tuple(row) for row in gateway.sql(STATES)},
    }


def assert_same(found: dict[str, Any], expected: dict[str, Any]) -> None:
    for kind, rows in expected.items():
        assert found[kind].keys() == rows.keys(), kind
        differing = [key for key, row in rows.items() if found[kind][key] != row]
        assert not differing, f"{kind}: {len(differing)} of {len(rows)} differ, {differing[:5]}"


def assert_contested(gateway: Gateway) -> int:
    """The load was worth the test: both translators' partitions took turns in resources that several lanes state."""
    lanes: dict[str, set[str]] = defaultdict(set)
    for row in gateway.sql("select lane, unnest(made) as name from message where first"):
        lanes[row["name"]].add(row["lane"])
    contested = {name for name, found in versions_of(gateway).items() if len(lanes[name]) > 1 and len(found) > 3}
    assert {name.partition("/")[0] for name in contested} >= {"Practitioner", "Device", "Organization"}
    return len(contested)


def opened(folder: Path, kafka: str, **given: Any) -> Gateway:
    prefix = f"r{folder.name[-20:]}." if kafka else ""
    return Gateway(folder, kafka=kafka, kafka_prefix=prefix, translators=2, batch_max=20, **given)


def rebuild(gateway: Gateway, schema: str, *, kills: int = 0, **given: Any) -> None:
    """Fill an empty store from the log; `kills` times everything is killed on the way."""
    gateway.change(database_schema=schema, roles="translate,serve", **given)
    gateway.start()
    total = sum(end for end in raw_ends(gateway).values())
    for kill in range(kills):
        while applied(gateway) < total * (kill + 1) // (kills + 1):
            time.sleep(0.01)
        assert applied(gateway) < total, "killed too late to matter"
        gateway.kill_all()
        gateway.start()
    gateway.drained(published=False)


def raw_ends(gateway: Gateway) -> dict[Any, int]:
    async def ask() -> dict[Any, int]:
        async with gateway.backbone() as backbone:
            bounds = await backbone.bounds(["raw.hospital", "raw.municipal", "raw.home"])
            return {key: end for key, (_, end) in bounds.items()}

    return asyncio.run(ask())


def applied(gateway: Gateway) -> int:
    (row,) = gateway.sql("select count(*) as messages from message")
    return int(row["messages"])


async def send(gateway: Gateway, load: Quarrel, kills: int) -> None:
    async with asyncio.timeout(240), asyncio.TaskGroup() as group:
        group.create_task(load.run(gateway))
        for kill in range(kills):
            await load.reached(load.count * (kill + 1) // (kills + 1))
            await asyncio.to_thread(gateway.kill_all)
            await asyncio.to_thread(gateway.start)


@pytest.fixture(params=BACKBONES)
def kafka(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue("kafka_broker")) if request.param == "kafka" else ""


def test_a_store_rebuilt_from_the_log_is_the_same_but_for_times_of_reception(tmp_path: Path, kafka: str) -> None:
    """Through a kill -9 of everything while messages come in, and another one while the store is rebuilt."""
    with opened(tmp_path, kafka) as gateway:
        asyncio.run(send(gateway, Quarrel(8, 400), kills=1))
        gateway.drained()
        assert_contested(gateway)
        check_versions(versions_of(gateway))
        first, sums = everything(gateway), gateway.sums()
        assert all(one["difference"] == 0 for one in sums.values())
        gateway.stop()

        rebuild(gateway, "rebuilt", kills=1)
        assert_same(everything(gateway), first)
        again = gateway.sums()
        for one in (*sums.values(), *again.values()):
            one.pop("lag_seconds")
        assert again == sums


def entered(gateway: Gateway) -> tuple[list[Opening], dict[str, list[Any]]]:
    """Return the books that are on the log, and the entries of each, in the order in which they stand."""
    books = [Opening.unpacked(one.record.value) for one in gateway.records([OPENINGS])]
    return books, {one.book: gateway.records([topic_of(one.book)]) for one in books}


def test_a_store_that_was_rebuilt_goes_on_in_a_book_of_its_own_and_a_third_one_repeats_both(tmp_path: Path) -> None:
    with opened(tmp_path, "", partitions=4) as gateway:
        asyncio.run(Quarrel(21, 150).run(gateway))
        gateway.drained()
        gateway.stop()
        rebuild(gateway, "second")
        gateway.stop()
        gateway.change(roles="receive,translate,publish,serve")
        gateway.start()
        asyncio.run(Quarrel(22, 150).run(gateway))
        gateway.drained()
        second = everything(gateway)
        books, entries = entered(gateway)
        assert [one.book.partition("-")[0] for one in books] == ["sundbro", "second"]
        assert books[0].after is None
        assert books[1].after == (books[0].book, len(entries[books[0].book]))
        gateway.stop()

        rebuild(gateway, "third")
        assert_same(everything(gateway), second)

        named = [
            (run.topic, run.partition, offset)
            for book in books
            for one in entries[book.book]
            for run in unpacked(one.record.value)
            for offset in range(run.first, run.first + run.count)
        ]
        assert len(named) == len(set(named)) == sum(raw_ends(gateway).values())
        for book in books:
            numbers = [dict(one.record.headers)["ce_id"].decode() for one in entries[book.book]]
            assert numbers == [f"{book.book}/{n}" for n in range(1, len(numbers) + 1)]


@pytest.mark.kafka
def test_a_store_restored_from_a_backup_does_again_what_it_did_since(tmp_path: Path, kafka_broker: str) -> None:
    """It has been further than it knows: its book says so, and stands on Kafka. What was published stays true."""
    with opened(tmp_path, kafka_broker, partitions=4) as gateway:
        asyncio.run(Quarrel(51, 100).run(gateway))
        gateway.drained()
        gateway.stop()
        copied(gateway.data / "postgres", tmp_path / "backup")
        gateway.start()
        asyncio.run(Quarrel(52, 150).run(gateway))
        gateway.drained()
        lost = everything(gateway)
        gateway.stop()

        shutil.rmtree(gateway.data / "postgres")
        copied(tmp_path / "backup", gateway.data / "postgres")
        gateway.start()
        gateway.drained()
        assert_same(everything(gateway), lost)
        stored = {f"{one.name}/{one.version}": one.body for found in versions_of(gateway).values() for one in found}
        told = gateway.records({f"fhir.{name.partition('/')[0]}" for name in stored})
        names = [dict(one.record.headers)["ce_id"].decode() for one in told]
        assert set(names) == set(stored)
        assert len(names) > len(stored), "what it did again it told again"
        for name, one in zip(names, told, strict=True):
            assert TIME.sub(b"", one.record.value) == TIME.sub(b"", stored[name]), name
        books, entries = entered(gateway)
        assert books[1].after == (books[0].book, len(entries[books[0].book]))


def copied(folder: Path, to: Path) -> None:
    """Copy a stopped PostgreSQL's files, their owner too."""
    subprocess.run(["cp", "-a", str(folder), str(to)], check=True)


def test_what_the_book_does_not_name_is_applied_all_the_same(tmp_path: Path) -> None:
    """Raw records older than the book, as of a gateway that kept none, and younger ones: each once, content the same."""
    with opened(tmp_path, "", partitions=2) as gateway:
        asyncio.run(Load(31, 200).run(gateway))
        gateway.drained()
        first = {name: content(found[-1].body) for name, found in versions_of(gateway).items()}
        books, entries = entered(gateway)
        told = entries[books[0].book]
        cut = told[len(told) // 3].position.offset

        async def trim() -> None:
            async with gateway.backbone() as backbone:
                await backbone.trim(topic_of(books[0].book), {0: cut})

        asyncio.run(trim())
        gateway.stop()
        rebuild(gateway, "rebuilt")
        check_versions(versions_of(gateway))
        assert {name: content(found[-1].body) for name, found in versions_of(gateway).items()} == first
        assert applied(gateway) == sum(raw_ends(gateway).values())
        assert all(one["difference"] == 0 for one in gateway.sums().values())


def test_raw_records_that_are_not_kept_any_more_are_absent_and_stop_nothing(tmp_path: Path) -> None:
    with opened(tmp_path, "", partitions=2) as gateway:
        asyncio.run(Quarrel(41, 150).run(gateway))
        gateway.drained()
        messages = everything(gateway)["messages"]
        ends = {key: end for key, end in raw_ends(gateway).items() if end}

        async def trim() -> None:
            async with gateway.backbone() as backbone:
                for (topic, partition), end in ends.items():
                    await backbone.trim(topic, {partition: end // 2})

        asyncio.run(trim())
        gateway.stop()
        rebuild(gateway, "rebuilt")
        kept = {receipt for receipt, row in messages.items() if row[6] >= ends[row[4], row[5]] // 2}
        assert everything(gateway)["messages"].keys() == kept
        check_versions(versions_of(gateway))
