"""What a caller may see and write, type by type: scopes ∧ purpose ∧ record ∧ relation ∧ age − spærring − labels. Pure.

`of` makes a `Reach` that the store attaches to every table it reads. A caller is bound unless it is a system that shares by
its registration and whose scopes have no constraint: for that one nothing is added to any statement.
"""

from __future__ import annotations

import calendar
import datetime as dt
import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Final

from gateway.access import policy as policies
from gateway.access.actor import Actor, Kind, Purpose
from gateway.access.policy import Policy
from gateway.access.scopes import Grant, Letter
from gateway.errors import Refused
from gateway.search import parameters, parse, times
from gateway.search.indexed import own, reference, token
from gateway.search.query import IdTerm, QuantityTerm, Term
from gateway.search.reach import (
    Blocked,
    Empowered,
    Follows,
    Labelled,
    Owner,
    Ownerless,
    Reach,
    Related,
    Test,
    Unless,
    Way,
    answered,
)
from gateway.search.standing import AUTHORISATION, SOR, Power, known_as

_WRITING: Final = frozenset({Letter.CREATE, Letter.UPDATE, Letter.DELETE})
_DISTINCT: Final = (
    policies.ADMINISTRATIVE, policies.UNBLOCKED, policies.NOT_FOR_OTHERS, *dict.fromkeys(policies.WITHOUT_PATIENT.values()),
)  # fmt: skip
"""The types that a kind of caller sees by rules of their own; all others of a record it sees alike."""
_FOLLOWED: Final = tuple(sorted(policies.RECORD | policies.ADMINISTRATIVE))
"""What a Provenance or a Binary may be about."""


def bound(actor: Actor) -> bool:
    """Say whether anything is hidden from a caller within the types that its scopes open whole."""
    return actor.kind is not Kind.SYSTEM or actor.purpose is not Purpose.SHARING


def opens(actor: Actor, resource_type: str, letter: Letter) -> bool:
    """Say whether any scope of a caller, of a context that means something for it, opens a letter of a type."""
    if actor.kind is Kind.SYSTEM and actor.scopes.allow(resource_type, letter):
        return True
    return bool(grants(actor, resource_type, letter))


@functools.lru_cache(maxsize=1 << 12)
def narrows(actor: Actor) -> bool:
    """Say whether a caller's requests are narrowed at all; where not, nothing is asked of any resource."""
    return bound(actor) or any(one.constraint for one in actor.scopes.grants)


def hides(actor: Actor, resource_type: str, letter: Letter) -> bool:
    """Say whether anything of a type may be hidden from a caller."""
    if not narrows(actor):
        return False
    return bound(actor) or all(one.constraint for one in grants(actor, resource_type, letter))


@functools.lru_cache(maxsize=1 << 14)
def grants(actor: Actor, resource_type: str, letter: Letter) -> tuple[Grant, ...]:
    """Return the grants of a caller that open a letter of a type."""
    contexts = policies.CONTEXTS[actor.kind]
    return tuple(
        one
        for one in actor.scopes.grants
        if one.type in {resource_type, "*"}
        and letter.value in one.letters
        and one.context in contexts
        and (one.context != "patient" or actor.patient or actor.person)
    )


@functools.lru_cache(maxsize=1 << 10)
def _alike(actor: Actor, letter: Letter, narrow: bool) -> tuple[tuple[tuple[Grant, ...], tuple[str, ...]], ...]:
    """Return the types that may be followed in groups of those that a caller sees alike, with the grants that open them:
    those of `patient/` alone, if `narrow`.
    """
    groups: dict[object, tuple[tuple[Grant, ...], list[str]]] = {}
    for name in _FOLLOWED:
        mine = tuple(one for one in grants(actor, name, letter) if one.context == "patient" or not narrow)
        kind = (mine, *(name in some for some in _DISTINCT), name if any(one.constraint for one in mine) else "")
        groups.setdefault(kind, (mine, []))[1].append(name)
    return tuple((mine, tuple(types)) for mine, types in groups.values())


@dataclass(frozen=True, slots=True)
class Sight:
    """What an actor may do of one letter at a moment."""

    actor: Actor
    letter: Letter
    at: dt.datetime
    policy: Policy = policies.DEFAULT
    _known: dict[str, Reach | None] = field(default_factory=dict, init=False, repr=False, compare=False)
    _treating: dict[tuple[bool, bool], list[Way]] = field(default_factory=dict, init=False, repr=False, compare=False)
    """The ways of staff, which most types have in common."""

    def of(self, resource_type: str) -> Reach | None:
        """Return what is within reach of a type, None where it is everything."""
        if resource_type not in self._known:
            self._known[resource_type] = self._of(resource_type)
        return self._known[resource_type]

    def _of(self, resource_type: str) -> Reach | None:
        mine = grants(self.actor, resource_type, self.letter)
        if not bound(self.actor) and any(not one.constraint for one in mine):
            return None
        return self.by(mine, resource_type)

    @property
    def measures(self) -> bool:
        """Whether anything of it asks for a quantity."""
        return any(_measured(one) for one in self.actor.scopes.grants if one.constraint)

    def by(self, mine: Iterable[Grant], resource_type: str) -> Reach:
        """Return what some grants bring within reach of a type, by what narrows this caller."""
        ways: list[Way] = []
        for grant in mine:
            terms = constraint(resource_type, grant)
            if terms is not None:
                found = self._ways(resource_type, grant)
                ways += [replace(way, terms=terms) for way in found] if terms else found
        return Reach(tuple(ways) if len(ways) < 2 else tuple(dict.fromkeys(ways)))  # noqa: PLR2004

    def _ways(self, resource_type: str, grant: Grant) -> Iterable[Way]:
        """Return the ways that purpose, record and relation give, whatever the constraint of a grant."""
        actor = self.actor
        if not bound(actor):
            return [Way()]
        if not _purposeful(actor):
            return []
        if self.letter in _WRITING and not may_write(actor, resource_type, self.letter):
            return []
        if resource_type in policies.ADMINISTRATIVE:
            return [Way()]
        if actor.kind is Kind.OPERATOR or not (resource_type in policies.RECORD or resource_type in policies.FOLLOWING):
            return []
        ways = self._of_citizen(resource_type) if actor.kind is Kind.CITIZEN else self._of_staff(resource_type, grant)
        if resource_type in policies.FOLLOWING:
            return [following for way in ways for following in self._following(grant, way)]
        if resource_type in policies.WITHOUT_PATIENT[actor.kind]:
            ways = [*ways, Way((Ownerless(),))]
        return ways

    def _following(self, grant: Grant, way: Way) -> Iterator[Way]:
        """Yield the way to what is about other things: through all that is within reach, by a grant of as narrow a context.
        What a record asks is asked of it as well: it is health data though it be about a Patient.
        """
        letter = Letter.READ if self.letter in _WRITING else self.letter
        reading = self if letter is self.letter else replace(self, letter=letter)
        found = [
            (reading.by(mine, types[0]), types)
            for mine, types in _alike(self.actor, letter, grant.context == "patient")
        ]
        reaches = tuple((reach, types) for reach, types in found if reach.ways)
        tests = tuple(test for test in way.tests if isinstance(test, Owner | Related | Empowered))
        shut = tuple(one for one in way.unless if isinstance(one, Blocked))
        labels = tuple(one for one in way.unless if isinstance(one, Labelled))
        if reaches:
            yield Way((Follows(reaches, tests, shut),), unless=labels)

    def _of_citizen(self, resource_type: str) -> list[Way]:
        actor = self.actor
        target = actor.patient or actor.on_behalf_of or actor.person
        if not target or not actor.person or (actor.on_behalf_of and actor.on_behalf_of != target):
            return []
        owner = Owner(reference("patient", target))
        if not represents(actor):
            return [Way((owner,), unless=self._labels(policies.HIDES[Purpose.OWN]))]
        mine = (actor.person, *actor.records)
        ways: list[Way] = []
        agents = tuple(own(one) for one in mine)
        shut = Blocked(agents, self.at, professional=False)
        labels = policies.HIDES_REPRESENTED
        writes = self.letter in _WRITING
        if not writes or self.letter.value in policies.REPRESENTED_WRITES.get(resource_type, ""):
            parents = self._labels(labels, policies.NOT_FOR_PARENTS)
            custody = Empowered(agents, Power.CUSTODY, self.at, after=grown(self.at))
            ways.append(Way((owner, custody), unless=(shut, *parents)))
        if not writes and resource_type not in policies.NOT_FOR_OTHERS:
            fuldmagt = Empowered(agents, Power.FULDMAGT, self.at)
            ways.append(Way((owner, fuldmagt), unless=(shut, *self._labels(labels))))
        return ways

    def _of_staff(self, resource_type: str, grant: Grant) -> list[Way]:
        if resource_type in policies.NOT_FOR_OTHERS:
            return []
        asked = grant.context == "patient", resource_type not in policies.UNBLOCKED
        if asked not in self._treating:
            self._treating[asked] = self._of_treating(*asked)
        return self._treating[asked]

    def _of_treating(self, launched_for: bool, blockable: bool) -> list[Way]:
        actor, purpose = self.actor, self.actor.purpose
        organisation = (known_as(SOR, actor.organisation),) if actor.organisation else ()
        professional = (known_as(AUTHORISATION, actor.authorisation),) if actor.authorisation else ()
        labels = self._labels(policies.HIDES[purpose])
        patient = (Owner(reference("patient", actor.patient)),) if actor.patient else ()
        if launched_for and not patient:
            return []
        launched = patient if launched_for else ()
        if purpose is Purpose.VAERDISPRING:
            return [Way(patient, unless=labels)] if patient and actor.reason.strip() else []
        agents = (*organisation, *professional)
        shut: tuple[Unless, ...] = ()
        if blockable:
            shut = (Blocked(agents, self.at, professional=True),)
        found: list[tuple[Test, ...]] = []
        if purpose is Purpose.CONSENT:
            found.append((Empowered(agents, Power.AGREED, self.at),))
        elif organisation:
            found.append((self._relation(organisation, purpose),))
            if purpose is Purpose.TREATMENT and self.policy.unclear_opens and launched:
                found.append(())
        return [Way((*launched, *tests), unless=(*shut, *labels)) for tests in found]

    def _relation(self, organisation: tuple[int, ...], purpose: Purpose) -> Related:
        rules = self.policy
        after = rules.quality_after if purpose is Purpose.QUALITY else rules.lasts_after
        return Related(organisation, rules.least, self.at, self.at + rules.begins_before, self.at - after)

    def _labels(self, confidential: Iterable[str], *others: tuple[str, str]) -> tuple[Labelled, ...]:
        return _labelled(tuple(confidential), others)


@functools.lru_cache(maxsize=256)
def _labelled(confidential: tuple[str, ...], others: tuple[tuple[str, str], ...]) -> tuple[Labelled, ...]:
    # a label without its system is taken for what it may be
    hidden = [token("_security", None, code) for code in confidential]
    hidden += [token("_security", system, code) for system, code in others]
    return (Labelled(tuple(hidden)),) if hidden else ()


def may_write(actor: Actor, resource_type: str, letter: Letter) -> bool:
    """Say whether a caller's kind writes a type at all, and for its purpose."""
    if actor.kind is Kind.SYSTEM:
        return True
    if actor.purpose in policies.LOOKS_ALONE:
        return False
    return letter.value in policies.WRITES.get(actor.kind, {}).get(resource_type, "")


def represents(actor: Actor) -> bool:
    """Say whether a citizen asks about the record of another."""
    target = actor.patient or actor.on_behalf_of or actor.person
    return target not in {actor.person, *actor.records}


def assured(actor: Actor) -> bool:
    """Say whether a user's log-in is sure enough for his purpose."""
    return actor.kind is Kind.SYSTEM or actor.assurance >= policies.ASSURANCE.get(actor.purpose, actor.assurance)


def _purposeful(actor: Actor) -> bool:
    return actor.purpose in policies.PURPOSES[actor.kind] and assured(actor)


@functools.lru_cache(maxsize=4096)
def constraint(resource_type: str, grant: Grant) -> tuple[Term, ...] | None:
    """Return the constraint of a grant for a type, None where it cannot be honoured there: then the grant opens nothing.

    What it may ask is what an index answers of the resource alone, whatever is read of it and before it is stored: no
    text, no composite, nothing of other resources or of when it was written.
    """
    if not grant.constraint:
        return ()
    try:
        query = parse.understand(resource_type, list(grant.constraint)).query
    except Refused:
        return None
    terms = (*query.terms, *([IdTerm(query.ids)] if query.ids else []))
    if query.updated or len(terms) < len({name for name, _ in grant.constraint}) or not all(map(answered, terms)):
        return None
    return terms


@functools.lru_cache(maxsize=1024)
def _measured(grant: Grant) -> bool:
    """Say whether the constraint of a grant asks for a quantity."""
    types = parameters.types() if grant.type == "*" else [grant.type]
    return any(isinstance(term, QuantityTerm) for name in types for term in constraint(name, grant) or ())


def grown(at: dt.datetime) -> dt.date:
    """Return the latest birthday of those who have turned fifteen by a moment, in Denmark. Who was born on 29 February
    turns fifteen on the 28th where the year has no other: the earlier day is the careful one.
    """
    today = at.astimezone(times.ZONE).date()
    year = today.year - policies.ADULT_YEARS
    if (today.month, today.day) == (2, 28) and not calendar.isleap(today.year) and calendar.isleap(year):
        return dt.date(year, 2, 29)
    if (today.month, today.day) == (2, 29) and not calendar.isleap(year):
        return dt.date(year, 2, 28)
    return today.replace(year=year)
