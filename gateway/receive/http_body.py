"""The body of a request, read with care: never more than the limits, unpacked as it comes, within a time.

What a packed body may be is `formats.packed`; here it is read from the network, and what is held in memory is counted.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from gateway.errors import TooSlow
from gateway.formats import packed
from gateway.formats.packed import ENCODINGS, Limits
from gateway.receive.inflight import Hold

__all__ = ["ENCODINGS", "Limits", "read"]


async def read(chunks: AsyncIterator[bytes], *, encoding: str, length: str, limits: Limits, hold: Hold) -> bytes:
    """Return the body of a request, unpacked.

    `encoding` and `length` are the headers Content-Encoding and Content-Length as sent, '' when absent. What is held
    in memory is counted on `hold` as it comes. Raises errors.UnsupportedMedia, errors.TooLarge, errors.Incorrect (not
    gzip, or cut short), errors.Busy, errors.TooSlow.
    """
    coding = packed.coding(encoding)
    if length.isdecimal() and int(length) > limits.bytes_max:
        raise limits.too_large()
    try:
        async with asyncio.timeout(limits.seconds_max):
            if coding:
                return await _unpack(chunks, limits, hold)
            return await _collect(chunks, limits, hold)
    except TimeoutError:
        raise TooSlow(f"the body did not come within {limits.seconds_max:g} s") from None


async def _collect(chunks: AsyncIterator[bytes], limits: Limits, hold: Hold) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for chunk in chunks:
        size += len(chunk)
        if size > limits.bytes_max:
            raise limits.too_large()
        if chunk:
            hold.add(size=len(chunk))
            parts.append(chunk)
    return parts[0] if len(parts) == 1 else b"".join(parts)


async def _unpack(chunks: AsyncIterator[bytes], limits: Limits, hold: Hold) -> bytes:
    out = bytearray()
    unpacker = packed.Unpacker(limits)
    async for chunk in chunks:
        for step in unpacker.feed(chunk):
            out += step
            hold.add(size=len(step))
            await asyncio.sleep(0)
    unpacker.end()
    return bytes(out)
