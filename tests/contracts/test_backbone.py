"""The conformance suite of the backbone port: one set of laws, run on the embedded log and on real Kafka."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from typing import Any

import pytest

from gateway import errors
from gateway.backbone.gather import record_bytes
from gateway.backbone.port import TopicSpec, partition_of
from gateway.model import Delivered, Position, Record
from tests.contracts.backbones import House, kafka_house, postgres_house

TOPIC = "raw.hospital"
PARTITIONS = 4
ALL = {(TOPIC, partition): 0 for partition in range(PARTITIONS)}


@pytest.fixture(params=["postgres", pytest.param("kafka", marks=pytest.mark.kafka)])
async def house(request: pytest.FixtureRequest) -> AsyncIterator[House]:
    if request.param == "kafka":
        async with kafka_house(request.getfixturevalue("kafka_broker")) as house:
            yield house
    else:
        async with postgres_house(request.getfixturevalue("postgres_url")) as house:
            yield house


@pytest.fixture
async def backbone(house: House) -> Any:
    client = await house.client()
    await client.ensure([TopicSpec(TOPIC, PARTITIONS)])
    return client


def record(key: str, value: bytes | str = b"", topic: str = TOPIC) -> Record:
    return Record(topic, key.encode(), value.encode() if isinstance(value, str) else value, (), 1_700_000_000_000)


async def everything(backbone: Any, wants: dict[tuple[str, int], int] | None = None, **limits: Any) -> list[Delivered]:
    """Read to the end, checking on the way that every partition goes on exactly where it was left."""
    at = dict(wants or ALL)
    found: list[Delivered] = []
    while True:
        got = await backbone.fetch(at, wait_seconds=0.0, **limits)
        if not got:
            return found
        for one in got:
            place = (one.position.topic, one.position.partition)
            assert one.position.offset == at[place], "a gap, or a record twice"
            at[place] += 1
        found += got


# --- append -----------------------------------------------------------------------------------------------------------


async def test_offsets_of_every_partition_count_from_zero_without_gaps(backbone: Any) -> None:
    positions = []
    for batch in range(5):
        positions += await backbone.append([record(f"lane-{n % 13}", f"{batch}.{n}") for n in range(40)])
    by_partition: dict[int, list[int]] = defaultdict(list)
    for position in positions:
        by_partition[position.partition].append(position.offset)
    assert len(by_partition) == PARTITIONS
    for offsets in by_partition.values():
        assert offsets == list(range(len(offsets)))
    assert len(await everything(backbone)) == 200


async def test_positions_come_back_in_the_order_given_and_are_where_the_records_are(backbone: Any) -> None:
    records = [record(f"lane-{n % 7}", f"v{n}") for n in range(50)]
    positions = await backbone.append(records)
    stored = {one.position: one.record for one in await everything(backbone)}
    assert [stored[position].value for position in positions] == [one.value for one in records]
    assert all(
        position.partition == partition_of(one.key, PARTITIONS)
        for position, one in zip(positions, records, strict=True)
    )


async def test_the_order_per_key_is_the_order_of_the_calls_under_concurrent_appenders_of_two_processes(
    house: House,
) -> None:
    clients = [await house.client(), await house.client()]
    for client in clients:
        await client.ensure([TopicSpec(TOPIC, PARTITIONS)])

    async def appender(number: int) -> None:
        client = clients[number % 2]
        calls = []
        for n in range(0, 60, 3):
            calls.append(
                asyncio.ensure_future(client.append([record(f"lane-{number}", f"{m:04}") for m in range(n, n + 3)]))
            )
            await asyncio.sleep(0)  # the next call begins while this one is under way
        await asyncio.gather(*calls)

    await asyncio.gather(*(appender(number) for number in range(16)))
    values: dict[bytes, list[bytes]] = defaultdict(list)
    for one in await everything(clients[0]):
        values[one.record.key].append(one.record.value)
    assert len(values) == 16
    for seen in values.values():
        assert seen == [f"{n:04}".encode() for n in range(60)]


async def test_keys_values_headers_and_timestamps_come_back_byte_for_byte(backbone: Any) -> None:
    records = [
        Record(TOPIC, b"lane", b"", (), 1),
        Record(TOPIC, b"lane", bytes(range(256)), (("ce_id", b"1"), ("ce_id", b"2"), ("æøå", b"")), 1_795_000_000_123),
        Record(TOPIC, b"\x00\xff", b"\x00", (("content-type", b"application/fhir+json"),), 4_102_444_800_000),
        Record(TOPIC, b"", b"no key", (("x", bytes(1000)),), 1_700_000_000_000),
        Record(TOPIC, b"lane", bytes(1 << 20), (), 1_700_000_000_001),
        Record(TOPIC, b"lane", b"after a large one", (), 1_700_000_000_002),
    ]
    positions = await backbone.append(records)
    stored = {one.position: one.record for one in await everything(backbone)}
    assert [stored[position] for position in positions] == records


async def test_a_record_without_a_timestamp_gets_the_present_one(backbone: Any) -> None:
    before = int(time.time() * 1000) - 1
    (position,) = await backbone.append([Record(TOPIC, b"lane", b"v")])
    found = await backbone.read(position)
    assert found is not None
    assert before <= found.record.timestamp_ms <= int(time.time() * 1000) + 1


async def test_appending_nothing_is_nothing(backbone: Any) -> None:
    assert await backbone.append([]) == []


async def test_a_record_over_the_limit_is_refused_and_harms_no_other(house: House) -> None:
    from dataclasses import replace

    from gateway.backbone import kafka, postgres

    limits = replace((kafka if house.kind == "kafka" else postgres).LIMITS, record_bytes_max=1 << 20)
    client = await house.client(limits=limits)
    await client.ensure([TopicSpec(TOPIC, PARTITIONS)])
    fitting = record("lane", bytes((1 << 20) - record_bytes(record("lane"))))
    over = record("lane", fitting.value + b"x")
    outcomes = await asyncio.gather(
        client.append([record("lane", "a")]), client.append([over]), client.append([fitting]), return_exceptions=True
    )
    assert isinstance(outcomes[1], errors.TooLarge)
    assert [one.record.value[:1] for one in await everything(client)] == [b"a", b"\x00"]


async def test_after_stop_nothing_is_taken_and_stop_can_be_called_again(house: House) -> None:
    client = await house.client()
    await client.ensure([TopicSpec(TOPIC, PARTITIONS)])
    accepted = asyncio.ensure_future(client.append([record("lane", "accepted")]))
    await asyncio.sleep(0)
    await client.stop()
    await client.stop()
    assert len(await accepted) == 1, "what was accepted before the stop is finished"
    for refused in (client.append([record("lane", "late")]), client.fetch(ALL), client.ready(), client.bounds([TOPIC])):
        with pytest.raises(errors.Unavailable):
            await refused
    again = await house.client()
    assert [one.record.value for one in await everything(again)] == [b"accepted"]


async def test_a_caller_that_gives_up_disturbs_nobody(backbone: Any) -> None:
    calls = [asyncio.ensure_future(backbone.append([record("lane", f"{n}")])) for n in range(50)]
    await asyncio.sleep(0)
    for call in calls[::2]:
        call.cancel()
    kept = await asyncio.gather(*calls[1::2])
    assert [position.offset for (position,) in kept] == sorted(position.offset for (position,) in kept)
    stored = {one.position: one.record.value for one in await everything(backbone)}
    assert [stored[position] for (position,) in kept] == [f"{n}".encode() for n in range(1, 50, 2)]


# --- topics -----------------------------------------------------------------------------------------------------------


async def test_ensure_can_be_repeated_by_several_processes_and_refuses_another_number_of_partitions(
    house: House,
) -> None:
    clients = [await house.client() for _ in range(3)]
    topics = [TopicSpec("fhir.Observation", 3), TopicSpec("fhir.Patient", 2, retention_hours=24)]
    await asyncio.gather(*(client.ensure(topics) for client in clients))
    await clients[0].append([record("lane", "v", "fhir.Patient")])
    await clients[1].ensure(topics)
    assert (await clients[2].bounds(["fhir.Patient", "fhir.Observation"])).keys() == {
        ("fhir.Patient", 0),
        ("fhir.Patient", 1),
        ("fhir.Observation", 0),
        ("fhir.Observation", 1),
        ("fhir.Observation", 2),
    }
    with pytest.raises(errors.Misconfigured, match="Patient exists with 2 partitions, not 3"):
        await clients[0].ensure([TopicSpec("fhir.Patient", 3)])
    assert sum(following for _, following in (await clients[2].bounds(["fhir.Patient"])).values()) == 1


@pytest.mark.parametrize("name", ["", "..", "a b", "hospital/ø", "x" * 201])
async def test_a_name_that_either_backbone_could_not_keep_is_refused(backbone: Any, name: str) -> None:
    with pytest.raises(errors.Misconfigured):
        await backbone.ensure([TopicSpec(name, 1)])


async def test_a_topic_or_partition_that_does_not_exist_is_a_mistake_in_the_house_and_is_not_created(
    backbone: Any,
) -> None:
    for mistaken in (
        backbone.append([record("lane", "v", "no.such.topic")]),
        backbone.fetch({("no.such.topic", 0): 0}),
        backbone.fetch({(TOPIC, PARTITIONS): 0}),
        backbone.read(Position("no.such.topic", 0, 0)),
        backbone.bounds(["no.such.topic"]),
        backbone.trim("no.such.topic", {0: 1}),
        backbone.trim(TOPIC, {PARTITIONS: 1}),
    ):
        with pytest.raises(errors.Misconfigured):
            await mistaken
    with pytest.raises(errors.Misconfigured):
        await backbone.bounds(["no.such.topic"])


async def test_a_topic_that_another_process_has_made_since_is_found(house: House) -> None:
    first, second = await house.client(), await house.client()
    await second.ensure([TopicSpec("raw.home", 2)])
    (position,) = await first.append([record("lane", "v", "raw.home")])
    assert (await second.read(position)).record.value == b"v"


# --- fetch ------------------------------------------------------------------------------------------------------------


async def test_reading_begins_in_the_middle_of_a_batch(backbone: Any) -> None:
    positions = await backbone.append([record("lane", f"{n}") for n in range(100)])
    partition = positions[0].partition
    for start in (0, 1, 37, 98, 99):
        found = await everything(backbone, {(TOPIC, partition): start})
        assert [one.record.value for one in found] == [f"{n}".encode() for n in range(start, 100)]


async def test_both_limits_hold_and_what_was_left_comes_next(backbone: Any) -> None:
    await backbone.append([record(f"lane-{n % 11}", bytes(2000)) for n in range(300)])
    by_records = await backbone.fetch(ALL, records_max=10, wait_seconds=0.0)
    assert 0 < len(by_records) <= 10
    by_bytes = await backbone.fetch(ALL, bytes_max=20_000, wait_seconds=0.0)
    assert 0 < sum(record_bytes(one.record) for one in by_bytes) <= 20_000
    one = await backbone.fetch(ALL, bytes_max=1, wait_seconds=0.0)
    assert len(one) == 1, "a record larger than the limit still comes, alone"
    assert len(await everything(backbone, records_max=7)) == 300
    assert len(await everything(backbone, bytes_max=9000)) == 300


async def test_a_busy_partition_does_not_starve_the_others(backbone: Any) -> None:
    lanes = {partition_of(f"lane-{n}".encode(), PARTITIONS): f"lane-{n}" for n in range(100)}
    await backbone.append([record(lanes[0], bytes(500)) for _ in range(2000)])
    await backbone.append([record(lanes[partition], "rare") for partition in (1, 2, 3)])
    at, seen = dict(ALL), set[int]()
    for _ in range(6):
        for one in await backbone.fetch(at, records_max=200, wait_seconds=0.5):
            at[TOPIC, one.position.partition] = one.position.offset + 1
            seen.add(one.position.partition)
    assert seen == {0, 1, 2, 3}


async def test_an_empty_fetch_returns_after_its_wait_and_not_before(backbone: Any) -> None:
    await backbone.append([record("lane", "v")])
    at = {place: following for place, (_, following) in (await backbone.bounds([TOPIC])).items()}
    await backbone.fetch(at, wait_seconds=0.0)  # connections are made
    started = time.perf_counter()
    assert await backbone.fetch(at, wait_seconds=0.4) == []
    assert 0.39 <= time.perf_counter() - started < 1.0
    assert await backbone.fetch({}, wait_seconds=0.0) == []


async def test_an_append_of_another_process_wakes_a_waiting_reader_within_200_ms(house: House) -> None:
    writer, reader = await house.client(), await house.client()
    await writer.ensure([TopicSpec(TOPIC, PARTITIONS)])
    at, taken = dict(ALL), []
    await reader.fetch(at, wait_seconds=0.3)
    for n in range(8):
        waiting = asyncio.ensure_future(reader.fetch(at, wait_seconds=5.0))
        await asyncio.sleep(0.05)
        await writer.append([record(f"lane-{n}", f"{n}")])
        appended = time.perf_counter()
        (found,) = await waiting
        taken.append(time.perf_counter() - appended)
        at[TOPIC, found.position.partition] = found.position.offset + 1
    assert max(taken) < 0.2, taken


async def test_what_is_there_comes_at_once_even_without_a_wait(house: House) -> None:
    writer, reader = await house.client(), await house.client()
    await writer.ensure([TopicSpec(TOPIC, PARTITIONS)])
    for n in range(10):
        (position,) = await writer.append([record("lane", f"{n}")])
        (found,) = await reader.fetch({(TOPIC, position.partition): position.offset}, wait_seconds=0.0)
        assert found.position == position


async def test_callers_with_different_partitions_read_at_once_without_disturbing_each_other(backbone: Any) -> None:
    await backbone.ensure([TopicSpec("fhir.Patient", 2)])
    records = [record(f"lane-{n % 23}", f"{n}") for n in range(400)]
    await backbone.append(records + [record(f"lane-{n}", f"p{n}", "fhir.Patient") for n in range(50)])
    found = await asyncio.gather(
        everything(backbone, {(TOPIC, 0): 0, (TOPIC, 1): 0}, records_max=20),
        everything(backbone, {(TOPIC, 2): 0, (TOPIC, 3): 0}, records_max=30),
        everything(backbone, dict(ALL), records_max=40),
        everything(backbone, dict(ALL), records_max=50),
        everything(backbone, {("fhir.Patient", 0): 0, ("fhir.Patient", 1): 0, (TOPIC, 3): 0}),
    )
    assert len(found[0]) + len(found[1]) == len(found[2]) == len(found[3]) == 400
    assert sum(one.record.topic == "fhir.Patient" for one in found[4]) == 50


async def test_an_offset_that_is_not_there_yet_waits_for_its_record(backbone: Any) -> None:
    await backbone.append([record("lane", f"{n}") for n in range(3)])
    place = (TOPIC, partition_of(b"lane", PARTITIONS))
    assert await backbone.fetch({place: 5}, wait_seconds=0.3) == []
    await backbone.append([record("lane", f"{n}") for n in range(3, 7)])
    assert [one.record.value for one in await backbone.fetch({place: 5}, wait_seconds=2.0)] == [b"5", b"6"]


# --- read, bounds, trim -----------------------------------------------------------------------------------------------


async def test_one_record_is_read_where_it_stands_and_none_where_there_is_none(backbone: Any) -> None:
    positions = await backbone.append([record("lane", f"{n}") for n in range(600)])
    for n in (0, 1, 299, 500, 599):
        found = await backbone.read(positions[n])
        assert found == Delivered(positions[n], record("lane", f"{n}"))
    assert await backbone.read(Position(TOPIC, positions[0].partition, 600)) is None
    assert await backbone.read(Position(TOPIC, (positions[0].partition + 1) % PARTITIONS, 0)) is None


async def test_trim_forgets_what_is_below_and_keeps_the_offsets_of_the_rest(backbone: Any) -> None:
    positions = await backbone.append([record("lane", f"{n}") for n in range(100)])
    partition = positions[0].partition
    assert (await backbone.bounds([TOPIC]))[TOPIC, partition] == (0, 100)
    await backbone.trim(TOPIC, {partition: 40})
    assert (await backbone.bounds([TOPIC]))[TOPIC, partition] == (40, 100)
    found = await backbone.fetch({(TOPIC, partition): 0}, wait_seconds=1.0)
    assert [one.position.offset for one in found] == list(range(40, 100))
    assert found[0].record.value == b"40"
    assert await backbone.read(positions[39]) is None
    assert (await backbone.read(positions[40])).record.value == b"40"
    await backbone.trim(TOPIC, {partition: 20})
    assert (await backbone.bounds([TOPIC]))[TOPIC, partition] == (40, 100), "trim never brings anything back"
    await backbone.trim(TOPIC, {partition: 1000})
    assert (await backbone.bounds([TOPIC]))[TOPIC, partition] == (100, 100), "nor forgets what is not written yet"
    (position,) = await backbone.append([record("lane", "next")])
    assert position.offset == 100
    assert [one.position.offset for one in await backbone.fetch({(TOPIC, partition): 0}, wait_seconds=1.0)] == [100]


async def test_a_backbone_that_was_started_is_ready(backbone: Any) -> None:
    await backbone.ready()
