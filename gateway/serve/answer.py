"""What the API answers: status, headers, bytes; and every refusal as an OperationOutcome (FHIR R4 http, outcomes).

The one table kind → status → issue code stands in `gateway.errors`; this module writes it down for HTTP. A text is
shown as it was raised, which the house keeps free of values; a bug shows nothing at all.
"""

from __future__ import annotations

import datetime as dt
import email.utils
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from gateway import errors
from gateway.access import Why
from gateway.access.decide import NotPermitted
from gateway.clock import UTC
from gateway.formats import json
from gateway.identity import NotAuthenticated
from gateway.serve.routes import MethodNotAllowed
from gateway.store.port import Version

Header = tuple[bytes, bytes]
EVERY_ANSWER: Final[list[Header]] = [
    (b"cache-control", b"private, no-cache"),
    (b"vary", b"authorization, accept, accept-encoding, prefer"),
    (b"x-content-type-options", b"nosniff"),
]
FAULTS_MAX: Final = 100
_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_BUG: Final = "something went wrong here; it has been noted"


@dataclass(slots=True)
class Answer:
    """One HTTP answer. `resource` is the body in FHIR JSON, before `_pretty` and XML."""

    status: int
    resource: bytes = b""
    headers: list[Header] = field(default_factory=list)
    kind: bytes = b""
    """The content type of a body that is no resource (a Binary's content), which goes out as it is."""
    lasting: bool = False
    """Whether the same bytes are answered again and again: then every form of them is made once."""


class Invalid(errors.Unprocessable):
    """422 with an issue for each fault: what is not valid FHIR R4."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__(faults[0].text, at=faults[0].at)
        self.faults = faults


class Fault(NamedTuple):
    """One issue: its code (FHIR issue-type), words without any value, and the element's path in the request."""

    code: str
    text: str
    at: str


def _expression(at: str) -> dict[str, list[str]]:
    """Return the expression of an issue (R4: a simple FHIRPath, or the name of a header or parameter). Where a text
    cannot be parsed there is none: its words say the line.
    """
    return {"expression": [at]} if at and " " not in at and at != "DOCTYPE" else {}


def faults(found: Sequence[Fault]) -> bytes:
    """Return an OperationOutcome with an error for each fault; of more than a hundred, the first and how many more."""
    issues: list[dict[str, Any]] = [
        {"severity": "error", "code": code, "diagnostics": text, **_expression(at)}
        for code, text, at in found[:FAULTS_MAX]
    ]
    if len(found) > FAULTS_MAX:
        more = f"and {len(found) - FAULTS_MAX} more"
        issues.append({"severity": "error", "code": found[-1].code, "diagnostics": more})
    return json.dumps({"resourceType": "OperationOutcome", "issue": issues})


def outcome(severity: str, code: str, texts: Sequence[str], at: str = "") -> bytes:
    """Return an OperationOutcome with an issue for each text."""
    issues = [{"severity": severity, "code": code, "diagnostics": text, **_expression(at)} for text in texts]
    return json.dumps({"resourceType": "OperationOutcome", "issue": issues})


def refusal(error: Exception) -> Answer:
    """Return the answer to a request that ended in `error`: by the table for the house's own, 500 for a bug."""
    if not isinstance(error, errors.SundbroError) or isinstance(error, errors.Misconfigured):
        return Answer(500, outcome("fatal", "exception", [_BUG]))
    headers: list[Header] = []
    if isinstance(error, errors.Unauthenticated):
        invalid = not (isinstance(error, NotAuthenticated) and error.why is Why.NO_TOKEN)
        challenge = b'Bearer realm="sundbro"' + (b', error="invalid_token"' if invalid else b"")
        if isinstance(error, NotAuthenticated):
            challenge = error.challenge.encode() or challenge
            headers += [(b"dpop-nonce", error.nonce.encode())] if error.nonce else []
        headers.append((b"www-authenticate", challenge))
    if isinstance(error, NotPermitted) and error.why is Why.NO_SCOPE:
        headers.append((b"www-authenticate", b'Bearer realm="sundbro", error="insufficient_scope"'))
    if isinstance(error, MethodNotAllowed):
        headers.append((b"allow", error.allow.encode()))
    if isinstance(error, errors.Busy):
        headers.append((b"retry-after", str(error.retry_after_seconds).encode()))
    if isinstance(error, errors.Unavailable):
        headers.append((b"retry-after", b"1"))
    told = faults(error.faults) if isinstance(error, Invalid) else outcome("error", error.issue, [error.text], error.at)
    return Answer(error.status, told, headers)


def why(error: Exception) -> str:
    """Return the closed word for a refusal of access, '' for any other error."""
    return error.why.value if isinstance(error, NotAuthenticated | NotPermitted) else ""


def handling_applied(preference: str) -> list[Header]:
    """Return the header that says which handling was applied (RFC 7240 §3), none when none was preferred."""
    return [(b"preference-applied", f"handling={preference}".encode())] if preference in {"strict", "lenient"} else []


def etag(version: int) -> str:
    """Return the weak entity tag of a version, `W/"3"` (FHIR R4 http, versioning)."""
    return f'W/"{version}"'


def stamps(version: Version) -> list[Header]:
    """Return ETag and Last-Modified of a version."""
    at = version.last_updated.astimezone(UTC)
    # what email.utils.format_datetime does, in a fifth of the time
    clock = f"{at.hour:02}:{at.minute:02}:{at.second:02}"
    modified = f"{_DAYS[at.weekday()]}, {at.day:02} {_MONTHS[at.month - 1]} {at.year:04} {clock} GMT"
    return [(b"etag", b'W/"%d"' % version.version), (b"last-modified", modified.encode())]


def unchanged(version: Version, if_none_match: str, if_modified_since: str) -> bool:
    """Say whether a conditional read has nothing new (RFC 9110 §13.1: If-None-Match wins, weak comparison)."""
    if if_none_match:
        tags = {tag.strip().removeprefix("W/") for tag in if_none_match.split(",")}
        return "*" in tags or f'"{version.version}"' in tags
    if not if_modified_since:
        return False
    try:
        since = email.utils.parsedate_to_datetime(if_modified_since)
        since = since.replace(tzinfo=UTC) if since.tzinfo is None else since
        return version.last_updated - since < dt.timedelta(seconds=1)  # the header has whole seconds
    except (ValueError, TypeError, OverflowError, IndexError):
        return False  # an invalid date is to be ignored (RFC 9110 §13.1.3)
