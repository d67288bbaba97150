"""Reading positions and leases: exactly one worker moves a position, and a zombie moves nothing."""

from __future__ import annotations

import asyncio

import pytest

from gateway.errors import Fenced
from gateway.store.port import Advance, Lease
from tests.contracts.stores import batch, message, observation, open_store, write

TOPIC = "raw.hospital"
WANTED = [(TOPIC, part) for part in range(4)]


def advance(lease: Lease, upto: int, *, start: int = 0) -> Advance:
    return Advance("translate", lease.topic, lease.partition, start, upto, lease.epoch)


def read(start: int, stop: int, part: int = 0) -> list:
    return [message(write(observation(f"p{part}o{n}")), offset=n, part=part) for n in range(start, stop)]


async def test_partitions_are_shared_and_given_back_at_the_limit(store):
    mine = await store.claim("translate", "w1", WANTED)
    assert [(lease.partition, lease.epoch, lease.next_offset) for lease in mine] == [(n, 1, 0) for n in range(4)]
    assert await store.claim("translate", "w2", WANTED) == []
    assert len(await store.claim("translate", "w1", WANTED, limit=2)) == 2
    theirs = await store.claim("translate", "w2", WANTED)
    assert [(lease.partition, lease.epoch) for lease in theirs] == [(2, 2), (3, 2)]
    assert len(await store.claim("publish", "w2", WANTED)) == 4  # another group is another matter


async def test_without_a_limit_owners_that_are_alive_share_fairly_and_a_dead_ones_share_comes_back(store):
    assert len(await store.claim("translate", "w1", WANTED, seconds=0.5)) == 4
    assert await store.claim("translate", "w2", WANTED) == []  # taken still, but now w1 hears of another owner
    assert len(await store.claim("translate", "w1", WANTED, seconds=0.5)) == 2
    assert [lease.partition for lease in await store.claim("translate", "w2", WANTED)] == [2, 3]
    await asyncio.sleep(0.7)  # w1 is gone
    assert len(await store.claim("translate", "w2", WANTED)) == 4
    await store.release("translate", "w2")
    assert len(await store.claim("translate", "w3", WANTED)) == 4


async def test_an_owner_whose_membership_is_over_before_it_is_counted_claims_as_if_alone(store):
    assert len(await store.claim("translate", "w1", WANTED, seconds=-1)) == 4


async def test_renewal_keeps_the_epoch_and_the_position(store):
    (lease,) = await store.claim("translate", "w1", WANTED[:1])
    await store.apply(batch(*read(0, 3), advance=advance(lease, 3)))
    assert await store.claim("translate", "w1", WANTED[:1]) == [Lease(TOPIC, 0, lease.epoch, 3)]
    assert await store.positions("translate") == {(TOPIC, 0): 3}


async def test_a_lease_that_nobody_wants_any_more_is_given_back(store):
    await store.claim("translate", "w1", WANTED)
    assert len(await store.claim("translate", "w1", WANTED[:1])) == 1
    assert len(await store.claim("translate", "w2", WANTED, limit=4)) == 3


async def test_released_partitions_are_free_at_once_and_fence_who_released_them(store):
    (lease,) = await store.claim("translate", "w1", WANTED[:1])
    await store.release("translate", "w1")
    with pytest.raises(Fenced):
        await store.apply(batch(*read(0, 1), advance=advance(lease, 1)))
    assert [lease.epoch for lease in await store.claim("translate", "w2", WANTED[:1])] == [2]


async def test_a_zombie_that_stopped_renewing_is_fenced_and_changes_nothing(store):
    (zombie,) = await store.claim("translate", "w1", WANTED[:1], seconds=0.05)
    await asyncio.sleep(0.1)
    with pytest.raises(Fenced):  # its time is up, though nobody else has come
        await store.apply(batch(*read(0, 1), advance=advance(zombie, 1)))
    (heir,) = await store.claim("translate", "w2", WANTED[:1])
    assert heir.epoch == zombie.epoch + 1
    await store.apply(batch(*read(0, 2), advance=advance(heir, 2)))
    with pytest.raises(Fenced):
        await store.apply(batch(*read(2, 5), advance=advance(zombie, 5, start=2)))
    assert await store.read("Observation", "p0o3") is None
    assert await store.positions("translate") == {(TOPIC, 0): 2}


async def test_without_a_lease_no_position_moves(store):
    with pytest.raises(Fenced):
        await store.apply(batch(*read(0, 1), advance=Advance("translate", TOPIC, 0, 0, 1, 0)))


async def test_a_batch_applied_again_is_skipped_and_an_overlapping_one_goes_on_where_it_stopped(store):
    (lease,) = await store.claim("translate", "w1", WANTED[:1])
    given = batch(*read(0, 3), advance=advance(lease, 3))
    await store.apply(given)
    assert (await store.apply(given)).messages == ()
    overlapping = await store.apply(batch(*read(1, 5), advance=advance(lease, 5, start=1)))
    assert [m.versions for m in overlapping.messages] == [(("Observation", f"p0o{n}", 1),) for n in (3, 4)]
    assert await store.positions("translate") == {(TOPIC, 0): 5}


async def test_a_batch_that_would_skip_records_is_a_bug_and_is_not_applied(store):
    (lease,) = await store.claim("translate", "w1", WANTED[:1])
    with pytest.raises(RuntimeError, match="skip"):
        await store.apply(batch(*read(3, 4), advance=advance(lease, 4, start=3)))
    assert await store.read("Observation", "p0o3") is None


async def test_a_position_moves_over_records_that_made_no_message(store):
    (lease,) = await store.claim("translate", "w1", WANTED[:1])
    await store.apply(batch(advance=advance(lease, 7)))
    assert await store.positions("translate") == {(TOPIC, 0): 7}


async def test_many_claimants_never_hold_a_partition_together(store, database):
    async with open_store(database.url, schema=store._schema) as other:
        for _ in range(5):
            found = await asyncio.gather(
                *((store, other)[n % 2].claim("translate", f"w{n}", WANTED, limit=1) for n in range(8))
            )
            held = [(lease.topic, lease.partition) for leases in found for lease in leases]
            assert len(held) == len(set(held)) == 4
            await asyncio.gather(*(store.release("translate", f"w{n}") for n in range(8)))
