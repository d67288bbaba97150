"""Which representation a caller wants, and which one was sent (FHIR R4 http, content types and encodings).

`_format` goes before Accept; FHIR 4.0 in JSON and XML, UTF-8. What nobody here speaks is 406 going out and 415 coming in.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from typing import Final

from gateway import errors

FHIR_JSON: Final = "application/fhir+json"
FHIR_XML: Final = "application/fhir+xml"
_JSON: Final = (FHIR_JSON, "application/json", "json", "text/json", "application/json+fhir")
_XML: Final = (FHIR_XML, "application/xml", "xml", "text/xml", "application/xml+fhir")
_AS_ASKED: Final = ("application/json", "text/json", "application/xml", "text/xml")
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
    native: bool = False
    """Whether other types were named, and none of FHIR's: a Binary is then answered as what it holds."""
    acceptable: bool = True
    """Whether the caller takes it; else everything but such a Binary is 406."""


def _media(name: str) -> Media:
    xml = name in _XML
    shown = name if name in _AS_ASKED else FHIR_XML if xml else FHIR_JSON
    return Media(f"{shown}; charset=utf-8".encode(), xml)


JSON: Final = _media(FHIR_JSON)
_NATIVE: Final = (replace(JSON, native=True), replace(JSON, native=True, acceptable=False))
_NOTHING: Final = replace(JSON, acceptable=False)


def wanted(accept: str, format_: str) -> Media:
    """Return the representation of the answer. Raises NotAcceptable for a `_format` that is not FHIR's."""
    return _by_format(format_) if format_ else _by_accept(accept)


def native(media: Media, *, binary: bool) -> bool:
    """Say whether the answer to a request, if it reads a `binary`, is what that holds. Raises NotAcceptable when the
    caller takes no resource and it is not.
    """
    if not media.acceptable and not (media.native and binary):
        raise errors.NotAcceptable(
            "this server answers in application/fhir+json and application/fhir+xml (FHIR 4.0)", at="Accept"
        )
    return media.native and binary


def _by_format(format_: str) -> Media:
    name, options = _cut(format_.replace(" ", "+"))  # a plus sign that nobody encoded
    if name not in {*_JSON, *_XML} or options.get("fhirversion", _FHIR_VERSIONS[0]) not in _FHIR_VERSIONS:
        raise errors.NotAcceptable("this server answers in json and xml (FHIR 4.0)", at="_format")
    return _media(name)


@functools.lru_cache(maxsize=512)
def _by_accept(accept: str) -> Media:
    if not accept.strip():
        return JSON
    best, chosen, others = (0.0, 0), JSON, False
    named = False
    refused: set[str] = set()
    for part in accept.split(",")[:_PARTS_MAX]:
        name, options = _cut(part)
        try:
            weight = float(options.get("q", "1"))
        except ValueError:
            continue
        if options.get("fhirversion", _FHIR_VERSIONS[0]) not in _FHIR_VERSIONS:
            continue
        if weight <= 0:
            refused.add(name)
        # of equal weights a name goes before a range, and what stands first before what follows
        others = others or (weight > 0 and "/" in name and name not in {*_JSON, *_XML, *_RANGES})
        rank = (weight, 1) if name in _JSON or name in _XML else (weight, 0) if name in _RANGES else (0.0, 0)
        named = named or (rank[1] == 1 and weight > 0)
        if rank > best:
            best, chosen = rank, _media(name) if rank[1] else JSON
    if best[1] == 0 and FHIR_JSON in refused:  # a range leaves out what is refused by name (RFC 9110 §12.5.1)
        best, chosen = (0.0, 0) if FHIR_XML in refused else best, _media(FHIR_XML)
    if best[0] <= 0:
        return _NATIVE[1] if others else _NOTHING
    return _NATIVE[0] if others and not named else chosen


def is_fhir(content_type: str) -> bool:
    """Say whether a content type is one in which resources come."""
    return _cut(content_type)[0] in {*_JSON, *_XML}


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
