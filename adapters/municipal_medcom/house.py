"""From a message's resources to the house's: deterministic ids, references, naming systems, profiles that still hold.

What a message carries is copied element by element. Left out, always: `text` (a narrative repeats the person's name
and number and what the structure says anyway; the raw record keeps it), `meta` but for its security labels, and the
message profiles, which no longer hold for a resource outside its message.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Sequence
from typing import Any

from adapters.municipal_medcom import naming
from adapters.municipal_medcom.message import CPR, Fault, Message, Node, Part, earlier_letters, person_of, step
from gateway.formats import json
from gateway.model import Change, Lane, Mode, Notice, PersonKey, RejectionCode, Resource, Trace
from gateway.terminology.context import Context

_DK_CORE = "http://hl7.dk/fhir/core/StructureDefinition/"
_PROFILES = {
    "Patient": "dk-core-patient",
    "Encounter": "dk-core-encounter",
    "Observation": "dk-core-observation",
    "DiagnosticReport": "dk-core-diagnostic-report",
    "Organization": "dk-core-organization",
    "Practitioner": "dk-core-practitioner",
    "PractitionerRole": "dk-core-practitioner-role",
}
_SHARED = frozenset({"Organization", "Practitioner", "PractitionerRole"})
_LEFT_OUT = frozenset({"resourceType", "id", "meta", "text", "_text", "_id", "implicitRules", "_implicitRules"})
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_SKEW = dt.timedelta(hours=24)

Finish = Callable[[Part, Resource], None]
"""What a message type does with a copied resource before it is a change: codes, units, labels."""


class House:
    """Makes the changes of one message.

    `finish` is called for each resource of the types it names; of the types in `taken`, only those elements are
    carried; what is in `contain` (by identity) becomes a contained resource of the MessageHeader under that name.
    """

    def __init__(self, message: Message, context: Context, received_at: dt.datetime, trace: Trace | None) -> None:
        self.message = message
        self.context = context
        self.received_at = received_at
        self.trace = trace
        self.changes: list[Change] = []
        self.notices: list[Notice] = []
        self.origins: dict[str, str] = {}
        self.finish: dict[str, Finish] = {}
        self.taken: dict[str, frozenset[str]] = {}
        self.contain: dict[int, str] = {}
        self.person: PersonKey | None = None
        self._references: dict[int, str] = {}
        self._waiting: list[Part] = []
        self._counted: dict[str, dict[int, int]] = {}
        self.sender_id = naming.organisation_id(
            message.find(message.header.node.need("sender"), "Organization"), context
        )
        own = message.own_provenance.node
        self.happened_at = self.not_in_future(own.need("occurredDateTime"))

    def not_in_future(self, node: Node) -> dt.datetime:
        """Return a moment; a Fault when it is more than a day after reception: it would outrank all that follows."""
        moment = node.moment()
        if moment > self.received_at + _SKEW:
            raise Fault(RejectionCode.CLOCK, node.at, "more than a day after the message was received")
        return moment

    def take_patient(self) -> Part:
        """Find the one Patient of the message; everything made from now on is on that person's lane."""
        patients = self.message.of("Patient")
        if len(patients) != 1:
            raise Fault(RejectionCode.STRUCTURE, "Bundle.entry", "exactly one Patient must be present")
        self.person = person_of(patients[0].node)
        return patients[0]

    @property
    def lane(self) -> Lane | None:
        """The person's lane; None for a message about nobody."""
        return None if self.person is None else self.context.ids.lane(self.person)

    def refer(self, part: Part) -> str:
        """Return the house's reference to a resource of the message, and see to it that the resource is made."""
        known = self._references.get(id(part))
        if known is None:
            known = self._references[id(part)] = f"{part.kind}/{self._id(part)}"
            self._waiting.append(part)
        return known

    def work(self) -> None:
        """Make every resource that has been referred to, and what those refer to in turn."""
        while self._waiting:
            self._make(self._waiting.pop(0))
        for part in self.message.parts:
            if id(part) not in self._references and part.kind not in {"Provenance", "OperationOutcome"}:
                self.notices.append(Notice("resource-not-taken", part.at, f"{part.kind} that nothing refers to"))

    # ── ids ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _id(self, part: Part) -> str:
        ids = self.context.ids
        if part.kind == "Patient" and self.person is not None:
            return ids.patient(self.person)
        if part.kind == "Organization":
            return naming.organisation_id(part, self.context)
        if part.kind == "Encounter":
            return ids.resource("Encounter", *naming.episode(part))
        if part.kind in {"MessageHeader", "Provenance"}:
            return ids.resource(part.kind, "medcom", self.sender_id, self.message.letter)
        if part.kind in _SHARED:
            return self._staff_id(part)
        return ids.resource(part.kind, "medcom", self.sender_id, self.message.lineage, *self._place(part))

    def _staff_id(self, part: Part) -> str:
        """Staff without a register number are one and the same when the sender describes them in the same words."""
        for node in part.node.each("identifier"):
            return self.context.ids.resource(part.kind, *(node.need(name).text() for name in ("system", "value")))
        words = {name: part.node.value.get(name) for name in ("name", "telecom", "qualification", "code", "specialty")}
        practitioner = part.node.get("practitioner")
        who = self.refer(self.message.find(practitioner, "Practitioner")) if practitioner is not None else ""
        return self.context.ids.resource(part.kind, "medcom", self.sender_id, who, json.dumps(words).decode())

    def _place(self, part: Part) -> Sequence[str]:
        """Return what names a resource within its series of letters, so that a corrected letter meets the same one.

        The sender's identifier, else its code and how many of that code stand before it.
        """
        for node in part.node.each("identifier"):
            return [node.need("value").text()]
        if part.kind not in self._counted:
            before: dict[str, int] = {}
            self._counted[part.kind] = places = {}
            for other in self.message.of(part.kind):
                key = naming.code_key(other)
                places[id(other)] = before.get(key, 0)
                before[key] = places[id(other)] + 1
        return [naming.code_key(part), str(self._counted[part.kind][id(part)])]

    # ── resources ────────────────────────────────────────────────────────────────────────────────────────────────

    def _make(self, part: Part) -> None:
        reference = self._references[id(part)]
        resource: Resource = {"resourceType": part.kind, "id": reference.partition("/")[2]}
        self.note(reference, "id", "deterministic-id", part.at)
        meta = self._meta(part)
        if meta:
            resource["meta"] = meta
        for name, value in part.node.value.items():
            if name in _LEFT_OUT:
                continue
            if name not in self.taken.get(part.kind, part.node.value):
                self.notices.append(
                    Notice("element-not-taken", f"{part.at}.{step(name)}", "not allowed here; not carried further")
                )
                continue
            resource[name] = self._copy(Node(value, f"{part.at}.{step(name)}"))
            self.note(reference, name, "copy", f"{part.at}.{step(name)}")
        if part.kind in {"Patient", "Organization"}:
            self._normalise_identifiers(part, resource)
        if part.kind == "Organization":
            resource.pop("contact", None)  # whom to ask about this letter, not master data of the organisation
        if part.kind == "MessageHeader" and self.contain:
            resource["contained"] = self._contained()
        if part.kind == "Provenance":
            _name_earlier_letters(part, resource)
        finish = self.finish.get(part.kind)
        if finish is not None:
            finish(part, resource)
        self.origins[reference] = part.at
        mode = Mode.ENSURE if part.kind in _SHARED or part.kind == "Patient" else Mode.PUT
        if part.kind == "Encounter":
            mode = Mode.MERGE
        lane = None if part.kind in _SHARED else self.lane
        self.changes.append(Change(resource, mode, lane, self.happened_at))

    def _meta(self, part: Part) -> dict[str, Any]:
        meta: dict[str, Any] = {}
        profile = _PROFILES.get(part.kind)
        if profile is not None and (
            part.kind != "Organization" or naming.is_dk_core(naming.identifiers(part, self.context))
        ):
            meta["profile"] = [_DK_CORE + profile]
            self.note(
                self._references[id(part)],
                "meta.profile",
                "profile-that-holds",
                part.at,
                official=f"DK Core 3.7.0 {profile}",
            )
        stated = part.node.get("meta")
        security = stated.get("security") if stated is not None else None
        if security is not None:
            meta["security"] = [
                dict(node.value) if isinstance(node.value, dict) else node.value for node in security.items()
            ]
            self.note(self._references[id(part)], "meta.security", "copy", security.at)
        return meta

    def _copy(self, node: Node) -> Any:
        value = node.value
        if isinstance(value, list):
            return [self._copy(item) for item in node.items()]
        if not isinstance(value, dict):
            return value
        made = {
            name: self._copy(Node(item, f"{node.at}.{step(name)}")) for name, item in value.items() if item is not None
        }
        reference = value.get("reference")
        if isinstance(reference, str) and not reference.startswith("#") and not self._is_history(node):
            part = self.message.find(node)
            made["reference"] = f"#{self.contain[id(part)]}" if id(part) in self.contain else self.refer(part)
        return made

    def _contained(self) -> list[Resource]:
        return [
            {"resourceType": part.kind, "id": self.contain[id(part)]}
            | {name: value for name, value in part.node.value.items() if name not in _LEFT_OUT}
            for part in self.message.parts
            if id(part) in self.contain
        ]

    @staticmethod
    def _is_history(node: Node) -> bool:
        """Say whether a reference is Provenance.entity.what: the letter before, which is not in this message."""
        return re.search(r"\.entity\[\d+\]\.what$", node.at) is not None

    def _normalise_identifiers(self, part: Part, resource: Resource) -> None:
        if "identifier" not in resource:
            return
        if part.kind == "Patient" and self.person is not None:
            key = self.person
            use = "official" if key.system == CPR else "temp"
            resource["identifier"] = [
                {**item, "use": use, "value": key.value} if item.get("system") == key.system else item
                for item in resource["identifier"]
            ]
            return
        for index, (before, after) in enumerate(
            zip(resource["identifier"], naming.identifiers(part, self.context), strict=True)
        ):
            if before.get("system") != after.get("system"):
                self.note(
                    self._references[id(part)],
                    f"identifier[{index}].system",
                    "house-naming-system",
                    f"{part.at}.identifier[{index}].system",
                    official="mappings/medcom/systems.csv",
                )
                before["system"] = after["system"]

    def note(self, reference: str, element: str, rule: str, source: str, *, official: str = "") -> None:
        """Write a line of lineage, when somebody asks for it."""
        if self.trace is not None:
            self.trace.add(reference, element, rule=rule, official=official, source=source)


def _name_earlier_letters(part: Part, resource: Resource) -> None:
    """Name the letters that this one follows by their numbers; they may never have come here, so no reference."""
    entities = []
    for role, letter in earlier_letters(part):
        uuid = f"urn:uuid:{letter.lower()}" if _UUID.fullmatch(letter) else None
        identifier = {"system": "urn:ietf:rfc:3986", "value": uuid} if uuid else {"value": letter}
        entities.append({"role": role, "what": {"identifier": identifier}})
    if entities:
        resource["entity"] = entities
