"""Element-level lineage of a reading: which rule, which official row and which source field made each element.

Asked for on demand only (`sundbro explain`); nothing here costs anything while messages flow.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from adapters.home_readings.measurements import Measurement
from gateway.model import Resource, Trace

TABLES = "mappings/home/"


def reading(trace: Trace, observation: Resource, measurement: Measurement, path: str, time_field: str) -> None:
    """Note the lineage of an Observation made from the KIH reading at `path` ('' for a single one)."""
    name = f"Observation/{observation['id']}"
    dot = f"{path}." if path else ""
    row = measurement.row
    value = f"{dot}measurement.value"

    def add(element: str, rule: str, source: str, official: str = "") -> None:
        if element.partition("[")[0].partition(".")[0] in observation:
            trace.add(name, element, rule=rule, official=official, source=source)

    add("code", TABLES + "measurements.csv", f"{dot}type", row)
    add("category", TABLES + "measurements.csv", f"{dot}type", row)
    add("meta.profile", TABLES + "measurements.csv", f"{dot}type", row)
    add("status", "a reading that was sent is final", path or "(the reading)")
    add("subject", "person", f"{dot}patient or {dot}links.patient")
    add("effectiveDateTime", "time", f"{dot}{time_field}")
    add("_effectiveDateTime", "clock-corrected", f"{dot}{time_field} and sent_at")
    add("identifier", "sender's own number", f"{dot}links.measurement")
    add("valueQuantity.value", TABLES + "plausible.csv", value, row)
    add("valueQuantity.code", TABLES + "units.csv", f"{dot}measurement.unit", row)
    add("valueCodeableConcept", TABLES + "ordinals.csv", value, row)
    for index, component in enumerate(observation.get("component", ())):
        _component(add, component, index, dot, row)
    add("interpretation", TABLES + "severity.csv", f"{dot}severity")
    add("note", "comment", f"{dot}comment")
    add("method", "origin", f"{dot}origin")
    add("performer", "origin", f"{dot}origin")
    add("device", "instrument", f"{dot}origin.deviceMeasurement", TABLES + "instruments.csv")


_COMPONENTS = {"8480-6": "systolic", "8462-4": "diastolic", "8478-0": "mean"}


def _component(add: Any, component: dict[str, Any], index: int, dot: str, row: str) -> None:
    field = _COMPONENTS.get(component["code"]["coding"][0]["code"])
    if field is None:
        add(f"component[{index}]", "meal context", f"{dot}measurement.is{{Before,After}}Meal, isFasting")
        return
    add(f"component[{index}].code", TABLES + "measurements.csv", f"{dot}measurement.{field}", row)
    add(f"component[{index}].valueQuantity.value", TABLES + "plausible.csv", f"{dot}measurement.{field}", row)
    add(f"component[{index}].valueQuantity.code", TABLES + "units.csv", f"{dot}measurement.unit", row)


def observation(
    trace: Trace, made: Resource, sent: Mapping[str, Any], measurement: Measurement | None, path: str
) -> None:
    """Note the lineage of an Observation made from a sender's own Observation at `path`."""
    name = f"Observation/{made['id']}"
    for element, value in made.items():
        if element in {"resourceType", "id"}:
            continue
        same = sent.get(element) == value
        rule, official = ("as sent", "") if same else ("references, units and codes completed", "")
        if (
            measurement is not None
            and element in {"code", "valueQuantity", "component", "category", "meta"}
            and not same
        ):
            rule, official = TABLES + "measurements.csv", measurement.row
        trace.add(name, element, rule=rule, official=official, source=f"{path}.{element}")


def whole(trace: Trace, made: Resource, rule: str, source: str) -> None:
    """Note that all elements of a resource that goes with the readings come of one rule and one place."""
    for element in made:
        if element not in {"resourceType", "id", "meta"}:
            trace.add(f"{made['resourceType']}/{made['id']}", element, rule=rule, source=source)
