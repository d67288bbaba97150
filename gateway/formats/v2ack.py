"""Acknowledgements of HL7 v2: whether a sender wants one, and its bytes. HL7 v2.9 §2.9, tables 0008, 0155, 0357.

What it is not: it decides nothing about the message; the door says AA or AE, this writes it. Everything that is the
sender's own (separators, version, control id) goes back byte for byte.
"""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Sequence
from typing import Final, Literal

from gateway.formats import er7, er7_text

Code = Literal["AA", "AE", "AR", "CA", "CE", "CR"]

ERROR_TEXTS: Final = {
    "0": "Message accepted",
    "100": "Segment sequence error",
    "101": "Required field missing",
    "102": "Data type error",
    "103": "Table value not found",
    "200": "Unsupported message type",
    "201": "Unsupported event code",
    "202": "Unsupported processing id",
    "203": "Unsupported version id",
    "204": "Unknown key identifier",
    "205": "Duplicate key identifier",
    "206": "Application record locked",
    "207": "Application internal error",
}
"""Table 0357, message error condition codes."""

_TEXT_LENGTH_MAX: Final = 250
_ERR_SINCE: Final = (2, 5)
_MSA3_UNTIL: Final = (2, 7)


class AckMode(enum.Enum):
    """What the sender asked for in MSH-15 and MSH-16."""

    ORIGINAL = "original"
    """One answer, AA, AE or AR, when the message is dealt with."""
    ACCEPT = "accept"
    """CA, CE or CR when it is stored; nothing later."""
    BOTH = "both"
    """CA, CE or CR when it is stored, and a message of its own with AA, AE or AR later."""
    NONE = "none"
    """No answer at all."""


def mode(asked: er7.Peek) -> AckMode:
    """Return the acknowledgement mode of a message. ER and SU count as asking; `wanted` says when."""
    accept, application = asked.accept_ack, asked.application_ack
    if not accept and not application:
        return AckMode.ORIGINAL
    if accept in {"", "NE"}:
        # NE with AL is answered like the original mode by most engines (§2.9.3 leaves the channel open).
        return AckMode.NONE if application in {"", "NE"} else AckMode.ORIGINAL
    return AckMode.ACCEPT if application in {"", "NE"} else AckMode.BOTH


def wanted(asked: er7.Peek, code: Code) -> bool:
    """Tell whether the sender wants this answer: table 0155, AL always, NE never, ER on errors, SU on success."""
    if not asked.accept_ack and not asked.application_ack:
        return True
    condition = asked.accept_ack if code.startswith("C") else asked.application_ack
    if condition == "ER":
        return not code.endswith("A")
    if condition == "SU":
        return code.endswith("A")
    return condition == "AL"


def acknowledge(
    message: er7.Peek | bytes,
    code: Code,
    *,
    now: dt.datetime,
    control_id: str,
    text: str = "",
    error: str = "",
) -> bytes:
    """Return an ACK to `message`: what `er7.peek` saw, or the raw bytes (without MSH they are answered with defaults).

    `error` is a code of table 0357, told in ERR from version 2.5 on; `text` goes to MSA-3 up to version 2.6, and to
    ERR-8.    `now` must be timezone-aware; `control_id` is our own and new for every answer.
    """
    seen = _seen(message)
    syntax = er7.syntax_of(_latin(seen.field_separator), _latin(seen.encoding_characters), "utf-8")
    bar, hat = seen.field_separator, _bytes(syntax.component)
    version = _version(seen.version)
    kind = hat.join([b"ACK", *([_bytes(seen.trigger_event), b"ACK"] if seen.trigger_event else [])])
    charset = seen.charset or b""
    ascii_text = er7_text.escape(text[:_TEXT_LENGTH_MAX], syntax).encode("ascii", "replace")
    msh = [
        b"MSH" + bar + seen.encoding_characters,
        seen.receiving_application,
        seen.receiving_facility,
        seen.sending_application,
        seen.sending_facility,
        timestamp(now),
        b"",
        kind,
        control_id.encode("ascii"),
        seen.processing_id or b"P",
        seen.version or b"2.5.1",
        *([b""] * 5),
        charset,
    ]
    msa = [b"MSA", code.encode(), seen.control_id]
    if ascii_text and version < _MSA3_UNTIL:
        msa.append(ascii_text)
    segments = [bar.join(msh).rstrip(bar), bar.join(msa)]
    if error and version >= _ERR_SINCE:
        condition = hat.join([error.encode(), ERROR_TEXTS.get(error, "").encode(), b"HL70357"])
        severity = b"I" if code.endswith("A") else b"E"
        segments.append(bar.join([b"ERR", b"", b"", condition, severity, b"", b"", b"", ascii_text]).rstrip(bar))
    return b"\r".join(segments) + b"\r"


def acknowledge_batch(batch: er7.Peek, answers: Sequence[bytes], *, now: dt.datetime, control_id: str) -> bytes:
    """Return one batch of ACKs to a batch: BHS with the sender's BHS-11 in BHS-12, the answers in order, BTS."""
    bar = batch.field_separator
    bhs = [
        b"BHS" + bar + batch.encoding_characters,
        batch.receiving_application,
        batch.receiving_facility,
        batch.sending_application,
        batch.sending_facility,
        timestamp(now),
        b"",
        b"",
        b"",
        control_id.encode("ascii"),
        batch.control_id,
    ]
    return bar.join(bhs) + b"\r" + b"".join(answers) + b"BTS" + bar + str(len(answers)).encode() + b"\r"


def timestamp(now: dt.datetime) -> bytes:
    """Write `now` as an HL7 DTM with its zone, `20261122100000.123+0100`."""
    return f"{now:%Y%m%d%H%M%S}.{now.microsecond // 1000:03d}{now:%z}".encode()[:23]


def _seen(message: er7.Peek | bytes) -> er7.Peek:
    if isinstance(message, er7.Peek):
        seen = message
    else:
        try:
            seen = er7.peek(message)
        except er7.Unreadable:
            seen = er7.peek(b"MSH|^~\\&|")
    if not seen.encoding_characters.strip():
        return er7.peek(b"MSH|^~\\&" + _after_msh2(message)) if isinstance(message, bytes) else er7.peek(b"MSH|^~\\&|")
    return seen


def _after_msh2(message: bytes) -> bytes:
    line = message[message.find(b"MSH") :].split(b"\r", 1)[0].split(b"\n", 1)[0]
    parts = line.split(line[3:4], 2)
    return b"|" + parts[2].replace(line[3:4], b"|") if len(parts) > 2 else b"|"  # noqa: PLR2004


def _version(raw: bytes) -> tuple[int, int]:
    digits = raw.split(b"^", 1)[0].split(b".")
    try:
        return int(digits[0]), int(digits[1]) if len(digits) > 1 else 0
    except ValueError:
        return (2, 5)


def _latin(raw: bytes) -> str:
    return raw.decode("latin-1")


def _bytes(text: str) -> bytes:
    return text.encode("latin-1", "replace")
