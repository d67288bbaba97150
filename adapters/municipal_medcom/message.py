"""A MedCom message as it was sent: its parts found by name and by reference, each with its place. Nothing is made here.

Source: MedCom Messaging 4.0.2 (Bundle.type message, MessageHeader first, at least one Provenance, every referenced
resource in the Bundle); reference resolution of FHIR R4, bundle.html#references.
"""

from __future__ import annotations

import datetime as dt
import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from gateway.model import PersonKey, Reason, RejectionCode

ENTRIES_MAX = 1000
CPR = "urn:oid:1.2.208.176.1.2"
X_ECPR = "urn:oid:1.2.208.176.1.6.1.1"
D_ECPR = "urn:oid:1.2.208.176.1.6.1.3"
_DAY = (
    "(((0[1-9]|1[0-9]|2[0-9]|3[0-1])(01|03|05|07|08|10|12))"
    "|((0[1-9]|1[0-9]|2[0-9]|30)(04|06|09|11))|((0[1-9]|1[0-9]|2[0-9])(02)))"
)
_PERSON = (
    (CPR, re.compile(_DAY + r"[0-9]{6}")),
    (X_ECPR, re.compile(_DAY + r"[0-9]{2}[17][A-Z]{2}[0-9]")),
    (D_ECPR, re.compile(_DAY + r"[0-9]{2}[056][A-Z]{2}[0-9]")),
)
"""Systems that name a person, best first, with what DK Core 3.7.0 allows (no modulus 11: it is not a validity test)."""

IDENTITY = re.compile(r"[A-Za-z0-9\-.]{1,64}")
_NAME = re.compile(r"_?[A-Za-z][A-Za-z0-9]{0,63}")
_KIND = re.compile(r"[A-Z][A-Za-z]{1,63}")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
_FRACTION = re.compile(r"(?<=\.)(\d{1,6})\d*")


class Fault(Exception):
    """A reason to reject, on its way from where it was seen to `translate`. Never leaves this adapter."""

    def __init__(self, code: RejectionCode, at: str, text: str) -> None:
        super().__init__(text)
        self.reason = Reason(code, at, text)


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """A JSON value with its place in the message (`Bundle.entry[2].resource.period`)."""

    value: Any
    at: str

    def get(self, name: str) -> Node | None:
        """Return a member of an object, or None when it is not there. A Fault when this is not an object."""
        if not isinstance(self.value, dict):
            raise Fault(RejectionCode.VALUE_INVALID, self.at, "an object must stand here")
        value = self.value.get(name)
        return None if value is None else Node(value, f"{self.at}.{name}")

    def need(self, *path: str) -> Node:
        """Return the member at a path of names; the first item where a list stands. A Fault when it is missing."""
        node = self
        for name in path:
            found = node.get(name)
            if found is None:
                raise Fault(RejectionCode.REQUIRED_MISSING, f"{node.at}.{name}", "must be present")
            node = next(iter(found.items()), found) if isinstance(found.value, list) else found
        return node

    def each(self, name: str) -> list[Node]:
        """Return the items of a list member; none when it is not there."""
        found = self.get(name)
        return [] if found is None else list(found.items())

    def items(self) -> Iterator[Node]:
        """Yield the items of this list."""
        if not isinstance(self.value, list):
            raise Fault(RejectionCode.VALUE_INVALID, self.at, "a list must stand here")
        return (Node(value, f"{self.at}[{index}]") for index, value in enumerate(self.value))

    def text(self) -> str:
        """Return this value, which must be a string with something in it."""
        if not isinstance(self.value, str) or not self.value.strip():
            raise Fault(RejectionCode.VALUE_INVALID, self.at, "a string must stand here")
        return self.value

    def moment(self) -> dt.datetime:
        """Return this dateTime, which must have a time and a zone (MedCom Messaging: all dateTimes carry a zone)."""
        text = self.text()
        if _MOMENT.fullmatch(text):
            try:
                return dt.datetime.fromisoformat(_FRACTION.sub(lambda part: part[1].ljust(6, "0"), text))
            except ValueError:
                pass
        raise Fault(RejectionCode.VALUE_INVALID, self.at, "a date, a time and a time zone must stand here")


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """One resource of the message."""

    kind: str
    local_id: str
    node: Node

    @property
    def at(self) -> str:
        """Where the resource stands: `Bundle.entry[2].resource`."""
        return self.node.at


class Message:
    """A Bundle of type message with one MessageHeader, first, that has an id. Raises Fault for anything else."""

    def __init__(self, bundle: Any) -> None:
        if not isinstance(bundle, dict) or bundle.get("resourceType") != "Bundle":
            raise Fault(RejectionCode.STRUCTURE, "Bundle", "a MedCom message is a Bundle")
        root = Node(bundle, "Bundle")
        if root.need("type").value != "message":
            raise Fault(RejectionCode.STRUCTURE, "Bundle.type", "a MedCom message is a Bundle of type message")
        self.envelope = _identity(root)
        self.parts: list[Part] = []
        self._by_reference: dict[str, list[Part]] = {}
        entries = root.each("entry")
        if len(entries) > ENTRIES_MAX:
            raise Fault(RejectionCode.TOO_LARGE, "Bundle.entry", f"more than {ENTRIES_MAX} entries")
        for entry in entries:
            self._take(entry)
        headers = self.of("MessageHeader")
        if len(headers) != 1 or self.parts[0] is not headers[0]:
            raise Fault(RejectionCode.STRUCTURE, "Bundle.entry", "the first entry, and only that, is a MessageHeader")
        self.header = headers[0]
        if not self.header.local_id:
            raise Fault(RejectionCode.REQUIRED_MISSING, f"{self.header.at}.id", "must be present")

    @property
    def letter(self) -> str:
        """MessageHeader.id: names the letter, whatever envelope it comes in."""
        return self.header.local_id

    def of(self, kind: str) -> list[Part]:
        """Return the resources of one type, in the order of the message."""
        return [part for part in self.parts if part.kind == kind]

    def find(self, reference: Node, *kinds: str) -> Part:
        """Return the resource that a Reference points at, of one of `kinds` if given. A Fault when it is not there."""
        target = reference.need("reference")
        found = self._by_reference.get(target.text(), [])
        if len({id(part) for part in found}) != 1:
            text = "points at nothing in this message" if not found else "points at more than one resource"
            raise Fault(RejectionCode.REFERENCE_BROKEN, target.at, text)
        if kinds and found[0].kind not in kinds:
            raise Fault(RejectionCode.REFERENCE_BROKEN, target.at, f"must point at {' or '.join(kinds)}")
        return found[0]

    @functools.cached_property
    def own_provenance(self) -> Part:
        """The Provenance of this letter; the others are history that the message carries along."""
        own = [part for part in self.of("Provenance") if self._targets_header(part)]
        if len(own) != 1:
            text = "exactly one Provenance must have this MessageHeader as its target"
            raise Fault(RejectionCode.STRUCTURE, "Bundle.entry", text)
        return own[0]

    @functools.cached_property
    def lineage(self) -> str:
        """The id of the first letter of the series that this one revises, followed through the Provenances."""
        earlier: dict[str, str] = {}
        for part in self.of("Provenance"):
            previous = part.node.each("entity")
            if previous:
                target = part.node.need("target", "reference").text()
                earlier[_last(target)] = _last(_named(previous[0].need("what")))
        letter, seen = self.letter, {""}
        while letter not in seen:
            seen.add(letter)
            letter = earlier.get(letter) or letter
        return letter

    def _targets_header(self, part: Part) -> bool:
        targets = [target.get("reference") for target in part.node.each("target")]
        known = self._by_reference
        found = [part for one in targets if one is not None for part in known.get(one.text(), [])]
        return any(part is self.header for part in found)

    def _take(self, entry: Node) -> None:
        node = entry.need("resource")
        kind = node.need("resourceType").text()
        if not _KIND.fullmatch(kind):
            raise Fault(RejectionCode.VALUE_INVALID, f"{node.at}.resourceType", "not the name of a resource type")
        part = Part(kind, _identity(node) if node.get("id") is not None else "", node)
        names = {f"{kind}/{part.local_id}"} if part.local_id else set()
        full_url = entry.get("fullUrl")
        if full_url is not None:
            names.add(full_url.text())
        for name in names:
            self._by_reference.setdefault(name, []).append(part)
        self.parts.append(part)


def person_of(patient: Node) -> PersonKey:
    """Return who a Patient is. A Fault without an identifier that can be one."""
    identifiers = patient.each("identifier")
    key = choose_person(
        [(node.value.get("system"), node.value.get("value")) for node in identifiers if isinstance(node.value, dict)]
    )
    if key is not None:
        return key
    for node in identifiers:
        if isinstance(node.value, dict) and node.value.get("system") in dict(_PERSON):
            raise Fault(RejectionCode.IDENTITY_INVALID, f"{node.at}.value", "not a number that can have been issued")
    raise Fault(
        RejectionCode.IDENTITY_MISSING, f"{patient.at}.identifier", "a CPR or replacement number must be present"
    )


def choose_person(pairs: list[tuple[Any, Any]]) -> PersonKey | None:
    """Return the best of (system, value) pairs that can name a person; a hyphen after the date is passed over."""
    for system, pattern in _PERSON:
        for named, value in pairs:
            if named == system or (system == D_ECPR and isinstance(named, str) and named.startswith(f"{D_ECPR}.")):
                written = re.sub(r"^(\d{6})-", r"\1", value.strip()) if isinstance(value, str) else ""
                if pattern.fullmatch(written):
                    return PersonKey(named, written)
    return None


def step(name: str) -> str:
    """Return a member's name as a place may show it: a name that is no element's may be a person's number."""
    return name if _NAME.fullmatch(name) else "?"


def _identity(node: Node) -> str:
    found = node.need("id")
    if not IDENTITY.fullmatch(found.text()):
        raise Fault(RejectionCode.VALUE_INVALID, found.at, "an id has 1 to 64 letters, digits, '-' and '.'")
    return found.text()


def _named(reference: Node) -> str:
    """Return what a Reference names: its reference, or its identifier's value. '' when it has neither."""
    found = reference.get("reference")
    if found is None:
        identifier = reference.get("identifier")
        found = identifier.get("value") if identifier is not None else None
    return found.text() if found is not None else ""


def _last(reference: str) -> str:
    """Return the id at the end of `MessageHeader/x`, `https://…/MessageHeader/x` or `urn:uuid:x`."""
    return re.split(r"[/:]", reference)[-1]


def earlier_letters(provenance: Part) -> list[tuple[str, str]]:
    """Return (role, id) of what a Provenance's letter follows (`revision`, `removal`) or is made of (`source`)."""
    entities = provenance.node.each("entity")
    return [(entity.need("role").text(), _last(_named(entity.need("what")))) for entity in entities]
