"""A resource's row while a batch is planned: what is stored, what it becomes, and what of it must be written.

Pure: no I/O. The columns here are those of migrations/0001_spine.sql and of search_index.sql, as COPY
sends them.
"""

from __future__ import annotations

import datetime as dt
import functools
import hashlib
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from gateway.clock import instant
from gateway.fhir import body as bodies
from gateway.model import Resource
from gateway.search.query import Index, own

RESOURCE_COLUMNS = (
    "rid", "updated", "patient", "code", "low", "high", "event", "received", "line", "message", "version", "type",
    "deleted", "id", "lane", "digest", "tokens", "state", "body", "own", "present",
)  # fmt: skip
VERSION_COLUMNS = ("updated", "message", "version", "type", "deleted", "id", "lane", "patient", "body")

_NOTHING = Index()
_LONG_AGO = dt.datetime.min.replace(tzinfo=dt.UTC)
_instant = functools.lru_cache(maxsize=256)(instant)  # a batch stamps all its versions with one moment
TOMBSTONE = b"\0" * 16
"""The digest of a deletion; no body has it."""


class Precedence(NamedTuple):
    """What decides which of two whole contents of a resource stays: the greater one; of equals the later arrival.

    `event` alone would not do: two lanes are read in no fixed order, so that equal event times would let the order of
    arrival decide, and a replay would end in other content. Reception is kept with the raw record, so that every
    replay sees the same; `line` (feed and lane) settles what two doors received in the same microsecond. Within one
    line the log's order is fixed, and of equals the later one wins: a correction follows what it corrects.
    """

    event: dt.datetime
    received: dt.datetime
    line: int


def line_of(feed: str, lane: str) -> int:
    """Return the number of a feed's lane, 64 bits, signed."""
    return int.from_bytes(hashlib.blake2b(f"{feed}\x1f{lane}".encode(), digest_size=8).digest(), "big", signed=True)


@dataclass(slots=True)
class Row:
    """One resource within a batch. `stored_version` is 0 while the database has no row of it."""

    type: int
    id: str
    rid: int = 0
    stored_version: int = 0
    stored_as: str = ""
    """Which transaction wrote the stored row (xmin): when that has changed, so has the row, versioned or not."""
    version: int = 0
    updated: dt.datetime = _LONG_AGO
    deleted: bool = False
    lane: str = ""
    patient: int | None = None
    """Whom the content is about; of a deletion, whom the last content was about."""
    precedence: Precedence | None = None
    feed: str = ""
    """The feed whose PUT made the content, for the first merge into it."""
    digest: bytes = b""
    message: int = 0
    state: str | None = None
    """Who stated which element, as JSON, when the resource is merged."""
    body: bytes | None = None
    """The stamped body; None when it was not needed and stays in the database."""
    resource: Resource | None = None
    """The parsed content, kept while a batch merges into it."""
    index: Index = field(default_factory=lambda: _NOTHING)
    noted: bool = False
    """Precedence or state changed without a new version."""
    superseded: list[tuple[Any, ...]] = field(default_factory=list)
    """Versions that were made and overtaken within this batch."""

    @property
    def changed(self) -> bool:
        """Whether this batch made a version."""
        return self.version > self.stored_version

    def next_version(
        self, *, body: bytes, digest: bytes, lane: str, index: Index, message: int, now: dt.datetime
    ) -> None:
        """Make `body` (unstamped; b'' is a deletion) the current version."""
        if self.changed:
            self.superseded.append(self._version_record())
        self.version += 1
        self.updated = max(now, self.updated)
        self.deleted = not body
        self.lane = lane or self.lane
        self.digest = digest
        self.message = message
        self.index = index if body else _NOTHING
        self.patient = index.patient if body else self.patient
        self.body = bodies.stamped(body, self.version, _instant(self.updated)) if body else b""

    def _version_record(self) -> tuple[Any, ...]:
        return (
            self.updated, self.message, self.version, self.type, self.deleted, self.id, self.lane, self.patient,
            self.body,
        )  # fmt: skip

    def record(self, type_name: str, tokens: list[int]) -> tuple[Any, ...]:
        """Return the row as RESOURCE_COLUMNS, `tokens` being all that stands in the token index."""
        index, precedence = self.index, self.precedence
        assert precedence is not None
        return (
            self.rid, self.updated, index.patient, index.code, index.date_low, index.date_high,
            precedence.event, precedence.received, precedence.line, self.message, self.version, self.type,
            self.deleted, self.id, self.lane, self.digest, tokens, self.state, self.body,
            None if self.deleted else own(f"{type_name}/{self.id}"), index.present,
        )  # fmt: skip
