"""The home format's two functions. Which of its two languages a message speaks is decided here, nothing else.

KIH-style JSON is read by readings.py, FHIR R4 by bundles.py. A message may hold several readings; each stands on its
own, and the good ones are taken when others are refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from adapters.home_readings import bundles, envelopes, readings
from adapters.home_readings.outcome import Outcome
from adapters.home_readings.refusals import ReadingRefusedError
from gateway.errors import Incorrect, Unprocessable
from gateway.formats import json
from gateway.model import Feed, PersonKey, Piece, RawMessage, Reason, RejectionCode, Trace, Translation
from gateway.terminology.context import Context

LOOKED_AT_BYTES_MAX = 1 << 20
"""A larger body is not read at the door: it goes on the lane of its connection, and translation finds its faults."""

_BOM = b"\xef\xbb\xbf"


def split(body: bytes, content_type: str, feed: Feed) -> list[Piece]:  # noqa: ARG001 - the contract of all formats
    """Return the body as one piece, with its first person where that is quickly seen.

    NDJSON is cut into lines by the door, which calls this once per line. Raises errors.Unprocessable when the body is
    not JSON. A batch of several persons goes on the lane of the first: its changes have lanes of their own.
    """
    if len(body) > LOOKED_AT_BYTES_MAX:
        if body.removeprefix(_BOM).lstrip()[:1] not in (b"{", b"["):
            raise Unprocessable("not JSON: neither an object nor a list")
        return [Piece(body)]
    try:
        document = orjson.loads(body.removeprefix(_BOM))
    except orjson.JSONDecodeError:
        raise Unprocessable("not JSON in UTF-8") from None
    if not isinstance(document, dict | list):
        raise Unprocessable("not a reading: JSON, and neither an object nor a list")
    return [Piece(body, person=_first_person(document, feed))]


def _first_person(document: Any, feed: Feed) -> PersonKey | None:
    try:
        if isinstance(document, dict) and "resourceType" in document:
            return bundles.first_person(document, feed)
        _, found, envelope = envelopes.unwrap(document)
        return envelopes.first_person(found[0], envelope, feed)
    except ReadingRefusedError:
        return None


def translate(raw: RawMessage, context: Context, trace: Trace | None = None) -> Translation:
    """Return the Observations of a message with the persons and instruments they name, and what was refused and why."""
    try:
        document = json.loads(raw.body)
    except Incorrect as error:
        return _rejected(Reason(RejectionCode.MALFORMED, error.at, error.text))
    try:
        if isinstance(document, Mapping) and "resourceType" in document:
            return bundles.translate(document, Outcome(raw, context, trace, ""))
        return readings.translate(document, Outcome(raw, context, trace, ""))
    except ReadingRefusedError as refused:
        return _rejected(refused.reason(""))


def _rejected(reason: Reason) -> Translation:
    return Translation(reasons=[reason], message_type="home")
