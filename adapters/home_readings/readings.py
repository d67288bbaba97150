"""KIH-style JSON: a measurement, a list of them, or a server's answer around a list → Observations.

Source of the shapes: kih-telecare-exporter and OpenTeleHealth payloads, and readings.schema.json beside this file.
Each reading stands on its own: what is wrong with one is a reason with its place, and the others go on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from adapters.home_readings import devices, lineage, measurements, quantities, times
from adapters.home_readings.envelopes import Persons, unwrap
from adapters.home_readings.measurements import Measurement, Measurements
from adapters.home_readings.origins import Origin, origin_of
from adapters.home_readings.outcome import Outcome, Subject
from adapters.home_readings.refusals import ReadingRefusedError
from adapters.home_readings.times import Moment, SenderClock
from gateway.model import RejectionCode, Resource, Translation

REPORTED_TIME = "urn:sundbro:device-reported-time"
"""Extension on effectiveDateTime: the time that the device said, where its clock was corrected."""

PLANS_MAX = 4096
"""Prepared types are remembered up to here: a sender may spell a type in more ways than there are types."""

_MEAL = "8417864"
_MEALS = (
    ("isBeforeMeal", "8417868", "MDC_CTXT_GLU_MEAL_PREPRANDIAL"),
    ("isAfterMeal", "8417872", "MDC_CTXT_GLU_MEAL_POSTPRANDIAL"),
    ("isFasting", "8417876", "MDC_CTXT_GLU_MEAL_FASTING"),
)
_PRESSURES = (("systolic", True), ("diastolic", True), ("mean", False))


def translate(document: Any, outcome: Outcome) -> Translation:
    """Return what comes of a message of readings. Raises ReadingRefusedError when it holds none at all."""
    name, found, envelope = unwrap(document)
    outcome.message_type = "home/readings" if name else "home/reading"
    message = Readings(outcome, envelope)
    for index, reading in enumerate(found):
        message.take(reading, f"{name}[{index}]" if name else "")
    return outcome.translation()


class Plan(NamedTuple):
    """A type as one feed sends it, prepared: shared parts of its Observations, never changed."""

    measurement: Measurement
    code: dict[str, Any]


class Readings:
    """One message of readings: what they share (persons, clock, naming systems) and what comes of each."""

    def __init__(self, outcome: Outcome, envelope: Mapping[str, Any]) -> None:
        context = outcome.context
        self._outcome = outcome
        self._feed = context.feed
        self._known = measurements.of(context.tables)
        self._own = {
            name: self._feed.systems.get(name, f"urn:id:{self._feed.name}:{name}")
            for name in ("type", "value", "severity", "reading")
        }
        self._comma = self._feed.options.get("decimal_comma") is True
        self._clock = self._clock_of(envelope.get("sent_at"))
        self._persons = Persons(envelope, self._feed)
        outcome.reasons.extend(self._persons.reasons)
        self._origins: dict[str, Origin] = {}
        self._severities: dict[str, list[dict[str, Any]]] = {}

    def _clock_of(self, sent_at: Any) -> SenderClock:
        sent = times.parse(sent_at, "sent_at", self._feed.timezone) if sent_at is not None else None
        return SenderClock(self._outcome.raw.received_at, sent)

    def take(self, reading: Any, path: str) -> None:
        """Translate one reading into the outcome: Observations, or a reason at `path`."""
        try:
            _check_shape(reading)
            plan = self._plan(reading)
            subject = self._outcome.subject(self._persons.of(reading))
            clock = self._clock if reading.get("sent_at") is None else self._clock_of(reading["sent_at"])
            at = "timestamp" if "timestamp" in reading else "measured_at" if "measured_at" in reading else "timestamp"
            moment = clock.place(times.parse(reading.get(at), at, self._feed.timezone), at)
            observation = self._observation(reading, plan, subject, moment, path)
            self._outcome.add(observation, subject, moment.at, path)
        except ReadingRefusedError as refused:
            self._outcome.refuse(refused, path)
            return
        if moment.original:
            self._outcome.notice("clock-corrected", path, "the sender's clock is off by more than a minute")
        if moment.assumed:
            self._outcome.notice("zone-assumed", path, "a time without a zone was read in the feed's zone")
        if self._outcome.trace is not None:
            lineage.reading(self._outcome.trace, observation, plan.measurement, path, at)

    def _plan(self, reading: Mapping[str, Any]) -> Plan:
        word, code = reading.get("type"), reading.get("code")
        if isinstance(word, str):
            key = (self._own["type"], word)
        elif isinstance(code, Mapping) and isinstance(code.get("system"), str) and isinstance(code.get("code"), str):
            key = (code["system"], code["code"])
        else:
            raise ReadingRefusedError(RejectionCode.REQUIRED_MISSING, "type", "what was measured is not said")
        known: Plan | None = self._known.plans.get(key)
        if known is None:
            known = _prepare(self._known, *key, own=self._own["type"])
            if len(self._known.plans) < PLANS_MAX:
                self._known.plans[key] = known
        return known

    def _observation(
        self, reading: Mapping[str, Any], plan: Plan, subject: Subject, moment: Moment, path: str
    ) -> Resource:
        measurement, feed = plan.measurement, self._feed
        origin = origin_of(reading.get("origin"), self._origins)
        device = origin.device_key
        observation: Resource = {
            "resourceType": "Observation",
            "id": self._outcome.context.ids.resource(
                "Observation", feed.name, "/".join(device), subject.id, measurement.name, moment.key
            ),
            "meta": {"profile": measurement.profiles},
        }
        identifier = self._identifier(reading)
        if identifier:
            observation["identifier"] = identifier
        observation["status"] = "final"
        observation["category"] = measurement.category
        observation["code"] = plan.code
        observation["subject"] = subject.reference
        observation["effectiveDateTime"] = moment.text
        if moment.original:
            extension = [{"url": REPORTED_TIME, "valueDateTime": moment.original}]
            observation["_effectiveDateTime"] = {"extension": extension}
        if origin.by_citizen:
            observation["performer"] = [subject.reference]
        self._value(observation, reading, plan)
        severity, comment = reading.get("severity"), reading.get("comment")
        if isinstance(severity, str) and severity:
            observation["interpretation"] = self._interpretation(severity, path)
        if isinstance(comment, str) and comment.strip():
            observation["note"] = [{"text": comment.strip()}]
        if origin.method:
            observation["method"] = origin.method
        if device:
            resource_id = self._outcome.device(
                device, moment.at, lambda made: devices.resource(origin.device, made, self._known.instruments)
            )
            observation["device"] = {"reference": f"Device/{resource_id}"}
        elif origin.device:
            observation["device"] = {"display": origin.device_words}
        return observation

    def _identifier(self, reading: Mapping[str, Any]) -> list[dict[str, str]]:
        links, own = reading.get("links"), reading.get("id")
        link = links.get("measurement") if isinstance(links, Mapping) else None
        if isinstance(link, str) and "://" in link:
            return [{"system": "urn:ietf:rfc:3986", "value": link}]
        if isinstance(own, str) and own.strip():
            return [{"system": self._own["reading"], "value": own.strip()}]
        return []

    def _value(self, observation: Resource, reading: Mapping[str, Any], plan: Plan) -> None:
        measurement = plan.measurement
        value, at = reading.get("measurement"), "measurement."
        if not isinstance(value, Mapping):
            value, at = reading, ""
        if measurement.kind == "ordinal":
            answer = quantities.ordinal(measurement, self._known, value.get("value"), f"{at}value", self._own["value"])
            observation["valueCodeableConcept"] = answer
        elif measurement.kind == "pressure":
            observation["component"] = self._pressures(value, at)
        else:
            observation["valueQuantity"] = self._quantity(measurement, value, "value", at)
            if measurement.name == "blood-glucose":
                meals = _meals(value, at)
                if meals:
                    observation["component"] = meals

    def _quantity(self, measurement: Measurement, value: Mapping[str, Any], name: str, at: str) -> dict[str, Any]:
        sent = quantities.number(value.get(name), at + name, decimal_comma=self._comma)
        unit = quantities.unit(measurement, value.get("unit"), f"{at}unit")
        return quantities.quantity(sent, quantities.plausible(sent.value, unit, at + name), unit)

    def _pressures(self, value: Mapping[str, Any], at: str) -> list[dict[str, Any]]:
        components = []
        for name, needed in _PRESSURES:
            if not needed and value.get(name) is None:
                continue
            measurement = self._known.by_name["mean-pressure" if name == "mean" else name]
            quantity = self._quantity(measurement, value, name, at)
            components.append({"code": measurement.component_code, "valueQuantity": quantity})
        if components[1]["valueQuantity"]["value"] >= components[0]["valueQuantity"]["value"]:
            raise ReadingRefusedError(
                RejectionCode.IMPLAUSIBLE, f"{at}diastolic", "the diastolic pressure is not below the systolic"
            )
        return components

    def _interpretation(self, severity: str, path: str) -> list[dict[str, Any]]:
        known = self._severities.get(severity)
        if known is None:
            row = self._known.severities.get(severity.strip().casefold())
            standard = (
                [{"system": measurements.INTERPRETATION, "code": row["code"], "display": row["display"]}] if row else []
            )
            own = {"system": self._own["severity"], "code": severity.strip(), "userSelected": True}
            known = self._severities[severity] = [{"coding": [*standard, own], "text": severity.strip()}]
            if row is None:
                at = f"{path}.severity".strip(".")
                self._outcome.notice("severity-unknown", at, "kept in the sender's word alone")
        return known


def _check_shape(reading: Any) -> None:
    if not isinstance(reading, Mapping):
        raise ReadingRefusedError(RejectionCode.STRUCTURE, "", "a reading is an object")
    if "resourceType" in reading:
        raise ReadingRefusedError(RejectionCode.STRUCTURE, "", "FHIR resources are sent in a Bundle, not in a list")


def _prepare(known: Measurements, system: str, word: str, *, own: str) -> Plan:
    if system == own:
        measurement = known.find(word)
        at = "type"
        system, code = known.code_words.get(word.strip().casefold(), (own, word.strip()))
    else:
        measurement, at, code = known.coded(system, word), "code", word
    if measurement is None:
        raise ReadingRefusedError(RejectionCode.CODE_UNKNOWN, at, "a type of measurement that has no map")
    return Plan(measurement, measurement.code({"system": system, "code": code}))


def _meals(value: Mapping[str, Any], at: str) -> list[dict[str, Any]]:
    """Return the meal context of a blood glucose, as IEEE 11073-10417 codes it, one component for each thing said."""
    if value.get("isControlMeasurement") is True:
        raise ReadingRefusedError(
            RejectionCode.TEST_MESSAGE, f"{at}isControlMeasurement", "a control solution was measured, not the person"
        )
    return [
        {
            "code": {"coding": [{"system": measurements.MDC, "code": _MEAL, "display": "MDC_CTXT_GLU_MEAL"}]},
            "valueCodeableConcept": {"coding": [{"system": measurements.MDC, "code": code, "display": display}]},
        }
        for name, code, display in _MEALS
        if value.get(name) is True
    ]
