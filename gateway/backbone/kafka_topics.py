"""Kafka's topics: what there is, creating what is missing, first and last offsets, trimming. Private to `kafka`."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from gateway import errors
from gateway.backbone.kafka_reader import stop_consumer
from gateway.backbone.port import TopicSpec
from gateway.backbone.topics import agree, unknown

ANSWER_SECONDS_MAX = 15.0
LEADERS_SECONDS_MAX = 30.0
LEADERS_PAUSE_SECONDS = 0.1
NEVER_MS = str(2**63 - 1)
HOUR_MS = 3_600_000


class Topics:
    """What the backbone knows and asks about topics. Names are Kafka's own, with the prefix."""

    def __init__(
        self,
        admin: AIOKafkaAdminClient,
        offsets: AIOKafkaConsumer,
        *,
        replication_factor: int,
        min_insync_replicas: int,
        message_bytes_max: int,
    ) -> None:
        self._admin = admin
        self._offsets = offsets
        self._replication_factor = replication_factor
        self._promises = {"min.insync.replicas": min_insync_replicas, "max.message.bytes": message_bytes_max}
        self._partitions: dict[str, int] = {}
        self._learning = asyncio.Lock()

    async def start(self) -> None:
        """Connect. Raises `errors.Unavailable`."""
        async with _answering():
            await self._admin.start()
            await self._offsets.start()
            await self._learn()

    async def stop(self) -> None:
        """Disconnect."""
        await stop_consumer(self._offsets)
        with contextlib.suppress(KafkaError, TimeoutError, OSError):
            await asyncio.wait_for(self._admin.close(), ANSWER_SECONDS_MAX)

    async def partitions(self, topic: str) -> int:
        """Return the number of partitions. Raises `errors.Misconfigured` for a topic that does not exist."""
        if topic not in self._partitions:
            async with self._learning:  # one after the other: calls that wait here keep their order
                if topic not in self._partitions:
                    async with _answering():
                        await self._learn()
        if topic not in self._partitions:
            raise unknown(topic)
        return self._partitions[topic]

    async def ensure(self, topics: Sequence[TopicSpec]) -> None:
        """Create what is missing, and check what exists against what the house was promised."""
        async with _answering():
            existing = await self._learn()
        missing = [topic for topic in topics if topic.name not in existing]
        async with _answering():
            if missing:
                await self._create(missing)
        await self._wait_for_leaders({topic.name for topic in topics})
        for topic in topics:
            agree(topic, self._partitions[topic.name])
        async with _answering():
            await self._check([topic.name for topic in topics if topic.name in existing])

    async def bounds(self, topics: Sequence[str]) -> dict[TopicPartition, tuple[int, int]]:
        """Return (first offset kept, next offset) of every partition."""
        wanted = [TopicPartition(topic, n) for topic in topics for n in range(await self.partitions(topic))]
        if not wanted:
            return {}
        async with _answering():
            firsts, ends = await asyncio.gather(
                self._offsets.beginning_offsets(wanted), self._offsets.end_offsets(wanted)
            )
        return {partition: (firsts[partition], ends[partition]) for partition in wanted}

    async def trim(self, before: Mapping[TopicPartition, int]) -> None:
        """Delete records below the given offsets; Kafka refuses one beyond the end, so it is cut to that."""
        if not before:
            return
        async with _answering():
            ends = await self._offsets.end_offsets(list(before))
            await self._admin.delete_records(
                {one: RecordsToDelete(min(offset, ends[one])) for one, offset in before.items()}
            )

    async def ready(self) -> None:
        """Return when a broker answers."""
        async with _answering():
            await self._admin.describe_cluster()

    async def _learn(self) -> dict[str, list[Mapping[str, Any]]]:
        # All topics, always: asking for one by name would create it on a broker that creates topics by itself.
        described = {topic["topic"]: topic["partitions"] for topic in await self._admin.describe_topics()}
        self._partitions.update({name: len(partitions) for name, partitions in described.items()})
        return described

    async def _create(self, topics: Iterable[TopicSpec]) -> None:
        answer = await self._admin.create_topics([self._new(topic) for topic in topics])
        for name, code, *words in answer.topic_errors:
            failure = for_code(code)
            if code and failure is not TopicAlreadyExistsError:  # another process was faster: that is checked next
                why = words[0] if words and words[0] else failure.__name__
                raise errors.Misconfigured(f"topic {name} cannot be created: {why}")

    def _new(self, topic: TopicSpec) -> NewTopic:
        configuration = {name: str(value) for name, value in self._promises.items()}
        configuration |= {
            "cleanup.policy": "delete",
            "retention.ms": str(topic.retention_hours * HOUR_MS) if topic.retention_hours else "-1",
            "retention.bytes": "-1",
            "compression.type": "producer",
            "unclean.leader.election.enable": "false",
            "message.timestamp.type": "CreateTime",
            "message.timestamp.after.max.ms": NEVER_MS,  # a clock that is wrong is no reason to lose a record
            "message.timestamp.before.max.ms": NEVER_MS,
        }
        return NewTopic(topic.name, topic.partitions, self._replication_factor, topic_configs=configuration)

    async def _wait_for_leaders(self, names: set[str]) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LEADERS_SECONDS_MAX):
                while True:
                    async with _answering():
                        described = await self._learn()
                    if all(name in described and _led(described[name]) for name in names):
                        return
                    await asyncio.sleep(LEADERS_PAUSE_SECONDS)
        raise errors.Unavailable(f"some of the topics had no leader within {LEADERS_SECONDS_MAX:g} s")

    async def _check(self, names: Sequence[str]) -> None:
        """Refuse a topic, made by somebody else, that keeps less than the house promises its callers."""
        for name in names:
            resource = ConfigResource(ConfigResourceType.TOPIC, name, dict.fromkeys(self._promises, ""))
            for answer in await self._admin.describe_configs([resource]):
                for _, _, _, _, entries in answer.resources:
                    for setting, value, *_ in entries:
                        if int(value) < self._promises[setting]:
                            raise errors.Misconfigured(
                                f"topic {name} has {setting}={value}, {self._promises[setting]} is needed"
                            )


def _led(partitions: Sequence[Mapping[str, Any]]) -> bool:
    return all(partition["leader"] >= 0 for partition in partitions)


@contextlib.asynccontextmanager
async def _answering() -> AsyncIterator[None]:
    """Give the brokers a while to answer; `errors.Unavailable` when they do not, or answer that they cannot."""
    try:
        async with asyncio.timeout(ANSWER_SECONDS_MAX):
            yield
    except (KafkaError, TimeoutError, OSError) as failure:
        raise errors.Unavailable(f"no broker answers ({type(failure).__name__})") from failure
