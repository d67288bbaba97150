"""The embedded log's batches: what is packed comes back, whole or in part; what is not ours is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.backbone import codec
from gateway.backbone.batches import BATCH_BYTES_MAX, BATCH_RECORDS_MAX, rows_of
from gateway.backbone.gather import record_bytes
from gateway.model import Record

headers = st.lists(st.tuples(st.text(max_size=20), st.binary(max_size=50)), max_size=6).map(tuple)
records = st.builds(
    Record,
    topic=st.just("raw.hospital"),
    key=st.binary(max_size=40),
    value=st.binary(max_size=300),
    headers=headers,
    timestamp_ms=st.integers(-(2**63), 2**63 - 1),
)


@given(st.lists(records, min_size=1, max_size=30))
def test_packing_and_unpacking_gives_the_same_records(given: list[Record]) -> None:
    assert codec.unpack(codec.pack(given), "raw.hospital") == given


@given(st.lists(records, min_size=1, max_size=30), st.integers(0, 35), st.integers(0, 35))
def test_a_part_of_a_batch_is_that_part_of_its_records(given: list[Record], start: int, stop: int) -> None:
    assert codec.unpack(codec.pack(given), "raw.hospital", start, stop) == given[start:stop]


@given(st.lists(records, min_size=1, max_size=30))
def test_the_topic_is_the_readers(given: list[Record]) -> None:
    assert {record.topic for record in codec.unpack(codec.pack(given), "other")} == {"other"}


@pytest.mark.parametrize("blob", [b"", b"\x00", b"\x02" + codec.pack([Record("t", b"k", b"v")])[1:]])
def test_a_batch_of_another_version_is_refused(blob: bytes) -> None:
    with pytest.raises(ValueError, match="unknown version"):
        codec.unpack(blob, "t")


@given(st.lists(st.integers(0, 200_000), min_size=1, max_size=40), st.integers(1, 1300))
def test_rows_hold_all_records_in_order_within_the_limits_of_a_batch(sizes: list[int], small: int) -> None:
    given = [Record("t", b"k", bytes(size), (), n + 1) for n, size in enumerate(sizes)]
    given += [Record("t", b"k", str(n).encode(), (), 7) for n in range(small)]
    rows = list(rows_of(3, 1, given))
    assert [record for row in rows for record in codec.unpack(row.body, "t")] == given
    for row in rows:
        held = codec.unpack(row.body, "t")
        assert row.records == len(held) <= BATCH_RECORDS_MAX
        assert row.size == sum(map(record_bytes, held))
        assert row.size <= BATCH_BYTES_MAX or len(held) == 1
        assert row.last_timestamp_ms == max(record.timestamp_ms for record in held)
