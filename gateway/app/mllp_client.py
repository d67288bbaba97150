"""A sender's side of MLLP, for `sundbro send`, the demo and the benchmarks: send a message, wait for its ACK, in order."""

from __future__ import annotations

import asyncio
from typing import Self

from gateway.errors import Unavailable
from gateway.formats import er7, mllp

ACK_BYTES_MAX = 1 << 20


class MllpClient:
    """One connection. `send` may be called while earlier messages wait: answers come in the order of sending."""

    def __init__(self, host: str, port: int, *, seconds_max: float = 30.0) -> None:
        self._address = (host, port)
        self._seconds_max = seconds_max
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._waiting: asyncio.Queue[asyncio.Future[bytes]] = asyncio.Queue()
        self._listening: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Connect. Raises Unavailable when nobody listens."""
        try:
            self._reader, self._writer = await asyncio.open_connection(*self._address)
        except OSError as error:
            raise Unavailable(f"no MLLP door at {self._address[0]}:{self._address[1]}") from error
        self._listening = asyncio.create_task(self._listen(self._reader))
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the connection."""
        if self._listening:
            self._listening.cancel()
        if self._writer:
            self._writer.close()

    async def send(self, message: bytes) -> bytes:
        """Send one message and return its ACK. Raises Unavailable when there is none in time: it may be sent again."""
        assert self._writer is not None
        if self._listening is None or self._listening.done():
            raise Unavailable("the MLLP door has closed the connection")
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting.put_nowait(answer)
        self._writer.write(mllp.frame(message))
        try:
            await self._writer.drain()
            return await asyncio.wait_for(answer, self._seconds_max)
        except (OSError, TimeoutError) as error:
            raise Unavailable("the MLLP door did not answer") from error

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        decoder = mllp.Decoder(ACK_BYTES_MAX)
        try:
            while data := await reader.read(65536):
                for frame in decoder.feed(data):
                    if isinstance(frame, mllp.Frame) and not self._waiting.empty():
                        waiting = self._waiting.get_nowait()
                        if not waiting.done():
                            waiting.set_result(frame.payload)
        except OSError:
            pass  # reset: those who wait are told below
        finally:
            while not self._waiting.empty():
                waiting = self._waiting.get_nowait()
                if not waiting.done():
                    waiting.set_exception(OSError("closed by the door"))


def answered(ack: bytes) -> tuple[str, str]:
    """Return MSA-1 (`AA`, `AE`, …) and MSA-2 (the number of the message it answers); '' where it has none."""
    found = er7.parse(ack, "utf-8").segments("MSA")
    return (found[0].text(1), found[0].text(2)) if found else ("", "")
