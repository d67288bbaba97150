"""The instrument that measured: a KIH `deviceMeasurement` → a Device, the same one from whoever's reading it comes.

A Device is keyed by what does not change: its address, or maker, model and serial number. A reading only mentions it
(`ENSURE`): one that says less takes nothing away, a new version of its software counts from the next day's readings on,
and the thousandth reading of a day writes nothing. Whose instrument it is, is not said here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from adapters.home_readings import measurements
from gateway.terminology.tables import Row

SYSTEM_ID = "urn:oid:1.2.840.10004.1.1.1.0.0.1.0.0.1.2680"
BLUETOOTH = "http://hl7.org/fhir/sid/eui-48/bluetooth"
INSTRUMENTS = "urn:oid:1.2.208.184.100.3"
_IDENTIFIER_TYPES = "http://terminology.hl7.org/CodeSystem/ContinuaDeviceIdentifiers"
_VERSIONS = (
    ("hardwareVersion", "531974", "MDC_ID_PROD_SPEC_HW"),
    ("softwareVersion", "531975", "MDC_ID_PROD_SPEC_SW"),
    ("firmwareVersion", "531976", "MDC_ID_PROD_SPEC_FW"),
)
_HEX = re.compile(r"[0-9A-F]+")
_EUI48, _EUI64 = 12, 16


def key(device: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the business key of a `deviceMeasurement`, or () when nothing tells it from others of its model.

    Only the primary identifier counts: vendors write the additional system id in either byte order.
    """
    primary = device.get("primaryDeviceIdentifier")
    if not isinstance(primary, Mapping):
        return ()
    address = _hex_pairs(primary.get("macAddress"), _EUI48)
    if address:
        return ("mac", address)
    for name in ("serialNumber", "systemId", "macAddress"):
        value = _text(primary.get(name))
        if value:
            return (name, _text(device.get("manufacturer")), _text(device.get("model")), value)
    return ()


def resource(device: Mapping[str, Any], resource_id: str, instruments: Sequence[Row]) -> dict[str, Any]:
    """Return the Device of a `deviceMeasurement`."""
    made: dict[str, Any] = {"resourceType": "Device", "id": resource_id}
    identifiers = _identifiers(device)
    if identifiers:
        made["identifier"] = identifiers
    manufacturer, model = _text(device.get("manufacturer")), _text(device.get("model"))
    primary = device.get("primaryDeviceIdentifier")
    serial = _text(primary.get("serialNumber")) if isinstance(primary, Mapping) else ""
    named = (("manufacturer", manufacturer), ("serialNumber", serial), ("modelNumber", model))
    made.update({name: value for name, value in named if value})
    if model:
        made["deviceName"] = [{"name": model, "type": "model-name"}]
        kind = _instrument(manufacturer, model, instruments)
        made["type"] = {**({"coding": [kind]} if kind else {}), "text": model}
    versions = [
        {"type": {"coding": [{"system": measurements.MDC, "code": code, "display": display}]}, "value": value}
        for name, code, display in _VERSIONS
        if (value := _text(device.get(name)))
    ]
    if versions:
        made["version"] = versions
    return made


def _identifiers(device: Mapping[str, Any]) -> list[dict[str, Any]]:
    primary = device.get("primaryDeviceIdentifier")
    additional = device.get("additionalDeviceIdentifiers")
    found = [primary, *(additional if isinstance(additional, list) else [])]
    identifiers: list[dict[str, Any]] = []
    for item in found:
        if not isinstance(item, Mapping):
            continue
        address = _hex_pairs(item.get("macAddress"), _EUI48)
        system_id = _hex_pairs(item.get("systemId"), _EUI64)
        other = item.get("other")
        if address:
            identifiers.append(_identifier("BTMAC", BLUETOOTH, address))
        if system_id:
            identifiers.append(_identifier("SYSID", SYSTEM_ID, system_id))
        elif _text(item.get("systemId")):
            identifiers.append({"type": {"text": "systemId"}, "value": _text(item.get("systemId"))})
        if isinstance(other, Mapping) and _text(other.get("value")):
            label = _text(other.get("description"))
            identifiers.append({**({"type": {"text": label}} if label else {}), "value": _text(other.get("value"))})
    return identifiers


def _identifier(kind: str, system: str, value: str) -> dict[str, Any]:
    return {"type": {"coding": [{"system": _IDENTIFIER_TYPES, "code": kind}]}, "system": system, "value": value}


def _instrument(manufacturer: str, model: str, instruments: Sequence[Row]) -> dict[str, Any] | None:
    maker, name = manufacturer.casefold(), model.casefold()
    for row in instruments:
        if row["manufacturer"] in maker and row["model"] in name:
            return {"system": INSTRUMENTS, "code": row["code"], "display": row["display"]}
    return None


def _hex_pairs(value: Any, digits: int) -> str:
    """Write an address as capital pairs with dashes, `6C-EC-EB-43-DE-1F`; '' when it is not one of that length."""
    if not isinstance(value, str):
        return ""
    plain = value.strip().upper().replace(":", "").replace("-", "")
    if len(plain) != digits or not _HEX.fullmatch(plain):
        return ""
    return "-".join(plain[i : i + 2] for i in range(0, digits, 2))


def _text(value: Any) -> str:
    return " ".join(value.split()) if isinstance(value, str) else ""
