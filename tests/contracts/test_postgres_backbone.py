"""What the embedded backbone promises beside the conformance suite: retention, wakes, strangers' locks, start-up."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime as dt
import time
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from gateway import errors
from gateway.backbone import postgres
from gateway.backbone.port import TopicSpec, partition_of
from gateway.backbone.postgres import PostgresBackbone
from gateway.model import Record
from tests.contracts.backbones import House, postgres_house
from tests.contracts.test_backbone import ALL, PARTITIONS, TOPIC, everything

HOUR_MS = 3_600_000


@pytest.fixture
async def house(postgres_url: str) -> AsyncIterator[House]:
    async with postgres_house(postgres_url) as house:
        yield house


@pytest.fixture
async def connection(postgres_url: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(postgres_url)
    yield connection
    await connection.close()


async def client_of(house: House, **settings: Any) -> Any:
    client = await house.client(**settings)
    await client.ensure([TopicSpec(TOPIC, PARTITIONS)])
    return client


def record(key: str, value: str, timestamp_ms: int = 1) -> Record:
    return Record(TOPIC, key.encode(), value.encode(), (), timestamp_ms)


async def test_several_processes_may_start_on_an_empty_database_at_once(house: House) -> None:
    clients = await asyncio.gather(*(house.client() for _ in range(6)))
    await asyncio.gather(*(client.ensure([TopicSpec(TOPIC, PARTITIONS)]) for client in clients))
    await asyncio.gather(*(client.append([record(f"lane-{n}", "v")]) for n, client in enumerate(clients)))
    assert len(await everything(clients[0])) == 6


async def test_a_pool_may_be_given_instead_of_an_address(postgres_url: str, house: House) -> None:
    schema = (await house.client())._schema
    client = PostgresBackbone(lambda: asyncpg.create_pool(postgres_url, min_size=0, max_size=6), schema=schema)
    await client.start()
    await client.ensure([TopicSpec(TOPIC, PARTITIONS)])
    await client.append([record("lane", "v")])
    assert len(await everything(client)) == 1
    await client.stop()


@pytest.mark.parametrize("schema", ["", "Backbone", "a b", "x; drop table y", "1st", "a" * 60])
def test_a_schema_must_be_a_plain_identifier(schema: str) -> None:
    with pytest.raises(errors.Misconfigured):
        PostgresBackbone("postgresql://nowhere", schema=schema)


async def test_no_database_is_unavailable(tmp_path: Any) -> None:
    client = PostgresBackbone(f"postgresql://postgres@/postgres?host={tmp_path}")
    with pytest.raises(errors.Unavailable):
        await client.start()
    await client.stop()


async def test_what_is_older_than_its_topics_retention_is_forgotten_and_nothing_else(house: House) -> None:
    client = await house.client()
    await client.ensure([TopicSpec(TOPIC, PARTITIONS, retention_hours=24), TopicSpec("fhir.Patient", 1)])
    now = dt.datetime(2026, 3, 29, 1, 30, tzinfo=dt.UTC)  # in the hour that Copenhagen skips
    now_ms = int(now.timestamp() * 1000)
    for age_hours in (100, 25, 23, 26, 1):  # the fourth came late: nothing before a young record is cut out
        await client.append([record("lane", f"{age_hours} h", now_ms - age_hours * HOUR_MS)])
        await client.append([Record("fhir.Patient", b"lane", b"kept for ever", (), now_ms - age_hours * HOUR_MS)])
    assert await client.expire(now) == 2
    place = (TOPIC, partition_of(b"lane", PARTITIONS))
    assert (await client.bounds([TOPIC]))[place] == (2, 5)
    found = await client.fetch({place: 0}, wait_seconds=0.0)
    assert [one.record.value for one in found] == [b"23 h", b"26 h", b"1 h"]
    assert (await client.bounds(["fhir.Patient"]))["fhir.Patient", 0] == (0, 5)
    assert await client.expire(now + dt.timedelta(hours=48)) == 3
    assert (await client.bounds([TOPIC]))[place] == (5, 5)
    (position,) = await client.append([record("lane", "next", now_ms)])
    assert position.offset == 5
    await client.ensure([TopicSpec(TOPIC, PARTITIONS, retention_hours=0)])
    assert await client.expire(now + dt.timedelta(days=1000)) == 0, "a changed retention counts from now on"


async def test_a_lost_listening_connection_is_replaced_and_readers_are_woken_meanwhile(
    house: House, connection: asyncpg.Connection[Any]
) -> None:
    writer, reader = await client_of(house), await client_of(house)
    await asyncio.wait_for(reader._bell.heard.wait(), 5)
    ended = await connection.fetchval(
        "select count(pg_terminate_backend(pid)) from pg_stat_activity"
        " where application_name = 'sundbro-backbone' and query like 'LISTEN%'"
    )
    assert ended >= 1
    at, taken = dict(ALL), []
    for n in range(12):
        waiting = asyncio.ensure_future(reader.fetch(at, wait_seconds=5.0))
        await asyncio.sleep(0.1)
        await writer.append([record(f"lane-{n}", f"{n}")])
        appended = time.perf_counter()
        (found,) = await waiting
        taken.append(time.perf_counter() - appended)
        at[TOPIC, found.position.partition] = found.position.offset + 1
    assert max(taken) < 0.5, taken
    assert reader._bell.heard.is_set()


async def test_a_reader_finds_what_nobody_announced(house: House, connection: asyncpg.Connection[Any]) -> None:
    writer, reader = await client_of(house), await client_of(house, poll_seconds=0.2)
    await asyncio.wait_for(reader._bell.heard.wait(), 5)
    writer._bell.ring = lambda _: None  # the process died between its commit and its notification
    waiting = asyncio.ensure_future(reader.fetch(ALL, wait_seconds=5.0))
    await asyncio.sleep(0.1)
    await writer.append([record("lane", "v")])
    assert len(await asyncio.wait_for(waiting, 1.0)) == 1


async def test_a_head_that_somebody_holds_delays_its_partition_alone_and_keeps_its_order(
    house: House, connection: asyncpg.Connection[Any]
) -> None:
    limits = dataclasses.replace(postgres.LIMITS, append_seconds_max=0.5)
    client = await client_of(house, limits=limits)
    held = partition_of(b"held", PARTITIONS)
    free = next(f"free-{n}" for n in range(99) if partition_of(f"free-{n}".encode(), PARTITIONS) != held)
    async with connection.transaction():
        await connection.execute(f"select from {client._schema}.head where partition = $1 for update", held)
        first = asyncio.ensure_future(client.append([record("held", "1")]))
        await asyncio.sleep(0.1)
        behind = asyncio.ensure_future(client.append([record("held", "2")]))
        await client.append([record(free, "elsewhere")])
        for call in (first, behind):
            with pytest.raises(errors.Unavailable):
                await call
    await client.append([record("held", "3")])
    found = await client.fetch({(TOPIC, held): 0}, wait_seconds=0.0)
    assert [one.record.value for one in found] == [b"1", b"3"], "1 was under way; 2 was not begun and never is"


async def test_a_server_whose_default_is_not_durable_is_overruled(postgres_url: str, house: House) -> None:
    schema = (await house.client())._schema
    lax = postgres_url + ("&" if "?" in postgres_url else "?") + "options=-csynchronous_commit%3Doff"
    client = PostgresBackbone(lax, schema=schema)
    await client.start()
    await client.ensure([TopicSpec(TOPIC, PARTITIONS)])
    async with client._connections.one() as one, one.transaction():
        assert await one.fetchval("show synchronous_commit") == "off"
        await one.fetch(client._sql.append, [1], [0], [1], [1], [1], [b"x"])
        assert await one.fetchval("show synchronous_commit") == "on"
    await client.stop()


async def test_reading_one_record_out_of_a_long_log_reads_one_batch(
    house: House, connection: asyncpg.Connection[Any]
) -> None:
    client = await client_of(house)
    for n in range(20):
        await client.append([record("lane", f"{n}.{m}") for m in range(1000)])
    batches = await connection.fetchval(f"select count(*) from {client._schema}.batch")
    assert batches == 40
    sql = client._sql.read
    plan = "\n".join(
        row[0]
        for row in await connection.fetch(
            "explain (analyze, buffers) "
            + sql.replace("$1", "1").replace("$2", str(partition_of(b"lane", PARTITIONS))).replace("$3", "10500")
        )
    )
    assert "Index Scan" in plan
    assert "rows=1.00 loops=1" in plan or "rows=1 loops=1" in plan
