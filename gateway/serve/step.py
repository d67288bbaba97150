"""A change that a caller asks for, as a value: what a request, or one entry of a batch or transaction, becomes.

Not how it is done: that is `perform`.
"""

from __future__ import annotations

import enum
import os
from dataclasses import dataclass
from typing import Protocol

from gateway.clock import Clock
from gateway.model import Resource
from gateway.search.query import Query
from gateway.store.port import Version


class Method(enum.StrEnum):
    """What is asked for; transactions are done in this order (FHIR R4 http, transaction rules)."""

    DELETE = "DELETE"
    POST = "POST"
    PUT = "PUT"
    PATCH = "PATCH"


class Patch(Protocol):
    """A patch in either of its forms."""

    def apply(self, resource: Resource) -> Resource:
        """Return the patched resource. Raises errors.Unprocessable."""
        ...


@dataclass(frozen=True, slots=True)
class Tags:
    """If-Match: any of these versions, or whichever is there (`*`)."""

    versions: frozenset[int]
    any: bool = False

    def holds(self, version: Version | None) -> bool:
        """Say whether the current version is one of them."""
        if version is None or version.deleted:
            return False
        return self.any or version.version in self.versions


@dataclass(slots=True)
class Step:
    """One change. Either `id` says what is changed, or `question` finds it, or (a POST) it is new."""

    method: Method
    type: str
    id: str = ""
    question: Query | None = None
    """Of a conditional interaction, If-None-Exist included."""
    resource: Resource | None = None
    """Parsed and not yet looked at; the step may change it."""
    patch: Patch | None = None
    tags: Tags | None = None
    """If-Match."""
    fresh: bool = False
    """If-None-Match: *, which creates and never replaces."""
    own_id: str = ""
    """Of a conditional update: the id that the body has."""
    at: str = ""
    """Where its resource stands in the request (`Bundle.entry[3].resource`); '' for the body itself."""
    address: str = ""
    """Entry.fullUrl."""


class What(enum.Enum):
    """What became of a step."""

    CREATED = 201
    WRITTEN = 200  # replaced, or already so
    FOUND = 2  # If-None-Exist found it
    DELETED = 204


@dataclass(frozen=True, slots=True)
class Done:
    """A step done: the version that is current now; `shown` when its caller may read it."""

    what: What
    type: str
    id: str
    version: Version | None
    shown: bool = True


def new_id(clock: Clock) -> str:
    """Return a new id: RFC 9562 UUID version 7, the time first, so that neighbours in time are neighbours in an index."""
    bits = int(clock.now().timestamp() * 1000) << 80 | int.from_bytes(os.urandom(10), "big")
    text = f"{bits & ~(0xF << 76) & ~(0x3 << 62) | 0x7 << 76 | 0x2 << 62:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
