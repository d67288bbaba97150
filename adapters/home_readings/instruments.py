"""Devices in a FHIR message: taken as they are, under an id made from what names the instrument itself."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

from adapters.home_readings import devices
from adapters.home_readings.outcome import Outcome
from adapters.home_readings.references import Resolver
from adapters.home_readings.refusals import ReadingRefusedError
from gateway.fhir.validate import validate
from gateway.model import RejectionCode, Resource

_NOT_KEPT = frozenset({"id", "meta", "text", "implicitRules", "patient", "contained"})
"""`patient`: whose instrument it is changes over time and is not the gateway's to say from a reading."""


class Instruments:
    """The Devices of one message; each gets its key once."""

    def __init__(self, outcome: Outcome, resolver: Resolver) -> None:
        self._outcome = outcome
        self._resolver = resolver

    def key(self, device: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the business key of a Device: its system id, its address, maker-model-serial; () when it has none."""
        identifiers = device.get("identifier")
        named = [
            (item["system"], item["value"].strip().upper())
            for item in (identifiers if isinstance(identifiers, list) else [])
            if isinstance(item, Mapping) and isinstance(item.get("system"), str) and isinstance(item.get("value"), str)
        ]
        for system in (devices.BLUETOOTH, devices.SYSTEM_ID):
            for its_system, value in named:
                if its_system == system:
                    return ("mac", value) if system == devices.BLUETOOTH else ("system-id", value)
        serial = device.get("serialNumber")
        if isinstance(serial, str) and serial.strip():
            words = (device.get(name) for name in ("manufacturer", "modelNumber"))
            made_by = tuple(" ".join(word.split()) if isinstance(word, str) else "" for word in words)
            return ("serialNumber", *made_by, serial.strip())
        return ("identifier", *named[0]) if named else ()

    def refer(self, device: Mapping[str, Any], at: dt.datetime) -> str:
        """Take the Device that a reading names; return our reference, or '' when it cannot be told from others."""
        key = self.key(device)
        if not key or self._faults(self._made(device, "x")):
            return ""
        resource_id = self._outcome.device(key, at, lambda made: self._made(device, made))
        self._resolver.ours[id(device)] = f"Device/{resource_id}"
        return f"Device/{resource_id}"

    def take(self, device: Mapping[str, Any]) -> None:
        """Take a Device that stands in the message by itself. Raises ReadingRefusedError."""
        if not self.key(device):
            raise ReadingRefusedError(
                RejectionCode.IDENTITY_MISSING,
                "identifier",
                "a Device needs an identifier with a system, or a serial number",
            )
        faults = self._faults(self._made(device, "x"))
        if faults:
            raise ReadingRefusedError(RejectionCode.INVALID_RESOURCE, *faults[0])
        self.refer(device, self._outcome.raw.received_at)

    def _made(self, device: Mapping[str, Any], resource_id: str) -> Resource:
        kept = {
            name: self._resolver.rewritten(value, device)
            for name, value in device.items()
            if name not in _NOT_KEPT and name.removeprefix("_") not in _NOT_KEPT
        }
        return {"resourceType": "Device", "id": resource_id, **kept}

    @staticmethod
    def _faults(resource: Resource) -> list[tuple[str, str]]:
        return [(issue.path, issue.text) for issue in validate(resource)]
