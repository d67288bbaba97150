"""One MLLP connection: blocks in, answers out, in order, with patience that ends. What is answered is `mllp_answers`'.

A connection is two tasks. One reads, cuts blocks and begins each in turn; the other awaits them in that order and
writes their answers. Between them stand at most `WINDOW` blocks, so that a sender that does not wait for answers shares
commits with itself, and one that never reads its answers is not read from either. When the process holds too much
(`inflight`), no socket is read: TCP makes the senders wait. Half blocks have a budget of their own (`halves`): when
they use it up, connections that are in the middle of a large block wait, and the others do not notice.

A block that the log did not confirm is left unanswered, and its connection is closed: an answer to a later block would
be taken, by a sender that counts instead of reading MSA-2, for the answer to this one.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from gateway import errors
from gateway.formats import mllp
from gateway.observe import events
from gateway.receive.inflight import Inflight
from gateway.receive.intake import Intake
from gateway.receive.mllp_answers import DOOR, Answer, Answers, Later
from gateway.receive.mllp_rules import Refusal, Routes, subjects
from gateway.settings import Settings
from gateway.store.port import MessageRow

Outcome = Callable[[str, float], Awaitable[MessageRow | None]]
"""What became of a receipt: waits up to so many seconds, None when the store has not decided by then."""

WINDOW: Final = 256
"""Blocks of one connection between read and answered."""
READ_BYTES: Final = 64 << 10
_LOOSE_END_SECONDS: Final = 0.1
"""An FS that stands last for so long ends its block: a sender that leaves the CR out."""
CLOSE_SECONDS: Final = 5.0
"""The last answers may take so long to leave; then the connection is cut."""
_UNAVAILABLE_PAUSE_SECONDS: Final = 1.0
"""An unanswered connection is closed after this moment, so that senders that return at once do not make a storm."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How long and how many. Seconds."""

    idle_seconds: float = 300.0
    block_seconds: float = 30.0
    stop_seconds: float = 25.0
    outcome_seconds: float = 60.0
    connections_max: int = 1000
    halves_bytes_max: int = 64 << 20

    @classmethod
    def of(cls, settings: Settings) -> Limits:
        """Take them from the settings."""
        return cls(
            idle_seconds=settings.mllp_idle_seconds,
            block_seconds=settings.mllp_block_seconds,
            stop_seconds=settings.ack_seconds_max + CLOSE_SECONDS,
            connections_max=settings.mllp_connections_max,
            halves_bytes_max=settings.inflight_bytes_max // 2,
        )


@dataclass(frozen=True, slots=True)
class Service:
    """What all connections of a door share."""

    answers: Answers
    intake: Intake
    halves: Inflight
    outcome: Outcome
    tell: events.Tell
    limits: Limits


class Connection:
    """One sender's connection, until either side ends it."""

    def __init__(
        self, service: Service, routes: Routes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._service = service
        self._routes = routes
        self._reader = reader
        self._writer = writer
        self._subject = subjects(writer.get_extra_info("peercert"))
        feeds = routes.open_to(self._subject)
        self._label = feeds[0].name if len(feeds) == 1 else ""
        self._bytes_max = max((feed.message_bytes_max for feed in feeds), default=READ_BYTES)
        self._decoder = mllp.Decoder(self._bytes_max)
        self._half = service.halves.hold()
        self._turn = service.intake.inflight.hold()
        self._window = asyncio.Semaphore(WINDOW)
        self._heard = asyncio.Event()
        """Set while the sender reads its answers."""
        self._heard.set()
        self._pending: asyncio.Queue[asyncio.Future[Answer] | None] = asyncio.Queue()
        self._later: set[asyncio.Task[None]] = set()
        self._reading: asyncio.Task[str] | None = None
        self._stopping = False
        self._block_since = 0.0

    def stop(self) -> None:
        """Read no more; `run` then ends by itself."""
        self._stopping = True
        if self._reading is not None:
            self._reading.cancel()

    async def run(self) -> None:
        """Serve the connection to its end."""
        self._service.tell(events.ConnectionOpened(DOOR, self._label))
        why = "stop"
        self._reading = asyncio.create_task(self._read())
        writing = asyncio.create_task(self._write())
        try:
            if self._stopping:
                self._reading.cancel()
            await asyncio.wait({self._reading, writing}, return_when=asyncio.FIRST_COMPLETED)
            self._pending.put_nowait(None)
            if writing.done():
                self._reading.cancel()
            await asyncio.wait({self._reading, writing})
            why = self._ended(writing) or self._ended(self._reading) or "stop"
        finally:
            for task in (self._reading, writing, *self._later):
                task.cancel()
            self._half.release()
            await self._close()
            self._service.tell(events.ConnectionClosed(DOOR, self._label, why))

    def _ended(self, task: asyncio.Task[str]) -> str:
        """Return why a task ended, '' when it was told to. A fault of ours is announced; the other senders go on."""
        if not task.done() or task.cancelled():
            return ""
        error = task.exception()
        if error is None:
            return task.result()
        if isinstance(error, OSError):
            return "tls" if isinstance(error, ssl.SSLError) else "peer"
        self._service.intake.fault(error)
        return "fault"

    async def _close(self) -> None:
        while not self._pending.empty():  # what was begun and cannot be answered any more still becomes durable
            if (pending := self._pending.get_nowait()) is not None:
                await asyncio.wait({pending})
                if not pending.cancelled():
                    pending.exception()
        self._writer.close()
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._writer.wait_closed()
        self._writer.transport.abort()

    async def _read(self) -> str:
        loop = asyncio.get_running_loop()
        decoder = self._decoder
        while True:
            seconds, why = self._patience(loop.time())
            was_half = decoder.half
            try:
                async with asyncio.timeout(seconds) as patience:
                    await self._turn.wait()
                    if self._half.bytes >= READ_BYTES:
                        await self._half.wait()
                    data = await self._reader.read(READ_BYTES)
            except TimeoutError:
                if not patience.expired():
                    return "peer"  # the socket's own time-out
                if why:
                    return why
                data, frames = b"", decoder.idle()
            else:
                if not data:
                    return "peer"
                frames = decoder.feed(data)
            if decoder.half and (frames or not was_half):
                self._block_since = loop.time()
            half = min((0 if frames else self._half.bytes) + len(data), self._bytes_max) if decoder.half else 0
            self._half.count(size=half - self._half.bytes)
            await self._begin(frames)

    def _patience(self, now: float) -> tuple[float, str]:
        """Return how long to wait for the next bytes, and why to end the connection when none come ('': do not)."""
        if not self._decoder.half:
            return self._service.limits.idle_seconds, "idle"
        left = self._block_since + self._service.limits.block_seconds - now
        if self._decoder.awaiting_end and left > _LOOSE_END_SECONDS:
            return _LOOSE_END_SECONDS, ""
        return max(left, 0.0), "block-timeout"

    async def _begin(self, frames: Sequence[mllp.Frame | mllp.FrameError]) -> None:
        for frame in frames:
            if frame.junk_bytes:
                self._service.tell(events.BytesDiscarded(DOOR, self._label, frame.junk_bytes))
            await self._heard.wait()
            await self._window.acquire()
            if isinstance(frame, mllp.Frame):
                answer = await self._service.answers.begin(frame.payload, self._routes, self._subject)
            else:
                answer = asyncio.get_running_loop().create_future()
                answer.set_result(self._service.answers.refuse(frame.head, Refusal("207", frame.text)))
            self._pending.put_nowait(answer)

    async def _write(self) -> str:
        out = bytearray()
        while True:
            if self._pending.empty():
                await self._flush(out)
            pending = await self._pending.get()
            if pending is None:
                await self._flush(out)
                return ""
            if not pending.done():
                await self._flush(out)
            try:
                answer = await pending
            except errors.Unavailable:
                await self._flush(out)
                await asyncio.sleep(_UNAVAILABLE_PAUSE_SECONDS)
                return "unavailable"
            self._window.release()
            if answer.payload:
                out += mllp.frame(answer.payload)
            if answer.later:
                await self._flush(out)
                for later in answer.later:
                    task = asyncio.create_task(self._apply(later))
                    self._later.add(task)
                    task.add_done_callback(self._later.discard)

    async def _flush(self, out: bytearray) -> None:
        if not out:
            return
        self._writer.write(bytes(out))
        out.clear()
        if self._writer.transport.get_write_buffer_size() > READ_BYTES:
            self._heard.clear()
            async with asyncio.timeout(self._service.limits.idle_seconds):  # TimeoutError is an OSError: why is peer
                await self._writer.drain()
            self._heard.set()

    async def _apply(self, later: Later) -> None:
        """Send the application acknowledgement when the store has decided. Not decided in time: none is sent."""
        with contextlib.suppress(errors.Unavailable, OSError):
            row = await self._service.outcome(later.receipt, self._service.limits.outcome_seconds)
            if row is not None and (payload := self._service.answers.application(later, row)):
                self._writer.write(mllp.frame(payload))
