"""MLLP frames: `<VT> payload <FS><CR>`. Pure: bytes in, frames out; no socket, no clock, no idea what a payload says.

Source: HL7 v2 Minimal Lower Layer Protocol, release 1 and 2. The verdict never depends on how the bytes were cut into
reads. What cannot be decided yet (an FS that stands last in what has come) waits; `Decoder.idle` decides it for a
door that has waited long enough.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

START: Final = b"\x0b"
END: Final = b"\x1c"
TAIL: Final = b"\r"

COMMIT_ACK: Final = b"\x0b\x06\x1c\r"
"""Release 2: this block was stored."""
COMMIT_NAK: Final = b"\x0b\x15\x1c\r"
"""Release 2: this block was not stored."""

_START_BYTE: Final = 0x0B
_ENDINGS: Final = {0x0D: 1, 0x0A: 1, _START_BYTE: 0}
"""What may follow FS at the end of a block, and whether it belongs to it."""
_HEAD_BYTES: Final = 1024


@dataclass(frozen=True, slots=True)
class Frame:
    """One payload. `lenient` when its end was not FS CR; `junk_bytes` stood between the block before and this one."""

    payload: bytes
    lenient: bool = False
    junk_bytes: int = 0


@dataclass(frozen=True, slots=True)
class FrameError:
    """A block over the cap. Its bytes are thrown away up to its end; the next block is read as usual."""

    text: str
    junk_bytes: int = 0
    head: bytes = b""
    """The block's first bytes: with luck its MSH, so that the refusal can name the message."""


class Decoder:
    """Cuts a stream into frames. One per connection. Holds at most `bytes_max` and one read."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._held = bytearray()
        self._inside = False
        self._dropping = False
        self._scanned = 0
        self._junk = 0

    @property
    def half(self) -> bool:
        """Tell whether a block has started and not ended: a door then minds its idle time-out."""
        return self._inside

    @property
    def awaiting_end(self) -> bool:
        """Tell whether the last byte was FS: perhaps the end of a block whose sender leaves the CR out. See `idle`."""
        return self._inside and self._held.endswith(END)

    def feed(self, data: bytes) -> list[Frame | FrameError]:
        """Take what a read gave; return the frames that are complete now, in order."""
        self._held += data
        done: list[Frame | FrameError] = []
        while True:
            if not self._inside and not self._enter():
                return done
            end = self._find_end()
            if end < 0:
                # An FS that stands last may be the end, not the payload.
                if not self._dropping and len(self._held) - self._held.endswith(END) > self._bytes_max:
                    done.append(self._too_large())
                if self._dropping:
                    # Only an FS at the very end can still matter.
                    del self._held[: len(self._held) - (1 if self._held.endswith(END) else 0)]
                    self._scanned = 0
                return done
            follower = self._held[end + 1]
            self._leave(end, 1 + _ENDINGS[follower], lenient=follower != TAIL[0], done=done)

    def idle(self) -> list[Frame | FrameError]:
        """Say that nothing came for a moment (a tenth of a second will do): an FS that stands last ends its block."""
        done: list[Frame | FrameError] = []
        if self.awaiting_end:
            self._leave(len(self._held) - 1, 1, lenient=True, done=done)
        return done

    def _enter(self) -> bool:
        start = self._held.find(START)
        if start < 0:
            self._count_junk(bytes(self._held))
            self._held.clear()
            return False
        self._count_junk(bytes(self._held[:start]))
        del self._held[: start + 1]
        self._inside = True
        self._scanned = 0
        return True

    def _count_junk(self, between: bytes) -> None:
        # Line ends between blocks are a lenient sender's habit, not junk.
        self._junk += len(between) - between.count(b"\r") - between.count(b"\n")

    def _find_end(self) -> int:
        """Return where the block's FS stands, -1 when it has not come. An FS inside text is followed by other bytes."""
        at = self._held.find(END, self._scanned)
        while at >= 0 and at + 1 < len(self._held):
            if self._held[at + 1] in _ENDINGS:
                return at
            at = self._held.find(END, at + 1)
        self._scanned = at if at >= 0 else len(self._held)
        return -1

    def _too_large(self) -> FrameError:
        self._dropping = True
        junk, self._junk = self._junk, 0
        # No more than surely is here by now, however the bytes were cut.
        head = bytes(self._held[: min(_HEAD_BYTES, self._bytes_max)])
        return FrameError(f"A block is larger than {self._bytes_max} bytes.", junk, head)

    def _leave(self, end: int, taken: int, *, lenient: bool, done: list[Frame | FrameError]) -> None:
        if not self._dropping and end > self._bytes_max:
            done.append(self._too_large())
        if not self._dropping:
            done.append(Frame(bytes(self._held[:end]), lenient, self._junk))
            self._junk = 0
        del self._held[: end + taken]
        self._inside = self._dropping = False
        self._scanned = 0


def frame(payload: bytes) -> bytes:
    """Return `payload` in a block."""
    return START + payload + END + TAIL
