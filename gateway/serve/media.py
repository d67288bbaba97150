"""Which representation a caller wants, and which one was sent (FHIR R4 http, content types and encodings).

`_format` goes before Accept; FHIR 4.0 in JSON and XML, UTF-8. What nobody here speaks is 406 going out and 415 coming in.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Final

from gateway import errors

FHIR_JSON: Final = "application/fhir+json"
FHIR_XML: Final = "application/fhir+xml"
_JSON: Final = (FHIR_JSON, "application/json", "json", "text/json", "application/json+fhir")
_XML: Final = (FHIR_XML, "application/xml", "xml", "text/xml", "application/xml+fhir")
_AS_ASKED: Final = ("application/json", "application/xml", "text/xml")
"""Answered under the very name that was asked for; all others under FHIR's own."""
_RANGES: Final = ("*/*", "application/*")
_FHIR_VERSIONS: Final = ("4.0", "4.0.1")
_UTF8: Final = ("", "utf-8", "utf8", "us-ascii")
_PARTS_MAX: Final = 50


@dataclass(frozen=True, slots=True)
class Media:
    """A representation: its content type as a header has it, and whether it is XML."""

    header: bytes
    xml: bool


def _media(name: str) -> Media:
    xml = name in _XML
    shown = name if name in _AS_ASKED else FHIR_XML if xml else FHIR_JSON
    return Media(f"{shown}; charset=utf-8".encode(), xml)


JSON: Final = _media(FHIR_JSON)


def wanted(accept: str, format_: str) -> Media:
    """Return the representation of the answer. Raises NotAcceptable."""
    return _by_format(format_) if format_ else _by_accept(accept)


def _by_format(format_: str) -> Media:
    name, options = _cut(format_.replace(" ", "+"))  # a plus sign that nobody encoded
    if name not in {*_JSON, *_XML} or options.get("fhirversion", _FHIR_VERSIONS[0]) not in _FHIR_VERSIONS:
        raise errors.NotAcceptable("this server answers in json and xml (FHIR 4.0)", at="_format")
    return _media(name)


@functools.lru_cache(maxsize=512)
def _by_accept(accept: str) -> Media:
    if not accept.strip():
        return JSON
    best, chosen = (0.0, 0), JSON
    for part in accept.split(",")[:_PARTS_MAX]:
        name, options = _cut(part)
        try:
            weight = float(options.get("q", "1"))
        except ValueError:
            continue
        if options.get("fhirversion", _FHIR_VERSIONS[0]) not in _FHIR_VERSIONS:
            continue
        # of equal weights a name goes before a range, and what stands first before what follows
        rank = (weight, 1) if name in _JSON or name in _XML else (weight, 0) if name in _RANGES else (0.0, 0)
        if rank > best:
            best, chosen = rank, _media(name) if rank[1] else JSON
    if best[0] <= 0:
        raise errors.NotAcceptable(
            "this server answers in application/fhir+json and application/fhir+xml (FHIR 4.0)", at="Accept"
        )
    return chosen


def sent_as_xml(content_type: str) -> bool:
    """Say whether a resource that was sent is XML, else it is JSON. Raises UnsupportedMedia for anything else."""
    name, options = _cut(content_type)
    if name not in {*_JSON, *_XML}:
        raise errors.UnsupportedMedia(f"a resource comes as {FHIR_JSON} or {FHIR_XML}", at="Content-Type")
    if options.get("charset", "") not in _UTF8:
        raise errors.UnsupportedMedia("a resource comes in UTF-8", at="Content-Type")
    if options.get("fhirversion", _FHIR_VERSIONS[0]) not in _FHIR_VERSIONS:
        raise errors.UnsupportedMedia("this server takes FHIR 4.0", at="Content-Type")
    return name in _XML


def _cut(header: str) -> tuple[str, dict[str, str]]:
    """Return a media type in lower case, and its parameters."""
    name, *rest = (piece.strip().lower() for piece in header.split(";"))
    pairs = (piece.partition("=") for piece in rest)
    return name, {key.strip(): value.strip().strip('"') for key, _, value in pairs}
