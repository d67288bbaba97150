"""How a reading came about (KIH `origin`): measured by an instrument, typed by somebody, or calculated.

Observation.method says it in MedCom's codes for transfer (PHMR-DK, code system 1.2.208.184.100.1): AUT came over
automatically, TPD was typed by the citizen, TPH by a health professional. Who measured is `performer`: the citizen,
unless a clinician typed it or nothing is said.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from adapters.home_readings import devices

METHOD = "urn:oid:1.2.208.184.100.1"
_AUTOMATIC = {"coding": [{"system": METHOD, "code": "AUT", "display": "Måling overført automatisk"}]}
_TYPED = {
    "citizen": {"coding": [{"system": METHOD, "code": "TPD", "display": "Indtastet af borger"}]},
    "clinician": {"coding": [{"system": METHOD, "code": "TPH", "display": "Indtastet af sundhedsprofessionel"}]},
}


class Origin(NamedTuple):
    """What `origin` says, ready for an Observation."""

    method: dict[str, Any] | None
    by_citizen: bool
    device: Mapping[str, Any]
    device_key: tuple[str, ...]
    device_words: str


_NOTHING = Origin(None, False, {}, (), "")
_BY_CITIZEN = Origin(_TYPED["citizen"], True, {}, (), "")
_BY_CLINICIAN = Origin(_TYPED["clinician"], False, {}, (), "")


def origin_of(origin: Any, known: dict[str, Origin]) -> Origin:
    """Return what a reading's `origin` says; `known` remembers instruments within one message."""
    if not isinstance(origin, Mapping):
        return _NOTHING
    device = origin.get("deviceMeasurement")
    if isinstance(device, Mapping):
        key = repr(device)
        found = known.get(key)
        if found is None:
            words = " ".join(
                str(device[name]) for name in ("manufacturer", "model") if isinstance(device.get(name), str)
            )
            found = Origin(_AUTOMATIC, True, device, devices.key(device), words or "unnamed instrument")
            known[key] = found
        return found
    manual, calculated = origin.get("manualMeasurement"), origin.get("calculatedMeasurement")
    if isinstance(manual, Mapping):
        by = manual.get("enteredBy")
        if by in ("citizen", "clinician"):
            return _BY_CITIZEN if by == "citizen" else _BY_CLINICIAN
        return _method(f"typed by {by}") if isinstance(by, str) and by else _NOTHING
    if isinstance(calculated, Mapping):
        by = calculated.get("calculatedBy")
        return _method(f"calculated by {by}" if isinstance(by, str) and by else "calculated")
    return _NOTHING


def _method(text: str) -> Origin:
    return Origin({"text": text}, False, {}, (), "")
