"""What the MLLP door decides from MSH alone: which feed a message belongs to, whether it may be taken, which answer.

Pure: no socket and no clock. Sources: HL7 v2.9 §2.9 (acknowledgement), tables 0008, 0103, 0155, 0211 and 0357; IHE ATNA
for the binding of client certificates to senders.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from gateway.errors import Misconfigured
from gateway.formats import er7, v2ack
from gateway.model import Feed, Reason, RejectionCode
from gateway.store.port import MessageRow, MessageState

_TEST_PROCESSING: Final = {b"T": "training", b"D": "debugging"}
_WIDE_CHARSETS: Final = (b"UTF-16", b"UTF-32", b"UTF16", b"UTF32")
_WIDE_HEADS: Final = (
    b"\xff\xfe",
    b"\xfe\xff",
    b"M\x00S\x00H\x00",
    b"\x00M\x00S\x00H",
    b"M\x00\x00\x00S",
    b"\x00\x00\x00M",
)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a message is answered with AR (CR): a code of table 0357 and words for its sender, without any value."""

    error: str
    text: str


HEADER: Final = "101"
"""Table 0357, required field missing: the header itself cannot be relied on."""
UNKNOWN_FEED: Final = Refusal("207", "This sender (MSH-3, MSH-4, client certificate) is not known here.")


def refusal(seen: er7.Peek, feed: Feed) -> Refusal | None:
    """Return why a message of a known feed cannot be taken, None when it can."""
    required = (
        (9, bool(seen.message_code)),
        (10, bool(seen.control_id.strip())),
        (11, bool(seen.processing_id.strip())),
        (12, bool(seen.version.strip())),
    )
    for number, there in required:
        if not there:
            return Refusal(HEADER, f"MSH-{number} is empty.")
    if any(wide in seen.charset.upper() for wide in _WIDE_CHARSETS):
        return Refusal("102", "MSH-18: UTF-16 and UTF-32 cannot travel in MLLP; send UTF-8 or ISO 8859.")
    component = seen.encoding_characters[:1] or b"^"
    processing = seen.processing_id.split(component)[0].strip().upper()
    if processing in _TEST_PROCESSING and not feed.accept_test_messages:
        return Refusal("202", f"MSH-11 marks a {_TEST_PROCESSING[processing]} message; this feed is in production.")
    return None


def unreadable(payload: bytes) -> Refusal:
    """Return why a payload without a readable MSH is refused."""
    if payload.startswith(_WIDE_HEADS):
        return Refusal("102", "The block is in UTF-16 or UTF-32, which cannot travel in MLLP; send UTF-8 or ISO 8859.")
    return Refusal("100", "There is no MSH segment: not an HL7 v2 message.")


@dataclass(frozen=True, slots=True)
class _Taker:
    feed: Feed
    senders: tuple[tuple[bytes, bytes], ...]
    certificates: frozenset[str]


class Routes:
    """Which feed a message that came over a connection belongs to.

    A feed file may say, under `options`:

    * `mllp_senders = ["EPJ|RH", "LIS|*"]`: MSH-3 and MSH-4 (their first component, or the field as sent; `*` is any).
    * `mllp_certificates = ["CN=adt.example.org,O=Region"]`: subjects of client certificates that may send into it. One
      common name alone (`"adt.example.org"`) will do.

    A client certificate that feeds name may send into those feeds and no other. `mutual_tls = true` without
    `mllp_certificates` takes any certificate of the door's CA. Among the feeds that a connection may use, the one whose
    senders match takes the message; else the one that names no senders. Two of those are a fault of the feed files.
    """

    def __init__(self, feeds: Iterable[Feed]) -> None:
        self._takers = [_taker(feed) for feed in feeds]
        by_certificates: dict[tuple[bool, frozenset[str]], str] = {}
        for taker in self._takers:
            if taker.senders:
                continue
            key = (taker.feed.mutual_tls, taker.certificates)
            if key in by_certificates:
                raise Misconfigured(
                    f"the feeds {by_certificates[key]} and {taker.feed.name} both take any sender by MLLP: "
                    "give all but one options.mllp_senders or options.mllp_certificates"
                )
            by_certificates[key] = taker.feed.name

    def open_to(self, subject: Sequence[str] | None) -> list[Feed]:
        """Return the feeds that a connection may send into. `subject` is None without a client certificate."""
        return [taker.feed for taker in self._open(subject)]

    def find(self, seen: er7.Peek, subject: Sequence[str] | None) -> Feed | None:
        """Return the feed of a message, None when it has none here."""
        component = seen.encoding_characters[:1] or b"^"
        application, facility = seen.sending_application, seen.sending_facility
        anybody: Feed | None = None
        for taker in self._open(subject):
            if not taker.senders:
                anybody = anybody or taker.feed
            elif any(
                _is(wanted[0], application, component) and _is(wanted[1], facility, component)
                for wanted in taker.senders
            ):
                return taker.feed
        return anybody

    def _open(self, subject: Sequence[str] | None) -> list[_Taker]:
        if subject is not None:
            named = [taker for taker in self._takers if not taker.certificates.isdisjoint(subject)]
            if named:
                return named
            # Feeds for any certificate come first: they are the stricter ones.
            return sorted(
                (taker for taker in self._takers if not taker.certificates), key=lambda t: not t.feed.mutual_tls
            )
        return [taker for taker in self._takers if not taker.certificates and not taker.feed.mutual_tls]


def _taker(feed: Feed) -> _Taker:
    senders = []
    for line in _texts(feed, "mllp_senders"):
        application, bar, facility = line.partition("|")
        if not bar:
            raise Misconfigured(f"feed {feed.name}: options.mllp_senders: {line!r} is not of the form MSH-3|MSH-4")
        senders.append((application.encode(), facility.encode()))
    return _Taker(feed, tuple(senders), frozenset(_texts(feed, "mllp_certificates")))


def _texts(feed: Feed, option: str) -> list[str]:
    value = feed.options.get(option, [])
    if not isinstance(value, list | tuple) or not all(isinstance(line, str) for line in value):
        raise Misconfigured(f"feed {feed.name}: options.{option} is not a list of texts")
    return list(value)


def _is(wanted: bytes, field: bytes, component: bytes) -> bool:
    return wanted in {b"*", field, field.split(component)[0]}


def subjects(certificate: Mapping[str, Any] | None) -> list[str] | None:
    """Return the names a verified client certificate may be called by: its whole subject, its common names.

    `certificate` is `ssl.SSLSocket.getpeercert()`; None or empty means that there was none.
    """
    if not certificate:
        return None
    short = {"commonName": "CN", "organizationName": "O", "organizationalUnitName": "OU", "countryName": "C"}
    parts = [(short.get(name, name), value) for group in certificate.get("subject", ()) for name, value in group]
    whole = ",".join(f"{name}={value}" for name, value in reversed(parts))
    return [whole, *(value for name, value in parts if name == "CN")]


_VERDICTS: Final[Mapping[RejectionCode, tuple[v2ack.Code, str]]] = {
    RejectionCode.UNSUPPORTED_TYPE: ("AR", "200"),
    RejectionCode.UNSUPPORTED_VERSION: ("AR", "203"),
    RejectionCode.TEST_MESSAGE: ("AR", "202"),
    RejectionCode.MALFORMED: ("AR", "100"),
    RejectionCode.STRUCTURE: ("AE", "100"),
    RejectionCode.REQUIRED_MISSING: ("AE", "101"),
    RejectionCode.IDENTITY_MISSING: ("AE", "101"),
    RejectionCode.IDENTITY_INVALID: ("AE", "204"),
    RejectionCode.CHARSET: ("AE", "102"),
    RejectionCode.VALUE_INVALID: ("AE", "102"),
    RejectionCode.CLOCK: ("AE", "102"),
    RejectionCode.CODE_UNKNOWN: ("AE", "103"),
    RejectionCode.UNIT_UNKNOWN: ("AE", "103"),
    RejectionCode.REFERENCE_BROKEN: ("AE", "204"),
}


def application_verdict(row: MessageRow) -> tuple[v2ack.Code, str, str]:
    """Return code, table 0357 condition and text of the application acknowledgement of a message that was dealt with.

    A message of which some readings were rejected is AA, with the reason in its text: to send it again would not help.
    """
    first: Reason | None = row.reasons[0] if row.reasons else None
    text = f"{first.at}: {first.text}" if first else ""
    if row.state is not MessageState.REJECTED or first is None:
        return "AA", "0", text
    code, error = _VERDICTS.get(first.code, ("AE", "207"))
    return code, error, text
