"""Packed bodies: gzip unpacked as it comes, under limits. Pure: whoever reads the network hands the chunks over.

Sources: RFC 9110 §8.4 (Content-Encoding), RFC 1952 §2.2 (a gzip body may have several members). A bomb is refused
while it unpacks, by its ratio or by its size, whichever comes first.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from gateway import errors
from gateway.settings import Settings

ENCODINGS: Final = ("gzip", "x-gzip")
STEP_BYTES: Final = 256 << 10
"""Unpacked in one step: what a caller on an event loop does between two breaths."""
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

    def too_large(self) -> errors.TooLarge:
        """Return the refusal of a body over the limit of bytes."""
        return errors.TooLarge(f"the body is larger than {self.bytes_max} bytes: send several")


def coding(header: str) -> str:
    """Return `gzip` or '' for a Content-Encoding. Raises errors.UnsupportedMedia for any other."""
    name = header.strip().lower()
    if name not in {"", "identity", *ENCODINGS}:
        raise errors.UnsupportedMedia("this door unpacks gzip and nothing else", at="Content-Encoding")
    return "gzip" if name in ENCODINGS else ""


class Unpacker:
    """Unpacks one gzip body. `feed` each chunk, then `end`."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._packed = self._unpacked = 0
        self._member = zlib.decompressobj(_GZIP)
        self._started = False

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Yield what a chunk unpacks to, in steps of at most STEP_BYTES. Raises errors.Incorrect (not gzip),
        errors.TooLarge.
        """
        self._packed += len(chunk)
        left = chunk
        while left:
            if self._member.eof:
                self._member = zlib.decompressobj(_GZIP)
            try:
                step = self._member.decompress(left, STEP_BYTES)
            except zlib.error:
                raise errors.Incorrect("the body is not gzip, or damaged", at="Content-Encoding") from None
            self._started = True
            self._unpacked += len(step)
            if self._unpacked > self._limits.bytes_max:
                raise self._limits.too_large()
            if self._unpacked > self._limits.gzip_ratio_max * self._packed:
                raise errors.TooLarge(
                    f"the gzip body unpacks to more than {self._limits.gzip_ratio_max} times its size",
                    at="Content-Encoding",
                )
            left = self._member.unused_data if self._member.eof else self._member.unconsumed_tail
            yield step

    def end(self) -> None:
        """Raise errors.Incorrect when the body was cut short."""
        if not (self._started and self._member.eof):
            raise errors.Incorrect("the gzip body is cut short", at="Content-Encoding")
