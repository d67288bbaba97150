"""ORU^R01 of devices (IHE PCD-01, Continua WAN): ISO/IEEE 11073 codes and the containment MDS.VMD.channel.metric in OBX-4.

Rows about the device itself become its Device; rows without a value are containers, whose time and device the rows
inside them inherit; the rest are Observations, with the measurement status of OBX-8. Source: IHE PCD TF-2 §3.1,
HL7 PHD IG (measurement status), HL7 v2.9 §7.4.2.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from adapters.hospital_hl7v2 import coded, observation, shared, values
from adapters.hospital_hl7v2.observation import MDC, Around, Made
from adapters.hospital_hl7v2.structure import Noted
from adapters.hospital_hl7v2.work import Field, Work, place
from gateway.formats import er7
from gateway.model import Reason, RejectionCode, Resource

_SYSTEM: Final = "http://hl7.org/fhir/uv/pocd/CodeSystem/measurement-status"
_PARTITION: Final = 65_536
_OBJECT_PARTITION: Final = 1
_INFRASTRUCTURE_PARTITION: Final = 8
_TEST: Final = frozenset({"TEST", "DEMO"})
_TEST_LABEL: Final[Resource] = {"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": "HTEST"}


@dataclass(frozen=True, slots=True)
class Inherited:
    """What the containers of a row say for it."""

    time: str = ""
    device: str = ""
    timed: er7.Segment | None = None
    owned: er7.Segment | None = None
    """The rows that say `time` and `device`: this one or one around it."""


def is_device_report(rows: list[Noted]) -> bool:
    """Tell whether the rows speak ISO/IEEE 11073: one MDC code is enough, laboratories have none."""
    return any("MDC" in row.obx.line and row.obx.at(3, 3).upper() == "MDC" for row in rows)


def observe(work: Work, rows: list[Noted], around: Around) -> list[Made]:
    """Return the Observations of a device report; adds its Devices."""
    containers: dict[str, Inherited] = {}
    found: list[Made] = []
    for row in rows:
        obx = row.obx
        path = obx.at(4)
        inherited = _inherited(containers, path)
        own = Inherited(
            obx.field(14).raw or inherited.time,
            obx.raw(18) or inherited.device,
            obx if obx.field(14).raw else inherited.timed,
            obx if obx.raw(18) else inherited.owned,
        )
        if not obx.has(5):
            containers[path] = own
        if _is_about_device(obx):
            _device(work, obx, own)
        elif obx.has(5) or obx.has(8):
            made = _reading(work, row, own, around)
            found += [made] if made else []
    return found


def _inherited(containers: dict[str, Inherited], path: str) -> Inherited:
    while path:
        path = path.rpartition(".")[0]
        if path in containers:
            return containers[path]
    return Inherited()


def _is_about_device(obx: er7.Segment) -> bool:
    code = obx.at(3)
    if not code.isdigit():
        return False
    partition = int(code) // _PARTITION
    return partition == _OBJECT_PARTITION or (partition == _INFRASTRUCTURE_PARTITION and not obx.has(5))


def _device(work: Work, obx: er7.Segment, own: Inherited) -> None:
    part = er7.Part(own.device.split(obx.syntax.repetition)[0], obx.syntax)
    identifier = shared.device_identifier(part, work) if own.device else None
    if identifier is None:
        if obx.has(5):
            work.notice("device-unnamed", place(obx, 18), "A property of a device that no row names was left out.")
        return
    resource: Resource = {
        "resourceType": "Device",
        "id": work.ids.resource("Device", identifier["system"], identifier["value"]),
        "identifier": [identifier],
    }
    known = work.changes.get(f"Device/{resource['id']}")
    if known is not None:
        resource = known.resource
    else:
        shared.mention(resource, work, Field(own.owned or obx, 18))
    kind = coded.concept(obx.field(3), work.setup)
    if kind is None:
        return
    if int(obx.at(3)) // _PARTITION == _INFRASTRUCTURE_PARTITION:
        resource.setdefault("type", kind)
        work.note(f"Device/{resource['id']}", "type", "pcd-device-row", "", place(obx, 3))
    elif obx.has(5):
        resource.setdefault("property", []).append({"type": kind} | _property(work, obx))
        work.note(f"Device/{resource['id']}", "property", "pcd-device-row", "", place(obx, 5))


def _property(work: Work, obx: er7.Segment) -> Resource:
    made = values.read(obx, work.setup).elements
    if "valueQuantity" in made:
        return {"valueQuantity": [made["valueQuantity"]]}
    if "valueCodeableConcept" in made:
        return {"valueCode": [made["valueCodeableConcept"]]}
    return {"valueCode": [{"text": obx.text(5)}]}


def _reading(work: Work, row: Noted, own: Inherited, around: Around) -> Made | None:
    obx = row.obx
    flags = [part.at(1).upper() for part in obx.repetitions(8)]
    is_test = bool(_TEST & set(flags))
    if is_test and not work.setup.feed.accept_test_messages:
        work.reasons.append(
            Reason(RejectionCode.TEST_MESSAGE, place(obx, 8), "The device marks this reading as test or demonstration.")
        )
        return None
    if own.time:
        moment = work.setup.moment(own.time)
        if moment:
            around = replace(around, effective=moment.date_time, effective_source=place(own.timed or obx, 14))
    made = observation.observe(work, row, replace(around, category=""))
    resource = made.resource
    if resource is None:
        return None
    if any(coding["system"] == MDC for coding in resource["code"].get("coding", [])):
        _status(work, resource, obx, flags)
    if is_test:
        resource["meta"] = {"security": [_TEST_LABEL]}
    if own.device and "device" not in resource:
        at = Field(own.owned or obx, 18)
        reference = shared.device(er7.Part(own.device.split(obx.syntax.repetition)[0], obx.syntax), work, at)
        if reference:
            resource["device"] = reference
            official = "segments/OBX--Observation.csv OBX-18"
            work.note(f"Observation/{resource['id']}", "device", "obx-18-container", official, at.at)
    return made


def _status(work: Work, resource: Resource, obx: er7.Segment, flags: list[str]) -> None:
    """Measurement status (OBX-8) and device status (OBX-11 R: as measured, not reviewed) of a device's reading."""
    if obx.at(11).upper() in {"R", ""}:
        resource["status"] = "final"
    known = [mapped for flag in flags if (mapped := work.setup.map("pcd-measurement-status", flag))]
    resource.pop("interpretation", None)
    kept = [
        {"coding": [{"system": _SYSTEM, "code": mapped.code, "display": mapped.display}]}
        for mapped in known
        if mapped.code
    ]
    strange = [part for part in obx.repetitions(8) if part and not work.setup.map("pcd-measurement-status", part.at(1))]
    others = [made for part in strange if (made := work.concept(part, "0078"))]
    if kept or others:
        resource["interpretation"] = kept + others
    absent = next((mapped.system for mapped in known if mapped.system), "")
    if absent:
        for name in [name for name in resource if name.startswith("value")]:
            del resource[name]
        resource["dataAbsentReason"] = observation.absent(absent, absent.replace("-", " ").title())
        work.note(f"Observation/{resource['id']}", "dataAbsentReason", "pcd-measurement-status", "", place(obx, 8))
    if "INV" in flags:
        resource["status"] = "entered-in-error"
        resource.pop("dataAbsentReason", None)
    elif "EARLY" in flags or "BUSY" in flags:
        resource["status"] = "preliminary"
