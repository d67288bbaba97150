"""Between records and rows of the embedded log: cutting bundles into batches, and batches into what a reader asked for.

Pure; the statements are in `statements`, the bytes in `codec`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from gateway.backbone import codec
from gateway.backbone.gather import record_bytes
from gateway.model import Delivered, Position, Record

BATCH_RECORDS_MAX = 500
BATCH_BYTES_MAX = 256 << 10
"""Before compression. Small enough that reading one record out of a batch costs well under a millisecond."""


class BatchRow(NamedTuple):
    """A row to be written, in the order of the append function's arrays."""

    topic_id: int
    partition: int
    records: int
    size: int
    last_timestamp_ms: int
    body: bytes


def stamped(records: Sequence[Record], now_ms: int) -> list[Record]:
    """Return the records, those without a timestamp with the present one."""
    return [record if record.timestamp_ms else dataclasses.replace(record, timestamp_ms=now_ms) for record in records]


def rows_of(topic_id: int, partition: int, records: Sequence[Record]) -> Iterator[BatchRow]:
    """Yield the rows that hold `records`, in order."""
    for batch, size in _batches(records):
        last = max(record.timestamp_ms for record in batch)
        yield BatchRow(topic_id, partition, len(batch), size, last, codec.pack(batch))


def _batches(records: Sequence[Record]) -> Iterator[tuple[list[Record], int]]:
    batch: list[Record] = []
    size = 0
    for record in records:
        more = record_bytes(record)
        if batch and (size + more > BATCH_BYTES_MAX or len(batch) == BATCH_RECORDS_MAX):
            yield batch, size
            batch, size = [], 0
        batch.append(record)
        size += more
    yield batch, size


def cut(
    rows: Sequence[Mapping[str, Any]], names: Mapping[int, str], records_max: int, bytes_max: int
) -> list[Delivered]:
    """Return the records of fetched rows from each partition's start, within both limits, and at least one."""
    delivered: list[Delivered] = []
    size = 0
    for row in rows:
        topic, partition, base = names[row["topic_id"]], row["partition"], row["base_offset"]
        skipped = max(0, row["start"] - base)
        wanted = records_max - len(delivered)
        for at, record in enumerate(codec.unpack(row["body"], topic, skipped, skipped + wanted), base + skipped):
            size += record_bytes(record)
            if delivered and size > bytes_max:
                return delivered
            delivered.append(Delivered(Position(topic, partition, at), record))
        if len(delivered) >= records_max:
            break
    return delivered
