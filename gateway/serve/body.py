"""What a request brings: the whole body, unpacked, under the limits of the settings and within a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any

from gateway import errors
from gateway.formats import packed
from gateway.formats.packed import Limits

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]


async def read(receive: Receive, *, encoding: str, length: str, limits: Limits) -> bytes:
    """Return the body. `encoding` and `length` are Content-Encoding and Content-Length, '' when absent.

    Raises errors.UnsupportedMedia, errors.TooLarge, errors.TooSlow, errors.Incorrect (not gzip, or cut short).
    """
    coding = packed.coding(encoding)
    if length.isdecimal() and int(length) > limits.bytes_max:
        raise limits.too_large()
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(limits.seconds_max):
            async for part in _unpacked(_chunks(receive), limits) if coding else _chunks(receive):
                size += len(part)
                if size > limits.bytes_max:
                    raise limits.too_large()
                parts.append(part)
    except TimeoutError:
        raise errors.TooSlow(f"the body did not come within {limits.seconds_max:g} s") from None
    return parts[0] if len(parts) == 1 else b"".join(parts)


async def _chunks(receive: Receive) -> AsyncIterator[bytes]:
    more = True
    while more:
        event = await receive()
        if event["type"] == "http.disconnect":
            raise errors.Incorrect("the body ended early")
        more = event.get("more_body", False)
        yield event.get("body", b"")


async def _unpacked(chunks: AsyncIterator[bytes], limits: Limits) -> AsyncIterator[bytes]:
    unpacker = packed.Unpacker(limits)
    async for chunk in chunks:
        for step in unpacker.feed(chunk):
            yield step
            if len(step) == packed.STEP_BYTES:
                await asyncio.sleep(0)  # others on this loop are not to wait for a whole large body
    unpacker.end()
