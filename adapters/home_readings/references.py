"""References inside a FHIR message: to its own resources, and to what the sender keeps elsewhere.

What the message holds is referred to by our deterministic ids. What it does not hold becomes a logical reference
(`Reference.identifier`): the sender's address is kept, and nobody is sent to a resource that is not here.
Source: FHIR R4 Bundle, "Resolving references in Bundles"; References, "Logical references".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from adapters.home_readings import persons
from adapters.home_readings.refusals import ReadingRefusedError
from gateway.model import Feed, PersonKey, RejectionCode

_ABSOLUTE = re.compile(r"(https?://[^\s?#]+?)/([A-Z][A-Za-z]{1,63})/([A-Za-z0-9\-.]{1,64})(/_history/\S+)?")
_RELATIVE = re.compile(r"([A-Z][A-Za-z]{1,63})/([A-Za-z0-9\-.]{1,64})(/_history/\S+)?")


class Resolver:
    """Finds what a reference points at within one message. Two resources under one address are none."""

    def __init__(self, outcome: Any, resources: Iterable[tuple[str, Mapping[str, Any]]]) -> None:
        self._outcome = outcome
        self._by_address: dict[str, Mapping[str, Any] | None] = {}
        self._has_patients = False
        for address, resource in resources:
            for name in {address, f"{resource.get('resourceType')}/{resource.get('id')}"}:
                known = self._by_address.get(name)
                self._by_address[name] = None if known is not None and known != resource else resource
            self._has_patients = self._has_patients or resource.get("resourceType") == "Patient"
        self._by_address.pop("", None)
        self._elsewhere: dict[str, str] = {}
        self.ours: dict[int, str] = {}
        """id() of a resource of the message → our reference to it; filled as they are taken or announced."""

    def find(self, reference: Any, owner: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Return the resource of this message that a reference text points at, contained ones included, or None."""
        if not isinstance(reference, str) or not reference:
            return None
        if reference.startswith("#"):
            contained = owner.get("contained")
            for resource in contained if isinstance(contained, list) else []:
                if isinstance(resource, Mapping) and resource.get("id") == reference[1:]:
                    return resource
            return None
        return self._by_address.get(reference)

    def name(self, reference: Any, owner: Mapping[str, Any], ours: str) -> None:
        """Remember our reference to what `reference` names, whether it stands in this message or elsewhere."""
        found = self.find(reference, owner)
        if found is not None:
            self.ours[id(found)] = ours
        elif isinstance(reference, str) and not reference.startswith("#"):
            self._elsewhere[reference] = ours

    def person(self, observation: Mapping[str, Any], feed: Feed) -> PersonKey | None:
        """Return the person an Observation is about; None when it is about an instrument.

        Raises ReadingRefusedError (identity-missing, identity-invalid).
        """
        subject = observation.get("subject")
        if not isinstance(subject, Mapping):
            raise ReadingRefusedError(RejectionCode.IDENTITY_MISSING, "subject", "the Observation has no subject")
        reference = subject.get("reference")
        found = self.find(reference, observation)
        if found is not None:
            return self._of_resource(found, reference, feed)
        identifier = subject.get("identifier")
        if isinstance(identifier, Mapping):
            if subject.get("type") == "Device":
                return None
            return persons.identifier_key(identifier, "subject.identifier", feed)
        if _kind(reference) == "Device":
            return None
        if reference is not None and self._has_patients:
            raise ReadingRefusedError(
                RejectionCode.REFERENCE_BROKEN, "subject.reference", "points at none of the Patients of this message"
            )
        return _elsewhere(reference, feed)

    def _of_resource(self, found: Mapping[str, Any], reference: Any, feed: Feed) -> PersonKey | None:
        if found.get("resourceType") == "Device":
            return None
        if found.get("resourceType") != "Patient":
            raise ReadingRefusedError(
                RejectionCode.IDENTITY_INVALID, "subject.reference", "the subject is neither a Patient nor a Device"
            )
        identifiers = found.get("identifier")
        if isinstance(identifiers, list) and identifiers:
            return persons.best_identifier(identifiers, "subject: Patient.identifier", feed)
        return _elsewhere(reference, feed)

    def rewritten(self, node: Any, owner: Mapping[str, Any]) -> Any:
        """Return a copy of a part of a resource in which every reference is ours or a logical one."""
        if isinstance(node, Mapping):
            reference = node.get("reference")
            if isinstance(reference, str):
                return self._reference(node, reference, owner)
            return {name: self.rewritten(value, owner) for name, value in node.items()}
        if isinstance(node, list):
            return [self.rewritten(item, owner) for item in node]
        return node

    def _reference(self, node: Mapping[str, Any], reference: str, owner: Mapping[str, Any]) -> dict[str, Any]:
        kept = {name: value for name, value in node.items() if name in {"type", "identifier", "display"}}
        found = self.find(reference, owner)
        ours = self.ours.get(id(found)) if found is not None else self._elsewhere.get(reference)
        if ours is not None:
            return {"reference": ours, **{name: kept[name] for name in ("type", "display") if name in kept}}
        if reference.startswith("#") and found is not None:
            return dict(node)
        if "identifier" not in kept:
            kept["identifier"] = self._logical(reference)
        return kept

    def _logical(self, reference: str) -> dict[str, str]:
        absolute = _ABSOLUTE.fullmatch(reference)
        if absolute:
            return {"system": f"{absolute.group(1)}/{absolute.group(2)}", "value": absolute.group(3)}
        relative = _RELATIVE.fullmatch(reference)
        if relative:
            system = local_system(relative.group(1), self._outcome.context.feed)
            return {"system": system, "value": relative.group(2)}
        return {"system": "urn:ietf:rfc:3986", "value": reference}


def _kind(reference: Any) -> str:
    """Return the resource type in a reference text, or ''."""
    if not isinstance(reference, str):
        return ""
    relative, absolute = _RELATIVE.fullmatch(reference), _ABSOLUTE.fullmatch(reference)
    return relative.group(1) if relative else absolute.group(2) if absolute else ""


def local_system(kind: str, feed: Feed) -> str:
    """Return the naming system of the logical ids that a feed's sender gives its resources of one type."""
    return feed.systems.get(kind, f"urn:id:{feed.name}:{kind}")


def _elsewhere(reference: Any, feed: Feed) -> PersonKey:
    """Return the key of a Patient that is not in the message: by its address, or its number at the sender."""
    at = "subject.reference"
    if isinstance(reference, str):
        if _ABSOLUTE.fullmatch(reference):
            return persons.link_key(reference.partition("/_history/")[0], at, feed)
        relative = _RELATIVE.fullmatch(reference)
        if relative and relative.group(1) == "Patient":
            return PersonKey(local_system("Patient", feed), relative.group(2))
    raise ReadingRefusedError(
        RejectionCode.IDENTITY_MISSING, at, "neither a Patient of this message, nor an identifier, nor an address"
    )
