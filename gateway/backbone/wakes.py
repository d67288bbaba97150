"""Who waits for which partition, and the one connection that listens to PostgreSQL for them.

Waking is a courtesy: a wake that is lost costs a reader its polling interval, never a record. Nothing is read here.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any

from gateway import errors

log = logging.getLogger(__name__)

PAYLOAD_BYTES_MAX = 7900  # PostgreSQL takes payloads under 8000
RECONNECT_SECONDS = 0.5

Partition = tuple[int, int]
"""Topic number in the database, partition."""


class Wakes:
    """Readers of this process, by the partitions they wait for."""

    def __init__(self) -> None:
        self._waiting: defaultdict[Partition, set[asyncio.Event]] = defaultdict(set)

    @contextlib.contextmanager
    def waiting(self, partitions: Iterable[Partition]) -> Iterator[asyncio.Event]:
        """Give an event that is set whenever one of the partitions has something new."""
        wanted = list(partitions)
        event = asyncio.Event()
        for partition in wanted:
            self._waiting[partition].add(event)
        try:
            yield event
        finally:
            for partition in wanted:
                self._waiting[partition].discard(event)
                if not self._waiting[partition]:
                    del self._waiting[partition]

    def wake(self, partitions: Iterable[Partition] | None = None) -> None:
        """Wake those who wait for one of the partitions; everybody when None is given."""
        for partition in list(self._waiting) if partitions is None else partitions:
            for event in self._waiting.get(partition, ()):
                event.set()


class Bell:
    """Tells other processes, and hears them: NOTIFY after a commit, LISTEN on a connection of its own.

    The notification is sent after the commit of what it announces, not inside it: PostgreSQL lets only one notifying
    transaction commit at a time, which would undo the group commit of several writers.
    """

    def __init__(
        self,
        channel: str,
        wakes: Wakes,
        listen: Callable[[], contextlib.AbstractAsyncContextManager[Any]],
        notify: Callable[[str, str], Awaitable[object]],
    ) -> None:
        self._channel = channel
        self._wakes = wakes
        self._listen = listen
        self._notify = notify
        self._name = secrets.token_hex(4)  # so that this process does not wake itself a second time
        self._news: set[Partition] = set()
        self._ringing: asyncio.Task[None] | None = None
        self._listening: asyncio.Task[None] | None = None
        self.heard = asyncio.Event()
        """Set while the listening connection stands."""

    def start(self) -> None:
        """Begin to listen; keep listening across lost connections."""
        self._listening = asyncio.create_task(self._listen_on(), name="backbone-listen")

    async def stop(self) -> None:
        """Tell what is not told yet, then stop listening."""
        if self._ringing is not None:
            await self._ringing
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.gather(self._listening, return_exceptions=True)

    def ring(self, partitions: Iterable[Partition]) -> None:
        """Wake the readers of the partitions, here at once and elsewhere soon. Never waits, never fails."""
        news = list(partitions)
        self._wakes.wake(news)
        self._news.update(news)
        if self._ringing is None or self._ringing.done():
            self._ringing = asyncio.create_task(self._tell(), name="backbone-notify")

    async def _tell(self) -> None:
        while self._news:
            payload = " ".join((self._name, *(f"{topic}.{partition}" for topic, partition in sorted(self._news))))
            self._news.clear()
            try:
                await self._notify(self._channel, payload if len(payload) < PAYLOAD_BYTES_MAX else f"{self._name} *")
            except errors.Unavailable:
                log.debug("no notification could be sent")  # the readers poll

    async def _listen_on(self) -> None:
        while True:
            try:
                async with self._listen() as connection:
                    await self._listen_to(connection)
            except errors.Unavailable:
                log.debug("not listening")
            await asyncio.sleep(RECONNECT_SECONDS)

    async def _listen_to(self, connection: Any) -> None:
        lost = asyncio.Event()
        connection.add_termination_listener(lambda _: lost.set())
        await connection.add_listener(self._channel, self._hear)
        self.heard.set()
        self._wakes.wake()  # whatever was announced while nobody listened
        try:
            await lost.wait()
        finally:
            self.heard.clear()
            if not connection.is_closed():
                await connection.remove_listener(self._channel, self._hear)

    def _hear(self, _connection: object, _pid: int, _channel: str, payload: object) -> None:
        name, *partitions = str(payload).split(" ")
        if name == self._name:
            return
        if partitions == ["*"]:
            self._wakes.wake()
            return
        self._wakes.wake((int(topic), int(partition)) for topic, _, partition in (p.partition(".") for p in partitions))
