"""PV1, PV2 and the ADT event → Encounter. Source: HL7 v2-to-FHIR PV1[Encounter], PV2[Encounter]; HL7 v2.9 chapter 3.

The event decides the status (mappings/hl7v2/0003-encounter-status.csv); where it says nothing, what is stored stays
(`Change.weak`). A PV1 that is there only because the structure asks for it makes no Encounter.
"""

from __future__ import annotations

from typing import Final

from adapters.hospital_hl7v2 import coded, datatypes, rules, shared, times
from adapters.hospital_hl7v2.work import Field, Work
from gateway.formats import er7
from gateway.model import Mode, Resource

PATIENT_ONLY: Final = frozenset({"A24", "A28", "A29", "A31", "A37", "A40", "A18", "A30", "A34", "A36", "A39", "A60"})
_STARTS: Final = frozenset({"A01", "A04"})
_MOVES: Final = frozenset({"A02", "A09", "A10", "A17"})
_CLASS_CHANGES: Final = frozenset({"A06", "A07"})
_UNKNOWN_CLASS: Final[Resource] = {"system": "http://terminology.hl7.org/CodeSystem/v3-NullFlavor", "code": "UNK"}
_OFFICIAL: Final = "segments/PV1--Encounter.csv "


def encounter(work: Work, event: str, mode: Mode = Mode.MERGE, diagnoses: list[Resource] | None = None) -> str:
    """Add the Encounter of the message's PV1; return its reference, '' when the message names none.

    `event` is the ADT trigger event, '' for messages that only mention the visit (ORU: `ENSURE`).
    """
    pv1 = work.message.segment("PV1")
    reference = identify(work, event)
    if not reference:
        return ""
    resource: Resource = {"resourceType": "Encounter", "id": reference.partition("/")[2]}
    resource["identifier"] = _identifiers(work, pv1, reference)
    if not resource["identifier"]:
        del resource["identifier"]
    status, stated = _status(work, pv1, event)
    resource["status"] = status
    resource["class"] = _class(work, pv1)
    resource["subject"] = {"reference": work.patient}
    nulls = rules.apply(work, pv1, "PV1-Encounter", resource)
    for pv2 in work.message.segments("PV2")[:1]:
        nulls |= rules.apply(work, pv2, "PV2-Encounter", resource)
    _period(work, resource, event, nulls)
    if mode is Mode.MERGE:  # a laboratory that mentions a visit is not where the patient is
        provider = shared.facility(work)
        if provider is not None:
            resource["serviceProvider"] = provider
            work.note(reference, "serviceProvider", "msh-4-facility", "", "MSH-4")
    locations = _locations(work, pv1, event, resource["class"])
    if locations:
        resource["location"] = locations
    if diagnoses:
        resource["diagnosis"] = diagnoses
    if event in _CLASS_CHANGES:
        resource["classHistory"] = [{"class": resource["class"], "period": {"start": work.event_text}}]
    _protection(work, pv1, resource)
    if event == "A13":
        _reopen(resource, nulls)
    if not resource.get("hospitalization", True):
        del resource["hospitalization"]
    work.note(reference, "status", f"event-{event or 'none'}", _event_row(work, event), "MSH-9.2")
    work.note(reference, "class", "pv1-2-class", _OFFICIAL + "PV1-2", "PV1-2")
    work.put(
        resource,
        mode,
        clear=sorted(nulls - resource.keys() - {"identifier", "status", "class"}) if mode is Mode.MERGE else (),
    )
    if mode is Mode.MERGE:
        weak = [name for name, weakly in (("status", not stated), ("class", not pv1.has(2))) if weakly]
        work.changes[reference].weak = tuple(weak)
    return reference


def identify(work: Work, event: str) -> str:
    """Return the reference of the message's visit: by PV1-19, PV1-50, else by patient, admission and class.

    '' for a PV1 that says nothing of a visit. An ADT event without any number of the visit gets an Encounter of its own.
    """
    pv1 = work.message.segment("PV1")
    if pv1.at(2).upper() == "N" and not pv1.has(19):
        return ""
    for number in (19, 50):
        made = datatypes.identifier(pv1.field(number), work.setup, "visit") if pv1.has(number) else None
        if made:
            return f"Encounter/{work.ids.resource('Encounter', made['system'], made['value'])}"
    admitted = work.setup.moment(pv1.field(44).raw) if pv1.has(44) else None
    if admitted is not None:
        key = (work.patient, admitted.date_time, pv1.at(2).upper())
        return f"Encounter/{work.ids.resource('Encounter', *key)}"
    substance = any(pv1.has(number) for number in range(3, len(pv1.fields)))
    if not event or not substance:
        return ""
    work.notice("encounter-unidentified", "PV1-19", "The visit has neither a number nor an admission time.")
    return f"Encounter/{work.ids.resource('Encounter', work.setup.feed.name, work.patient, work.control_id)}"


def _identifiers(work: Work, pv1: er7.Segment, reference: str) -> list[Resource]:
    found = []
    for number in (19, 50):
        for part in pv1.repetitions(number):
            made = datatypes.identifier(part, work.setup, "visit")
            if made is None:
                continue
            if number == 19 and "type" not in made:  # noqa: PLR2004
                made = {"type": datatypes.identifier_type("VN")} | made
            found.append(made)
            work.note(reference, "identifier", f"pv1-{number}-identifier", f"{_OFFICIAL}PV1-{number}", f"PV1-{number}")
    return found


def _status(work: Work, pv1: er7.Segment, event: str) -> tuple[str, bool]:
    """Return the status, and whether the message states it (else it only fills a gap)."""
    by_event = work.setup.events.get(event, "")
    if event == "A04" and pv1.has(44):
        starts = work.setup.moment(pv1.field(44).raw)
        if starts is not None and starts.at is not None and starts.at > work.event_time:
            return "planned", True
    if by_event:
        return by_event, True
    if pv1.has(45):
        return "finished", True
    if not event:
        return "unknown", False
    return ("planned" if pv1.at(2).upper() == "P" else "in-progress"), False


def _event_row(work: Work, event: str) -> str:
    return work.setup.event_rows.get(event, "")


def _class(work: Work, pv1: er7.Segment) -> Resource:
    sent = pv1.at(2)
    if not sent:
        return _UNKNOWN_CLASS
    mapped = work.setup.map("0004", sent)
    if mapped is None:
        return coded.coding(pv1.field(2), work.setup, "0004") or _UNKNOWN_CLASS
    made: Resource = {"system": mapped.system, "code": mapped.code}
    if mapped.display:
        made["display"] = mapped.display
    return made


def _period(work: Work, resource: Resource, event: str, nulls: set[str]) -> None:
    period = resource.setdefault("period", {})
    if event in _STARTS and resource["status"] == "in-progress":
        period.setdefault("start", work.event_text)
    if event == "A03":
        period.setdefault("end", work.event_text)
    if "start" in period and "end" in period and times.is_reversed(period["start"], period["end"]):
        work.notice("period-reversed", "PV1-45", "The end lies before the start and was left out.")
        del period["end"]
    if not period:
        del resource["period"]
    elif "period" in nulls:
        nulls.discard("period")


def _locations(work: Work, pv1: er7.Segment, event: str, klass: Resource) -> list[Resource]:
    found: list[Resource] = []

    def add(number: int, status: str, **period: str) -> None:
        made = shared.location(pv1.field(number), work, Field(pv1, number))
        if made is None:
            return
        entry: Resource = {"location": made, "status": status}
        if period:
            entry["period"] = period
        found.append(entry)
        reference = f"Encounter/{identify(work, event).partition('/')[2]}" if work.trace is not None else ""
        work.note(reference, "location", f"pv1-{number}-location", f"{_OFFICIAL}PV1-{number}", f"PV1-{number}")

    moment = work.event_text
    left = work.setup.moment(pv1.first(45)) if pv1.has(45) else None
    now = "planned" if klass.get("code") == "PRENC" or event in {"A05", "A14"} else "active"
    if event == "A03":
        add(3, "completed", end=left.date_time if left else moment)
    elif event in _MOVES:
        add(3, now, start=moment)
        add(6, "completed", end=moment)
    else:
        add(3, now, **({"start": moment} if event in _STARTS and now == "active" else {}))
        if event not in {"A12", "A13", "A11"} and pv1.raw(6) != pv1.raw(3):
            add(6, "completed")
    add(11, "active")
    add(42, "reserved")
    return _distinct(found)


def _distinct(entries: list[Resource]) -> list[Resource]:
    """Return the entries without a place that already stands there: one place, one entry."""
    seen: dict[str, Resource] = {}
    for entry in entries:
        seen.setdefault(str(entry["location"]), entry)
    return list(seen.values())


def _protection(work: Work, pv1: er7.Segment, resource: Resource) -> None:
    protected = work.message.segment("PV2").at(22).upper() == "Y"
    if protected or pv1.at(16).upper() in {"V", "VIP"}:
        code = ("R", "restricted") if protected else ("VIP", "")
        system = "v3-Confidentiality" if protected else "v3-ActCode"
        label: Resource = {"system": f"http://terminology.hl7.org/CodeSystem/{system}", "code": code[0]}
        if code[1]:
            label["display"] = code[1]
        resource["meta"] = {"security": [label]}


def _reopen(resource: Resource, nulls: set[str]) -> None:
    """Take back a discharge (A13): no end, no disposition, whatever PV1 still repeats of them."""
    resource.get("period", {}).pop("end", None)
    if not resource.get("period"):
        resource.pop("period", None)
    stay = resource.get("hospitalization", {})
    stay.pop("dischargeDisposition", None)
    stay.pop("destination", None)
    if not stay:
        resource.pop("hospitalization", None)
        nulls.add("hospitalization")
