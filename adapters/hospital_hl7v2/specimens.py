"""SPM, and what OBR says of a specimen, → Specimen. Source: HL7 v2-to-FHIR SPM[Specimen], OBR[Specimen]."""

from __future__ import annotations

import datetime as dt

from adapters.hospital_hl7v2 import datatypes, rules
from adapters.hospital_hl7v2.work import Work, place
from gateway.formats import er7
from gateway.model import Mode, Resource

_OF_OBR = (15, 9, 10, 14)
"""OBR fields that speak of the specimen: source, volume, collector, received."""


def of_spm(work: Work, spm: er7.Segment, report: tuple[str, ...], event_time: dt.datetime) -> str:
    """Add the Specimen of an SPM; return its reference. Without a number of its own it is one of its report (`report`)."""
    own = spm.field(2)
    key = (work.setup.feed.name, own.raw) if own else (*report, str(spm.index))
    resource: Resource = {"resourceType": "Specimen", "id": work.ids.resource("Specimen", *key)}
    rules.apply(work, spm, "SPM-Specimen", resource)
    available = spm.at(20).upper()
    if available in {"Y", "N"}:
        resource["status"] = "available" if available == "Y" else "unavailable"
    resource["subject"] = {"reference": work.patient}
    return work.put(resource, Mode.MERGE, event_time=event_time)


def of_obr(work: Work, obr: er7.Segment, report: tuple[str, ...], event_time: dt.datetime) -> list[str]:
    """Add the Specimen that OBR itself describes, where there is no SPM and OBR says anything of one."""
    if not any(obr.has(number) for number in _OF_OBR):
        return []
    resource: Resource = {"resourceType": "Specimen", "id": work.ids.resource("Specimen", *report, "OBR")}
    source = obr.field(15)
    kind = work.concept(datatypes.lifted(source.part(1)), "0487")
    if kind:
        resource["type"] = kind
    rules.apply(work, obr, "OBR-Specimen", resource)
    collection: Resource = resource.setdefault("collection", {})
    site = work.concept(datatypes.lifted(source.part(4)))
    if site:
        collection["bodySite"] = site
    collected = datatypes.period(obr.first(7), obr.first(8), work.setup) or {}
    if "start" in collected and "end" in collected:
        collection["collectedPeriod"] = collected
    elif "start" in collected:
        collection["collectedDateTime"] = collected["start"]
    if not collection:
        del resource["collection"]
    resource["subject"] = {"reference": work.patient}
    return [work.put(resource, Mode.MERGE, event_time=event_time)]


def place_in_obr(obr: er7.Segment) -> str:
    """Return the OBR field that speaks of the specimen first, for lineage."""
    return place(obr, next((number for number in _OF_OBR if obr.has(number)), _OF_OBR[0]))


def collected_at(work: Work, reference: str) -> str:
    """Return when a specimen of this message was taken, '' when it does not say."""
    collection = work.changes[reference].resource.get("collection", {})
    moment: str = collection.get("collectedDateTime") or collection.get("collectedPeriod", {}).get("start", "")
    return moment
