"""How a door waits for what becomes of a receipt."""

from __future__ import annotations

import asyncio
import datetime as dt

from gateway.model import Position
from gateway.receive import outcomes
from gateway.store.port import MessageRow, MessageState

NOW = dt.datetime(2026, 11, 22, tzinfo=dt.UTC)
ROW = MessageRow("f", "r", MessageState.STORED, Position("raw.f", 0, 0), NOW, NOW, "", (), (), "")


async def test_the_row_is_returned_as_soon_as_it_is_there():
    asked = 0

    async def ask(receipt: str) -> MessageRow | None:
        nonlocal asked
        asked += 1
        return ROW if asked == 3 else None

    assert await outcomes.decided(ask, "r", 5) is ROW
    assert asked == 3


async def test_without_a_row_in_time_there_is_none_and_the_pauses_grow():
    asked = 0

    async def ask(receipt: str) -> MessageRow | None:
        nonlocal asked
        asked += 1
        return None

    started = asyncio.get_running_loop().time()
    assert await outcomes.decided(ask, "r", 0.3) is None
    assert asyncio.get_running_loop().time() - started <= 0.35
    assert 3 <= asked <= 6
