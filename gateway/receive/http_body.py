"""The body of a request, read with care: never more than the limits, unpacked as it comes, within a time.

Sources: RFC 9110 §8.4 (Content-Encoding), RFC 1952 §2.2 (a gzip body may have several members). A bomb is refused
while it unpacks, by its ratio or by its size, whichever comes first.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from gateway import errors
from gateway.receive.inflight import Hold
from gateway.settings import Settings

ENCODINGS: Final = ("gzip", "x-gzip")
_STEP_BYTES: Final = 256 << 10
"""Unpacked in one turn of the loop."""
_GZIP: Final = 16 + zlib.MAX_WBITS


@dataclass(frozen=True, slots=True)
class Limits:
    """What a body may be. Bytes are counted unpacked."""

    bytes_max: int = 16 << 20
    gzip_ratio_max: int = 100
    seconds_max: float = 60.0

    @classmethod
    def of(cls, settings: Settings) -> Limits:
        """Take them from the settings."""
        return cls(settings.body_bytes_max, settings.gzip_ratio_max, settings.body_seconds_max)


class TooSlow(errors.Refused):
    """408: the body did not come in time."""

    status = 408
    issue = "timeout"


async def read(chunks: AsyncIterator[bytes], *, encoding: str, length: str, limits: Limits, hold: Hold) -> bytes:
    """Return the body of a request, unpacked.

    `encoding` and `length` are the headers Content-Encoding and Content-Length as sent, '' when absent. What is held
    in memory is counted on `hold` as it comes. Raises errors.UnsupportedMedia, errors.TooLarge, errors.Incorrect (not
    gzip, or cut short), errors.Busy, TooSlow.
    """
    coding = encoding.strip().lower()
    if coding not in {"", "identity", *ENCODINGS}:
        raise errors.UnsupportedMedia("this door unpacks gzip and nothing else", at="Content-Encoding")
    if length.isdecimal() and int(length) > limits.bytes_max:
        raise _too_large(limits)
    try:
        async with asyncio.timeout(limits.seconds_max):
            if coding in ENCODINGS:
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
            raise _too_large(limits)
        if chunk:
            hold.add(size=len(chunk))
            parts.append(chunk)
    return parts[0] if len(parts) == 1 else b"".join(parts)


async def _unpack(chunks: AsyncIterator[bytes], limits: Limits, hold: Hold) -> bytes:
    out = bytearray()
    packed = 0
    member = zlib.decompressobj(_GZIP)
    started = False
    async for chunk in chunks:
        packed += len(chunk)
        left = chunk
        while left:
            if member.eof:
                member = zlib.decompressobj(_GZIP)
            try:
                step = member.decompress(left, _STEP_BYTES)
            except zlib.error:
                raise errors.Incorrect("the body is not gzip, or damaged", at="Content-Encoding") from None
            started = True
            out += step
            if len(out) > limits.bytes_max:
                raise _too_large(limits)
            if len(out) > limits.gzip_ratio_max * packed:
                raise errors.TooLarge(
                    f"the gzip body unpacks to more than {limits.gzip_ratio_max} times its size", at="Content-Encoding"
                )
            hold.add(size=len(step))
            left = member.unused_data if member.eof else member.unconsumed_tail
            if left:
                await asyncio.sleep(0)
    if not (started and member.eof):
        raise errors.Incorrect("the gzip body is cut short", at="Content-Encoding")
    return bytes(out)


def _too_large(limits: Limits) -> errors.TooLarge:
    return errors.TooLarge(f"the body is larger than {limits.bytes_max} bytes: send several")
