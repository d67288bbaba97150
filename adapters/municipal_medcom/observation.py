"""HomeCareObservation: what a municipal acute team measured in somebody's home, as one report and its observations.

Source: MedCom HomeCareObservation 1.0 to 1.2.1; units and codes from mappings/medcom. A letter that modifies an earlier
one meets the same report and the same observations (`House`), and replaces them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from adapters.municipal_medcom.house import House
from adapters.municipal_medcom.message import Fault, Node, Part
from gateway.model import Notice, RejectionCode, Resource
from gateway.terminology.tables import Row

EVENT = "homecareobservation-message"
UCUM = "http://unitsofmeasure.org"
NPU = "http://npu-terminology.org"
LOINC = "http://loinc.org"
MDC = "urn:iso:std:iso:11073:10101"
CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"
AS_SENT = "http://hl7.org/fhir/StructureDefinition/iso21090-PQ-translation"
"""HL7's extension for the same quantity in another unit: the sender's own value and unit, untouched."""

_ACTIVITIES = frozenset({"new-message", "reply-message", "retract-message", "modified-message"})
"""ValueSet medcom-HomeCareObservation-messagingActivities, MedCom Terminology 2.0.2."""

_FRACTION_MAX = Decimal(1)
_PERCENT_MIN, _PERCENT_MAX = Decimal(40), Decimal(100)
"""A number of 40 to 100 without a unit cannot be a fraction, and a living person has no saturation under 40 %."""


def translate(house: House) -> None:
    """Make the changes of a HomeCareObservation. Raises Fault."""
    message = house.message
    patient = house.take_patient()
    report = message.find(message.header.node.need("focus"), "DiagnosticReport")
    results = [message.find(node, "Observation") for node in report.node.each("result")]
    for part in (report, *results):
        part.node.need("status").text()
        if message.find(part.node.need("subject"), "Patient") is not patient:
            raise Fault(RejectionCode.REFERENCE_BROKEN, f"{part.at}.subject", "must be the Patient of this message")
    security = _security(report)
    activity = message.own_provenance.node.need("activity", "coding", "code")
    if activity.text() not in _ACTIVITIES:
        raise Fault(RejectionCode.CODE_UNKNOWN, activity.at, "not one of the codes that MedCom allows here")
    house.finish["Observation"] = lambda part, resource: _observation(house, part, resource, security)
    house.finish["Media"] = lambda part, resource: _media(house, part, resource, security)
    house.refer(message.header)
    house.refer(message.own_provenance)
    house.refer(patient)
    house.refer(report)
    house.work()
    if activity.text() == "retract-message":
        _retract(house, activity)


def _retract(house: House, activity: Node) -> None:
    """Mark a letter taken back: MedCom has no other status than final for a report, so only the activity says it."""
    for change in house.changes:
        kind = change.resource["resourceType"]
        if kind in {"DiagnosticReport", "Observation", "Media"}:
            change.resource["status"] = "entered-in-error"
            house.note(f"{kind}/{change.resource['id']}", "status", "retracted", activity.at)


def _security(report: Part) -> list[Any]:
    meta = report.node.get("meta")
    return [] if meta is None else [node.value for node in meta.each("security")]


def _label(house: House, part: Part, resource: Resource, security: list[Any]) -> None:
    """Put the report's confidentiality on what it holds: an observation must not be easier to see than its report."""
    if security and "security" not in resource.get("meta", {}):
        resource.setdefault("meta", {})["security"] = security
        house.note(house.refer(part), "meta.security", "as-its-report", part.at)


def _media(house: House, part: Part, resource: Resource, security: list[Any]) -> None:
    """Say whose picture it is: the report's person; MedCom's Media does not."""
    if "subject" not in resource:
        resource["subject"] = {"reference": house.refer(house.message.of("Patient")[0])}
        house.note(house.refer(part), "subject", "as-its-report", part.at)
    _label(house, part, resource, security)


def _observation(house: House, part: Part, resource: Resource, security: list[Any]) -> None:
    _label(house, part, resource, security)
    time = part.node.get("effectiveDateTime")
    if time is not None:
        house.not_in_future(time)
    row = _codes(house, part, resource)
    quantity = part.node.get("valueQuantity")
    if quantity is not None:
        resource["valueQuantity"] = _quantity(house, part, quantity, row)
    if row is None:
        return
    reference = house.refer(part)
    official = f"mappings/medcom/observations.csv {row['code']}"
    if "category" not in resource:
        resource["category"] = [{"coding": [{"system": CATEGORY, "code": row["category"]}]}]
        house.note(reference, "category", "category-of-code", part.at, official=official)
    if _speaks_house_unit(resource, row):
        _international(house, part, resource, row)


def _codes(house: House, part: Part, resource: Resource) -> Row | None:
    """Put the DK Core naming system's coding beside the sender's; return the code's row, or None when it has none."""
    known = house.context.tables.compiled("medcom/observations", "code", _by_code)
    systems = house.context.tables.compiled("medcom/systems", "coding", _coding_systems)
    part.node.need("code")
    codings = resource["code"].get("coding", []) if isinstance(resource["code"], dict) else []
    for index, coding in enumerate(list(codings)):
        if not isinstance(coding, dict) or not isinstance(coding.get("code"), str):
            continue
        system = systems.get(str(coding.get("system")))
        row = known.get(coding["code"])
        if system is None or row is None or (row["system"] == "npu") != (system == NPU):
            continue
        if all(other.get("system") != system for other in codings if isinstance(other, dict)):
            codings.append({"system": system, "code": row["code"], "display": row["display"]})
            house.note(
                house.refer(part),
                f"code.coding[{len(codings) - 1}]",
                "house-naming-system",
                f"{part.at}.code.coding[{index}]",
                official="mappings/medcom/systems.csv",
            )
        return row
    return None


def _international(house: House, part: Part, resource: Resource, row: Row) -> None:
    codings = resource["code"]["coding"]
    for system, code, display in ((LOINC, row["loinc"], ""), (MDC, row["mdc"], row["mdc_name"])):
        if code and all(coding.get("system") != system for coding in codings if isinstance(coding, dict)):
            codings.append({"system": system, "code": code, **({"display": display} if display else {})})
            house.note(
                house.refer(part),
                f"code.coding[{len(codings) - 1}]",
                "code-beside-the-senders",
                f"{part.at}.code",
                official=f"mappings/medcom/observations.csv {row['code']}",
            )


def _speaks_house_unit(resource: Resource, row: Row) -> bool:
    """Say whether the value is in the unit that the LOINC and IEEE codes go with; otherwise they are not added."""
    quantity = resource.get("valueQuantity")
    if not isinstance(quantity, dict) or not row["house_ucum"]:
        return True
    return bool(quantity.get("code") == row["house_ucum"])


def _quantity(house: House, part: Part, sent: Node, row: Row | None) -> dict[str, Any]:
    made = dict(sent.value) if isinstance(sent.value, dict) else {}
    value, unit = sent.get("value"), sent.get("unit")
    if value is None:
        return made
    if isinstance(value.value, bool) or not isinstance(value.value, int | Decimal):
        raise Fault(RejectionCode.VALUE_INVALID, value.at, "a number must stand here")
    if unit is not None:
        made["unit"] = unit.text().strip()
    code = _ucum(house, sent, row)
    if code is None:
        return made
    made = {**made, "system": UCUM, "code": code}
    reference = house.refer(part)
    house.note(reference, "valueQuantity.code", "unit-to-ucum", sent.at, official="mappings/medcom/units.csv")
    if row is None or row["house_ucum"] == row["ucum"]:
        return made
    number = Decimal(value.value)
    if row["ucum"] == "1":
        code = _saturation_unit(house, value, number, code)
    if code == made["code"] != row["ucum"]:
        return made
    house.note(
        reference,
        "valueQuantity.value",
        "to-house-unit",
        value.at,
        official=f"mappings/medcom/observations.csv {row['code']}",
    )
    shifted = _shifted(number, int(row["power"])) if code == row["ucum"] else value.value
    as_sent = {"url": AS_SENT, "valueQuantity": dict(sent.value)}
    kept = {name: item for name, item in sent.value.items() if name == "comparator"}
    return {
        "extension": [as_sent],
        "value": shifted,
        **kept,
        "unit": row["house_ucum"],
        "system": UCUM,
        "code": row["house_ucum"],
    }


def _ucum(house: House, sent: Node, row: Row | None) -> str | None:
    """Return the UCUM code of a quantity: the sender's, else that of its unit text, else that of a pure number."""
    code, system, unit = sent.get("code"), sent.get("system"), sent.get("unit")
    units = house.context.tables.compiled("medcom/units", "unit", _units)
    if code is not None:
        if system is None or system.text() != UCUM:
            return None
        return "/min" if code.text() == "1/min" else code.text()
    if unit is not None:
        found = units.get("".join(unit.text().split()))
        if found is None:
            house.notices.append(Notice("unit-without-ucum", unit.at, "kept as the sender wrote it"))
        return found
    if row is not None and row["ucum"] == "1":
        return "1"
    raise Fault(RejectionCode.UNIT_UNKNOWN, sent.at, "a measured value needs a unit")


def _saturation_unit(house: House, value: Node, number: Decimal, code: str) -> str:
    """Return `1` for a fraction and `%` for percent; a Fault where the number cannot be what its unit says.

    NPU03011 and NPU10197 are defined as fractions; senders also write 97, with and without a percent sign.
    """
    if code == "%" or (code == "1" and _PERCENT_MIN <= number <= _PERCENT_MAX):
        if not _FRACTION_MAX < number <= _PERCENT_MAX:
            raise Fault(RejectionCode.IMPLAUSIBLE, value.at, "a saturation in percent is over 1 and at most 100")
        if code == "1":
            house.notices.append(
                Notice("percent-for-fraction", value.at, "taken as percent: no saturation is so great a fraction")
            )
        return "%"
    if code == "1" and not 0 <= number <= _FRACTION_MAX:
        raise Fault(RejectionCode.IMPLAUSIBLE, value.at, "a saturation is a fraction from 0 to 1")
    return code


def _shifted(number: Decimal, power: int) -> Decimal | int:
    """Return number times 10^power with the digits that were measured: 0.97 → 97, 0.970 → 97.0."""
    shifted = number.scaleb(power)
    return int(shifted) if shifted.as_tuple().exponent in {0, *range(1, 10)} else shifted


def _by_code(rows: Sequence[Row]) -> Mapping[str, Row]:
    return {row["code"]: row for row in rows}


def _coding_systems(rows: Sequence[Row]) -> Mapping[str, str]:
    return {row["system"]: row["house"] for row in rows if row["use"] == "coding"}


def _units(rows: Sequence[Row]) -> Mapping[str, str]:
    return {row["unit"]: row["ucum"] for row in rows}
