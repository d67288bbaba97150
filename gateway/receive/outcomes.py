"""What became of a receipt, asked of the store until it knows: for senders that wait for the outcome itself."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from gateway.store.port import MessageRow

Ask = Callable[[str], Awaitable[MessageRow | None]]
"""`Store.message`: what became of a receipt, None when it has not been applied (yet)."""

_FIRST_SECONDS: Final = 0.02
_LONGEST_SECONDS: Final = 1.0


async def decided(ask: Ask, receipt: str, seconds: float) -> MessageRow | None:
    """Return a message's row as soon as the store has it, None when it has not after `seconds`.

    Asks with growing pauses, from 20 ms to 1 s. Raises errors.Unavailable when the store does not answer.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    pause = _FIRST_SECONDS
    while True:
        row = await ask(receipt)
        if row is not None or loop.time() + pause > until:
            return row
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, _LONGEST_SECONDS)
