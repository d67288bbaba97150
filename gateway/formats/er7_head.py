"""The head of an HL7 v2 message or batch, from raw bytes: what a door needs before anybody parses.

What it is not: a parser. It finds MSH, BHS and FHS at the start of lines and cuts them at their own separator; nothing
is decoded, nothing is unescaped. Byte values come out exactly as they came in. Source: HL7 v2.9 §2.10.3, §2.14.9.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from gateway import errors
from gateway.model import RejectionCode

_BOM: Final = b"\xef\xbb\xbf"
_HEADER = re.compile(rb"(?:\A(?:\xef\xbb\xbf)?|[\r\n])[ \t]*(MSH|FHS|BHS|BTS|FTS)(?=[^A-Za-z0-9\s])", re.IGNORECASE)
_SEGMENT_NAME_LENGTH: Final = 3


class Unreadable(errors.Unprocessable):
    """The bytes cannot be read as ER7 at all; `code` says why, `at` where."""

    def __init__(self, code: RejectionCode, at: str, text: str) -> None:
        super().__init__(text, at=at)
        self.code = code


@dataclass(frozen=True, slots=True)
class Peek:
    """What a door sees of a message without parsing it. Byte values are exactly the sender's."""

    control_id: bytes
    """MSH-10 as sent: leading zeros, trailing blanks and case kept."""
    message_code: str
    trigger_event: str
    sending_application: bytes
    sending_facility: bytes
    receiving_application: bytes
    receiving_facility: bytes
    processing_id: bytes
    version: bytes
    accept_ack: str
    application_ack: str
    charset: bytes
    field_separator: bytes
    encoding_characters: bytes


def peek(body: bytes) -> Peek:
    """Read MSH alone, from raw bytes: some microseconds. Raises `Unreadable` when there is no MSH."""
    return peek_line(header_line(body, b"MSH"))


def peek_batch(body: bytes) -> Peek | None:
    """Read BHS (else FHS) of a batch the same way; None when there is neither. BHS-11 stands in `control_id`."""
    for name in (b"BHS", b"FHS"):
        try:
            line = header_line(body, name)
        except Unreadable:
            continue
        fields = line.split(line[3:4])
        # BHS has name/id in 9, comment in 10 and the control id in 11, version in none: shape it like MSH.
        return peek_line(line[3:4].join([*fields[:8], b"", fields[10] if len(fields) > 10 else b"", b"P", b""]))  # noqa: PLR2004
    return None


def header_line(body: bytes, name: bytes) -> bytes:
    """Return the line of the first segment of that name, without its end. Raises `Unreadable` when there is none."""
    if body.startswith(name) and (end := body.find(b"\r")) > _SEGMENT_NAME_LENGTH and body.find(b"\n", 0, end) < 0:
        return body[:end]
    for found in _HEADER.finditer(body):
        if found.group(1).upper() == name:
            start = found.start(1)
            ends = [end for end in (body.find(b"\r", start), body.find(b"\n", start)) if end >= 0]
            return body[start : min(ends)] if ends else body[start:]
    raise Unreadable(
        RejectionCode.MALFORMED, name.decode(), f"There is no {name.decode()} segment at the start of a line."
    )


def peek_line(line: bytes) -> Peek:
    """Return what an MSH line says. Its separator is its own fourth byte."""
    separator = line[3:4]
    fields = line.split(separator)
    fields += [b""] * (18 - len(fields))
    encoding = fields[1]
    kind = fields[8].split(encoding[:1] or b"^")
    return Peek(
        control_id=fields[9],
        message_code=kind[0].decode("latin-1").strip(),
        trigger_event=kind[1].decode("latin-1").strip() if len(kind) > 1 else "",
        sending_application=fields[2],
        sending_facility=fields[3],
        receiving_application=fields[4],
        receiving_facility=fields[5],
        processing_id=fields[10],
        version=fields[11],
        accept_ack=fields[14].decode("latin-1").strip().upper(),
        application_ack=fields[15].decode("latin-1").strip().upper(),
        charset=fields[17],
        field_separator=separator,
        encoding_characters=encoding,
    )


def split_batch(body: bytes) -> list[bytes]:
    """Cut a batch or file (FHS, BHS, BTS, FTS, or bare messages in a row) into its messages, bytes exactly as sent.

    A body with one message and no batch segments comes back whole. Raises `Unreadable` when there is no MSH.
    """
    if body.startswith((b"MSH", _BOM + b"MSH")) and body.find(b"MSH", 6) < 0 and not _has_batch_segment(body):
        return [body]
    heads = [(found.start(1), found.group(1).upper()) for found in _HEADER.finditer(body)]
    messages = sum(1 for _, name in heads if name == b"MSH")
    if messages == 0:
        raise Unreadable(
            RejectionCode.MALFORMED, "MSH", "There is no MSH segment at the start of a line: not an HL7 v2 message."
        )
    if len(heads) == 1:
        return [body]
    ends = [start for start, _ in heads[1:]] + [len(body)]
    return [body[start:end].rstrip(b" \t") for (start, name), end in zip(heads, ends, strict=True) if name == b"MSH"]


def _has_batch_segment(body: bytes) -> bool:
    return b"BTS" in body or b"BHS" in body or b"FHS" in body or b"FTS" in body
