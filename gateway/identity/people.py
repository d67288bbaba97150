"""The people of the local issuer: test citizens, staff and systems, read from synthetic/people.toml. For development only.

They are the cast of the demo, so that a citizen who logs in finds what was sent about him. Their numbers stand in that
file alone, and become `Patient/<id>` here as a log-in's would.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from types import MappingProxyType
from typing import Any, Final

from gateway.access import Actor, Assurance, Kind, Purpose
from gateway.access.scopes import Scopes
from gateway.fhir import persons
from gateway.fhir.ids import Ids

CITIZEN_SCOPES: Final = ("patient/*.rs",)
STAFF_SCOPES: Final = ("user/*.rs",)
OPERATOR_SCOPES: Final = ("user/AuditEvent.rs",)


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who can log in at the local issuer, or a system that only has a token."""

    name: str
    kind: Kind
    da: str
    en: str
    cpr: str = field(default="", repr=False)
    shown: str = ""
    """The name that the log-in gives, '' under name protection."""
    acts_for: str = ""
    """Name of a citizen."""
    organisation: str = ""
    role: str = ""
    authorisation: str = ""
    cvr: str = ""
    professional: str = ""
    scopes: tuple[str, ...] = ()

    def actor(self, ids: Ids, issuer: str) -> Actor:
        """Return whom his token speaks for: what a log-in at the local issuer would make of him, with empty scopes."""
        if self.kind is Kind.SYSTEM:
            return Actor(self.name, Scopes(), organisation=self.organisation)
        own = record(self, ids) if self.kind is Kind.CITIZEN else ""
        other = record(PEOPLE[self.acts_for], ids) if self.acts_for else ""
        purpose = {Kind.CITIZEN: Purpose.OWN, Kind.STAFF: Purpose.TREATMENT}.get(self.kind, Purpose.OPERATION)
        return Actor(
            self.name,
            Scopes(),
            self.kind,
            purpose,
            ids.resource("subject", issuer, self.sub(ids)),
            person=own,
            on_behalf_of=other,
            organisation=self.organisation,
            role=self.role,
            authorisation=self.authorisation,
            assurance=Assurance.SUBSTANTIAL,
            patient=other or own,
        )

    def sub(self, ids: Ids) -> str:
        """Return what the local issuer calls him: the same whomever he acts for."""
        return ids.uuid("local-issuer", self.cpr or self.name)


def record(person: Person, ids: Ids) -> str:
    """Return `Patient/<id>` of a citizen, as every feed makes it of his number."""
    key = persons.danish(persons.CPR, person.cpr)
    assert key is not None
    return f"Patient/{ids.patient(key)}"


def _read() -> Mapping[str, Person]:
    tables = tomllib.loads(resources.files("synthetic").joinpath("people.toml").read_text("utf-8"))
    found = {name: _citizen(name, each) for name, each in tables["citizens"].items()}
    for name, each in tables["acting"].items():
        by = found[each["as"]]
        found[name] = Person(
            name, Kind.CITIZEN, each["en"], each["en"], by.cpr, by.shown, each["for"], scopes=by.scopes
        )
    found |= {name: _employee(name, each) for name, each in tables["staff"].items()}
    for name, each in tables["systems"].items():
        scopes = tuple(each["scopes"])
        found[name] = Person(
            name, Kind.SYSTEM, each["en"], each["en"], organisation=each["organisation"], scopes=scopes
        )
    return MappingProxyType(found)


def _citizen(name: str, each: Mapping[str, Any]) -> Person:
    shown = "" if each.get("protected") else f"{each['given']} {each['family']}"
    return Person(name, Kind.CITIZEN, each["da"], each["en"], each["cpr"], shown, scopes=CITIZEN_SCOPES)


def _employee(name: str, each: Mapping[str, Any]) -> Person:
    operator = bool(each.get("operator"))
    texts = {key: str(each.get(key, "")) for key in ("organisation", "role", "authorisation", "cvr", "professional")}
    kind, scopes = (Kind.OPERATOR, OPERATOR_SCOPES) if operator else (Kind.STAFF, STAFF_SCOPES)
    return Person(name, kind, each["da"], each["en"], shown=each["da"].partition(" (")[0], scopes=scopes, **texts)


PEOPLE: Final[Mapping[str, Person]] = _read()
"""By name, in the order of the file."""


def at_the_login() -> list[Person]:
    """Return who can be chosen at the local issuer's log-in page."""
    return [each for each in PEOPLE.values() if each.kind is not Kind.SYSTEM and not each.acts_for]
