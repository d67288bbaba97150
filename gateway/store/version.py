"""What is read of the store, and what the API wants written: the values of `port.Store`'s other half. See `port` and `batch`."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field

from gateway import errors
from gateway.search.query import AsOf, Index, Query


@dataclass(slots=True, unsafe_hash=True)
class Version:
    """One version of a resource as stored: `body` is the complete JSON, ready to send.

    Nobody changes one. It is not frozen because pages are made of tens of thousands a second, and to make a frozen one
    costs seven times as much.
    """

    type: str
    id: str
    version: int
    last_updated: dt.datetime
    body: bytes
    deleted: bool = False
    lane: str = ""
    message: str = ""  # the receipt of the message that made this version
    patient: int | None = None
    """Whom it is about: `reference('patient', 'Patient/…')`; of a deletion, whom what was deleted was about."""
    posted: bool = field(default=False, compare=False)
    """Of a history: whether the API created it under an id of the server's making (POST)."""


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a search or history. `after` of the next page is None on the last one."""

    versions: tuple[Version, ...]
    more: bool
    total: int | None = None
    last_key: dt.datetime | None = None
    last_rid: int = 0
    last_keys: tuple[str | None, ...] = ()
    """Of the last row, with `Query.order`: for `After.keys`."""
    as_of: AsOf | None = None
    """Of a search that found something: the state of the store that its pages show, for `Query.as_of` of the next."""
    loose: bool = False
    """More has been changed since `Query.as_of` than is followed: what has been, is shown as it is and where it is now."""


class Moved(errors.Conflict):
    """What a caller looked at before writing is no longer so: look again, or tell the client (409, 412)."""


@dataclass(slots=True)
class Edit:
    """One resource as the API writes it: whole, validated and serialised. What a feed states later is merged into it."""

    type: str
    id: str
    body: bytes
    """`fhir.body.prepare` bytes; b'' deletes."""
    digest: bytes = b""
    lane: str = ""
    index: Index = field(default_factory=Index)
    expect: int | None = None
    """The version that must be current: 0 for none at all, the tombstone's for a deleted one; None for any."""
    posted: bool = False
    """Whether it is a creation under an id of the server's making (POST): histories tell."""


@dataclass(frozen=True, slots=True)
class Condition:
    """What a search must still find when the edits commit (If-None-Exist, conditional update and delete, conditional
    references): exactly these ids, of which two are enough to say "several".
    """

    query: Query
    found: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Edited:
    """What one edit did: the version that is current now, and whether it is new (else the content was already there)."""

    version: Version
    new: bool
    created: bool = False
    """There was nothing to replace: no such resource, or one that had been deleted."""
