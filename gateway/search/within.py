"""Is a resource within a reach? Slow and obvious, for one resource at a time, without a store.

The facts of the world are given as the resources state them (`stating`). That the store's statements find exactly
what this says is a law with a test of its own (tests/leaks).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from gateway.model import Resource
from gateway.search import match, parameters, stating, times
from gateway.search.index import extract
from gateway.search.indexed import own, reference
from gateway.search.parameters import Kind
from gateway.search.reach import Empowered, Follows, Labelled, Owner, Ownerless, Reach, Related, Test, Unless, Way
from gateway.search.references import type_of
from gateway.search.standing import (
    SHARED,
    About,
    Block,
    Born,
    Category,
    Known,
    Mandate,
    Relation,
    Same,
    Sharer,
    Standing,
)
from gateway.search.stated import found, hashes, references

Fact = TypeVar("Fact", Relation, Block, Mandate, Known, Born, Same)


@dataclass(slots=True)
class World:
    """What all current resources state of access."""

    stated: Mapping[str, tuple[Standing, ...]] = field(default_factory=dict)
    """By `Type/id`."""
    resources: Mapping[int, Resource] = field(default_factory=dict)
    """By `own`."""
    _known: dict[tuple[bool, int], set[int]] = field(default_factory=dict)
    _facts: dict[type[Standing], list[tuple[str, Any]]] = field(default_factory=dict)
    _persons: dict[int | None, set[int | None]] = field(default_factory=dict)

    @classmethod
    def of(cls, resources: Iterable[Resource]) -> World:
        """Return the world that some current resources make."""
        named = {f"{one['resourceType']}/{one['id']}": one for one in resources}
        stated = {name: facts for name, one in named.items() if (facts := stating.read(one))}
        return cls(stated, {own(name): one for name, one in named.items()})

    def all(self, kind: type[Fact]) -> Iterator[tuple[str, Fact]]:
        """Yield the facts of a kind, each with who states it."""
        if not self._facts:
            for name, facts in self.stated.items():
                for fact in facts:
                    self._facts.setdefault(type(fact), []).append((name, fact))
        yield from self._facts.get(kind, ())

    def goes_by(self, names: Iterable[int]) -> set[int]:
        """Return everything that these go by."""
        return {key for name in names for key in self._closed(name, up=True)}

    def stands_for(self, names: Iterable[int]) -> set[int]:
        """Return everything that goes by one of these."""
        return {key for name in names for key in self._closed(name, up=False)}

    def records(self, patient: int | None) -> set[int | None]:
        """Return the records of the person of a patient."""
        if patient not in self._persons:
            links = {(one.patient, one.other, one.mutual) for _, one in self.all(Same)}
            counted = [(start, to) for start, to, mutual in links if not mutual or (to, start, True) in links]
            found = {patient}
            while more := {to for start, to in counted if start in found} - found:
                found |= more
            self._persons[patient] = found
        return self._persons[patient]

    def _closed(self, name: int, *, up: bool) -> set[int]:
        if (up, name) not in self._known:
            edges = [(one.name, one.also) if up else (one.also, one.name) for _, one in self.all(Known)]
            reached = {name}
            while more := {to for start, to in edges if start in reached} - reached:
                reached |= more
            self._known[up, name] = reached
        return self._known[up, name]


_NAMING: Final = {"AdverseEvent": "subject", "Group": "member", "Schedule": "actor", "SupplyRequest": "subject"}
"""What says whose record a resource is in, where R4 gives its type no parameter `patient`."""


def sees(reach: Reach | None, resource: Resource, world: World) -> bool:
    """Say whether a current resource is within a reach; None is everything."""
    return reach is None or any(_leads(way, resource, world) for way in reach.ways)


def owners(resource: Resource) -> list[int]:
    """Return the patients in whose record a resource is."""
    if resource["resourceType"] == "Patient":
        return [reference("patient", f"Patient/{resource['id']}")]
    kind = resource["resourceType"]
    named = references(resource, _NAMING.get(kind, "patient"))
    patients = [reference("patient", target) for target in named if kind not in _NAMING or type_of(target) == "Patient"]
    if kind in SHARED:
        patients += [fact.patient for fact in stating.read(resource) if isinstance(fact, Sharer)]
    return list(dict.fromkeys(patients))


def _leads(way: Way, resource: Resource, world: World) -> bool:
    patients = owners(resource)
    of_patient = any(isinstance(test, Owner | Related | Empowered) for test in way.tests)
    if of_patient and not patients:
        return False
    each: list[int | None] = [*patients] if of_patient else [patients[0] if patients else None]
    return (
        all(_holds(test, patient, resource, world) for test in way.tests for patient in each)
        and all(match.holds(term, resource) for term in way.terms)
        and not any(_hides(one, patient, resource, world) for one in way.unless for patient in each)
    )


def _holds(test: Test, patient: int | None, resource: Resource, world: World) -> bool:
    if isinstance(test, Owner):
        return patient in world.records(test.patient)
    if isinstance(test, Ownerless):
        return patient is None
    if isinstance(test, Follows):
        return _follows(test, resource, world)
    agents, person = world.goes_by(test.agents), world.records(patient)
    if isinstance(test, Related):
        return any(
            one.patient in person
            and one.organisation in agents
            and one.starts <= test.begins
            and (
                one.ends > test.ended if test.least is Category.C else one.ends > test.at and one.category <= test.least
            )
            for _, one in world.all(Relation)
        )
    empowered = any(
        one.patient in person
        and one.actor in agents
        and one.power is test.power
        and one.type in {"", resource["resourceType"]}
        and one.starts <= test.at < one.ends
        for _, one in world.all(Mandate)
    )
    if test.after is None:
        return empowered
    born = [one.day for _, one in world.all(Born) if one.patient in person]
    return empowered and bool(born) and min(born) > test.after


def _follows(test: Follows, resource: Resource, world: World) -> bool:
    def reached(target: Resource | None) -> bool:
        if target is None:
            return False
        patient = extract(target).patient
        return any(
            target["resourceType"] in types and sees(reach, target, world) for reach, types in test.reaches
        ) and (
            patient is None
            or (
                all(_holds(one, patient, resource, world) for one in test.tests)
                and not any(_hides(one, patient, resource, world) for one in test.shut)
            )
        )

    named = [key for fact in stating.read(resource) if isinstance(fact, About) for key in fact.named]
    return bool(named) and all(reached(world.resources.get(key)) for key in named)


def _hides(one: Unless, patient: int | None, resource: Resource, world: World) -> bool:
    if isinstance(one, Labelled):
        labels = parameters.of(resource["resourceType"]).get("_security")
        return labels is not None and not {*hashes(labels, found(labels, resource))}.isdisjoint(one.tokens)
    agents, person = world.goes_by(one.agents), world.records(patient)
    return any(
        block.patient in person
        and (block.actor in agents or (one.professional and block.actor is None))
        and block.starts <= one.at < block.ends
        and _about(block, resource, world)
        for _, block in world.all(Block)
    )


def _about(block: Block, resource: Resource, world: World) -> bool:
    name = f"{resource['resourceType']}/{resource['id']}"
    if block.document is not None and block.document != own(name):
        return False
    if block.low is not None and block.high is not None:
        index = extract(resource)
        ends = index.date_high or times.OPEN_HIGH
        if index.date_low is not None and not (index.date_low < block.high and ends > block.low):
            return False
    return block.source is None or _sourced(block, resource, name, world)


def _sourced(block: Block, resource: Resource, name: str, world: World) -> bool:
    assert block.source is not None
    sources = world.stands_for([block.source])
    if any(stater == name and one.organisation in sources for stater, one in world.all(Relation)):
        return True
    known = [
        one for one in parameters.of(resource["resourceType"]).all() if one.kind is Kind.REFERENCE and one.supported
    ]
    naming = [one.name for one in known if not one.targets or "Organization" in one.targets]
    places = [one.name for one in known if {"Encounter", "EpisodeOfCare"} & {*one.targets}]
    if any(own(target) in sources for one in naming for target in references(resource, one)):
        return True
    person = world.records(block.patient)
    of_source = {stater for stater, one in world.all(Relation) if one.patient in person and one.organisation in sources}
    return any(target in of_source for one in places for target in references(resource, one))
