"""Calls that wait at the same moment share one trip to the database: group commit for writes, group fetch for reads.

A trip and a commit cost more than the work of a small call. Whoever comes while the drivers are under way waits for
the next departure; nobody waits for others to come.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")


class Trips(Generic[Asked, Answer]):
    """`carry` takes what waits, at most `most` at once, and returns an answer or an exception for each, in order.

    An exception that `carry` raises goes to everybody on that trip. `drivers` trips run at the same time. A trip whose way
    costs more than a wait stays for so many `turns` of the loop at most, as long as each brings somebody: where nobody
    comes it leaves at once, and where many are about to it takes them along.
    """

    def __init__(
        self,
        carry: Callable[[Sequence[Asked]], Awaitable[Sequence[Answer | BaseException]]],
        *,
        drivers: int,
        most: int,
        turns: int = 0,
    ) -> None:
        self._carry = carry
        self._drivers = drivers
        self._most = most
        self._turns = turns
        self._waiting: deque[tuple[Asked, asyncio.Future[Answer]]] = deque()
        self._running: set[asyncio.Task[None]] = set()
        self._under_way = 0

    async def take(self, asked: Asked) -> Answer:
        """Wait for a seat, travel, and return the answer."""
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((asked, answer))
        if self._under_way < self._drivers:
            self._under_way += 1
            task = asyncio.create_task(self._drive())
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        return await answer

    async def finish(self) -> None:
        """Return when everybody who waits has been answered."""
        while self._running:
            await asyncio.wait(self._running)

    async def _drive(self) -> None:
        try:
            while self._waiting:
                await self._gathered()
                await self._depart()
        finally:
            self._under_way -= 1  # in the same step as the last look at who waits: nobody is left behind

    async def _gathered(self) -> None:
        """Return when a turn of the loop brought nobody new, or after so many turns."""
        for _ in range(self._turns):
            before = len(self._waiting)
            await asyncio.sleep(0)
            if not before < len(self._waiting) < self._most:
                return

    async def _depart(self) -> None:
        seats = [self._waiting.popleft() for _ in range(min(self._most, len(self._waiting)))]
        seats = [seat for seat in seats if not seat[1].done()]  # whoever was cancelled while waiting has left
        if not seats:
            return
        answers: Sequence[Answer | BaseException]
        try:
            answers = await self._carry([asked for asked, _ in seats])
        except asyncio.CancelledError:
            for _, future in seats:
                future.cancel()
            raise
        except Exception as error:  # noqa: BLE001 - handed to those who asked
            answers = [error] * len(seats)
        for (_, future), answer in zip(seats, answers, strict=True):
            if future.done():
                continue
            if isinstance(answer, BaseException):
                future.set_exception(answer)
            else:
                future.set_result(answer)
