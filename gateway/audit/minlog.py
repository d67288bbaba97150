"""Looks → entries of MinLog2, the citizen's national access log: registration format of 2025-03-12. Pure.

Looks of one professional at one person's data, of the same kind and on the same ground, that wait together are one entry
with a period (FromDateTime, ToDateTime): MinLog takes 500 entries a request and 20 requests an hour. What staff saw is
registered; what the citizen did himself, and what systems exchange, is not a look by a professional.

The person's number is not in the ledger and not in the outbox: it is looked up when the entry is sent. The user is named by
his health authorisation id; who has none cannot be named without his own person's number, which this gateway does not keep.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from gateway.access import Kind, Purpose
from gateway.audit import words
from gateway.audit.block import lines
from gateway.audit.record import Record
from gateway.clock import UTC
from gateway.errors import Incorrect
from gateway.formats import json, xml
from gateway.model import Resource
from gateway.store.ledger import Block
from gateway.store.minlog import Waiting

NAMESPACE: Final = "http://www.sundhedsdatastyrelsen.dk/minlog/xml.schema/2025/03/12/minlog2-registration.xsd"
ENTRIES_MAX: Final = 500
REQUESTS_HOUR_MAX: Final = 20
ACTIVITY_CHARACTERS_MAX: Final = 75
FILTERS: Final[Mapping[str, str]] = {
    "hidden-from-citizen": "Ikke borger",
    "hidden-from-parents": "Ikke forældremyndigheds-indehaver",
}
"""Rules of access by whose names an entry is not shown to the citizen, or to who has custody of him."""
ADDITIONS: Final[Mapping[str, str]] = {Purpose.VAERDISPRING.value: "Værdispring", Purpose.CONSENT.value: "Samtykke"}
_NONE: Final = "Ingen"
_PERSONS: Final = (
    ("urn:oid:1.2.208.176.1.2", "CPR"),
    ("urn:oid:1.2.208.176.1.6.1.1", "eCPR"),
    ("urn:oid:1.2.208.176.1.6.1.3", "eCPR"),
)
"""Naming systems of a Patient's identifier (CPR, X-eCPR, D-eCPR) and what MinLog calls them."""
_IDS: Final = uuid.UUID("0f9e2c53-7a5a-5a0d-8a51-4f0c2d1a6b7e")
_SAW: Final = "Opslag i "
_CHANGED: Final = "Ændring af "


@dataclass(frozen=True, slots=True)
class Person:
    """A citizen as MinLog names him."""

    source: str
    number: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What MinLog answered: how many entries were added, and the fault of each that was not, by its sequence number."""

    added: int
    failed: Mapping[int, str]
    unnamed: int
    """Failed without a sequence number: nobody knows which."""


def looks(block: Block) -> Iterator[tuple[int, bytes]]:
    """Yield (patient, look) for what staff saw or changed in a block; a refusal that rests on data is a look at it."""
    for line in lines(block):
        record = line.record()
        if record.kind != Kind.STAFF.value or not record.looked:
            continue
        look = json.dumps(_look(record))
        for patient in record.patients:
            yield patient, look


def _look(record: Record) -> dict[str, Any]:
    kinds = words.data(words.kinds(record), "da")
    made = {
        "activity": _fitted(_CHANGED if words.changed(record) else _SAW, kinds),
        "addition": ADDITIONS.get(record.purpose, _NONE),
        "user": record.authorisation,
        "role": words.role(record, "da"),
        "organisation": record.organisation,
        "filters": [text for rule, text in FILTERS.items() if rule in record.rules],
    }
    return {name: value for name, value in made.items() if value}


def _fitted(verb: str, kinds: Sequence[str]) -> str:
    """Return an activity of at most 75 characters: as many kinds of data as fit, and that there is more."""
    text = verb + ", ".join(kinds)
    left = list(kinds)
    while len(text) > ACTIVITY_CHARACTERS_MAX and left:
        left.pop()
        text = f"{verb}{', '.join(left)} m.m." if left else f"{verb}helbredsoplysninger"
    return text


def person_of(patient: Resource) -> Person | None:
    """Return how MinLog names a Patient, None where it has no number that MinLog knows."""
    numbers = {one.get("system"): one.get("value") for one in patient.get("identifier", ())}
    for system, source in _PERSONS:
        if isinstance(value := numbers.get(system), str) and value:
            return Person(source, value.replace("-", "").replace(" ", ""))
    return None


def fault(entry: Waiting, person: Person | None) -> str:
    """Return why an entry cannot be sent as it is, '' where it can."""
    if person is None:
        return "no-person-number"
    if not json.look(entry.look).get("user"):
        return "no-authorisation"
    return ""


def request(entries: Sequence[tuple[Waiting, Person, str]], system: str) -> bytes:
    """Return the RegistrationRequest of (entry, person, name of the organisation), valid by its schema."""
    told: list[xml.Tree] = [("LogDataEntry", {}, [_entry(*one, system)]) for one in entries]
    return xml.dumps(("RegistrationRequest", {}, told), namespace=NAMESPACE, prefix="minlog")


def _entry(entry: Waiting, person: Person, organisation: str, system: str) -> xml.Tree:
    look = json.look(entry.look)
    told: list[xml.Tree] = []

    def say(name: str, text: str, **attributes: str) -> None:
        if text:
            told.append((name, attributes, text))

    say("SystemName", system)
    say("Activity", look["activity"])
    say("Addition", look["addition"])
    if entry.first == entry.last:
        say("DateTime", _stamp(entry.first))
    else:
        say("FromDateTime", _stamp(entry.first))
        say("ToDateTime", _stamp(entry.last))
    say("OrganisationId", look.get("organisation", ""), source="SOR")
    say("OrganisationName", organisation[:200])
    say("PersonIdentifier", person.number, source=person.source)
    say("CorrelationId", str(uuid.uuid5(_IDS, f"{system}:{entry.id}:{entry.first.isoformat()}")))
    say("SequenceNumber", str(entry.id))
    say("UserPersonIdentifier", look["user"], source="Autorisation")
    say("UserRole", look.get("role", "")[:200])
    for text in look.get("filters", ()):
        say("Filter", text)
    return ("Destination", {}, told)


def _stamp(moment: dt.datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def outcome(answer: bytes) -> Outcome:
    """Return what a RegistrationResponse says, inside a SOAP envelope or bare. Raises Incorrect when it is none."""
    root = xml.parse(answer)
    found = root if root.tag.endswith("}RegistrationResponse") else root.find(f".//{{{NAMESPACE}}}RegistrationResponse")
    if found is None:
        raise Incorrect("MinLog did not answer with a RegistrationResponse")
    failed: dict[int, str] = {}
    unnamed = 0
    for one in found.findall("FailedLogDataEntries"):
        number, code = one.findtext("SequenceNumber", ""), one.findtext("FaultCode", "")
        if number.isdecimal():
            failed[int(number)] = code[:60] or "failed"
        else:
            unnamed += 1
    added, count = found.findtext("NumberAdded", ""), found.findtext("NumberFailed", "")
    if not (added.isdecimal() and count.isdecimal()):
        raise Incorrect("MinLog did not say how many entries it took")
    return Outcome(int(added), failed, max(unnamed, int(count) - len(failed)))
