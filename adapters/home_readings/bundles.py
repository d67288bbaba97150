"""FHIR R4 as home gateways post it: an Observation, a Bundle of them, or a FUT Parameters around a Bundle.

This module opens the envelope: which resources there are, what they refer to, and whose they are. observations.py
makes one Observation of ours from one of theirs. A Patient gives its identifier and nothing else; a Device is taken;
what is about how the message came to be (Provenance, Organization, …) is passed over with a notice; any other clinical
content is refused with a reason, entry by entry.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from adapters.home_readings import observations, persons
from adapters.home_readings.instruments import Instruments
from adapters.home_readings.outcome import Outcome
from adapters.home_readings.references import Resolver
from adapters.home_readings.refusals import ReadingRefusedError
from gateway.model import Feed, PersonKey, Reason, RejectionCode, Translation

BUNDLES = frozenset({"collection", "transaction", "batch", "searchset"})
PASSED_OVER = frozenset(
    {
        "Composition",
        "DeviceMetric",
        "OperationOutcome",
        "Organization",
        "Practitioner",
        "PractitionerRole",
        "Provenance",
        "RelatedPerson",
    }
)
"""Not clinical content of its own. The raw message keeps it; the gateway writes its own Provenance."""

_DEPTH_MAX = 4


class Entry(NamedTuple):
    """One resource of a message, where it stands, and the address its sender gave it."""

    path: str
    address: str
    resource: Mapping[str, Any]


def entries(document: Mapping[str, Any], path: str = "", address: str = "", depth: int = 0) -> Iterator[Entry]:
    """Yield the resources of a message, Bundles in Bundles and Parameters opened.

    Raises ReadingRefusedError (unsupported-type, structure) for an envelope that is none of this feed's.
    """
    kind = document.get("resourceType")
    at = path or (kind if isinstance(kind, str) else "resourceType")
    if kind == "Bundle":
        if str(document.get("type")) not in BUNDLES:
            raise ReadingRefusedError(
                RejectionCode.UNSUPPORTED_TYPE, f"{at}.type", f"a Bundle is one of {', '.join(sorted(BUNDLES))}"
            )
        yield from _opened(document.get("entry"), f"{at}.entry", depth)
    elif kind == "Parameters":
        yield from _opened(document.get("parameter"), f"{at}.parameter", depth)
    elif isinstance(kind, str):
        yield Entry(at, address, document)
    else:
        raise ReadingRefusedError(
            RejectionCode.STRUCTURE, f"{path}.resourceType".strip("."), "a resource says its type"
        )


def _opened(items: Any, at: str, depth: int) -> Iterator[Entry]:
    if depth >= _DEPTH_MAX:
        raise ReadingRefusedError(RejectionCode.STRUCTURE, at, "Bundles within Bundles, deeper than is taken")
    for index, item in enumerate(items if isinstance(items, list) else []):
        resource = item.get("resource") if isinstance(item, Mapping) else None
        path = f"{at}[{index}]"
        if isinstance(resource, Mapping):
            full_url = item.get("fullUrl")
            address = full_url if isinstance(full_url, str) else ""
            yield from entries(resource, f"{path}.resource", address, depth + 1)
        elif isinstance(item, Mapping) and "part" in item:
            yield from _opened(item["part"], f"{path}.part", depth + 1)
        else:
            yield Entry(path, "", {})


def translate(document: Mapping[str, Any], outcome: Outcome) -> Translation:
    """Return what comes of a FHIR message. Raises ReadingRefusedError when its envelope cannot be opened."""
    kind = str(document["resourceType"])
    outcome.message_type = f"home/{kind}" if kind in {"Bundle", "Parameters", "Observation"} else "home/fhir"
    found = list(entries(document))
    if not found:
        at = f"{kind}.entry" if kind == "Bundle" else f"{kind}.parameter"
        raise ReadingRefusedError(RejectionCode.STRUCTURE, at, "nothing in it")
    resolver = Resolver(outcome, ((entry.address, entry.resource) for entry in found))
    instruments = Instruments(outcome, resolver)
    message = observations.Message(outcome, resolver, instruments)
    for entry in found:
        if entry.resource.get("resourceType") == "Observation":
            message.announce(entry.resource, entry.path)
    for entry in found:
        try:
            _take(entry, message, instruments, outcome)
        except ReadingRefusedError as refused:
            outcome.refuse(refused, entry.path)
    translation = outcome.translation()
    if not translation.changes and not translation.reasons:
        translation.reasons.append(Reason(RejectionCode.STRUCTURE, str(kind), "no readings in it"))
    return translation


def _take(entry: Entry, message: observations.Message, instruments: Instruments, outcome: Outcome) -> None:
    kind = entry.resource.get("resourceType")  # a text, or None where an entry has no resource: `entries` saw to it
    if kind == "Observation":
        message.take(entry.resource, entry.path)
    elif kind == "Device":
        instruments.take(entry.resource)
    elif kind in PASSED_OVER:
        outcome.notice("entry-passed-over", entry.path, "not a reading; kept with the raw message")
    elif kind is None:
        raise ReadingRefusedError(RejectionCode.STRUCTURE, "", "an entry without a resource")
    elif kind != "Patient":
        raise ReadingRefusedError(
            RejectionCode.UNSUPPORTED_TYPE, "", "this feed takes Observations, with their Patient and Device"
        )


def first_person(document: Mapping[str, Any], feed: Feed) -> PersonKey | None:
    """Return the person of the first Observation of a message, for a door; None when that is not quickly seen."""
    found = list(entries(document))
    resolver = Resolver(None, ((entry.address, entry.resource) for entry in found))
    for entry in found:
        if entry.resource.get("resourceType") == "Observation":
            try:
                return resolver.person(entry.resource, feed)
            except ReadingRefusedError:
                return None
    for entry in found:
        if entry.resource.get("resourceType") == "Patient":
            identifiers = entry.resource.get("identifier")
            if isinstance(identifiers, list):
                return persons.best_identifier(identifiers, "identifier", feed)
    return None
