"""Reading Kafka from given offsets, with consumers that belong to no group. Private to `kafka`.

A consumer reads ahead, so it is kept with the partitions it was assigned and only moved (`seek`) when a caller asks for
another offset than the one it stands at. Nothing is ever committed to Kafka: reading positions live in the store.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import ConsumerStoppedError, KafkaError, OffsetOutOfRangeError

from gateway import errors
from gateway.backbone.gather import record_bytes
from gateway.model import Record

IDLE_MAX = 8
IDLE_SECONDS_MAX = 30.0
ANSWER_SECONDS_MAX = 10.0
POLL_SECONDS_MIN = 0.05
BEYOND_PAUSE_SECONDS = 0.1

Found = list[tuple[TopicPartition, int, Record]]


class Reader:
    """One consumer, for one caller at a time."""

    def __init__(self, consumer: AIOKafkaConsumer) -> None:
        self._consumer = consumer
        self.partitions: frozenset[TopicPartition] = frozenset()
        self.idle_since = 0.0
        self._stands: dict[TopicPartition, int] = {}  # the next offset that a caller would be given
        self._floor: dict[TopicPartition, int] = {}  # the first offset kept, where somebody asked for less
        self._turn = 0
        self._rest: dict[TopicPartition, list[Any]] = {}  # what did not fit into the last answer

    async def start(self) -> None:
        """Connect."""
        await asyncio.wait_for(self._consumer.start(), ANSWER_SECONDS_MAX)

    async def stop(self) -> None:
        """Disconnect, whether or not the brokers answer."""
        await stop_consumer(self._consumer)

    def assign(self, partitions: frozenset[TopicPartition]) -> None:
        """Read these partitions from now on."""
        if partitions != self.partitions:
            self._consumer.assign(list(partitions))
            self.partitions = partitions
            for memory in (self._stands, self._floor, self._rest):
                memory.clear()

    async def fetch(
        self, wants: Mapping[TopicPartition, int], records_max: int, bytes_max: int, wait_seconds: float
    ) -> Found:
        """Return records from the offsets wanted, or nothing when nothing came within `wait_seconds`."""
        loop = asyncio.get_running_loop()
        until = loop.time() + wait_seconds
        for partition, offset in wants.items():
            self._stand(partition, max(offset, self._floor.get(partition, 0)))
        found = self._take({}, records_max, bytes_max)
        confirmed = False
        while not found:
            patience = until - loop.time()
            if patience <= 0:
                # Before saying "nothing": the consumer may only just have been moved, or have no broker to ask.
                if confirmed or not await self._behind():
                    return []
                confirmed, until = True, loop.time() + ANSWER_SECONDS_MAX
                continue
            try:
                fetched = await self._poll(records_max, max(patience, POLL_SECONDS_MIN))
            except OffsetOutOfRangeError as failure:
                await self._place(failure.args[0])
                continue
            found = self._take(fetched, records_max, bytes_max)
        return found

    async def _poll(self, records_max: int, wait_seconds: float) -> dict[TopicPartition, list[Any]]:
        """Wait for records, then collect them: an equal share of each partition first, then whatever is there.

        Left to itself the consumer empties one partition before it turns to the next.
        """
        share = max(1, records_max // len(self.partitions))
        fetched: dict[TopicPartition, list[Any]] = dict(
            await self._consumer.getmany(timeout_ms=int(1000 * wait_seconds), max_records=share)
        )
        room = records_max - sum(map(len, fetched.values()))
        order = deque(self.partitions)
        order.rotate(self._turn)
        self._turn = (self._turn + 1) % len(order)
        with contextlib.suppress(OffsetOutOfRangeError):  # it comes again when nothing else does
            for some, most in (*(((one,), share) for one in order if one not in fetched), ((), records_max)):
                if not fetched or room <= 0:
                    break
                more = await self._consumer.getmany(*some, timeout_ms=0, max_records=min(most, room))
                for partition, records in more.items():
                    fetched.setdefault(partition, []).extend(records)
                    room -= len(records)
        return fetched

    def _stand(self, partition: TopicPartition, offset: int) -> None:
        if self._stands.get(partition) != offset:
            self._rest.pop(partition, None)
            self._consumer.seek(partition, offset)
            self._stands[partition] = offset

    def _take(self, fetched: Mapping[TopicPartition, list[Any]], records_max: int, bytes_max: int) -> Found:
        """Hand out what is left from before, or what has come now; keep what is over the limits for the next time."""
        offered = {**self._rest, **{partition: records for partition, records in fetched.items() if records}}
        self._rest = {}
        found: Found = []
        size, full = 0, False
        for partition, messages in offered.items():
            for at, message in enumerate(messages):
                record = _record(message)
                size += record_bytes(record)
                full = full or bool(found and (size > bytes_max or len(found) >= records_max))
                if full:
                    self._rest[partition] = messages[at:]
                    self._stands[partition] = message.offset
                    break
                found.append((partition, message.offset, record))
                self._stands[partition] = message.offset + 1
        return found

    async def _behind(self) -> bool:
        """Say whether there is something at or after an offset where this reader stands."""
        ends = await asyncio.wait_for(self._consumer.end_offsets(list(self.partitions)), ANSWER_SECONDS_MAX)
        return any(end > self._stands[partition] for partition, end in ends.items())

    async def _place(self, out_of_range: Mapping[TopicPartition, int]) -> None:
        """Put a partition whose offset is gone at the first one kept; one that is not there yet stays where it is."""
        firsts = await asyncio.wait_for(self._consumer.beginning_offsets(list(out_of_range)), ANSWER_SECONDS_MAX)
        for partition, offset in out_of_range.items():
            if offset < firsts[partition]:
                self._floor[partition] = firsts[partition]
                self._stand(partition, firsts[partition])
            else:
                await asyncio.sleep(BEYOND_PAUSE_SECONDS)


class Readers:
    """Readers that are kept between calls: callers with different partitions do not disturb one another."""

    def __init__(self, make: Callable[[], AIOKafkaConsumer]) -> None:
        self._make = make
        self._idle: list[Reader] = []
        self._open = True

    async def fetch(
        self, wants: Mapping[TopicPartition, int], records_max: int, bytes_max: int, wait_seconds: float
    ) -> Found:
        """Read with the reader that fits best. Raises `errors.Unavailable` when no broker answers."""
        partitions = frozenset(wants)
        try:
            reader = await self._borrow(partitions)
        except (KafkaError, TimeoutError, OSError) as failure:
            raise errors.Unavailable(f"no broker answers ({type(failure).__name__})") from failure
        try:
            reader.assign(partitions)
            found = await reader.fetch(wants, records_max, bytes_max, wait_seconds)
        except (KafkaError, ConsumerStoppedError, TimeoutError, OSError) as failure:
            await reader.stop()
            raise errors.Unavailable(f"no broker answers ({type(failure).__name__})") from failure
        except asyncio.CancelledError:
            await self._give_back(reader)  # it stands where its caller was told
            raise
        except BaseException:
            await reader.stop()
            raise
        await self._give_back(reader)
        return found

    async def stop(self) -> None:
        """Close all readers."""
        self._open = False
        idle, self._idle = self._idle, []
        await asyncio.gather(*(reader.stop() for reader in idle))

    async def _borrow(self, partitions: frozenset[TopicPartition]) -> Reader:
        for reader in self._idle:
            if reader.partitions == partitions:
                self._idle.remove(reader)
                return reader
        if len(self._idle) >= IDLE_MAX:
            return self._idle.pop(0)  # the one that has been idle longest changes its partitions
        reader = Reader(self._make())
        try:
            await reader.start()
        except BaseException:
            await reader.stop()
            raise
        return reader

    async def _give_back(self, reader: Reader) -> None:
        now = asyncio.get_running_loop().time()
        reader.idle_since = now
        self._idle.append(reader)
        # an idle consumer still reads ahead: it costs the broker requests and this process memory
        expired = [one for one in self._idle if not self._open or now - one.idle_since > IDLE_SECONDS_MAX]
        for one in expired:
            self._idle.remove(one)
            await one.stop()


async def stop_consumer(consumer: Any) -> None:
    """Stop a consumer. While its brokers are away aiokafka's own `stop` ends half-way, as if cancelled."""
    stopping = asyncio.create_task(consumer.stop())
    await asyncio.wait({stopping}, timeout=ANSWER_SECONDS_MAX)
    if stopping.done() and not stopping.cancelled() and stopping.exception() is None:
        return
    stopping.cancel()
    with contextlib.suppress(KafkaError, TimeoutError, OSError):
        await consumer._client.close()  # noqa: SLF001 - the half that is left


def _record(message: Any) -> Record:
    """Return a record as the house has it. A key or value that is null in Kafka is empty here."""
    return Record(message.topic, message.key or b"", message.value or b"", tuple(message.headers), message.timestamp)
