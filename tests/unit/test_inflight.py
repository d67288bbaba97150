"""Laws of what a process holds between door and durable."""

from __future__ import annotations

import asyncio

import pytest

from gateway.errors import Busy
from gateway.receive.inflight import Inflight


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_what_is_over_either_limit_is_told_to_come_back():
    inflight = Inflight(messages_max=2, bytes_max=100)
    with inflight.hold() as first:
        first.add(messages=2, size=10)
        with pytest.raises(Busy), inflight.hold() as second:
            second.add(messages=1)
    with inflight.hold() as big:
        big.add(size=500)  # one more than fits is let in
        with pytest.raises(Busy):
            big.add(size=1)
    assert (inflight.messages, inflight.bytes) == (0, 0)


async def test_who_waits_is_let_in_in_order_and_before_newcomers():
    inflight = Inflight(messages_max=1, bytes_max=100)
    order: list[str] = []
    first = inflight.hold()
    first.add(messages=1)

    async def wait(name: str) -> None:
        with inflight.hold() as hold:
            await hold.wait(messages=1)
            order.append(name)
            await asyncio.sleep(0.01)

    tasks = [asyncio.create_task(wait(name)) for name in "abc"]
    await settle()
    first.release()
    with pytest.raises(Busy):
        inflight.hold().add(messages=1)
    await asyncio.gather(*tasks)
    assert order == ["a", "b", "c"]
    assert inflight.messages == 0


async def test_one_who_gives_up_waiting_is_not_counted_and_blocks_nobody():
    inflight = Inflight(messages_max=1, bytes_max=100)
    first = inflight.hold()
    first.add(messages=1)
    gone = asyncio.create_task(inflight.hold().wait(messages=1))
    await settle()
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    first.release()
    assert inflight.messages == 0
    inflight.hold().add(messages=1)


async def test_one_who_is_cancelled_at_the_moment_of_admission_gives_back_with_the_hold():
    inflight = Inflight(messages_max=1, bytes_max=100)
    first = inflight.hold()
    first.add(messages=1)

    async def wait() -> None:
        with inflight.hold() as hold:
            await hold.wait(messages=1)

    late = asyncio.create_task(wait())
    await settle()
    first.release()  # admitted, and not yet running
    late.cancel()
    await asyncio.gather(late, return_exceptions=True)
    assert inflight.messages == 0


async def test_a_release_twice_gives_back_once():
    inflight = Inflight(messages_max=2, bytes_max=100)
    hold, other = inflight.hold(), inflight.hold()
    hold.add(messages=1, size=5)
    other.add(messages=1, size=7)
    hold.release()
    hold.release()
    assert (inflight.messages, inflight.bytes) == (1, 7)
