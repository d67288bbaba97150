"""The table of routes: from it come the routing, the 405s, the CapabilityStatement and the OpenAPI description.

An address is matched by its segments: a word, or `{type}` (an R4 resource type), `{id}`, `{version}`, `{member}` (a
resource type, or `*`, in a compartment). The rows of operations are made of their own rows (`operation.rows`).
"""

from __future__ import annotations

import enum
import re
from collections.abc import Container, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from gateway import errors
from gateway.access.scopes import Letter
from gateway.search import parameters


class Interaction(enum.StrEnum):
    """The interactions of the API (FHIR R4 http); names of CapabilityStatement interactions where R4 has one."""

    CAPABILITIES = "capabilities"
    READ = "read"
    VREAD = "vread"
    HISTORY = "history-instance"
    HISTORY_TYPE = "history-type"
    HISTORY_SYSTEM = "history-system"
    SEARCH = "search-type"
    CREATE = "create"
    UPDATE = "update"
    PATCH = "patch"
    DELETE = "delete"
    TRANSACTION = "transaction"  # batch too
    SEARCH_SYSTEM = "search-system"
    SEARCH_COMPARTMENT = "search-compartment"
    OPERATION = "operation"
    UNKNOWN = "unknown"  # an address or method that the table does not have; in events only


FORM: Final = "application/x-www-form-urlencoded"
RESOURCE: Final = ("application/fhir+json", "application/fhir+xml")
PATCHES: Final = ("application/json-patch+json", "application/fhir+json", "application/fhir+xml")


@dataclass(frozen=True, slots=True)
class Route:
    """One row: what a method on a pattern means, and the letter of scope that it needs (None: open to all)."""

    method: str
    pattern: str
    interaction: Interaction
    letter: Letter | None
    text: str
    declares: tuple[tuple[str, Any], ...] = ()
    """What the row makes true of every type: elements of CapabilityStatement.rest.resource (`("readHistory", True)`)."""
    takes: tuple[str, ...] = ()
    """Content types of its body; none: it has no body."""
    types: tuple[str, ...] = ()
    """The types that `{type}` may be; none: all."""
    code: str = ""
    """Of an operation, without `$`."""

    @property
    def segments(self) -> tuple[str, ...]:
        """The pattern, cut; none for the base itself."""
        return tuple(part for part in self.pattern.split("/") if part)


WRITES: Final = frozenset({Letter.CREATE, Letter.UPDATE, Letter.DELETE})
COMPARTMENTS: Final = ("Device", "Encounter", "Patient", "Practitioner", "RelatedPerson")

TABLE: Final = (
    Route("GET", "/metadata", Interaction.CAPABILITIES, None, "What this server can do, as a CapabilityStatement"),
    Route("OPTIONS", "/metadata", Interaction.CAPABILITIES, None, "Whether a page of another origin may ask (CORS)"),
    Route("GET", "/", Interaction.SEARCH_SYSTEM, Letter.SEARCH, "Search resources of several types"),
    Route(
        "POST",
        "/_search",
        Interaction.SEARCH_SYSTEM,
        Letter.SEARCH,
        "Search several types, the parameters in a form",
        takes=(FORM,),
    ),
    Route("GET", "/_history", Interaction.HISTORY_SYSTEM, Letter.SEARCH, "The versions of all resources, newest first"),
    Route("GET", "/{type}", Interaction.SEARCH, Letter.SEARCH, "Search resources of one type"),
    Route(
        "POST",
        "/{type}/_search",
        Interaction.SEARCH,
        Letter.SEARCH,
        "Search, the parameters in a form",
        takes=(FORM,),
    ),
    Route(
        "GET",
        "/{type}/_history",
        Interaction.HISTORY_TYPE,
        Letter.SEARCH,
        "The versions of all resources of one type, newest first",
    ),
    Route(
        "GET",
        "/{type}/{id}",
        Interaction.READ,
        Letter.READ,
        "Read the current version of a resource",
        (("conditionalRead", "full-support"),),
    ),
    Route(
        "GET",
        "/{type}/{id}/_history",
        Interaction.HISTORY,
        Letter.READ,
        "The versions of a resource, newest first",
        (("readHistory", True),),
    ),
    Route(
        "GET",
        "/{type}/{id}/_history/{version}",
        Interaction.VREAD,
        Letter.READ,
        "Read one version of a resource",
        (("versioning", "versioned"),),
    ),
    Route(
        "GET",
        "/{type}/{id}/{member}",
        Interaction.SEARCH_COMPARTMENT,
        Letter.SEARCH,
        "Search resources of one type, or of all (`*`), in a compartment",
        types=COMPARTMENTS,
    ),
    Route(
        "POST",
        "/",
        Interaction.TRANSACTION,
        Letter.CREATE,
        "Do what the entries of a batch or transaction ask",
        takes=RESOURCE,
    ),
    Route(
        "POST",
        "/{type}",
        Interaction.CREATE,
        Letter.CREATE,
        "Create a resource; If-None-Exist: only if none is found",
        (("conditionalCreate", True),),
        RESOURCE,
    ),
    Route(
        "PUT",
        "/{type}/{id}",
        Interaction.UPDATE,
        Letter.UPDATE,
        "Write a resource whole, or create it",
        (("updateCreate", True), ("versioning", "versioned-update")),
        RESOURCE,
    ),
    Route(
        "PUT",
        "/{type}",
        Interaction.UPDATE,
        Letter.UPDATE,
        "Write the one resource that a search finds, or create it",
        (("conditionalUpdate", True),),
        RESOURCE,
    ),
    Route(
        "PATCH",
        "/{type}/{id}",
        Interaction.PATCH,
        Letter.UPDATE,
        "Change a resource by JSON Patch or FHIRPath Patch",
        takes=PATCHES,
    ),
    Route(
        "PATCH",
        "/{type}",
        Interaction.PATCH,
        Letter.UPDATE,
        "Change the one resource that a search finds",
        takes=PATCHES,
    ),
    Route("DELETE", "/{type}/{id}", Interaction.DELETE, Letter.DELETE, "Delete a resource"),
    Route(
        "DELETE",
        "/{type}",
        Interaction.DELETE,
        Letter.DELETE,
        "Delete the one resource that a search finds",
        (("conditionalDelete", "single"),),
    ),
)

_ID: Final = re.compile(r"[A-Za-z0-9\-.]{1,64}")
_VERSION: Final = re.compile(r"[0-9]{1,9}")


@dataclass(frozen=True, slots=True)
class Matched:
    """A row and what the address had in its places."""

    route: Route
    type: str = ""
    id: str = ""
    version: int = 0
    member: str = ""


@dataclass(slots=True)
class _Node:
    """A place in the tree of addresses: what may come next, and what a method means if nothing does."""

    words: dict[str, _Node] = field(default_factory=dict)
    place: str = ""
    below: _Node | None = None
    """What comes after a segment that takes this node's `place` (`{type}`, …); a word goes before a place."""
    rows: dict[str, list[Route]] = field(default_factory=dict)


class Routes:
    """The rows as a tree; types that are `read_only` have none that writes. Raises ValueError for two rows that mean the
    same request.
    """

    def __init__(self, rows: Iterable[Route], *, read_only: Container[str] = ()) -> None:
        self.rows = tuple(rows)
        self._root = _Node()
        self._types = parameters.types()
        self._read_only = read_only
        for row in self.rows:
            self._plant(row)

    def _plant(self, row: Route) -> None:
        node = self._root
        for segment in row.segments:
            if not segment.startswith("{"):
                node = node.words.setdefault(segment, _Node())
                continue
            if node.place not in {"", segment}:
                raise ValueError(f"{row.pattern}: {segment} stands where {node.place} does")
            node.place = segment
            node.below = node.below or _Node()
            node = node.below
        there = node.rows.setdefault(row.method, [])
        if any(not other.types or not row.types or {*other.types} & {*row.types} for other in there):
            raise ValueError(f"{row.method} {row.pattern} stands twice")
        there.append(row)

    def find(self, method: str, path: str) -> Matched:
        """Return the row for a method (HEAD is GET) and a path below the FHIR base.

        Raises NotFound for an address that the table does not have or a type that R4 does not have, MethodNotAllowed
        for another method than the address takes.
        """
        segments = path.strip("/").split("/")
        node = self._root
        kind = name = member = version = ""
        for segment in segments if segments != [""] else ():
            found = node.words.get(segment)
            if found is not None:
                node = found
                continue
            match node.place:
                case "{type}" if segment in self._types:
                    kind = segment
                case "{id}" if _ID.fullmatch(segment):
                    name = segment
                case "{member}" if segment in self._types or segment == "*":
                    member = segment
                case "{version}" if _VERSION.fullmatch(segment):
                    version = segment
                case _:
                    raise self._unknown(segments)
            assert node.below is not None  # a place has something below it
            node = node.below
        for route in node.rows.get("GET" if method == "HEAD" else method, ()):
            if self._takes(route, kind):
                return Matched(route, kind, name, int(version or 0), member)
        if allowed := [row.method for rows in node.rows.values() for row in rows if self._takes(row, kind)]:
            raise MethodNotAllowed(allowed)
        raise self._unknown(segments)

    def _takes(self, row: Route, kind: str) -> bool:
        """Say whether a row is for a type: what only reads is for all, and for those that are not stored."""
        if row.types and kind not in row.types:
            return False
        return row.letter not in WRITES or kind not in self._read_only

    def _unknown(self, segments: list[str]) -> errors.NotFound:
        if segments[-1].startswith("$"):
            return errors.NotFound("there is no such operation here; /metadata says which there are, and where")
        if segments[0].startswith("_"):
            return errors.NotFound("nothing has this address; /metadata says what there is")
        if segments[0] not in self._types and segments[0] not in self._root.words and segments != [""]:
            return errors.NotFound("FHIR R4 has no such resource type")
        return errors.NotFound("nothing has this address; /metadata says what there is")


class MethodNotAllowed(errors.NotAllowed):
    """405, with the methods that the address takes."""

    def __init__(self, allowed: list[str]) -> None:
        methods = sorted({*allowed, *(("HEAD",) if "GET" in allowed else ())})
        super().__init__(f"this address takes {', '.join(methods)}")
        self.allow = ", ".join(methods)


find: Final = Routes(TABLE).find
"""The rows without operations: what an entry of a batch or transaction may ask for."""
