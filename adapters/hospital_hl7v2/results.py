"""ORU: ORC, OBR, OBX, SPM → DiagnosticReport, ServiceRequest, Specimen, Observation.

Source: HL7 v2-to-FHIR ORU_R01, OBR[DiagnosticReport], OBR[ServiceRequest], ORC[ServiceRequest], SPM[Specimen],
OBR[Specimen]. A report is its filler number and its code; a later message about it is its next version.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Final

from adapters.hospital_hl7v2 import datatypes, devices, observation, panels, rules, specimens, times
from adapters.hospital_hl7v2.observation import Around, Made
from adapters.hospital_hl7v2.structure import Order, orders
from adapters.hospital_hl7v2.work import Field, Work, place
from gateway.formats import er7
from gateway.model import Mode, Reason, RejectionCode, Resource

_IMAGING: Final = frozenset({"RAD", "RX", "CT", "NMR", "NMS", "OUS", "RUS", "VUS", "XRC", "CUS", "CTH", "MRI", "IMG"})
_NO_CODE: Final[Resource] = {
    "coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-NullFlavor", "code": "UNK", "display": "unknown"}]
}
_REFUSED: Final = frozenset({"Y", "Z"})


@dataclass(slots=True)
class Report:
    """One OBR on its way: its resource, its place in the message, its observations."""

    order: Order
    resource: Resource
    key: tuple[str, ...]
    event_time: dt.datetime
    rows: list[Made]

    @property
    def reference(self) -> str:
        """The reference of the DiagnosticReport."""
        return f"DiagnosticReport/{self.resource['id']}"


def results(work: Work, encounter: str) -> None:
    """Add everything an ORU reports about the present patient."""
    found, astray = orders(work.message)
    for obx in astray:
        work.reasons.append(
            Reason(RejectionCode.STRUCTURE, f"OBX[{obx.index}]", "An OBX must follow an OBR: it belongs to no report.")
        )
    if not found:
        work.reasons.append(
            Reason(RejectionCode.STRUCTURE, "OBR", "An ORU needs at least one OBR: there is nothing that it reports.")
        )
        return
    reports = [report for order in found if (report := _report(work, order, encounter))]
    _link_children(work, reports)
    for report in reports:
        for row in report.rows:
            if row.resource is not None:
                work.put(row.resource, event_time=report.event_time)
        work.put(report.resource, event_time=report.event_time)


def _report(work: Work, order: Order, encounter: str) -> Report | None:
    obr = order.obr
    if obr.at(25).upper() in _REFUSED:
        work.reasons.append(
            Reason(
                RejectionCode.CODE_UNKNOWN,
                place(obr, 25),
                "The result status says that there is no such order or patient: nothing to report.",
            )
        )
        return None
    key = _key(work, order)
    resource: Resource = {"resourceType": "DiagnosticReport", "id": work.ids.resource("DiagnosticReport", *key)}
    rules.apply(work, obr, "OBR-DiagnosticReport", resource)
    _identifiers(work, order, resource)
    resource.setdefault("status", "unknown")
    resource.setdefault("code", _NO_CODE)
    resource["subject"] = {"reference": work.patient}
    if encounter:
        resource["encounter"] = {"reference": encounter}
    effective = _effective(work, obr, resource)
    issued = work.setup.moment(obr.field(22).raw) if obr.has(22) else None
    event_time = issued.at if issued and issued.at else work.event_time
    report = Report(order, resource, key, event_time, [])
    request = _service_request(work, order, resource, encounter)
    resource["basedOn"] = [{"reference": request}]
    work.note_origin(report.reference, *([order.orc] if order.orc is not None else []))
    taken = [specimens.of_spm(work, group.spm, key, event_time) for group in order.specimens]
    sources = [f"SPM[{group.spm.index}]" for group in order.specimens] or [specimens.place_in_obr(obr)]
    taken = taken or specimens.of_obr(work, obr, key, event_time)
    if taken:
        resource["specimen"] = [{"reference": each} for each in taken]
        for source in sources:
            work.note(report.reference, "specimen", "specimen-of-report", "messages/ORU_R01.csv SPM", source)
    around = Around(
        key=key,
        category="imaging" if _is_imaging(obr) else work.setup.category,
        category_source=place(obr, 24) if _is_imaging(obr) else "[options] observation_category",
        effective=effective or (specimens.collected_at(work, taken[0]) if taken else ""),
        effective_source=_effective_place(order),
        issued=resource.get("issued", ""),
        encounter=encounter,
        specimen=taken[0] if len(taken) == 1 else "",
        specimen_source=sources[0],
        event_time=event_time,
    )
    _observations(work, report, around)
    for group, reference, source in zip(order.specimens, taken, sources, strict=False):
        around.specimen, around.specimen_source = reference, source
        for noted in group.observations:
            _keep(work, report, observation.observe(work, noted, around))
    _results(work, report)
    return report


def _results(work: Work, report: Report) -> None:
    """Name the report's Observations in it."""
    found = [(f"Observation/{row.resource['id']}", row) for row in report.rows if row.resource is not None]
    if found:
        report.resource["result"] = [{"reference": reference} for reference, _ in found]
    if work.trace is not None:
        for reference, row in found:
            at = f"OBX[{row.noted.obx.index}]"
            work.note(report.reference, "result", "obx-result", "messages/ORU_R01.csv OBX", at)
            work.note_origin(reference, report.order.obr)


def _observations(work: Work, report: Report, around: Around) -> None:
    rows = report.order.observations
    if panels.is_text_report(rows):
        panels.text_report(work, rows, report.resource)
        notes = [nte for row in rows for nte in row.notes]
        if notes:
            report.order.notes += notes
        return
    if devices.is_device_report(rows):
        made = devices.observe(work, rows, around)
    else:
        made = [observation.observe(work, noted, around) for noted in panels.join_text_rows(rows)]
    for row in panels.blood_pressures(work, made, around.key):
        _keep(work, report, row)


def _keep(work: Work, report: Report, row: Made) -> None:
    if row.attachment is not None:
        report.resource.setdefault("presentedForm", []).append(row.attachment)
        work.note(
            report.reference,
            "presentedForm",
            "obx-5-attachment",
            "segments/OBX--Observation.csv OBX-5",
            place(row.noted.obx, 5),
        )
    if row.resource is not None:
        report.rows.append(row)


def _key(work: Work, order: Order) -> tuple[str, ...]:
    """Return the business key of the report: filler number and code; placer number; else the message and the place in it."""
    words = work.setup.code_key(order.obr, 4)
    for segment, number, kind in (
        (order.obr, 3, "FILL"),
        (order.orc, 3, "FILL"),
        (order.obr, 2, "PLAC"),
        (order.orc, 2, "PLAC"),
    ):
        made = datatypes.entity(segment.field(number), work.setup, kind) if segment is not None else None
        if made:
            return (made["system"], made["value"], words)
    work.notice("report-unnumbered", place(order.obr, 3), "The report has neither a filler nor a placer number.")
    return (work.setup.local("message"), work.control_id, str(order.obr.index), words)


def _identifiers(work: Work, order: Order, resource: Resource) -> None:
    """Add the order numbers of ORC beside those of OBR; equal ones once."""
    if order.orc is None:
        return
    numbers = [(2, datatypes.entity(order.orc.field(2), work.setup, "PLAC"))]
    numbers.append((3, datatypes.entity(order.orc.field(3), work.setup, "FILL")))
    numbers += [(4, made) for made in datatypes.group_numbers(order.orc.field(4), work.setup)]
    for number, made in numbers:
        if made:
            resource["identifier"] = _distinct([*resource.get("identifier", []), made])
            official = f"segments/ORC--DiagnosticReport.csv ORC-{number}"
            reference = f"DiagnosticReport/{resource['id']}"
            work.note(reference, "identifier", f"orc-{number}-identifier", official, place(order.orc, number))


def _effective(work: Work, obr: er7.Segment, resource: Resource) -> str:
    start = work.moment(obr, 7) if obr.has(7) else None
    end = work.moment(obr, 8) if obr.has(8) else None
    reference = f"{resource['resourceType']}/{resource['id']}"
    official = "segments/OBR--DiagnosticReport.csv OBR-7"
    if start and end and start.date_time != end.date_time and not times.is_reversed(start.date_time, end.date_time):
        resource["effectivePeriod"] = {"start": start.date_time, "end": end.date_time}
        work.note(reference, "effectivePeriod", "obr-7-effective", official, place(obr, 7))
    elif start:
        resource["effectiveDateTime"] = start.date_time
        work.note(reference, "effectiveDateTime", "obr-7-effective", official, place(obr, 7))
    return start.date_time if start else ""


def _effective_place(order: Order) -> str:
    """Return the field that the time of the report's readings stands in: OBR-7, else that of its first specimen."""
    by_specimen = order.specimens and not order.obr.has(7)
    return place(order.specimens[0].spm, 17) if by_specimen else place(order.obr, 7)


def _is_imaging(obr: er7.Segment) -> bool:
    return obr.at(24).upper() in _IMAGING


def _service_request(work: Work, order: Order, report: Resource, encounter: str) -> str:
    """Add the ServiceRequest that the report answers; the report only mentions it (`ENSURE`)."""
    obr, orc = order.obr, order.orc
    number = next(
        (
            made
            for segment, place_, kind in ((obr, 2, "PLAC"), (orc, 2, "PLAC"), (obr, 3, "FILL"), (orc, 3, "FILL"))
            if segment is not None and (made := datatypes.entity(segment.field(place_), work.setup, kind))
        ),
        None,
    )
    key = (
        (number["system"], number["value"])
        if number
        else (work.setup.local("message"), work.control_id, str(obr.index))
    )
    words = work.setup.code_key(obr, 4)
    resource: Resource = {"resourceType": "ServiceRequest", "id": work.ids.resource("ServiceRequest", *key, words)}
    rules.apply(work, obr, "OBR-ServiceRequest", resource)
    if orc is not None:
        rules.apply(work, orc, "ORC-ServiceRequest", resource)
        if "identifier" in resource:
            resource["identifier"] = _distinct(resource["identifier"])
    resource["status"], stated = _request_status(work, order, report["status"])
    resource["intent"] = "reflex-order" if obr.at(11).upper() == "G" else "order"
    resource.setdefault("code", report["code"])
    resource["subject"] = {"reference": work.patient}
    if encounter:
        resource["encounter"] = {"reference": encounter}
    if orc is not None and orc.has(9) and orc.at(1).upper() in {"NW", "RE", ""}:
        moment = work.moment(orc, 9)
        if moment:
            resource["authoredOn"] = moment.date_time
    observation.add_notes(work, order.notes, resource)
    reference = work.put(resource, Mode.ENSURE)
    official = f"segments/ORC--ServiceRequest.csv ORC-{stated.number}" if stated.segment.name == "ORC" else ""
    rule = f"{stated.segment.name.lower()}-{stated.number}-status"
    work.note(reference, "status", rule, official, stated.at)
    return reference


def _distinct(identifiers: list[Resource]) -> list[Resource]:
    seen: dict[tuple[str, str], Resource] = {}
    for each in identifiers:
        seen.setdefault((each["system"], each["value"]), each)
    return list(seen.values())


def _request_status(work: Work, order: Order, report_status: str) -> tuple[str, Field]:
    """Return the status of the request, and the field that says it: of the order, else of the report."""
    orc, of_report = order.orc, Field(order.obr, 25)
    if orc is not None and orc.has(5):
        mapped = work.setup.map("0038", orc.at(5))
        if mapped:
            return mapped.code, Field(orc, 5)
    if report_status in {"final", "corrected", "amended"}:
        return "completed", of_report
    if orc is not None and orc.has(1):
        mapped = work.setup.map("0119", orc.at(1))
        if mapped:
            return mapped.code, Field(orc, 1)
    open_ones = {"cancelled": "revoked", "unknown": "unknown"}
    return open_ones.get(report_status, "active"), of_report


def _link_children(work: Work, reports: list[Report]) -> None:
    """OBR-26 and OBR-29: results about an organism become members of the Observation that found it."""
    if not any(report.order.obr.has(26) for report in reports):
        return
    rows = {
        (report.order.obr.at(3), obx.at(3), obx.at(4)): row.resource
        for report in reports
        for row in report.rows
        if row.resource is not None and (obx := row.noted.obx)
    }
    for report in reports:
        obr = report.order.obr
        if not obr.has(26):
            continue
        parent_code, sub_id = obr.field(26).part(1).at(1), obr.field(26).at(2)
        filler = obr.field(29).part(2).at(1)
        parent = rows.get((filler, parent_code, sub_id)) or next(
            (row for (_, code, sub), row in rows.items() if not filler and (code, sub) == (parent_code, sub_id)), None
        )
        members = [
            {"reference": f"Observation/{row.resource['id']}"} for row in report.rows if row.resource is not None
        ]
        if parent is not None and members and all(parent is not row.resource for row in report.rows):
            parent.setdefault("hasMember", []).extend(members)
            work.note(f"Observation/{parent['id']}", "hasMember", "obr-26-parent", "", place(obr, 26))
