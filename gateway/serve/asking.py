"""One request as the handlers see it: headers, query, body, and what the caller wants back. ASGI goes no further."""

from __future__ import annotations

import functools
import urllib.parse
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any, Final

from gateway import errors
from gateway.access import Actor
from gateway.fhir import xml
from gateway.formats import json
from gateway.model import Resource
from gateway.search import values
from gateway.serve import media
from gateway.serve.routes import FORM, Matched

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

FORM_BYTES_MAX: Final = 64 << 10
_FIELDS_MAX: Final = 200


@dataclass(slots=True)
class Asking:
    """A request whose address was found and, unless it is open to all, whose caller is known."""

    matched: Matched
    headers: dict[bytes, bytes]
    pairs: list[tuple[str, str]]
    actor: Actor | None = None
    body: bytes = b""
    """What was sent, within the size limit of the route; of a POST _search the form is among `pairs` already."""
    native: bool = False
    """Whether a Binary is to be answered as what it holds."""

    def header(self, name: bytes) -> str:
        """Return a header by its lower-case name, '' when it is not there."""
        return self.headers.get(name, b"").decode("latin-1")

    def condition(self, name: bytes) -> str:
        """Return a header that holds a condition, '' when it is not there. Raises Incorrect for an empty one.

        Who sends one means a condition: to write without it would be to lose what it was to protect.
        """
        value = self.header(name)
        if name in self.headers and not value.strip():
            title = name.decode().title()
            raise errors.Incorrect(f"{title} is empty", at=title)
        return value

    def take(self, name: str) -> str:
        """Take a parameter about the answer out of the pairs; the last one counts, '' when it is not there."""
        found = [value for key, value in self.pairs if key == name]
        if found:
            self.pairs = [(key, value) for key, value in self.pairs if key != name]
        return found[-1] if found else ""

    def no_more(self, takes: str) -> None:
        """Refuse parameters that nobody took, saying what the address `takes`, unless the caller prefers otherwise.

        Raises Incorrect, with the name of the first of them.
        """
        if self.pairs and not self.lenient():
            raise errors.Incorrect(takes, at=values.shown(self.pairs[0][0]))

    def resource(self) -> Resource:
        """Return the resource that was sent, parsed, not validated. Raises Incorrect, UnsupportedMedia."""
        if media.sent_as_xml(self.header(b"content-type")):
            return xml.loads(self.body)
        sent = json.loads(self.body)
        if not isinstance(sent, dict):
            raise errors.Incorrect("a resource is a JSON object")
        return sent

    def preference(self, name: str) -> str:
        """Return what the caller prefers, of `Prefer: return=minimal, handling=lenient`; '' when it does not say."""
        header = self.headers.get(b"prefer")
        return _preferences(header).get(name, "") if header else ""

    def lenient(self) -> bool:
        """Say whether the caller prefers what is not understood to be ignored (Prefer: handling=lenient)."""
        return self.preference("handling") == "lenient"


@functools.lru_cache(maxsize=256)
def _preferences(header: bytes) -> dict[str, str]:
    """Read RFC 7240 preferences; of a name that stands twice the first counts, parameters of a preference do not."""
    made: dict[str, str] = {}
    for part in header.decode("latin-1").split(","):
        name, _, value = part.partition(";")[0].partition("=")
        made.setdefault(name.strip().lower(), value.strip().strip('"').lower())
    return made


def pairs_of(query: bytes) -> list[tuple[str, str]]:
    """Return the decoded pairs of a query string or form. Raises Incorrect when it is not one, or is not UTF-8."""
    if not query:
        return []
    if len(query) > FORM_BYTES_MAX:
        raise errors.TooLarge(f"parameters have at most {FORM_BYTES_MAX} bytes")
    if query.count(b"&") >= _FIELDS_MAX:
        raise errors.Incorrect(f"a request has at most {_FIELDS_MAX} parameters")
    try:
        fields = [field.partition("=") for field in query.decode("ascii").split("&") if field]
        return [(_decoded(name), _decoded(value)) for name, _, value in fields]
    except ValueError as error:
        raise errors.Incorrect("the parameters are not percent-encoded UTF-8") from error


def _decoded(text: str) -> str:
    """Decode one side of a field of a form (application/x-www-form-urlencoded): most need no decoding."""
    if "+" in text:
        text = text.replace("+", " ")
    return urllib.parse.unquote(text, errors="strict") if "%" in text else text


def form(body: bytes, content_type: str) -> list[tuple[str, str]]:
    """Return the pairs of a POST _search. Raises UnsupportedMedia for another content type, TooLarge over 64 KiB."""
    if not body:
        return []
    if content_type.partition(";")[0].strip().lower() != FORM:
        raise errors.UnsupportedMedia(f"the parameters come as {FORM}", at="Content-Type")
    if len(body) > FORM_BYTES_MAX:
        raise errors.TooLarge(f"a form has at most {FORM_BYTES_MAX} bytes")
    return pairs_of(body)
