"""A FHIR search as a value: what `parse` makes of a request, `access` narrows, `match` and the store evaluate.

What a resource is found by stands in `indexed`, and can be had from here.
"""

from __future__ import annotations

import datetime as dt
import enum
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from gateway.search.indexed import Index, Measure, fold, own, reference, reference_parameter, token

if TYPE_CHECKING:  # `reach` is made of terms
    from gateway.search.reach import Sight

__all__ = [
    "After", "AllTerm", "Amount", "AnyTerm", "AsOf", "ChainTerm", "CompositeTerm", "DateTerm", "HasTerm", "How", "IdTerm",
    "Include", "Index", "Measure", "MissingTerm", "NearTerm", "NotTerm", "NumberTerm", "Prefix", "QuantityTerm", "Query",
    "ReferenceTerm", "Sort", "SortBy", "StringTerm", "Term", "TextTerm", "TokenTerm", "fold", "own", "reference",
    "reference_parameter", "token",
]  # fmt: skip


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
    """`parameter:text=…` of a token (text, display) or reference; `_text` and `_content`. An index narrows it (`words`)."""

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
class AsOf:
    """The state of the store that a first page was read from. Made by the store (`Page.as_of`), and for it alone to read."""

    at: dt.datetime
    """When it had been read, by the store's clock."""
    snapshot: str
    """What had been committed by then."""


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
    """Only resources that existed at this moment, as they are now."""
    as_of: AsOf | None = None
    """Resources as they were in this state, but for those deleted since: what makes the pages of one search one answer."""
    total: bool = False
    includes: tuple[Include, ...] = ()
    """For whoever answers; the store does not look at them."""
    sight: Sight | None = None
    """What exists for whoever asks, of every type that the question goes through; None is everything."""
