"""What the Kafka backbone promises beside the conformance suite: settings, strangers' records, dead producers, fences."""

from __future__ import annotations

import asyncio
import dataclasses
import secrets
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import InvalidProducerEpoch, ProducerFenced
from hypothesis import given
from hypothesis import strategies as st

from gateway import errors
from gateway.backbone import kafka
from gateway.backbone.kafka import KafkaBackbone
from gateway.backbone.port import TopicSpec, partition_of
from gateway.model import Record
from tests.contracts.backbones import House, kafka_house
from tests.contracts.test_backbone import ALL, PARTITIONS, TOPIC, everything
from tests.kafka.broker import Broker

# org.apache.kafka.common.utils.UtilsTest#testMurmur2
JAVA_MURMUR2 = {
    b"21": -973932308,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
}


@pytest.fixture
async def house(kafka_broker: str) -> AsyncIterator[House]:
    async with kafka_house(kafka_broker) as house:
        yield house


@pytest.fixture
async def admin(kafka_broker: str) -> AsyncIterator[Any]:
    client = AIOKafkaAdminClient(bootstrap_servers=kafka_broker)
    await client.start()
    yield client
    await client.close()


def record(key: str, value: str) -> Record:
    return Record(TOPIC, key.encode(), value.encode(), (), 1)


@pytest.mark.parametrize(("key", "murmur2"), JAVA_MURMUR2.items())
def test_the_partition_of_a_key_is_javas(key: bytes, murmur2: int) -> None:
    for partitions in (1, 3, 24, 48):
        assert partition_of(key, partitions) == (murmur2 & 0x7FFFFFFF) % partitions


@given(st.binary(max_size=64), st.integers(1, 200))
def test_the_partition_of_a_key_is_that_of_the_clients_default_partitioner(key: bytes, partitions: int) -> None:
    from aiokafka.partitioner import DefaultPartitioner

    everyone = list(range(partitions))
    assert partition_of(key, partitions) == DefaultPartitioner()(key, everyone, everyone)


async def test_a_strangers_records_stand_beside_ours_on_the_same_partitions(house: House, kafka_broker: str) -> None:
    client = await house.client()
    await client.ensure([TopicSpec(TOPIC, PARTITIONS)])
    async with AIOKafkaProducer(bootstrap_servers=kafka_broker) as stranger:
        for n in range(20):
            await stranger.send_and_wait(client._prefix + TOPIC, b"theirs", key=f"lane-{n}".encode())
        await stranger.send_and_wait(client._prefix + TOPIC, b"no key", key=None, partition=0)
        await stranger.send_and_wait(client._prefix + TOPIC, None, key=b"no value", partition=0)
    ours = await client.append([record(f"lane-{n}", "ours") for n in range(20)])
    found = await everything(client)
    theirs = {one.record.key: one.position.partition for one in found if one.record.value == b"theirs"}
    assert theirs == {f"lane-{n}".encode(): position.partition for n, position in enumerate(ours)}
    assert {(one.record.key, one.record.value) for one in found} >= {(b"", b"no key"), (b"no value", b"")}


async def test_ours_are_what_any_client_expects(house: House, kafka_broker: str) -> None:
    client = await house.client()
    await client.ensure([TopicSpec(TOPIC, PARTITIONS)])
    given = Record(
        TOPIC, b"lane", b'{"resourceType":"Patient"}', (("ce_id", b"1"), ("ce_type", b"x")), 1_795_000_000_123
    )
    (position,) = await client.append([given])
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka_broker, auto_offset_reset="earliest")
    await consumer.start()
    consumer.assign([TopicPartition(client._prefix + TOPIC, position.partition)])
    seen = await asyncio.wait_for(consumer.getone(), 10)
    await consumer.stop()
    assert (seen.key, seen.value, tuple(seen.headers), seen.timestamp) == (
        given.key,
        given.value,
        given.headers,
        given.timestamp_ms,
    )


async def test_topics_are_created_with_every_setting_that_matters(house: House, admin: Any) -> None:
    client = await house.client()
    await client.ensure([TopicSpec("raw.home", 2, retention_hours=48), TopicSpec("fhir.Patient", 2)])
    for topic, retention in (("raw.home", 48 * 3_600_000), ("fhir.Patient", -1)):
        resource = ConfigResource(ConfigResourceType.TOPIC, client._prefix + topic)
        (answer,) = await admin.describe_configs([resource])
        settings = {name: value for name, value, *_ in answer.resources[0][4]}
        wanted = {
            "cleanup.policy": "delete",
            "retention.ms": str(retention),
            "retention.bytes": "-1",
            "min.insync.replicas": "1",
            "unclean.leader.election.enable": "false",
            "compression.type": "producer",
            "message.timestamp.type": "CreateTime",
        }
        assert {name: settings[name] for name in wanted} == wanted
        assert int(settings["max.message.bytes"]) > kafka.LIMITS.record_bytes_max


@pytest.mark.parametrize("setting", [{"max.message.bytes": "1000000"}, {"min.insync.replicas": "1"}])
async def test_a_topic_that_keeps_less_than_was_promised_is_refused(
    kafka_broker: str, admin: Any, setting: dict[str, str]
) -> None:
    topic = f"t{secrets.token_hex(4)}"
    wide = {"max.message.bytes": str(kafka.LIMITS.record_bytes_max * 2), "min.insync.replicas": "2"}
    await admin.create_topics([NewTopic(topic, 1, 1, topic_configs={**wide, **setting})])
    client = KafkaBackbone(kafka_broker, replication_factor=3, min_insync_replicas=2)
    await client.start()
    try:
        with pytest.raises(errors.Misconfigured, match=next(iter(setting))):
            await client.ensure([TopicSpec(topic, 1)])
    finally:
        await client.stop()


async def test_more_replicas_than_brokers_is_a_misconfiguration_that_says_so(kafka_broker: str) -> None:
    client = KafkaBackbone(kafka_broker, replication_factor=7, topic_prefix=f"t{secrets.token_hex(4)}.")
    await client.start()
    try:
        with pytest.raises(errors.Misconfigured, match=r"(?i)replication factor"):
            await client.ensure([TopicSpec(TOPIC, 1)])
    finally:
        await client.stop()


async def test_no_broker_is_unavailable() -> None:
    client = KafkaBackbone("127.0.0.1:1")
    with pytest.raises(errors.Unavailable):
        await client.start()
    await client.stop()


async def test_what_the_broker_finds_too_large_is_told_so_and_the_next_record_goes(house: House, admin: Any) -> None:
    """An operator made the topic's limit smaller after the gateway had started."""
    client = await house.client()
    await client.ensure([TopicSpec(TOPIC, PARTITIONS)])
    resource = ConfigResource(ConfigResourceType.TOPIC, client._prefix + TOPIC, {"max.message.bytes": "2000"})
    await admin.alter_configs([resource])
    await client.append([record("lane", "before")])

    async def until_refused() -> None:
        for _ in range(50):  # the broker takes a moment to take the new limit up
            await client.append([record("lane", secrets.token_hex(5000))])
            await asyncio.sleep(0.1)

    with pytest.raises(errors.TooLarge):
        await until_refused()
    await client.append([record("lane", "after")])
    values = [one.record.value for one in await everything(client)]
    assert (values[0], values[-1]) == (b"before", b"after")


async def test_a_producer_that_has_lost_its_sequence_is_replaced_and_nothing_is_lost_or_doubled(house: House) -> None:
    """aiokafka issue 1017: after OutOfOrderSequenceNumber an idempotent producer never recovers by itself."""
    client = await house.client()
    await client.ensure([TopicSpec(TOPIC, PARTITIONS)])
    await client.append([record("lane", "1")])
    dead = client._producer._current
    partition = TopicPartition(client._prefix + TOPIC, partition_of(b"lane", PARTITIONS))
    dead._txn_manager.increment_sequence_number(partition, 7)  # what a lost batch does
    with pytest.raises(errors.Unavailable):
        await client.append([record("lane", "never")])
    await client.append([record("lane", "2")])
    await client.append([record("other", "3")])
    assert client._producer._current is not dead
    assert sorted(one.record.value for one in await everything(client)) == [b"1", b"2", b"3"]


async def test_a_replaced_producer_is_fenced_it_cannot_write_behind_its_successor(house: House) -> None:
    client = await house.client()
    await client.ensure([TopicSpec(TOPIC, PARTITIONS)])
    await client.append([record("lane", "1")])
    old = client._producer._current
    client._producer._current = None  # replaced, while a request of the old one is still somewhere on the way
    manager = old._txn_manager
    client._producer._identity = (manager.producer_id, manager.producer_epoch + 1)
    await client.append([record("lane", "2")])
    batch = old.create_batch()
    batch.append(key=b"lane", value=b"zombie", timestamp=1)
    partition = partition_of(b"lane", PARTITIONS)
    with pytest.raises((InvalidProducerEpoch, ProducerFenced)):
        await asyncio.wait_for(await old.send_batch(batch, client._prefix + TOPIC, partition=partition), 10)
    await old.stop()
    assert [one.record.value for one in await everything(client)] == [b"1", b"2"]


async def test_a_broker_that_stands_still_is_unavailable_within_the_deadline_and_comes_back(
    kafka_process: Broker, house: House
) -> None:
    client = await house.client(limits=dataclasses.replace(kafka.LIMITS, append_seconds_max=1.0))
    await client.ensure([TopicSpec(TOPIC, PARTITIONS)])
    await client.append([record("lane", "1")])
    kafka_process.pause()
    try:
        first = asyncio.ensure_future(client.append([record("lane", "2")]))
        await asyncio.sleep(0.5)
        behind = asyncio.ensure_future(client.append([record("lane", "3")]))
        for call in (first, behind):
            with pytest.raises(errors.Unavailable):
                await asyncio.wait_for(call, 2.0)
    finally:
        kafka_process.resume()
    async with asyncio.timeout(30):
        while True:
            try:
                await client.append([record("lane", "4")])
                break
            except errors.Unavailable:
                continue
    values = [one.record.value for one in await everything(client, ALL)]
    assert values[0] == b"1"
    assert values[-1] == b"4"
    assert b"3" not in values, "what waited behind an unconfirmed record is never written"
    assert values in ([b"1", b"2", b"4"], [b"1", b"4"])
