"""The outbox → `fhir.<Type>` records. In commit order per lane, none skipped, none invented; at least once.

Each outbox partition is published by one process at a time (a lease), contiguous from where the last one stopped: rows
carry a sequence that the store hands out under a lock held until commit, so that order of sequence is order of commit
and a missing number cannot be a transaction still under way. A crash between the append and `published` repeats records
with the same `ce_id`.

Records are CloudEvents in Kafka binary mode: `ce_id` is Type/id/version, stable; the value is the resource's JSON as the API
answers it, empty for a deletion; the key is the lane.
"""

from __future__ import annotations

import asyncio
from collections import Counter

from gateway.backbone.port import Backbone, TopicSpec
from gateway.clock import Clock
from gateway.errors import Fenced, Unavailable
from gateway.model import Record
from gateway.observe import events
from gateway.store.holding import RENEW_SECONDS, Holding
from gateway.store.port import OutboxRow, Store

GROUP = "publish"
OUTBOX = "outbox"
ROWS_MAX = 1000


def record_of(row: OutboxRow) -> Record:
    """Return the backbone record of one outbox row."""
    if row.reply_to:
        topic, identity, kind = f"reply.{row.reply_to}", f"reply/{row.message}", "dk.sundbro.reply.v1"
        subject = row.message
    else:
        topic, identity = f"fhir.{row.type}", f"{row.type}/{row.id}/{row.version}"
        kind = f"dk.sundbro.fhir.{row.type}.{'deleted' if row.deleted else 'upserted'}.v1"
        subject = f"{row.type}/{row.id}"
    headers = [
        ("ce_specversion", b"1.0"),
        ("ce_id", identity.encode()),
        ("ce_source", f"/feeds/{row.feed}".encode() if row.feed else b"/fhir"),
        ("ce_type", kind.encode()),
        ("ce_time", row.at.isoformat().encode()),
        ("ce_subject", subject.encode()),
        ("content-type", b"application/fhir+json"),
        ("seq", f"{row.partition}:{row.seq}".encode()),
        ("causation", row.message.encode()),
    ]
    if row.traceparent:
        headers.append(("traceparent", row.traceparent.encode()))
    return Record(
        topic=topic,
        key=(row.lane or subject).encode(),
        value=b"" if row.deleted else row.body,
        headers=tuple(headers),
        timestamp_ms=int(row.at.timestamp() * 1000),
    )


class Publisher:
    """One worker; several share the outbox partitions by leases."""

    def __init__(
        self,
        *,
        owner: str,
        partitions: int,
        backbone: Backbone,
        store: Store,
        tell: events.Tell,
        clock: Clock,
        retention_hours: int = 0,
    ) -> None:
        self._partitions = partitions
        self._holding = Holding(store, GROUP, owner, [(OUTBOX, partition) for partition in range(partitions)])
        self._backbone = backbone
        self._store = store
        self._tell = tell
        self._clock = clock
        self._retention_hours = retention_hours
        self._topics: set[str] = set()

    async def run(self, stop: asyncio.Event) -> None:
        """Publish until `stop` is set, and what was committed before."""
        try:
            while not stop.is_set():
                try:
                    await self._holding.renew()
                    if not await self._publish_once():
                        await self._store.wait_outbox(RENEW_SECONDS / 2)
                except Fenced:
                    self._holding.forget()
                except Unavailable as error:
                    self._tell(events.PartUnavailable("publish", type(error).__name__, 0.5))
                    self._holding.forget()
                    await asyncio.sleep(0.5)
        finally:
            await self._holding.release()

    async def _publish_once(self) -> bool:
        """Publish what stands in the outbox now; return whether there was anything."""
        some = False
        for key in list(self._holding.next):
            rows = await self._store.outbox(key[1], after=self._holding.next[key], limit=ROWS_MAX)
            if rows:
                some = True
                await self._publish(key, rows)
        return some

    async def _publish(self, key: tuple[str, int], rows: list[OutboxRow]) -> None:
        records = [record_of(row) for row in rows]
        missing = {record.topic for record in records} - self._topics
        if missing:
            await self._backbone.ensure(
                [TopicSpec(name, self._partitions, self._retention_hours) for name in sorted(missing)]
            )
            self._topics |= missing
        await self._backbone.append(records)
        await self._store.published(key[1], rows[-1].seq, epoch=self._holding.epoch(key))
        self._holding.next[key] = rows[-1].seq
        now = self._clock.now()
        lag = (now - rows[0].at).total_seconds()
        for topic, count in Counter(record.topic for record in records).items():
            self._tell(events.VersionPublished(topic, count, lag))
        for row, record in zip(rows, records, strict=True):
            if row.traceparent.endswith("-01"):
                self._tell(events.RecordPublished(record.topic, (now - row.at).total_seconds(), row.traceparent))
