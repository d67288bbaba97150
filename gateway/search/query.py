"""A FHIR search as a value: what `parse` makes of a request, `access` narrows, `match` and the store evaluate.

Also the meeting point of writing and searching: `Index` is what is kept beside a resource to find it by, and
`token` and `reference` are the hashes that both sides agree on (blake2b, 64 bits, signed for PostgreSQL).
"""

from __future__ import annotations

import datetime as dt
import enum
import functools
import hashlib
import unicodedata
from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple


def _hash(*parts: str) -> int:
    return int.from_bytes(hashlib.blake2b("\x1f".join(parts).encode(), digest_size=8).digest(), "big", signed=True)


def token(parameter: str, system: str | None, code: str) -> int:
    """Return the hash of `parameter=system|code`; `system` None is the form `parameter=code` (any system), '' is
    `parameter=|code` (no system); `code` '' is the form `parameter=system|` (any code of a system).

    Two more forms are hashed as tokens of a parameter of their own: `parameter:identifier` of a Reference.identifier,
    and `parameter:of-type`, whose system is `system|code` of the identifier's type and whose code is its value.
    """
    return _hash("token", parameter, code) if system is None else _hash("token", parameter, system, code)


def reference(parameter: str, target: str) -> int:
    """Return the hash of `parameter=Type/id` (or an absolute URL): `own(target) ^ reference_parameter(parameter)`.

    Composed so that a store can join: where `own` of a resource is kept beside it, `own # reference_parameter(…)` is
    the token that whatever refers to it by that parameter holds.
    """
    return own(target) ^ reference_parameter(parameter)


@functools.lru_cache(maxsize=1 << 13)
def own(target: str) -> int:
    """Return the hash of what a reference names: `Type/id`, an absolute URL, a canonical."""
    return _hash("target", target)


@functools.cache
def reference_parameter(name: str) -> int:
    """Return the hash of a reference parameter's name."""
    return _hash("reference", name)


def fold(text: str) -> str:
    """Return text as strings are compared: without case and accents (R4 search, string), blanks run together.

    Danish æ and ø are letters of their own, not accented ones, and stay; å is an a with a ring, and becomes aa's
    neighbour `a`, as R4 asks of accents. Folding twice changes nothing.
    """
    if text.isascii():
        return " ".join(text.lower().split())
    # twice: a compatibility form may be a capital (ℌ), and a folded letter may have an accent (ΐ)
    for _ in range(2):
        apart = unicodedata.normalize("NFKD", text.casefold())
        text = "".join(one for one in apart if not unicodedata.combining(one))
    return " ".join(text.split())


class Measure(NamedTuple):
    """A number or quantity as indexed: the closed interval that it means (a comparator makes it one-sided, a Range
    has two ends; None is open), in the unit that it was stated in.
    """

    parameter: str
    low: Decimal | None
    high: Decimal | None
    system: str = ""
    code: str = ""
    unit: str = ""
    """As displayed; a search for `5.4||mmHg` asks for code or unit."""


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
    """Every token and reference of every parameter, in every form of `token`."""
    dates: list[tuple[str, dt.datetime, dt.datetime]] = field(default_factory=list)
    """Other date parameters: (parameter, low, high)."""
    strings: list[tuple[str, str, str]] = field(default_factory=list)
    """Of string parameters (and of uri parameters, for `:below`): (parameter, folded, as written)."""
    measures: list[Measure] = field(default_factory=list)
    """Of number and quantity parameters."""
    present: int = 0
    """A bit for each parameter of the type that has a value, by `parameters.Parameters.bit`: what `:missing` asks."""


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
    """For `code`: the code-only hash of each value, in the same order, so that the store can drive by its column. Empty
    where a value has no code (`system|`): then none of the values is a code-only one.
    """


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


class How(enum.StrEnum):
    """How a string or an address is compared."""

    STARTS = "starts"
    CONTAINS = "contains"
    EXACT = "exact"
    BELOW = "below"  # uri: the address as written, and what goes on after it with a slash
    EQUALS = "equals"  # the whole of it, folded (`eq` of a filter)
    ENDS = "ends"  # (`ew` of a filter)


@dataclass(frozen=True, slots=True)
class StringTerm:
    """`parameter=text,…`: any of the values; folded (`fold`), but for EXACT and BELOW, which are as written."""

    parameter: str
    values: tuple[str, ...]
    how: How = How.STARTS


@dataclass(frozen=True, slots=True)
class Amount:
    """One number asked for: the value as written, and the half-open interval that its precision covers (100 is
    [99.5, 100.5)); of `ap` the closed interval a tenth of the value to either side. How it is compared with a
    `Measure`, whose unit may be another one, is in `amounts`.
    """

    prefix: Prefix
    value: Decimal
    low: Decimal
    high: Decimal
    system: str | None = None
    """Of a quantity: None is any unit; '' with a code is the code or unit whatever its system."""
    code: str = ""


@dataclass(frozen=True, slots=True)
class NumberTerm:
    """`parameter=prefixnumber,…` of a number."""

    parameter: str
    values: tuple[Amount, ...]


@dataclass(frozen=True, slots=True)
class QuantityTerm:
    """`parameter=prefixnumber|system|code,…`: units of one dimension are compared in their canonical form (`units`)."""

    parameter: str
    values: tuple[Amount, ...]


@dataclass(frozen=True, slots=True)
class IdTerm:
    """`_id=a,b` inside a chain or filter; a query's own are `Query.ids`."""

    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MissingTerm:
    """`parameter:missing=true|false`."""

    parameter: str
    missing: bool


@dataclass(frozen=True, slots=True)
class TextTerm:
    """`parameter:text=…` of a token (text, display) or reference; `_text` and `_content`. No index answers it."""

    parameter: str
    values: tuple[str, ...]  # folded


@dataclass(frozen=True, slots=True)
class NearTerm:
    """`near=latitude|longitude|distance|unit` of a Location, the distance in kilometres. No index answers it."""

    parameter: str
    latitude: Decimal
    longitude: Decimal
    kilometres: Decimal


@dataclass(frozen=True, slots=True)
class CompositeTerm:
    """`parameter=a$b,…`: any of the rows of components, all of a row within one element of the composite.

    The index answers what follows from it (each component somewhere in the resource); `match` decides.
    """

    parameter: str
    values: tuple[tuple[Term, ...], ...]


@dataclass(frozen=True, slots=True)
class NotTerm:
    """Whatever the inner term does not find (`:not`, `:not-in`, `not` of a filter)."""

    term: Term


@dataclass(frozen=True, slots=True)
class AllTerm:
    """All of these (`and` of a filter; what repeats inside one chain)."""

    terms: tuple[Term, ...]


@dataclass(frozen=True, slots=True)
class AnyTerm:
    """Any of these (`or` of a filter; a chain over several target types; a union of parameters)."""

    terms: tuple[Term, ...]


@dataclass(frozen=True, slots=True)
class ChainTerm:
    """`parameter:Type.inner=…`: refers by `parameter` to a current resource of `type` that the inner term finds."""

    parameter: str
    type: str
    term: Term


@dataclass(frozen=True, slots=True)
class HasTerm:
    """`_has:Type:parameter:inner=…`: a current resource of `type` that the inner term finds refers to it by `parameter`.
    `_list=x` is `HasTerm("List", "item", IdTerm(("x",)))`.
    """

    type: str
    parameter: str
    term: Term


Term = (
    TokenTerm
    | ReferenceTerm
    | DateTerm
    | StringTerm
    | NumberTerm
    | QuantityTerm
    | IdTerm
    | MissingTerm
    | TextTerm
    | NearTerm
    | CompositeTerm
    | NotTerm
    | AllTerm
    | AnyTerm
    | ChainTerm
    | HasTerm
)


class Sort(enum.StrEnum):
    """The orders of a search result that an index is kept in."""

    NEWEST = "-_lastUpdated"
    OLDEST = "_lastUpdated"
    DATE_NEWEST = "-date"
    DATE_OLDEST = "date"


@dataclass(frozen=True, slots=True)
class SortBy:
    """One key of another order. Resources without a value come last, whichever way."""

    parameter: str
    descending: bool = False


@dataclass(frozen=True, slots=True)
class Include:
    """`_include=type:parameter:target` (`reverse`: `_revinclude`). parameter `*` is every reference; target '' any."""

    type: str
    parameter: str
    target: str = ""
    reverse: bool = False
    iterate: bool = False


@dataclass(frozen=True, slots=True)
class After:
    """Where the next page starts: the sort key and rid of the last row shown.

    With `Query.order` the keys of the last row are in `keys`, as JSON values, and `key` is None.
    """

    key: dt.datetime | None
    rid: int
    keys: tuple[str | None, ...] = ()


@dataclass(frozen=True, slots=True)
class Query:
    """A type-level search. `ids` is `_id`; `updated` holds `_lastUpdated` comparisons as a DateTerm."""

    type: str
    terms: tuple[Term, ...] = ()
    ids: tuple[str, ...] = ()
    updated: tuple[DateTerm, ...] = ()
    sort: Sort = Sort.NEWEST
    order: tuple[SortBy, ...] = ()
    """Another order than `sort` can name; where it is given, it counts."""
    count: int = 20
    after: After | None = None
    until: dt.datetime | None = None
    """Only resources that existed at this moment: what keeps the pages of one search from moving (docs: api)."""
    total: bool = False
    includes: tuple[Include, ...] = ()
    """For whoever answers; the store does not look at them."""
