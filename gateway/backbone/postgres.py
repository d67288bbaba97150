"""The embedded backbone: topics as tables of record batches in PostgreSQL. Passes tests/contracts/test_backbone.py.

A partition is a row in `head` (where it begins and ends) and rows in `batch` (compressed records). Appending locks the
head row until the commit, so offsets have no gaps and a reader never sees a later record before an earlier one.
Appends that come together share a transaction (`gather`); readers are woken by NOTIFY and poll in case one is lost.

Not a queue and not a second Kafka: no consumers, no compaction, and retention happens when somebody calls `expire`.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import importlib.resources
import re
from collections.abc import Mapping, Sequence

from gateway import errors
from gateway.backbone import codec
from gateway.backbone.batches import BatchRow, cut, rows_of, stamped
from gateway.backbone.connections import Connections, PoolFactory
from gateway.backbone.gather import Bundle, Gatherer, Limits
from gateway.backbone.port import TopicSpec, partition_of
from gateway.backbone.statements import statements
from gateway.backbone.topics import agree, checked, unknown
from gateway.backbone.wakes import Bell, Wakes
from gateway.clock import Clock, SystemClock
from gateway.model import Delivered, Position, Record

LIMITS = Limits(writers_max=3, partitions_max=256)
READY_SECONDS_MAX = 5.0
STOP_SECONDS_MAX = 15.0
POLL_SECONDS = 1.0  # in case a wake is lost
DEAF_POLL_SECONDS = 0.1  # while the connection that listens is down
SWEEP_ROWS = 5000
CONNECTIONS_MAX = 10
PACK_BYTES_INLINE_MAX = 512 << 10  # more is packed in a thread, so that the event loop goes on

_IDENTIFIER = re.compile(r"[a-z_][a-z0-9_]{0,39}")


class PostgresBackbone:
    """A `port.Backbone` in one schema of a PostgreSQL 16+ database.

    `database` is a connection string, or a function that makes an asyncpg pool; either way the pool is closed by
    `stop`. It needs connections for `limits.writers_max` writers, one listener and the readers.
    """

    def __init__(
        self,
        database: str | PoolFactory,
        *,
        schema: str = "backbone",
        limits: Limits = LIMITS,
        connections_max: int = CONNECTIONS_MAX,
        poll_seconds: float = POLL_SECONDS,
        clock: Clock | None = None,
    ) -> None:
        if not _IDENTIFIER.fullmatch(schema):
            raise errors.Misconfigured(f"{schema!r} cannot name a schema: lower-case letters, digits, underscore")
        self._connections = Connections(database, connections_max)
        self._schema = schema
        self._sql = statements(schema)
        self._limits = limits
        self._poll_seconds = poll_seconds
        self._clock = clock or SystemClock()
        self._topics: dict[str, tuple[int, int]] = {}
        """Number in the database and number of partitions, by name. Neither ever changes."""
        self._names: dict[int, str] = {}
        self._learning = asyncio.Lock()
        self._wakes = Wakes()
        self._gatherer: Gatherer | None = None
        self._bell: Bell | None = None
        self._turn = 0

    async def start(self) -> None:
        """Connect, and create what is missing in the schema. Raises `errors.Unavailable`."""
        if self._connections.open:
            return
        await self._connections.start()
        try:
            await self._create()
        except BaseException:
            await self._connections.stop()
            raise
        self._bell = Bell(f"{self._schema}_appended", self._wakes, self._connections.one, self._notify)
        self._bell.start()
        self._gatherer = Gatherer(self._write, self._limits)

    async def stop(self) -> None:
        """Finish what was accepted, disconnect, send those away who wait. Safe to call twice."""
        bell, self._bell = self._bell, None
        if bell is None or self._gatherer is None:
            return
        await self._gatherer.stop(STOP_SECONDS_MAX)
        await bell.stop()
        await self._connections.stop()
        self._wakes.wake()

    async def ensure(self, topics: Sequence[TopicSpec]) -> None:
        """Create the topics that are missing; take over a changed retention. See `port.Backbone`."""
        wanted = checked(topics)
        async with self._connections.one() as connection, connection.transaction():
            await connection.execute("select pg_advisory_xact_lock(hashtext($1))", self._schema)
            for topic in sorted(wanted, key=lambda topic: topic.name):
                number, partitions = await connection.fetchrow(
                    self._sql.create_topic, topic.name, topic.partitions, topic.retention_hours
                )
                agree(topic, partitions)
                await connection.execute(self._sql.create_heads, number, partitions)
        await self._learn()

    async def append(self, records: Sequence[Record]) -> list[Position]:
        """Write records durably; return their positions in the order given. See `port.Backbone`.

        A record without a timestamp gets the present one.
        """
        if self._gatherer is None:
            raise errors.Unavailable("the backbone is not started")
        for topic in {record.topic for record in records} - self._topics.keys():
            await self._topic(topic)
        partitions = [partition_of(record.key, self._topics[record.topic][1]) for record in records]
        return await self._gatherer.append(records, partitions)

    async def fetch(
        self,
        wants: Mapping[tuple[str, int], int],
        *,
        records_max: int = 500,
        bytes_max: int = 8 << 20,
        wait_seconds: float = 1.0,
    ) -> list[Delivered]:
        """Read on from the offsets wanted; wait up to `wait_seconds` when there is nothing. See `port.Backbone`."""
        loop = asyncio.get_running_loop()
        until = loop.time() + wait_seconds
        numbered = [(await self._number(topic, partition), partition, at) for (topic, partition), at in wants.items()]
        with self._wakes.waiting((number, partition) for number, partition, _ in numbered) as news:
            while True:
                delivered = await self._fetch_now(numbered, records_max, bytes_max)
                patience = until - loop.time()
                if delivered or patience <= 0:
                    return delivered
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(news.wait(), min(patience, self._poll_interval()))
                news.clear()

    async def read(self, position: Position) -> Delivered | None:
        """Return the one record at `position`, or None when it is not there. See `port.Backbone`."""
        number = await self._number(position.topic, position.partition)
        async with self._connections.one() as connection:
            row = await connection.fetchrow(self._sql.read, number, position.partition, position.offset)
        if row is None:
            return None
        at = position.offset - row["base_offset"]
        (record,) = codec.unpack(row["body"], position.topic, at, at + 1)
        return Delivered(position, record)

    async def bounds(self, topics: Sequence[str]) -> dict[tuple[str, int], tuple[int, int]]:
        """Return (first offset kept, next offset to be written) of every partition of the topics."""
        for topic in topics:
            await self._topic(topic)
        async with self._connections.one() as connection:
            rows = await connection.fetch(self._sql.bounds, list(topics))
        return {(name, partition): (first, following) for name, partition, first, following in rows}

    async def trim(self, topic: str, before: Mapping[int, int]) -> None:
        """Forget records below the given offset of each partition; never more than there are."""
        number, _ = await self._topic(topic)
        for partition in before:
            await self._number(topic, partition)
        async with self._connections.one() as connection:
            await connection.execute(self._sql.forget, number, list(before), list(before.values()))
        await self._sweep()

    async def expire(self, now: dt.datetime) -> int:
        """Forget, in topics that have a retention, what is older at `now`; return the number of batches deleted.

        Kafka does the same by itself; here the operate room calls it from time to time.
        """
        async with self._connections.one() as connection:
            await connection.execute(self._sql.expire, int(now.timestamp() * 1000))
        return await self._sweep()

    async def ready(self) -> None:
        """Return when PostgreSQL answers; raise `errors.Unavailable` when it does not."""
        async with self._connections.one() as connection:
            await connection.fetchval("select 1", timeout=READY_SECONDS_MAX)

    def _poll_interval(self) -> float:
        return self._poll_seconds if self._bell is not None and self._bell.heard.is_set() else DEAF_POLL_SECONDS

    async def _create(self) -> None:
        script = importlib.resources.files(__package__).joinpath("postgres.sql").read_text(encoding="utf-8")
        async with self._connections.one() as connection, connection.transaction():
            await connection.execute("select pg_advisory_xact_lock(hashtext($1))", self._schema)
            await connection.execute(script.replace("{schema}", self._schema))
        await self._learn()

    async def _learn(self) -> None:
        async with self._connections.one() as connection:
            for name, number, partitions in await connection.fetch(self._sql.topics):
                self._topics[name] = (number, partitions)
                self._names[number] = name

    async def _topic(self, name: str) -> tuple[int, int]:
        if name not in self._topics:
            async with self._learning:  # one after the other: calls that wait here keep their order
                if name not in self._topics:
                    await self._learn()
        if name not in self._topics:
            raise unknown(name)
        return self._topics[name]

    async def _number(self, topic: str, partition: int) -> int:
        number, partitions = await self._topic(topic)
        if not 0 <= partition < partitions:
            raise errors.Misconfigured(f"topic {topic} has {partitions} partitions, no number {partition}")
        return number

    async def _write(self, bundles: Sequence[Bundle]) -> list[list[int]]:
        now_ms = int(self._clock.now().timestamp() * 1000)
        numbers = [self._topics[bundle.topic][0] for bundle in bundles]
        # heads are locked in one order by everybody: two processes cannot wait for each other
        order = sorted(range(len(bundles)), key=lambda i: (numbers[i], bundles[i].partition))

        def packed() -> list[tuple[int, BatchRow]]:
            return [
                (i, row)
                for i in order
                for row in rows_of(numbers[i], bundles[i].partition, stamped(bundles[i].records, now_ms))
            ]

        large = sum(len(record.value) for bundle in bundles for record in bundle.records) > PACK_BYTES_INLINE_MAX
        rows = await asyncio.to_thread(packed) if large else packed()
        async with self._connections.one() as connection:
            bases = await connection.fetch(self._sql.append, *zip(*(row for _, row in rows), strict=True))
        offsets: list[list[int]] = [[] for _ in bundles]
        for (i, row), (base,) in zip(rows, bases, strict=True):
            offsets[i].extend(range(base, base + row.records))
        if self._bell is not None:
            self._bell.ring({(row.topic_id, row.partition) for _, row in rows})
        return offsets

    async def _fetch_now(
        self, wants: Sequence[tuple[int, int, int]], records_max: int, bytes_max: int
    ) -> list[Delivered]:
        if not wants:
            return []
        self._turn = (self._turn + 1) % len(wants)  # the first ones get the bytes: let it be others each time
        turned = [*wants[self._turn :], *wants[: self._turn]]
        async with self._connections.one() as connection:
            rows = await connection.fetch(self._sql.fetch, *zip(*turned, strict=True), records_max, bytes_max)
        return cut(rows, self._names, records_max, bytes_max)

    async def _sweep(self) -> int:
        swept = 0
        while True:
            async with self._connections.one() as connection:
                status = await connection.execute(self._sql.sweep, SWEEP_ROWS)
            rows = int(status.rpartition(" ")[2])
            swept += rows
            if rows < SWEEP_ROWS:
                return swept

    async def _notify(self, channel: str, payload: str) -> None:
        async with self._connections.one() as connection:
            await connection.execute(self._sql.notify, channel, payload)
