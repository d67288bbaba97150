"""The table of routes: from it come the routing, the 405s, the CapabilityStatement and the OpenAPI description.

An address is matched by its segments: a word, or `{type}` (an R4 resource type), `{id}`, `{version}`.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from gateway import errors
from gateway.access.scopes import Letter
from gateway.search import parameters


class Interaction(enum.StrEnum):
    """The interactions of the API (FHIR R4 http); names of CapabilityStatement interactions where R4 has one."""

    CAPABILITIES = "capabilities"
    READ = "read"
    VREAD = "vread"
    HISTORY = "history-instance"
    SEARCH = "search-type"
    CREATE = "create"
    UPDATE = "update"
    PATCH = "patch"
    DELETE = "delete"
    TRANSACTION = "transaction"  # batch too
    UNKNOWN = "unknown"  # an address or method that the table does not have; in events only


@dataclass(frozen=True, slots=True)
class Route:
    """One row: what a method on a pattern means, and the letter of scope that it needs (None: open to all)."""

    method: str
    pattern: str
    interaction: Interaction
    letter: Letter | None
    text: str


TABLE: Final = (
    Route("GET", "/metadata", Interaction.CAPABILITIES, None, "What this server can do, as a CapabilityStatement"),
    Route("GET", "/{type}", Interaction.SEARCH, Letter.SEARCH, "Search resources of one type"),
    Route("POST", "/{type}/_search", Interaction.SEARCH, Letter.SEARCH, "Search, the parameters in a form"),
    Route("GET", "/{type}/{id}", Interaction.READ, Letter.READ, "Read the current version of a resource"),
    Route("GET", "/{type}/{id}/_history", Interaction.HISTORY, Letter.READ, "The versions of a resource, newest first"),
    Route("GET", "/{type}/{id}/_history/{version}", Interaction.VREAD, Letter.READ, "Read one version of a resource"),
    Route("POST", "/", Interaction.TRANSACTION, Letter.CREATE, "Do what the entries of a batch or transaction ask"),
    Route(
        "POST", "/{type}", Interaction.CREATE, Letter.CREATE, "Create a resource; If-None-Exist: only if none is found"
    ),
    Route("PUT", "/{type}/{id}", Interaction.UPDATE, Letter.UPDATE, "Write a resource whole, or create it"),
    Route(
        "PUT", "/{type}", Interaction.UPDATE, Letter.UPDATE, "Write the one resource that a search finds, or create it"
    ),
    Route(
        "PATCH", "/{type}/{id}", Interaction.PATCH, Letter.UPDATE, "Change a resource by JSON Patch or FHIRPath Patch"
    ),
    Route("PATCH", "/{type}", Interaction.PATCH, Letter.UPDATE, "Change the one resource that a search finds"),
    Route("DELETE", "/{type}/{id}", Interaction.DELETE, Letter.DELETE, "Delete a resource"),
    Route("DELETE", "/{type}", Interaction.DELETE, Letter.DELETE, "Delete the one resource that a search finds"),
)

_KINDS: Final = {
    "{id}": re.compile(r"[A-Za-z0-9\-.]{1,64}"),
    "{version}": re.compile(r"[0-9]{1,9}"),
}


@dataclass(frozen=True, slots=True)
class Matched:
    """A row and what the address had in its places."""

    route: Route
    type: str = ""
    id: str = ""
    version: int = 0


def _segments(pattern: str) -> tuple[str, ...]:
    return tuple(pattern.strip("/").split("/"))


_BY_LENGTH: Final[Mapping[int, list[tuple[tuple[str, ...], Route]]]] = {
    length: [(_segments(row.pattern), row) for row in TABLE if len(_segments(row.pattern)) == length]
    for length in {len(_segments(row.pattern)) for row in TABLE}
}


def find(method: str, path: str) -> Matched:
    """Return the row for a method (HEAD is GET) and a path below the FHIR base.

    Raises NotFound for an address that the table does not have or a type that R4 does not have, NotAllowed for another
    method than the address takes.
    """
    wanted = "GET" if method == "HEAD" else method
    segments = path.strip("/").split("/")
    allowed: list[str] = []
    for pattern, route in _BY_LENGTH.get(len(segments), ()):
        found = _match(pattern, segments)
        if found is None:
            continue
        if route.method == wanted:
            return Matched(route, found.get("{type}", ""), found.get("{id}", ""), int(found.get("{version}", "0")))
        allowed.append(route.method)
    if allowed:
        raise MethodNotAllowed(allowed)
    if len(segments) > 1 and segments[0] not in parameters.types():
        raise errors.NotFound("FHIR R4 has no such resource type")
    raise errors.NotFound("nothing has this address; /metadata says what there is")


class MethodNotAllowed(errors.NotAllowed):
    """405, with the methods that the address takes."""

    def __init__(self, allowed: list[str]) -> None:
        methods = sorted({*allowed, *(("HEAD",) if "GET" in allowed else ())})
        super().__init__(f"this address takes {', '.join(methods)}")
        self.allow = ", ".join(methods)


def _match(pattern: tuple[str, ...], segments: list[str]) -> dict[str, str] | None:
    found: dict[str, str] = {}
    for part, segment in zip(pattern, segments, strict=True):
        if part == "{type}":
            if segment not in parameters.types():
                return None
        elif part[:1] == "{":
            if not _KINDS[part].fullmatch(segment):
                return None
        elif part != segment:
            return None
        found[part] = segment
    return found
