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
import contextlib
import datetime as dt
import functools
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
ROWS_MAX = 300
REST_SECONDS = 0.03
"""Between two rounds, unless a whole one waits: what is committed meanwhile goes in the same trips. A round costs some
milliseconds of two processors however few its rows; a store that is busy would have one for every few of its commits.
"""


_VERSION = ("ce_specversion", b"1.0")
_CONTENT = ("content-type", b"application/fhir+json")


def record_of(row: OutboxRow) -> Record:
    """Return the backbone record of one outbox row."""
    if row.reply_to:
        topic, identity, kind = f"reply.{row.reply_to}", f"reply/{row.message}", b"dk.sundbro.reply.v1"
        subject = row.message
    else:
        topic, kind = _of_type(row.type, deleted=row.deleted)
        subject = f"{row.type}/{row.id}"
        identity = f"{subject}/{row.version}"
    time_, timestamp_ms = _moment(row.at)
    headers: tuple[tuple[str, bytes], ...] = (
        _VERSION,
        ("ce_id", identity.encode()),
        ("ce_source", f"/feeds/{row.feed}".encode() if row.feed else b"/fhir"),
        ("ce_type", kind),
        ("ce_time", time_),
        ("ce_subject", subject.encode()),
        _CONTENT,
        ("seq", f"{row.partition}:{row.seq}".encode()),
        ("causation", row.message.encode()),
    )
    if row.traceparent:
        headers += (("traceparent", row.traceparent.encode()),)
    return Record(
        topic=topic,
        key=(row.lane or subject).encode(),
        value=b"" if row.deleted else row.body,
        headers=headers,
        timestamp_ms=timestamp_ms,
    )


@functools.lru_cache(maxsize=512)
def _of_type(resource_type: str, *, deleted: bool) -> tuple[str, bytes]:
    """Return topic and ce_type."""
    what = "deleted" if deleted else "upserted"
    return f"fhir.{resource_type}", f"dk.sundbro.fhir.{resource_type}.{what}.v1".encode()


@functools.lru_cache(maxsize=256)  # what one transaction wrote has one moment
def _moment(at: dt.datetime) -> tuple[bytes, int]:
    """Return ce_time and milliseconds since 1970."""
    return at.isoformat().encode(), int(at.timestamp() * 1000)


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
            while True:
                last = stop.is_set()
                try:
                    await self._holding.renew()
                    published = await self._publish_once()
                    while published >= ROWS_MAX:
                        await self._holding.renew()
                        published = await self._publish_once()
                    if not published and not last:
                        await self._store.wait_outbox(RENEW_SECONDS / 2)
                except Fenced:
                    self._holding.forget()
                except Unavailable as error:
                    self._tell(events.PartUnavailable("publish", type(error).__name__, 0.5))
                    self._holding.forget()
                    await asyncio.sleep(0.5)
                    published = 0
                if last:
                    return
                if published:
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(stop.wait(), REST_SECONDS)
        finally:
            await self._holding.release()

    async def _publish_once(self) -> int:
        """Publish what stands in the outbox now; return how many rows there were."""
        held = {key[1]: offset for key, offset in self._holding.next.items()}
        rows = await self._store.outbox(held, limit=ROWS_MAX) if held else []
        if rows:
            await self._publish(rows)
        return len(rows)

    async def _publish(self, rows: list[OutboxRow]) -> None:
        records = [record_of(row) for row in rows]
        missing = {record.topic for record in records} - self._topics
        if missing:
            await self._backbone.ensure(
                [TopicSpec(name, self._partitions, self._retention_hours) for name in sorted(missing)]
            )
            self._topics |= missing
        await self._backbone.append(records)
        upto = {row.partition: row.seq for row in rows}  # the last one of each stands
        await self._store.published(upto, epochs={part: self._holding.epoch((OUTBOX, part)) for part in upto})
        for part, seq in upto.items():
            self._holding.next[OUTBOX, part] = seq
        now = self._clock.now()
        lag = (now - min(row.at for row in rows)).total_seconds()
        for topic, count in Counter(record.topic for record in records).items():
            self._tell(events.VersionPublished(topic, count, lag))
        for row, record in zip(rows, records, strict=True):
            if row.traceparent.endswith("-01"):
                self._tell(events.RecordPublished(record.topic, (now - row.at).total_seconds(), row.traceparent))
