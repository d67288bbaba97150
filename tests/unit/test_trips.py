"""Calls that share a trip: who travels together, who is not kept waiting, and what a failure does."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from gateway.store.postgres.trips import Trips


class Way:
    """What carries: keeps who travelled together, and takes some turns of the loop for it."""

    def __init__(self, turns: int = 0) -> None:
        self.trips: list[list[int]] = []
        self._turns = turns

    async def __call__(self, seats: Sequence[int]) -> list[int]:
        self.trips.append(list(seats))
        for _ in range(self._turns):
            await asyncio.sleep(0)
        return [2 * seat for seat in seats]


async def later(trips: Trips[int, int], seat: int, turns: int) -> int:
    for _ in range(turns):
        await asyncio.sleep(0)
    return await trips.take(seat)


async def asked(trips: Trips[int, int], turns: Sequence[int]) -> list[int]:
    """Ask once after each of these many turns of the loop."""
    return await asyncio.gather(*(later(trips, seat, after) for seat, after in enumerate(turns)))


async def test_without_turns_a_trip_leaves_with_who_is_there() -> None:
    way = Way()
    assert await asked(Trips(way, drivers=1, most=10), [0, 0, 3]) == [0, 2, 4]
    assert way.trips == [[0, 1], [2]]


async def test_with_turns_it_takes_along_who_comes_one_after_the_other() -> None:
    way = Way()
    trips = Trips(way, drivers=1, most=10, turns=8)
    assert await asked(trips, [0, 1, 2, 3, 4]) == [0, 2, 4, 6, 8]
    assert way.trips == [[0, 1, 2, 3, 4]]


async def test_who_is_alone_waits_for_one_turn_and_no_more() -> None:
    way = Way()
    trips = Trips(way, drivers=1, most=10, turns=1000)
    await asked(trips, [0, 6])
    assert way.trips == [[0], [1]]


async def test_a_stream_without_end_does_not_keep_a_trip_for_ever() -> None:
    way = Way()
    trips = Trips(way, drivers=1, most=1000, turns=8)
    await asked(trips, range(40))
    assert len(way.trips) > 1
    assert all(len(trip) <= 8 + 3 for trip in way.trips)
    assert [seat for trip in way.trips for seat in trip] == list(range(40))


async def test_a_full_trip_leaves() -> None:
    way = Way()
    trips = Trips(way, drivers=1, most=2, turns=8)
    await asked(trips, [0, 1, 2, 3])
    assert max(map(len, way.trips)) == 2


async def test_a_failure_is_told_to_everybody_on_that_trip_and_to_nobody_else() -> None:
    async def carry(seats: Sequence[int]) -> list[int]:
        if 0 in seats:
            raise OSError("away")
        return list(seats)

    trips: Trips[int, int] = Trips(carry, drivers=1, most=10, turns=2)
    first = await asyncio.gather(trips.take(0), trips.take(1), return_exceptions=True)
    assert [type(one) for one in first] == [OSError, OSError]
    assert await trips.take(2) == 2
    with pytest.raises(OSError, match="away"):
        await trips.take(0)
