"""Files named on the command line → messages, cut as the HTTP door cuts them. For `translate` and `send`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gateway.errors import Refused
from gateway.model import Feed, Piece, Reason, RejectionCode
from gateway.translate.registry import Station

BY_ENDING = {
    ".hl7": "application/hl7-v2",
    ".er7": "application/hl7-v2",
    ".ndjson": "application/x-ndjson",
    ".json": "application/json",
    ".xml": "application/xml",
}
_LINES = {"application/x-ndjson"}


@dataclass(frozen=True, slots=True)
class Found:
    """One message of a file, or why the door would not take what is there. `line` is set for NDJSON, from 1."""

    file: str
    content_type: str
    piece: Piece | None
    reason: Reason | None = None
    line: int = 0

    @property
    def place(self) -> dict[str, str | int]:
        """Return `{"file"}`, with the line where there are several."""
        return {"file": self.file, "line": self.line} if self.line else {"file": self.file}


def content_type_of(path: Path, body: bytes, feed: Feed) -> str:
    """Return the content type of a file: by its ending where the feed takes that, else by its first byte."""
    kind = BY_ENDING.get(path.suffix.lower(), "")
    if kind and (not feed.content_types or kind in feed.content_types):
        return kind
    start = body.lstrip(b"\xef\xbb\xbf \t\r\n\x0b")[:1]
    if start in {b"{", b"["} and "application/json" in feed.content_types:
        return "application/json"
    if start == b"<" and "application/xml" in feed.content_types:
        return "application/xml"
    return feed.content_types[0] if feed.content_types else "application/octet-stream"


def messages(path: Path, station: Station) -> Iterator[Found]:
    """Yield the messages of one file in order. Raises OSError when it cannot be read."""
    body = path.read_bytes()
    kind = content_type_of(path, body, station.feed)
    if kind not in _LINES:
        yield from _cut(str(path), 0, body, kind, station)
        return
    for number, line in enumerate(body.split(b"\n"), start=1):
        if line.strip():
            yield from _cut(str(path), number, line, "application/json", station)


def _cut(file: str, line: int, body: bytes, kind: str, station: Station) -> Iterator[Found]:
    try:
        pieces = station.adapter.split(body, kind, station.feed)
    except Refused as refused:
        yield Found(file, kind, None, Reason(RejectionCode.MALFORMED, refused.at, refused.text), line)
        return
    for piece in pieces:
        yield Found(file, kind, piece, None, line)
