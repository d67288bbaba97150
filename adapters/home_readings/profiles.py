"""Which profiles an Observation from a FHIR sender is said to follow: those whose rules it keeps, checked here.

Sources: DK Core 3.7.0 dk-core-observation and dk-core-basic-observation; R4 vital-signs profiles. A sender's own claims
are not repeated: they were not checked. (KIH readings need no check: they are built to the profile.)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from adapters.home_readings import measurements
from adapters.home_readings.measurements import Measurement
from gateway.model import Resource

_SLICED = frozenset(
    {
        measurements.LOINC,
        measurements.SNOMED,
        measurements.NPU,
        measurements.MDC,
        measurements.MEDCOM,
        "urn:oid:1.2.208.176.2.4",
    }
)
_R4 = "http://hl7.org/fhir/StructureDefinition/"
_COMMON_UNITS = frozenset({"%", "cm", "[in_i]", "kg", "g", "[lb_av]", "Cel", "[degF]", "mm[Hg]", "/min", "kg/m2", "m2"})
"""R4 value set ucum-vitals-common, required by the vital-signs profile for values and components alike."""
_PANEL = {"8480-6", "8462-4"}


def claims(observation: Resource, measurement: Measurement | None) -> list[str]:
    """Return the profiles to name in meta.profile."""
    claimed: list[str] = []
    vital = _vital_sign_category(observation)
    if _dk_core(observation):
        basic = measurement is not None and measurement.basic and vital and len(observation["category"]) == 1
        loinc = any(system == measurements.LOINC for system, _ in _codings(observation.get("code")))
        claimed.append(measurements.DK_BASIC_OBSERVATION if basic and loinc else measurements.DK_OBSERVATION)
    if measurement is not None and measurement.vital_sign and vital and _vital_sign(observation, measurement):
        claimed.append(measurement.vital_sign)
    return claimed


def _dk_core(observation: Resource) -> bool:
    parts = [observation, *observation.get("component", [])]
    for part in parts:
        systems = [system for system, code in _codings(part.get("code")) if system in _SLICED]
        if len(systems) != len(set(systems)) or any(not code for s, code in _codings(part.get("code")) if s in _SLICED):
            return False
        quantity = part.get("valueQuantity")
        if isinstance(quantity, Mapping) and (
            quantity.get("system") != measurements.UCUM or not (quantity.get("unit") or quantity.get("code"))
        ):
            return False
    methods = [system for system, _ in _codings(observation.get("method"))]
    return measurements.SNOMED not in methods and "reference" in observation["subject"]


def _vital_sign_category(observation: Resource) -> bool:
    return any(
        (measurements.CATEGORY, "vital-signs") in set(_codings(category))
        for category in observation.get("category", [])
    )


def _vital_sign(observation: Resource, measurement: Measurement) -> bool:
    """Say whether the R4 vital-signs profile of the measurement holds: its LOINC code, its units, its time."""
    required = next((c["code"] for c in measurement.codings if c["system"] == measurements.LOINC), "")
    if (measurements.LOINC, required) not in set(_codings(observation.get("code"))):
        return False
    if not observation.get("subject", {}).get("reference", "").startswith("Patient/"):
        return False
    # vs-1 asks for the precision of a dateTime; validators do not agree that a Period passes it.
    if "effectiveDateTime" not in observation or not all(map(_common_unit, observation.get("component", []))):
        return False
    if measurement.kind == "pressure":
        return not _values(observation) and _panel(observation)
    return _measured(observation, {each.ucum for each in measurement.units.values()})


def _measured(part: Mapping[str, Any], units: set[str]) -> bool:
    quantity = part.get("valueQuantity")
    if not isinstance(quantity, Mapping):
        return not _values(part) and "dataAbsentReason" in part
    return bool(
        quantity.get("value") is not None
        and quantity.get("unit")
        and quantity.get("system") == measurements.UCUM
        and quantity.get("code") in units
    )


def _common_unit(component: Mapping[str, Any]) -> bool:
    """Say whether a component's value keeps the binding of R4 vital signs: any value coded, in a vital-signs unit."""
    quantity = component.get("valueQuantity")
    if isinstance(quantity, Mapping):
        return quantity.get("system") == measurements.UCUM and quantity.get("code") in _COMMON_UNITS
    return "valueCodeableConcept" not in component


def _panel(observation: Resource) -> bool:
    found: list[str] = []
    for component in observation.get("component", []):
        loinc = [code for system, code in _codings(component.get("code")) if system == measurements.LOINC]
        pressures = _PANEL & set(loinc)
        found += pressures
        if pressures and not _measured(component, {"mm[Hg]"}):
            return False
    return sorted(found) == sorted(_PANEL)


def _values(part: Mapping[str, Any]) -> list[str]:
    return [name for name in part if name.startswith("value")]


def _codings(concept: Any) -> Iterator[tuple[str, str]]:
    codings = concept.get("coding") if isinstance(concept, Mapping) else None
    for coding in codings if isinstance(codings, list) else []:
        yield coding.get("system", ""), coding.get("code", "")
