"""One request as the handlers see it: headers, query, body, and what the caller wants back. ASGI goes no further."""

from __future__ import annotations

import functools
import urllib.parse
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any, Final

from gateway import errors
from gateway.access import Actor
from gateway.formats import json
from gateway.model import Resource
from gateway.serve.answer import FHIR_JSON
from gateway.serve.routes import Matched

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

FORM: Final = "application/x-www-form-urlencoded"
FORM_BYTES_MAX: Final = 64 << 10
BODY_BYTES_MAX: Final = 16 << 20
_FIELDS_MAX: Final = 200
_JSON: Final = ("application/fhir+json", "application/json", "json", "text/json", "application/json+fhir")
_RANGES: Final = ("*/*", "application/*")
_FHIR_VERSIONS: Final = ("4.0", "4.0.1")


@dataclass(slots=True)
class Asking:
    """A request whose address was found and, unless it is open to all, whose caller is known."""

    matched: Matched
    headers: dict[bytes, bytes]
    pairs: list[tuple[str, str]]
    actor: Actor | None = None
    body: bytes = b""
    """What was sent, within the size limit of the route; of a POST _search the form is among `pairs` already."""

    def header(self, name: bytes) -> str:
        """Return a header by its lower-case name, '' when it is not there."""
        return self.headers.get(name, b"").decode("latin-1")

    def take(self, name: str) -> str:
        """Take a parameter about the answer out of the pairs; the last one counts, '' when it is not there."""
        found = [value for key, value in self.pairs if key == name]
        if found:
            self.pairs = [(key, value) for key, value in self.pairs if key != name]
        return found[-1] if found else ""

    def resource(self) -> Resource:
        """Return the resource that was sent, parsed, not validated. Raises Incorrect, UnsupportedMedia."""
        kind = self.header(b"content-type").partition(";")[0].strip().lower()
        if kind not in _JSON:
            raise errors.UnsupportedMedia("a resource comes as application/fhir+json")
        sent = json.loads(self.body)
        if not isinstance(sent, dict):
            raise errors.Incorrect("a resource is a JSON object")
        return sent

    def lenient(self) -> bool:
        """Say whether the caller prefers what is not understood to be ignored (Prefer: handling=lenient)."""
        return "handling=lenient" in self.header(b"prefer").replace(" ", "").split(",")


def pairs_of(query: bytes) -> list[tuple[str, str]]:
    """Return the decoded pairs of a query string or form. Raises Incorrect when it is not one, or is not UTF-8."""
    if not query:
        return []
    if len(query) > FORM_BYTES_MAX:
        raise errors.TooLarge(f"parameters have at most {FORM_BYTES_MAX} bytes")
    try:
        return urllib.parse.parse_qsl(
            query.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=_FIELDS_MAX
        )
    except ValueError as error:
        raise errors.Incorrect("the parameters are not percent-encoded UTF-8, or there are too many") from error


async def form(receive: Receive, content_type: str) -> bytes:
    """Return the body of a POST _search. Raises UnsupportedMedia for another content type, TooLarge over 64 KiB."""
    body = await whole(receive, FORM_BYTES_MAX)
    if body and content_type.partition(";")[0].strip().lower() != FORM:
        raise errors.UnsupportedMedia(f"the parameters come as {FORM}")
    return body


async def whole(receive: Receive, bytes_max: int) -> bytes:
    """Return a body. Raises TooLarge beyond `bytes_max`, Incorrect when its sender goes away."""
    parts: list[bytes] = []
    size = 0
    while True:
        event = await receive()
        if event["type"] == "http.disconnect":
            raise errors.Incorrect("the body ended early")
        body = event.get("body", b"")
        parts.append(body)
        size += len(body)
        if size > bytes_max:
            raise errors.TooLarge(f"a body here has at most {bytes_max} bytes")
        if not event.get("more_body"):
            break
    return b"".join(parts)


def media_type(accept: str, format_: str) -> str:
    """Return the content type of the answer; `_format` goes before Accept. Raises NotAcceptable."""
    return _by_format(format_) if format_ else _by_accept(accept)


def _by_format(format_: str) -> str:
    kind = format_.replace(" ", "+").partition(";")[0].strip().lower()  # a plus sign that nobody encoded
    if kind not in _JSON:
        raise errors.NotAcceptable("this server answers in JSON only, for now", at="_format")
    return "application/json" if kind == "application/json" else FHIR_JSON


@functools.lru_cache(maxsize=512)
def _by_accept(accept: str) -> str:
    best = (0.0, 0, FHIR_JSON) if accept.strip() else (1.0, 0, FHIR_JSON)
    for part in accept.split(","):
        kind, *rest = (piece.strip().lower() for piece in part.split(";"))
        options = dict(piece.split("=", 1) for piece in rest if "=" in piece)
        try:
            weight = float(options.get("q", "1"))
        except ValueError:
            continue
        if options.get("fhirversion", _FHIR_VERSIONS[0]) not in _FHIR_VERSIONS:
            continue
        if kind in _RANGES:
            best = max(best, (weight, 0, FHIR_JSON))
        elif kind in _JSON:
            best = max(best, (weight, 1, "application/json" if kind == "application/json" else FHIR_JSON))
    if best[0] <= 0:
        raise errors.NotAcceptable("this server answers in application/fhir+json (FHIR 4.0) only, for now", at="Accept")
    return best[2]
