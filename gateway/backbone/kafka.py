"""The backbone on Apache Kafka 4 (KRaft), through aiokafka. Passes tests/contracts/test_backbone.py.

Idempotent producer, acks=all, zstd; consumers without groups, positioned by the caller. Kafka transactions and
consumer groups are not used: reading positions and leases live in the store, so that both backbones behave alike.

Appends that come together share batches (`gather`): one batch in flight for each partition keeps the order through
every retry, and aiokafka would not have more than one in flight anyway.
"""

from __future__ import annotations

import asyncio
import dataclasses
import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.helpers import create_ssl_context

from gateway import errors
from gateway.backbone.batches import stamped
from gateway.backbone.gather import Bundle, Gatherer, Limits
from gateway.backbone.kafka_producer import Producer
from gateway.backbone.kafka_reader import Readers
from gateway.backbone.kafka_topics import Topics
from gateway.backbone.port import TopicSpec, partition_of
from gateway.backbone.topics import checked
from gateway.clock import Clock, SystemClock
from gateway.model import Delivered, Position, Record

BATCH_BYTES_MAX = 256 << 10
LIMITS = Limits(writers_max=1024, partitions_max=1, partition_bytes_max=BATCH_BYTES_MAX)
FRAME_BYTES = 64 << 10  # what a batch adds to its records, with room
REQUEST_MS_MAX = 15_000
FETCH_WAIT_MS = 50
FETCH_PARTITION_BYTES = 1 << 20
FETCH_BYTES = 16 << 20
STOP_SECONDS_MAX = 15.0
METADATA_AGE_MS = 60_000


class KafkaBackbone:
    """A `port.Backbone` on a Kafka cluster.

    `bootstrap_servers` is `host:port,host:port`. `topic_prefix` is put before every topic name (an environment, a
    tenant) and taken off again. `security_protocol` is one of PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL; certificate
    settings are paths of PEM files; `sasl_mechanism` is PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512.
    `replication_factor` and `min_insync_replicas` are given to the topics that `ensure` creates; a topic that exists
    with fewer in-sync replicas or smaller messages is refused.
    """

    def __init__(
        self,
        bootstrap_servers: str,
        *,
        topic_prefix: str = "",
        replication_factor: int = 3,
        min_insync_replicas: int = 2,
        security_protocol: str = "PLAINTEXT",
        ssl_ca_file: str = "",
        ssl_certificate_file: str = "",
        ssl_key_file: str = "",
        ssl_key_password: str = "",
        sasl_mechanism: str = "",
        sasl_username: str = "",
        sasl_password: str = "",
        client_id: str = "sundbro",
        limits: Limits = LIMITS,
        clock: Clock | None = None,
    ) -> None:
        if min_insync_replicas > replication_factor:
            raise errors.Misconfigured("more in-sync replicas wanted than there are replicas")
        self._prefix = topic_prefix
        self._replication_factor = replication_factor
        self._min_insync_replicas = min_insync_replicas
        # one write is one partition, whatever the caller's limits say: a batch belongs to a partition
        self._limits = dataclasses.replace(limits, partitions_max=1)
        self._clock = clock or SystemClock()
        self._client: dict[str, Any] = {
            "bootstrap_servers": bootstrap_servers,
            "client_id": client_id,
            "request_timeout_ms": REQUEST_MS_MAX,
            "metadata_max_age_ms": METADATA_AGE_MS,
            "security_protocol": security_protocol,
        }
        if security_protocol.endswith("SSL"):
            self._client["ssl_context"] = create_ssl_context(
                cafile=ssl_ca_file or None,
                certfile=ssl_certificate_file or None,
                keyfile=ssl_key_file or None,
                password=ssl_key_password or None,
            )
        if security_protocol.startswith("SASL"):
            self._client |= {
                "sasl_mechanism": sasl_mechanism,
                "sasl_plain_username": sasl_username,
                "sasl_plain_password": sasl_password,
            }
        self._topics: Topics | None = None
        self._producer: Producer | None = None
        self._readers: Readers | None = None
        self._lookups: Readers | None = None
        self._gatherer: Gatherer | None = None

    async def start(self) -> None:
        """Connect. Raises `errors.Unavailable` when no broker answers."""
        if self._topics is not None:
            return
        topics = Topics(
            AIOKafkaAdminClient(**self._client),
            self._consumer(),
            replication_factor=self._replication_factor,
            min_insync_replicas=self._min_insync_replicas,
            message_bytes_max=self._limits.record_bytes_max + FRAME_BYTES,
        )
        producer = Producer(self._new_producer)
        try:
            await topics.start()
            await producer.start()
        except BaseException:
            await topics.stop()
            await producer.stop()
            raise
        self._topics, self._producer = topics, producer
        self._readers, self._lookups = Readers(self._consumer), Readers(self._consumer)
        self._gatherer = Gatherer(self._write, self._limits)

    async def stop(self) -> None:
        """Finish what was accepted, then disconnect. Safe to call twice."""
        topics, producer, readers, lookups = self._topics, self._producer, self._readers, self._lookups
        if not (topics and producer and readers and lookups and self._gatherer):
            return
        await self._gatherer.stop(STOP_SECONDS_MAX)
        self._topics = self._producer = self._readers = self._lookups = None
        await asyncio.gather(producer.stop(), readers.stop(), lookups.stop(), topics.stop())

    async def ensure(self, topics: Sequence[TopicSpec]) -> None:
        """Create the topics that are missing, with every setting given. See `port.Backbone`.

        The settings of a topic that exists are its operator's: they are checked, never changed.
        """
        wanted = [dataclasses.replace(topic, name=self._prefix + topic.name) for topic in checked(topics)]
        await self._started_topics().ensure(wanted)

    async def append(self, records: Sequence[Record]) -> list[Position]:
        """Write records durably; return their positions in the order given. See `port.Backbone`.

        A record without a timestamp gets the present one.
        """
        if self._gatherer is None:
            raise errors.Unavailable("the backbone is not started")
        topics = self._started_topics()
        counts = {name: await topics.partitions(self._prefix + name) for name in {record.topic for record in records}}
        return await self._gatherer.append(records, [partition_of(one.key, counts[one.topic]) for one in records])

    async def fetch(
        self,
        wants: Mapping[tuple[str, int], int],
        *,
        records_max: int = 500,
        bytes_max: int = 8 << 20,
        wait_seconds: float = 1.0,
    ) -> list[Delivered]:
        """Read on from the offsets wanted; wait up to `wait_seconds` when there is nothing. See `port.Backbone`."""
        return await self._fetch(self._readers, wants, records_max, bytes_max, wait_seconds)

    async def read(self, position: Position) -> Delivered | None:
        """Return the one record at `position`, or None when it is not there. See `port.Backbone`."""
        partition = await self._partition(position.topic, position.partition)
        first, following = (await self._started_topics().bounds([partition.topic]))[partition]
        if not first <= position.offset < following:
            return None
        wants = {(position.topic, position.partition): position.offset}
        found = await self._fetch(self._lookups, wants, 1, 1, 0.0)
        return found[0] if found and found[0].position == position else None

    async def bounds(self, topics: Sequence[str]) -> dict[tuple[str, int], tuple[int, int]]:
        """Return (first offset kept, next offset to be written) of every partition of the topics."""
        found = await self._started_topics().bounds([self._prefix + topic for topic in topics])
        return {(self._bare(partition.topic), partition.partition): both for partition, both in found.items()}

    async def trim(self, topic: str, before: Mapping[int, int]) -> None:
        """Forget records below the given offset of each partition; never more than there are."""
        await self._started_topics().trim({await self._partition(topic, n): offset for n, offset in before.items()})

    async def expire(self, now: dt.datetime) -> int:  # noqa: ARG002  Kafka keeps to the topics' retention by itself
        """See the port."""
        return 0

    async def ready(self) -> None:
        """Return when a broker answers; raise `errors.Unavailable` when none does."""
        await self._started_topics().ready()

    async def _fetch(
        self,
        readers: Readers | None,
        wants: Mapping[tuple[str, int], int],
        records_max: int,
        bytes_max: int,
        wait_seconds: float,
    ) -> list[Delivered]:
        wanted = {await self._partition(topic, partition): offset for (topic, partition), offset in wants.items()}
        if readers is None:
            raise errors.Unavailable("the backbone is not started")
        if not wanted:
            await asyncio.sleep(wait_seconds)
            return []
        found = await readers.fetch(wanted, records_max, bytes_max, wait_seconds)
        delivered: list[Delivered] = []
        for partition, offset, record in found:
            topic = self._bare(partition.topic)
            named = dataclasses.replace(record, topic=topic) if self._prefix else record
            delivered.append(Delivered(Position(topic, partition.partition, offset), named))
        return delivered

    async def _write(self, bundles: Sequence[Bundle]) -> list[list[int]]:
        (bundle,) = bundles
        if self._producer is None:
            raise errors.Unavailable("the backbone is not started")
        records = stamped(bundle.records, int(self._clock.now().timestamp() * 1000))
        return [await self._producer.send(self._prefix + bundle.topic, bundle.partition, records)]

    def _started_topics(self) -> Topics:
        if self._topics is None:
            raise errors.Unavailable("the backbone is not started")
        return self._topics

    async def _partition(self, topic: str, partition: int) -> TopicPartition:
        count = await self._started_topics().partitions(self._prefix + topic)
        if not 0 <= partition < count:
            raise errors.Misconfigured(f"topic {topic} has {count} partitions, no number {partition}")
        return TopicPartition(self._prefix + topic, partition)

    def _bare(self, topic: str) -> str:
        return topic.removeprefix(self._prefix)

    def _new_producer(self) -> AIOKafkaProducer:
        return AIOKafkaProducer(
            **self._client,
            acks="all",
            enable_idempotence=True,
            compression_type="zstd",
            linger_ms=0,  # the gatherer has done the waiting
            max_batch_size=self._limits.partition_bytes_max + FRAME_BYTES,
            max_request_size=self._limits.record_bytes_max + FRAME_BYTES,
        )

    def _consumer(self) -> AIOKafkaConsumer:
        return AIOKafkaConsumer(
            **self._client,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="none",  # an offset that is gone is our decision, not the client's
            isolation_level="read_committed",
            fetch_max_wait_ms=FETCH_WAIT_MS,
            fetch_max_bytes=FETCH_BYTES,
            max_partition_fetch_bytes=FETCH_PARTITION_BYTES,
        )
