"""One idempotent Kafka producer that is replaced when it dies. Private to `kafka`.

aiokafka's idempotent producer never recovers from a refused batch: the numbers of the batches that follow are out of
sequence for ever (aiokafka issue 1017). So any refusal, and any silence that lasts too long, replaces the producer. The
new one keeps the producer id with the next epoch (KIP-360): a request of the old one that is still under way somewhere
is then fenced by the broker, and cannot land behind what the new one has written.

aiokafka has no public door to the epoch nor to cutting a producer off; what is used of its inside is in this file only.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    InvalidProducerEpoch,
    KafkaConnectionError,
    KafkaError,
    MessageSizeTooLargeError,
    ProducerFenced,
    RecordListTooLargeError,
)

from gateway import errors
from gateway.model import Record

log = logging.getLogger(__name__)

START_SECONDS_MAX = 15.0
RESTART_PAUSE_SECONDS = 0.5
SILENT_SECONDS_MAX = 45.0
"""A batch unanswered for so long means a dead producer; longer than a change of leaders takes (16 s measured)."""
CLOSE_SECONDS_MAX = 3.0
EPOCH_MAX = 32767


class Producer:
    """Sends bundles through a producer that `make` builds, and builds another when that one is dead."""

    def __init__(self, make: Callable[[], AIOKafkaProducer]) -> None:
        self._make = make
        self._current: Any = None  # an AIOKafkaProducer
        self._identity: tuple[int, int] | None = None
        self._starting = asyncio.Lock()
        self._again_at = 0.0
        self._closing: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Connect. Raises `errors.Unavailable`."""
        await self._producer()

    async def stop(self) -> None:
        """Close; wait a little for what is under way, then cut it off."""
        if self._current is not None:
            self._retire(self._current, fence=False)
        if self._closing:
            await asyncio.wait(self._closing)

    async def send(self, topic: str, partition: int, records: Sequence[Record]) -> list[int]:
        """Write records to one partition, in order; return their offsets once all in-sync replicas have them.

        One call at a time for each partition. Raises `errors.Unavailable`, and `errors.TooLarge` for a single record
        that the broker refuses for its size.
        """
        producer = await self._producer()
        offsets: list[int] = []
        try:
            while len(offsets) < len(records):
                async with asyncio.timeout(SILENT_SECONDS_MAX):
                    offsets += await _send_batch(producer, topic, partition, records[len(offsets) :])
        except (MessageSizeTooLargeError, RecordListTooLargeError) as failure:
            self._retire(producer)
            if len(records) == 1:
                raise errors.TooLarge(f"the broker refuses a record of this size for {topic}") from failure
            raise errors.Unavailable(f"the broker's message.max.bytes for {topic} is below a batch") from failure
        except (KafkaError, TimeoutError, OSError) as failure:
            self._retire(producer, fence=not isinstance(failure, (ProducerFenced, InvalidProducerEpoch)))
            raise errors.Unavailable(f"the broker did not confirm ({type(failure).__name__})") from failure
        return offsets

    async def _producer(self) -> AIOKafkaProducer:
        if self._current is not None:
            return self._current
        async with self._starting:
            current = self._current
            if current is None:
                loop = asyncio.get_running_loop()
                if loop.time() < self._again_at:
                    raise errors.Unavailable("the brokers did not answer a moment ago")
                self._again_at = loop.time() + RESTART_PAUSE_SECONDS
                current = self._current = await self._started()
                self._again_at = 0.0
        return current

    async def _started(self) -> AIOKafkaProducer:
        producer: Any = self._make()
        if self._identity is not None:
            producer._txn_manager.set_pid_and_epoch(*self._identity)  # noqa: SLF001
        try:
            await asyncio.wait_for(producer.start(), START_SECONDS_MAX)
        except (KafkaError, TimeoutError, OSError) as failure:
            await _close(producer, 0.0)
            raise errors.Unavailable(f"no broker answers ({type(failure).__name__})") from failure
        except BaseException:
            await _close(producer, 0.0)
            raise
        return producer

    def _retire(self, producer: Any, *, fence: bool = True) -> None:
        """Give the producer no more work; let its other partitions finish for a moment, then close it."""
        if producer is self._current:
            transactions = producer._txn_manager  # noqa: SLF001
            identity = (transactions.producer_id, transactions.producer_epoch + 1)
            self._identity = identity if fence and identity[0] >= 0 and identity[1] < EPOCH_MAX else None
            self._current = None
            log.info("replacing the Kafka producer")
            task = asyncio.create_task(_close(producer, CLOSE_SECONDS_MAX), name="backbone-close-producer")
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)


async def _send_batch(producer: Any, topic: str, partition: int, records: Sequence[Record]) -> list[int]:
    """Send as many of the records as one batch takes, at least one; return their offsets."""
    batch = producer.create_batch()
    for record in records:
        headers = list(record.headers)
        if not batch.append(key=record.key, value=record.value, timestamp=record.timestamp_ms, headers=headers):
            break
    batch.close()  # nobody adds to it: the sender need not linger
    written = await (await producer.send_batch(batch, topic, partition=partition))
    if written.offset < 0:  # the broker knows it has the batch and no longer where
        raise KafkaError("written, at an offset that the broker did not tell")
    return list(range(written.offset, written.offset + batch.record_count()))


async def _close(producer: Any, seconds_max: float) -> None:
    """Close a producer whether or not its brokers answer."""
    with contextlib.suppress(KafkaError, TimeoutError, OSError):
        await asyncio.wait_for(producer.stop(), seconds_max)
        return
    with contextlib.suppress(KafkaError, TimeoutError, OSError):
        await producer.client.close()  # cuts off the requests that are under way
        await asyncio.wait_for(producer._sender.close(), CLOSE_SECONDS_MAX)  # noqa: SLF001
    accumulator = producer._message_accumulator  # noqa: SLF001
    for batches in accumulator._batches.values():  # noqa: SLF001
        accumulator._pending_batches.update(batches)  # noqa: SLF001 - where it expects what it fails
    accumulator.fail_all(KafkaConnectionError("closed"))
