"""Group commit: order, limits and failure, with a write that the test decides about."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway import errors
from gateway.backbone.gather import Bundle, Gatherer, Limits, record_bytes
from gateway.model import Position, Record

LIMITS = Limits(writers_max=2, partitions_max=4, append_seconds_max=5.0)


def record(value: str) -> Record:
    return Record("t", b"k", value.encode())


class Log:
    """A log in memory whose writes can be held up and made to fail."""

    def __init__(self) -> None:
        self.lanes: defaultdict[int, list[bytes]] = defaultdict(list)
        self.writes: list[list[Bundle]] = []
        self.failures: list[Exception | None] = []
        self.free = asyncio.Event()
        self.free.set()
        self.in_flight: set[int] = set()

    async def write(self, bundles: Sequence[Bundle]) -> list[list[int]]:
        partitions = {bundle.partition for bundle in bundles}
        assert not partitions & self.in_flight, "one partition in two writes at once"
        self.in_flight |= partitions
        self.writes.append(list(bundles))
        failure = self.failures.pop(0) if self.failures else None
        try:
            await self.free.wait()
            await asyncio.sleep(0)
            if failure is not None:
                raise failure
            offsets = []
            for bundle in bundles:
                lane = self.lanes[bundle.partition]
                offsets.append(list(range(len(lane), len(lane) + len(bundle.records))))
                lane.extend(one.value for one in bundle.records)
            return offsets
        finally:
            self.in_flight -= partitions


async def begun(call: Any) -> asyncio.Task[Any]:
    task = asyncio.ensure_future(call)
    await asyncio.sleep(0)
    return task


async def test_calls_that_wait_together_share_a_write() -> None:
    log = Log()
    log.free.clear()
    gatherer = Gatherer(log.write, replace(LIMITS, writers_max=1))
    calls = [await begun(gatherer.append([record(f"{n}")], [n % 3])) for n in range(30)]
    log.free.set()
    await asyncio.gather(*calls)
    assert len(log.writes) == 2, "the first call alone, then all that came meanwhile"


async def test_what_waited_behind_an_unconfirmed_write_fails_with_it_and_is_never_written() -> None:
    log = Log()
    log.failures = [errors.Unavailable("gone")]
    log.free.clear()
    gatherer = Gatherer(log.write, LIMITS)
    first = await begun(gatherer.append([record("1")], [0]))
    behind = await begun(gatherer.append([record("2")], [0]))
    elsewhere = await begun(gatherer.append([record("other")], [1]))
    log.free.set()
    for call in (first, behind):
        with pytest.raises(errors.Unavailable):
            await call
    assert await elsewhere == [Position("t", 1, 0)]
    assert await gatherer.append([record("1 again")], [0]) == [Position("t", 0, 0)]
    assert log.lanes == {0: [b"1 again"], 1: [b"other"]}


async def test_a_refused_record_takes_nobody_with_it() -> None:
    log = Log()
    log.failures = [errors.TooLarge("too large for the broker")]
    log.free.clear()
    gatherer = Gatherer(log.write, LIMITS)
    refused = await begun(gatherer.append([record("large")], [0]))
    behind = await begun(gatherer.append([record("small")], [0]))
    log.free.set()
    with pytest.raises(errors.TooLarge):
        await refused
    assert await behind == [Position("t", 0, 0)]


async def test_after_its_deadline_a_call_fails_and_so_do_those_behind_it() -> None:
    log = Log()
    log.free.clear()
    gatherer = Gatherer(log.write, replace(LIMITS, append_seconds_max=0.2))
    first = await begun(gatherer.append([record("1")], [0]))
    await asyncio.sleep(0.1)
    behind = await begun(gatherer.append([record("2")], [0]))
    for call in (first, behind):
        with pytest.raises(errors.Unavailable):
            await call
    log.free.set()
    await asyncio.sleep(0.01)
    assert log.lanes[0] == [b"1"], "under way already: in the log or not; what was not begun is never written"
    assert await gatherer.append([record("3")], [0]) == [Position("t", 0, 1)]


async def test_a_bug_in_the_write_is_told_as_the_bug_it_is() -> None:
    log = Log()
    log.failures = [ZeroDivisionError("a bug")]
    gatherer = Gatherer(log.write, LIMITS)
    with pytest.raises(ZeroDivisionError):
        await gatherer.append([record("1")], [0])
    assert await gatherer.append([record("2")], [0]) == [Position("t", 0, 0)]


async def test_more_than_may_wait_is_refused_at_once_and_taken_again_later() -> None:
    log = Log()
    log.free.clear()
    size = record_bytes(record("1"))
    gatherer = Gatherer(log.write, replace(LIMITS, waiting_bytes_max=3 * size))
    held = [await begun(gatherer.append([record(f"{n}")], [0])) for n in range(3)]
    with pytest.raises(errors.Unavailable, match="already wait"):
        await gatherer.append([record("4")], [0])
    log.free.set()
    await asyncio.gather(*held)
    for n in range(20):  # nothing of what was held is forgotten to be given back
        await gatherer.append([record(f"{n % 10}")], [0])


async def test_given_up_calls_do_not_hold_room() -> None:
    log = Log()
    log.free.clear()
    size = record_bytes(record("1"))
    gatherer = Gatherer(log.write, replace(LIMITS, waiting_bytes_max=3 * size))
    calls = [await begun(gatherer.append([record(f"{n}")], [0])) for n in range(3)]
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    log.free.set()
    await asyncio.sleep(0.01)
    await asyncio.gather(*(gatherer.append([record(f"{n}")], [0]) for n in range(3)))


async def test_stopping_finishes_what_was_taken_and_fails_what_cannot_be() -> None:
    log = Log()
    gatherer = Gatherer(log.write, LIMITS)
    taken = [await begun(gatherer.append([record(f"{n}")], [0])) for n in range(5)]
    await gatherer.stop(1.0)
    assert [position.offset for (position,) in await asyncio.gather(*taken)] == list(range(5))
    with pytest.raises(errors.Unavailable, match="stopped"):
        await gatherer.append([record("late")], [0])

    log.free.clear()
    stuck = Gatherer(log.write, LIMITS)
    calls = [await begun(stuck.append([record(f"{n}")], [0])) for n in range(2)]
    await stuck.stop(0.05)
    for call in calls:
        with pytest.raises(errors.Unavailable, match="stopped"):
            await call


scripts = st.lists(
    st.tuples(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 400)), min_size=1, max_size=5), st.booleans()),
    min_size=1,
    max_size=40,
)


@settings(max_examples=60, deadline=None)
@given(scripts, st.lists(st.booleans(), max_size=30))
def test_each_partition_has_the_confirmed_calls_in_their_order_whatever_fails(script: Any, fails: list[bool]) -> None:
    limits = Limits(writers_max=3, partitions_max=2, write_bytes_max=700, partition_bytes_max=500)

    async def run() -> None:
        log = Log()
        log.failures = [errors.Unavailable("gone") if failing else None for failing in fails]
        gatherer = Gatherer(log.write, limits)
        calls, sent = [], []
        for number, (parts, pause) in enumerate(script):
            given = [
                Record("t", b"k", f"{number:03}.{i:03}.".encode() + bytes(size)) for i, (_, size) in enumerate(parts)
            ]
            sent.append(given)
            calls.append(await begun(gatherer.append(given, [partition for partition, _ in parts])))
            if pause:
                await asyncio.sleep(0.001)
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        for lane in log.lanes.values():
            assert lane == sorted(lane), "order lost"
            assert len(set(lane)) == len(lane), "written twice"
        for given, outcome in zip(sent, outcomes, strict=True):
            if isinstance(outcome, list):
                for one, position in zip(given, outcome, strict=True):
                    assert log.lanes[position.partition][position.offset] == one.value
            else:
                assert isinstance(outcome, errors.Unavailable)
        for bundles in log.writes:
            assert len(bundles) <= 2
            sizes = [sum(map(record_bytes, bundle.records)) for bundle in bundles]
            assert sum(sizes) <= 700 or sum(len(bundle.records) for bundle in bundles) == 1
            assert all(size <= 500 or len(b.records) == 1 for size, b in zip(sizes, bundles, strict=True))
        if not any(fails):
            assert not any(isinstance(outcome, Exception) for outcome in outcomes)

    asyncio.run(run())
