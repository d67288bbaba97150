"""PostgreSQL killed with -9 while batches are applied and applied again: every message exactly once, nothing half done."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
from collections import Counter

import pytest

from gateway.errors import Fenced, Unavailable
from gateway.formats import json
from gateway.model import Mode
from gateway.store.port import Advance, Batch, MessageState
from gateway.store.postgres.store import PostgresStore
from tests.contracts.stores import (
    PARTITIONS,
    Database,
    batch,
    extract,
    message,
    observation,
    open_store,
    raw,
    running_database,
    write,
)

TOPIC = "raw.hospital"


def hospital_messages(part: int, count: int) -> list:
    """Each message makes an Observation of its own, changes one of its lane's, and merges into one of everybody's."""
    made = []
    for n in range(count):
        lane = f"lane-{part}-{n % 3}"
        own = write(observation(f"own-{part}-{n}", value=n, issued="2026-01-01T00:00:00+00:00"), lane=lane)
        changed = write(observation(f"changed-{lane}", value=n), minute=n, lane=lane)
        merged = write({"resourceType": "Organization", "id": "everybody", f"x{part}": n}, mode=Mode.MERGE, minute=n)
        letter = f"letter-{part}-{n if n % 10 else n + 1}"  # every tenth says what the next one says again
        made.append(message(own, changed, merged, lane=lane, part=part, offset=n, letter=letter))
    return made


async def through_outages(call, *arguments, outages: Counter[str]):
    while True:
        try:
            return await call(*arguments)
        except Fenced:
            raise
        except Unavailable:
            outages["unavailable"] += 1
            await asyncio.sleep(0.03)


async def worker(store: PostgresStore, part: int, messages: list, chance: random.Random, outages: Counter[str]) -> None:
    """A translator: claims, applies from the stored position in batches, starts over from there when it is fenced."""
    while True:
        leases = await through_outages(store.claim, "translate", f"w{part}", [(TOPIC, part)], outages=outages)
        if not leases:
            await asyncio.sleep(0.05)
            continue
        at, epoch = leases[0].next_offset, leases[0].epoch
        with contextlib.suppress(Fenced):
            while at < len(messages):
                upto = min(len(messages), at + chance.randrange(1, 12))
                advance = Advance("translate", TOPIC, part, at, upto, epoch)
                await through_outages(store.apply, Batch(messages[at:upto], (advance,)), outages=outages)
                at = upto
            return


async def writer(store: PostgresStore, number: int, until: asyncio.Task[None], outages: Counter[str]) -> list:
    """A client of the API: applies without a position, repeats what was not confirmed."""
    sent: list = []
    while not until.done():
        n = len(sent)
        each = message(
            write(observation(f"api-{number}", value=n), minute=n, lane=f"api-{number}"), feed="api", part=-1, offset=0
        )
        applied = await through_outages(store.apply, batch(each), outages=outages)
        assert applied.messages[0].state is MessageState.STORED
        sent.append(each)
    return sent


async def killer(database: Database, chance: random.Random, times: int) -> None:
    for _ in range(times):
        await asyncio.sleep(chance.uniform(0.1, 0.5))
        killed = database.postgres.pid
        os.kill(killed, signal.SIGKILL)
        while database.postgres.pid == killed:
            await asyncio.sleep(0.02)


async def check_rows(database: Database, schema: str) -> None:
    """Index rows match bodies; versions and outbox numbers have no gaps; every version is in the outbox once."""
    async with raw(database.url, schema) as connection:
        rows = await connection.fetch("select * from resource")
        dates = Counter((row["rid"], row["low"]) for row in await connection.fetch("select rid, low from date_of"))
        old = await connection.fetch("select type, id, version, body from version order by type, id, version")
        published = await connection.fetch("select part, seq, type, id, version from outbox order by part, seq")
        heads = {row["part"]: row["seq"] for row in await connection.fetch("select part, seq from outbox_head")}
    expected_dates: Counter[tuple] = Counter()
    versions: set[tuple] = set()
    for row in rows:
        content = json.loads(row["body"])
        index = extract(content)
        assert content["meta"]["versionId"] == str(row["version"])
        assert (row["patient"], row["code"], row["low"], row["tokens"]) == (
            index.patient, index.code, index.date_low, index.tokens,
        )  # fmt: skip
        expected_dates.update((row["rid"], low) for _, low, _ in index.dates)
        versions |= {(row["type"], row["id"], n + 1) for n in range(row["version"])}
    assert dates == expected_dates
    current = {(row["type"], row["id"], row["version"]) for row in rows}
    assert current | {(row["type"], row["id"], row["version"]) for row in old} == versions
    assert len(current) + len(old) == len(versions)
    assert all(json.loads(row["body"])["meta"]["versionId"] == str(row["version"]) for row in old)
    assert Counter((row["type"], row["id"], row["version"]) for row in published) == Counter(versions)
    for part in range(PARTITIONS):
        numbers = [row["seq"] for row in published if row["part"] == part]
        assert numbers == list(range(1, heads.get(part, 0) + 1))


@pytest.mark.parametrize("seed", [1, 2])
async def test_every_message_exactly_once_through_kills_of_the_database(tmp_path, seed):
    chance, outages = random.Random(seed), Counter()
    feeds = [hospital_messages(part, 300) for part in range(3)]
    with running_database(tmp_path) as database:
        async with (
            open_store(database.url, keep=True) as store,
            open_store(database.url, schema=store._schema) as other,
        ):
            killing = asyncio.create_task(killer(database, chance, 4))
            *_, one, two = await asyncio.gather(
                *(worker((store, other)[part % 2], part, feeds[part], chance, outages) for part in range(3)),
                *(writer((store, other)[number], number, killing, outages) for number in range(2)),
            )
            await killing
            assert outages["unavailable"] > 0
            await check_rows(database, store._schema)
            counts = {count.feed: count for count in await store.counts()}
            assert counts["api"].stored == len(one) + len(two)
            assert (counts["hospital"].stored, counts["hospital"].duplicate) == (3 * 270, 3 * 30)
            for sent in (*one, *two, *(each for feed in feeds for each in feed)):
                found = await store.message(sent.receipt)
                assert found is not None
            for number, sent in enumerate((one, two)):
                assert (await store.history("Observation", f"api-{number}", count=1)).total == len(sent)
            assert await store.positions("translate") == {(TOPIC, part): 300 for part in range(3)}
            everybody = await store.read("Organization", "everybody")
            assert everybody is not None
            content = json.loads(everybody.body)
            assert [content[f"x{part}"] for part in range(3)] == [299] * 3
