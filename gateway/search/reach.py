"""What a caller may see of a resource type, as a value: ways in, each with what it asks of a resource. Pure.

`access` makes one for every type that a request touches; the store attaches it to every table that a statement reads
(`store.postgres.search_reach`), and `within` asks it of one resource in memory. That both agree is a law with a test.

Whose record a resource is in says its `patient` parameter, and nothing else: not every reference to a patient. One that
is in several (an Appointment of two) is seen only by who may see each of them. What is said of a patient is said of the
person: hospitals merge records, and what refers to a merged one stays as it was sent.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Protocol

from gateway.search.query import (
    AnyTerm,
    DateTerm,
    How,
    IdTerm,
    NumberTerm,
    QuantityTerm,
    ReferenceTerm,
    StringTerm,
    Term,
    TokenTerm,
)
from gateway.search.standing import Category, Power


@dataclass(frozen=True, slots=True)
class Owner:
    """It is in the record of this patient (`reference('patient', …)`), or in one that is the same person's (`Same`)."""

    patient: int


@dataclass(frozen=True, slots=True)
class Ownerless:
    """It is in no patient's record, and nothing in it may be."""


@dataclass(frozen=True, slots=True)
class Related:
    """One of these, or what they are part of, has a treatment relation to its patient: one that is `least` sure or surer
    and stands at a moment, is about to begin by then (`begins`), or has not ended long before (`ended`).
    """

    agents: tuple[int, ...]
    least: Category
    at: dt.datetime
    begins: dt.datetime
    ended: dt.datetime


@dataclass(frozen=True, slots=True)
class Empowered:
    """One of these has a power over its patient's data, of this type, at a moment; with `after`, the patient was born
    after that day, by each of his records that says so: a replacement number may be as young as its day.
    """

    agents: tuple[int, ...]
    power: Power
    at: dt.datetime
    after: dt.date | None = None


@dataclass(frozen=True, slots=True)
class Blocked:
    """Its patient has shut out one of these agents, or every professional (`professional`), from it at a moment."""

    agents: tuple[int, ...]
    at: dt.datetime
    professional: bool


@dataclass(frozen=True, slots=True)
class Labelled:
    """Its meta.security has one of these (`token('_security', …)`)."""

    tokens: tuple[int, ...]


Unless = Blocked | Labelled


@dataclass(frozen=True, slots=True)
class Follows:
    """All that it is about (`standing.About`, at least one) is there and within reach: each of a type that one of `reaches`
    is of. And were it in the record of the patient of each, `tests` would hold of it and no block shut it.
    """

    reaches: tuple[tuple[Reach, tuple[str, ...]], ...]
    tests: tuple[Owner | Related | Empowered, ...] = ()
    shut: tuple[Blocked, ...] = ()

    def unblocked(self) -> Follows:
        """Return it without blocks."""
        return Follows(tuple((one.unblocked(), types) for one, types in self.reaches), self.tests)


Test = Owner | Ownerless | Related | Empowered | Follows


@dataclass(frozen=True, slots=True)
class Way:
    """One way in: all of `tests` and of `terms` (the constraint of a scope) hold, and none of `unless`."""

    tests: tuple[Test, ...] = ()
    terms: tuple[Term, ...] = ()
    unless: tuple[Unless, ...] = ()

    @property
    def owner(self) -> int | None:
        """The one patient in whose record all of it is, None where that is not said."""
        return next((test.patient for test in self.tests if isinstance(test, Owner)), None)

    def unblocked(self) -> Way:
        """Return it without blocks."""
        tests = tuple(test.unblocked() if isinstance(test, Follows) else test for test in self.tests)
        return replace(self, tests=tests, unless=_labels(self.unless))


@dataclass(frozen=True, slots=True)
class Reach:
    """The resources of one type that exist for a caller: whatever one of the ways leads to. No way: none."""

    ways: tuple[Way, ...] = ()

    @property
    def owner(self) -> int | None:
        """The one patient in whose record all of it is, None where there is no such."""
        owners = {way.owner for way in self.ways}
        return owners.pop() if len(owners) == 1 else None

    def unblocked(self) -> Reach:
        """Return it without blocks: by what a new content is judged, which nobody may learn a block from."""
        return Reach(tuple(way.unblocked() for way in self.ways))


def _labels(found: Iterable[Unless]) -> tuple[Unless, ...]:
    return tuple(one for one in found if isinstance(one, Labelled))


def answered(term: Term) -> bool:
    """Say whether a term may be the constraint of a scope: one that an index answers of the resource alone."""
    match term:
        case TokenTerm() | ReferenceTerm() | DateTerm() | NumberTerm() | QuantityTerm() | IdTerm():
            return True
        case StringTerm():
            return term.how is How.STARTS
        case AnyTerm():
            return all(map(answered, term.terms))
        case _:
            return False


class Sight(Protocol):
    """What a caller may see at a moment. Hashable."""

    def of(self, resource_type: str) -> Reach | None:
        """Return what may be seen of a type, None where it is everything."""
        ...

    @property
    def measures(self) -> bool:
        """Whether anything of it asks for a quantity: the units of those must be known."""
        ...
