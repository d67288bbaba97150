"""Binary in its own form (FHIR R4 binary.html, http.html#binary): bytes and their Content-Type instead of a resource.

What somebody stored is never run for somebody else: it goes out as an attachment, in a sandbox, and its type is not
guessed at (nosniff, with every answer). Whoever asks in FHIR's types, or says nothing, gets the resource.
"""

from __future__ import annotations

import base64
import re
from typing import Any, Final

from gateway import errors
from gateway.formats import json
from gateway.model import Resource
from gateway.serve import media
from gateway.serve.answer import Answer, Header, stamps
from gateway.serve.asking import Asking
from gateway.store.port import Version

_WORD: Final = r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"
_MEDIA_TYPE: Final = re.compile(rf'{_WORD}/{_WORD}(?: ?; ?{_WORD}=(?:{_WORD}|"[ !#-\[\]-~]*"))*')
_UNKNOWN: Final = "application/octet-stream"
_CONTEXT: Final = re.compile(r"[!-~]+")
_HARMLESS: Final[list[Header]] = [
    (b"content-security-policy", b"sandbox; default-src 'none'"),
    (b"content-disposition", b"attachment"),
]


def sent(asking: Asking) -> bool:
    """Say whether a request brings a Binary in its own form."""
    kind = asking.header(b"content-type")
    return asking.matched.type == "Binary" and bool(kind.strip()) and not media.is_fhir(kind)


def made(asking: Asking) -> Resource:
    """Return the Binary that holds the bytes of a request. Raises UnsupportedMedia, Incorrect."""
    kind = asking.header(b"content-type").strip()
    if not _MEDIA_TYPE.fullmatch(kind):
        raise errors.UnsupportedMedia("Content-Type is not a media type", at="Content-Type")
    resource: dict[str, Any] = {"resourceType": "Binary", "contentType": kind}
    if asking.matched.id:
        resource["id"] = asking.matched.id
    if context := asking.condition(b"x-security-context").strip():
        if not _CONTEXT.fullmatch(context):
            raise errors.Incorrect("X-Security-Context is a reference", at="X-Security-Context")
        resource["securityContext"] = {"reference": context}
    if asking.body:
        resource["data"] = base64.b64encode(asking.body).decode()
    return resource


def native(version: Version) -> Answer:
    """Return what a stored Binary holds, as it is."""
    resource = json.loads(version.body)
    kind = resource["contentType"]
    if not _MEDIA_TYPE.fullmatch(kind):
        kind = _UNKNOWN
    headers = [*stamps(version), *_HARMLESS]
    context = resource.get("securityContext", {}).get("reference", "")
    if _CONTEXT.fullmatch(context):
        headers.append((b"x-security-context", context.encode()))
    return Answer(200, base64.b64decode(resource.get("data", "")), headers, kind=kind.encode())
