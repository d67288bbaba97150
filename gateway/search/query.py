"""A FHIR search as a value: what `parse` makes of a request, `access` narrows, `match` and the store evaluate.

Also the meeting point of writing and searching: `Index` is what is kept beside a resource to find it by, and
`token`, `reference` and `text` are the hashes that both sides agree on (blake2b, 64 bits, signed for PostgreSQL).
"""

from __future__ import annotations

import datetime as dt
import enum
import hashlib
from dataclasses import dataclass, field


def _hash(*parts: str) -> int:
    return int.from_bytes(hashlib.blake2b("\x1f".join(parts).encode(), digest_size=8).digest(), "big", signed=True)


def token(parameter: str, system: str | None, code: str) -> int:
    """Return the hash of `parameter=system|code`; `system` None is the form `parameter=code` (any system), '' is
    `parameter=|code` (no system).
    """
    return _hash("token", parameter, code) if system is None else _hash("token", parameter, system, code)


def reference(parameter: str, target: str) -> int:
    """Return the hash of `parameter=Type/id` (or an absolute URL)."""
    return _hash("reference", parameter, target)


@dataclass(slots=True)
class Index:
    """What a resource is found by. The store has columns for `patient`, `code` and the main date, an array for the
    other tokens, rows for other dates (../docs/explanation/store.md).
    """

    patient: int | None = None
    """`reference('patient', 'Patient/…')` of the patient it is about."""
    code: int | None = None
    """`token('code', None, …)` of the coding that most questions will name (LOINC first), whatever its system."""
    date_low: dt.datetime | None = None
    """The main date of its type (Observation.date, Encounter.date, Patient.birthdate …) as the interval it covers."""
    date_high: dt.datetime | None = None
    tokens: list[int] = field(default_factory=list)
    """Every token and reference of every parameter: with system, and without (both forms of `token`)."""
    dates: list[tuple[str, dt.datetime, dt.datetime]] = field(default_factory=list)
    """Other date parameters: (parameter, low, high)."""


class Prefix(enum.StrEnum):
    """How a date or number is compared (FHIR R4 search, prefixes)."""

    EQ = "eq"
    NE = "ne"
    GT = "gt"
    LT = "lt"
    GE = "ge"
    LE = "le"
    SA = "sa"
    EB = "eb"
    AP = "ap"


@dataclass(frozen=True, slots=True)
class TokenTerm:
    """`parameter=a,b`: any of the hashes. Several terms are joined by AND."""

    parameter: str
    values: tuple[int, ...]
    codes: tuple[int, ...] = ()
    """For `code`: the code-only hash of each value, in the same order, so that the store can drive by its column."""


@dataclass(frozen=True, slots=True)
class ReferenceTerm:
    """`parameter=Type/id,…`: any of the hashes."""

    parameter: str
    values: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class DateTerm:
    """`parameter=prefixdate,…`: any of the comparisons; a date is the half-open interval [low, high) it covers."""

    parameter: str
    values: tuple[tuple[Prefix, dt.datetime, dt.datetime], ...]


Term = TokenTerm | ReferenceTerm | DateTerm


class Sort(enum.StrEnum):
    """The order of a search result."""

    NEWEST = "-_lastUpdated"
    OLDEST = "_lastUpdated"
    DATE_NEWEST = "-date"
    DATE_OLDEST = "date"


@dataclass(frozen=True, slots=True)
class After:
    """Where the next page starts: the sort key and rid of the last row shown."""

    key: dt.datetime | None
    rid: int


@dataclass(frozen=True, slots=True)
class Query:
    """A type-level search. `ids` is `_id`; `updated` holds `_lastUpdated` comparisons as a DateTerm."""

    type: str
    terms: tuple[Term, ...] = ()
    ids: tuple[str, ...] = ()
    updated: tuple[DateTerm, ...] = ()
    sort: Sort = Sort.NEWEST
    count: int = 20
    after: After | None = None
    total: bool = False
