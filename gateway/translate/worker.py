"""The translator: claims partitions of the raw topics, reads, prepares, applies. Many of them share the work by leases.

Two batches are under way at any moment: while the database commits one, the next is fetched and translated. Order per
lane holds because a lane lives in one partition, a partition belongs to one translator, and a translator applies its
batches one after the other. Reading positions move in the same transaction as what was read, under an epoch that fences
a translator which has lost its lease, so that a crash on any line repeats work and never doubles its effect.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.backbone.port import Backbone
from gateway.clock import Clock
from gateway.errors import Fenced, Unavailable
from gateway.model import Delivered, RawMessage
from gateway.observe import events
from gateway.store.holding import RENEW_SECONDS, Holding
from gateway.store.port import Advance, Applied, Batch, MessageState, Store
from gateway.translate.limit import RejectionLimit
from gateway.translate.prepare import Prepared, prepare
from gateway.translate.registry import Station

GROUP = "translate"
RETRY_SECONDS_MAX = 5.0
BATCH_MIN = 10
"""A batch that outlived its lease is tried again in smaller ones, down to this many messages: never the same way for ever."""
YIELD_EVERY = 8
"""Messages translated before other tasks of this process get a turn."""
WRITES_MAX = 3000
"""Resources in one transaction, reached by the last message of it: a body of readings holds hundreds."""


@dataclass(slots=True)
class Work:
    """One batch between translation and commit."""

    prepared: list[Prepared] = field(default_factory=list)
    advances: dict[tuple[str, int], Advance] = field(default_factory=dict)
    bug: Exception | None = None
    """What stopped translation inside the batch: everything before it is applied, then it is raised."""


class Translator:
    """One worker. `topics` maps a raw topic to the feed it carries."""

    def __init__(
        self,
        *,
        owner: str,
        stations: Mapping[str, Station],
        topics: Mapping[str, str],
        partitions: int,
        backbone: Backbone,
        store: Store,
        tell: events.Tell,
        clock: Clock,
        batch_max: int = 300,
    ) -> None:
        self._stations = stations
        self._topics = topics
        # A partition of every feed with one translator: a person's messages of all feeds then meet in one place.
        self._raw = [(topic, partition) for partition in range(partitions) for topic in topics]
        self._owner = owner
        self._holding = Holding(store, GROUP, owner, self._raw)
        self._backbone = backbone
        self._store = store
        self._tell = tell
        self._clock = clock
        self._batch_max = self._batch = batch_max
        self._stopped: set[str] = set()
        self._limits = {name: RejectionLimit(station.feed) for name, station in stations.items()}
        self._writes_a_message = 1
        self._strict = False
        """Whether nothing may be applied before what stands before it: else a bug stops its own partition alone."""

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set. Raises whatever an adapter raised: a bug, after which the role starts again."""
        applying: asyncio.Task[None] | None = None
        try:
            while not stop.is_set():
                try:
                    await self._renew()
                    work = await self._translate(await self._fetch())
                    if applying is not None:
                        await applying
                        applying = None
                    if work.prepared:
                        applying = asyncio.create_task(self._apply(work))
                    if work.bug is not None:
                        if applying is not None:
                            await applying
                            applying = None
                        raise work.bug
                except Fenced:
                    await _ended(applying)
                    applying = None
                    self._batch = max(BATCH_MIN, self._batch // 2)
                    self._holding.forget()
                except Unavailable as error:
                    await _ended(applying)
                    applying = None
                    self._holding.forget()
                    self._tell(events.PartUnavailable("translate", type(error).__name__, 0.5))
                    await _pause(stop, 0.5)
            if applying is not None:
                await applying
        finally:
            await _ended(applying)
            await self._holding.release()

    async def _renew(self) -> None:
        lost = await self._holding.renew()
        if lost is not None:
            self._stopped = set(await self._store.stopped_feeds())
            for key in lost:
                self._tell(events.WorkerFenced(*key))

    async def _fetch(self) -> list[Delivered]:
        wants = {key: offset for key, offset in self._holding.next.items() if self._topics[key[0]] not in self._stopped}
        if not wants:
            await asyncio.sleep(0.2)
            return []
        delivered = await self._backbone.fetch(wants, records_max=self._most(), wait_seconds=RENEW_SECONDS / 2)
        delivered.sort(key=lambda one: one.record.timestamp_ms)  # stable: a partition's own order is kept below
        return _in_partition_order(delivered)

    def _most(self) -> int:
        """Return how many messages the next batch may have."""
        return min(self._batch, max(1, WRITES_MAX // self._writes_a_message))

    async def _translate(self, delivered: list[Delivered]) -> Work:
        """Prepare a batch in the order given; positions move past exactly what was prepared."""
        work = Work()
        broken: set[tuple[str, int]] = set()
        writes = 0
        for count, one in enumerate(delivered, start=1):
            position = one.position
            key = (position.topic, position.partition)
            if key in broken or key not in self._holding.next:
                continue
            started = time.perf_counter()
            try:
                raw = RawMessage.from_record(one.record)
                prepared = prepare(raw, position, self._stations[self._topics[position.topic]])
            except Exception as bug:  # noqa: BLE001  a bug: what came before is applied, then it is raised
                broken.add(key)
                work.bug = bug
                if self._strict:
                    break
                continue
            prepared.translation.changes.clear()  # in the writes now, as bytes: a batch is large
            work.prepared.append(prepared)
            writes += len(prepared.write.writes)
            self._move(work, key, position.offset + 1)
            self._tell(
                events.MessageTranslated(
                    raw.feed,
                    raw.receipt,
                    prepared.translation.message_type,
                    len(prepared.write.writes),
                    time.perf_counter() - started,
                    raw.traceparent,
                )
            )
            if writes >= WRITES_MAX:
                break  # what is left is fetched again
            if count % YIELD_EVERY == 0:
                await asyncio.sleep(0)
        if work.prepared:
            self._writes_a_message = max(1, writes // len(work.prepared))
        return work

    def _move(self, work: Work, key: tuple[str, int], next_offset: int) -> None:
        advance = work.advances.get(key)
        start = advance.from_offset if advance else self._holding.next[key]
        work.advances[key] = Advance(GROUP, *key, start, next_offset, self._holding.epoch(key))
        self._holding.next[key] = next_offset

    async def _apply(self, work: Work) -> None:
        """Commit one batch; wait and try again while the world is at fault."""
        batch = Batch([prepared.write for prepared in work.prepared], advances=tuple(work.advances.values()))
        pause = 0.1
        while True:
            started = time.perf_counter()
            try:
                applied = await self._store.apply(batch)
            except Fenced:
                raise
            except Unavailable as error:
                self._tell(events.PartUnavailable("store", type(error).__name__, pause))
                await asyncio.sleep(pause)
                pause = min(pause * 2, RETRY_SECONDS_MAX)
                continue
            self._batch = min(self._batch_max, self._batch + BATCH_MIN)
            self._announce(work, applied, time.perf_counter() - started)
            await self._watch_limits(work)
            return

    def _announce(self, work: Work, applied: Applied, seconds: float) -> None:
        now = self._clock.now()
        by_receipt = {prepared.write.receipt: prepared for prepared in work.prepared}
        versions = 0
        for done in applied.messages:
            prepared = by_receipt[done.receipt]
            write = prepared.write
            versions += len(done.versions)
            for notice in prepared.translation.notices:
                self._tell(events.MessageNoticed(write.feed, notice.code))
            if done.control_id_reused:
                self._tell(events.ControlIdReused(write.feed, write.receipt))
            if done.state is MessageState.DUPLICATE:
                self._tell(events.MessageDuplicate(write.feed, write.receipt))
                continue
            codes = tuple(sorted({reason.code.value for reason in write.reasons})) or ("envelope-reused",)
            if done.state is MessageState.REJECTED or write.reasons:
                self._tell(events.MessageRejected(write.feed, write.receipt, write.message_type, codes))
            if done.state is MessageState.STORED:
                visible = (now - write.received_at).total_seconds()
                self._tell(
                    events.MessageStored(
                        write.feed,
                        write.receipt,
                        len(done.versions),
                        done.unchanged,
                        done.late,
                        visible,
                        seconds,
                        write.traceparent,
                    )
                )
            self._limits[write.feed].note(write.reasons, rejected=done.state is MessageState.REJECTED)
        self._tell(
            events.BatchApplied(
                ",".join(sorted({key[0] for key in work.advances})), len(work.prepared), versions, seconds
            )
        )

    async def _watch_limits(self, work: Work) -> None:
        for feed in {prepared.write.feed for prepared in work.prepared}:
            limit = self._limits[feed]
            if limit.reached():
                window = self._stations[feed].feed.rejection_window
                await self._store.stop_feed(feed, f"{limit.rejected} of the last {window} messages were rejected")
                self._stopped.add(feed)
                self._limits[feed] = RejectionLimit(self._stations[feed].feed)
                self._tell(events.FeedStopped(feed, limit.rejected, window))


def _in_partition_order(delivered: list[Delivered]) -> list[Delivered]:
    """Return records sorted by time across partitions, each partition's own in offset order whatever its stamps say."""
    queues: dict[tuple[str, int], list[Delivered]] = {}
    for one in delivered:
        queues.setdefault((one.position.topic, one.position.partition), []).append(one)
    for queue in queues.values():
        queue.sort(key=lambda one: one.position.offset, reverse=True)
    return [queues[(one.position.topic, one.position.partition)].pop() for one in delivered]


async def _ended(applying: asyncio.Task[None] | None) -> None:
    """End what is being applied, whatever comes of it: positions say what has been, and the rest is read again."""
    if applying is not None:
        applying.cancel()
        await asyncio.wait({applying})
        if not applying.cancelled():
            applying.exception()  # looked at, so that nobody complains


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        pass
