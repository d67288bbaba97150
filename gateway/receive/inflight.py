"""How much this process holds between door and durable, and who waits when it is too much.

One budget of messages and bytes for all doors. HTTP is told to come back (`Hold.add` raises `errors.Busy`); MLLP, which
has no such answer, stops reading its socket (`Hold.wait`), and TCP makes the sender wait. Who waits is served in order,
and before any newcomer.

It is **not** a queue of messages: it counts what others hold.
"""

from __future__ import annotations

import asyncio
from collections import deque
from types import TracebackType
from typing import Self

from gateway.errors import Busy


class Inflight:
    """The budget. One message or one chunk more is let in while both counts are below their limits, so that a body
    greater than what is left still gets through; the excess is one body (a body has a limit of its own).
    """

    def __init__(self, messages_max: int, bytes_max: int) -> None:
        self._messages_max = messages_max
        self._bytes_max = bytes_max
        self.messages = 0
        self.bytes = 0
        self._waiting: deque[tuple[asyncio.Future[None], Hold, int, int]] = deque()

    @property
    def full(self) -> bool:
        """Tell whether newcomers must wait or come back."""
        return self.messages >= self._messages_max or self.bytes >= self._bytes_max

    def hold(self) -> Hold:
        """Return an empty hold; leaving its `with` block gives everything back."""
        return Hold(self)

    def count(self, hold: Hold, messages: int, size: int) -> None:
        """Count more (or, negative, less) for a hold, without asking."""
        hold.messages += messages
        hold.bytes += size
        self.messages += messages
        self.bytes += size
        if messages < 0 or size < 0:
            self._let_in()

    def admit(self, hold: Hold, messages: int, size: int) -> None:
        """Count more for a hold now, or raise errors.Busy."""
        if self.full or self._waiting:
            raise Busy("too many messages are on their way to the log; send again in a moment", retry_after_seconds=1)
        self.count(hold, messages, size)

    async def queue(self, hold: Hold, messages: int, size: int) -> None:
        """Count more for a hold as soon as there is room."""
        if not self.full and not self._waiting:
            self.count(hold, messages, size)
            return
        admitted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (admitted, hold, messages, size)
        self._waiting.append(entry)
        try:
            await admitted
        except asyncio.CancelledError:
            if entry in self._waiting:
                self._waiting.remove(entry)
            self._let_in()
            raise

    def _let_in(self) -> None:
        while self._waiting and not self.full:
            admitted, hold, messages, size = self._waiting.popleft()
            if not admitted.done():
                self.count(hold, messages, size)
                admitted.set_result(None)


class Hold:
    """What one caller holds of the budget."""

    __slots__ = ("_inflight", "bytes", "messages")

    def __init__(self, inflight: Inflight) -> None:
        self._inflight = inflight
        self.messages = 0
        self.bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()

    def add(self, *, messages: int = 0, size: int = 0) -> None:
        """Hold more now, or raise errors.Busy: too much is on its way already."""
        self._inflight.admit(self, messages, size)

    def count(self, *, messages: int = 0, size: int = 0) -> None:
        """Hold more without asking, for what is here already; or, negative, less."""
        self._inflight.count(self, messages, size)

    async def wait(self, *, messages: int = 0, size: int = 0) -> None:
        """Hold more as soon as there is room; first come, first served."""
        await self._inflight.queue(self, messages, size)

    def release(self) -> None:
        """Give everything back. Safe to call twice."""
        self._inflight.count(self, -self.messages, -self.bytes)
