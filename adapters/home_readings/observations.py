"""One FHIR Observation of a sender → ours: same content, our references, checked like any other reading.

First every Observation is announced (read, checked, given its id), then all are taken: so that Observations that refer
to one another find our ids, and one that is refused is referred to by its sender's name alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NamedTuple

from adapters.home_readings import lineage, measurements, profiles, quantities, times
from adapters.home_readings.instruments import Instruments
from adapters.home_readings.measurements import Measurement
from adapters.home_readings.outcome import Outcome, Subject
from adapters.home_readings.references import Resolver
from adapters.home_readings.refusals import ReadingRefusedError
from adapters.home_readings.times import Moment, SenderClock
from gateway.fhir.validate import validate
from gateway.model import RejectionCode, Resource

_NOT_KEPT = frozenset({"resourceType", "id", "meta", "text", "implicitRules", "subject", "contained"})
_NOT_CHECKED = frozenset({"id", "meta", "text", "implicitRules"})
_CORRECTING = frozenset({"amended", "corrected", "entered-in-error", "cancelled"})
_TEST_CODES = frozenset({"test-data", "demo-data", "HTEST"})


class Announced(NamedTuple):
    """An Observation that will be taken: all but its references."""

    made: Resource
    subject: Subject | None
    instrument: Mapping[str, Any] | None
    moment: Moment
    measurement: Measurement | None


class Message:
    """The Observations of one message."""

    def __init__(self, outcome: Outcome, resolver: Resolver, instruments: Instruments) -> None:
        self._outcome = outcome
        self._resolver = resolver
        self._instruments = instruments
        self._known = measurements.of(outcome.context.tables)
        self._clock = SenderClock(outcome.raw.received_at, None, placed=True)
        self._announced: dict[str, Announced | ReadingRefusedError] = {}

    def announce(self, sent: Mapping[str, Any], path: str) -> None:
        """Read and check an Observation; what comes of it is kept until `take`."""
        try:
            announced = self._read(sent)
        except ReadingRefusedError as refused:
            self._announced[path] = refused
            return
        self._announced[path] = announced
        self._resolver.ours[id(sent)] = f"Observation/{announced.made['id']}"

    def take(self, sent: Mapping[str, Any], path: str) -> None:
        """Take an announced Observation. Raises ReadingRefusedError."""
        announced = self._announced[path]
        if isinstance(announced, ReadingRefusedError):
            raise announced
        made, subject, instrument, moment, measurement = announced
        if instrument is not None:
            self._instruments.refer(instrument, moment.at)
        finished: Resource = self._resolver.rewritten(made, sent)
        finished["subject"] = subject.reference if subject else self._resolver.rewritten(sent["subject"], sent)
        claimed = profiles.claims(finished, measurement)
        if claimed:
            finished["meta"] = {**finished.get("meta", {}), "profile": claimed}
        when = self._outcome.raw.received_at if finished.get("status") in _CORRECTING else moment.at
        self._outcome.add(finished, subject, when, path)
        if moment.assumed:
            self._outcome.notice("zone-assumed", path, "a time without a zone was read in the feed's zone")
        if self._outcome.trace is not None:
            lineage.observation(self._outcome.trace, finished, sent, measurement, path)

    def _read(self, sent: Mapping[str, Any]) -> Announced:
        feed = self._outcome.context.feed
        _refuse_tests(sent)
        moment, effective = self._effective(sent)
        _check({**sent, **effective})
        person = self._resolver.person(sent, feed)
        subject = self._outcome.subject(person) if person is not None else None
        measurement = self._measurement(sent.get("code"), "code")
        found = self._resolver.find(_reference(sent.get("device")), sent)
        instrument = found if found is not None and found.get("resourceType") == "Device" else None
        made: Resource = {
            "resourceType": "Observation",
            "id": self._id(sent, subject, instrument, measurement, moment),
            **_labels(sent),
            **{name: value for name, value in sent.items() if name.removeprefix("_") not in _NOT_KEPT},
        }
        made.update(effective)
        self._values(made, measurement)
        contained = self._contained(sent, subject, instrument)
        if contained:
            made["contained"] = contained
        if subject is not None:
            self._resolver.name(_reference(sent["subject"]), sent, subject.reference["reference"])
        return Announced(made, subject, instrument, moment, measurement)

    def _effective(self, sent: Mapping[str, Any]) -> tuple[Moment, dict[str, Any]]:
        zone = self._outcome.context.feed.timezone
        for name in ("effectiveDateTime", "effectiveInstant"):
            if sent.get(name) is not None:
                moment = self._clock.place(times.parse_fhir(sent[name], name, zone), name)
                return moment, {name: moment.text}
        period = sent.get("effectivePeriod")
        if isinstance(period, Mapping) and period.get("start") is not None:
            at = "effectivePeriod.start"
            return self._clock.place(times.parse_fhir(period["start"], at, zone), at), {}
        raise ReadingRefusedError(
            RejectionCode.REQUIRED_MISSING, "effectiveDateTime", "when it was measured is not said"
        )

    def _measurement(self, code: Any, at: str) -> Measurement | None:
        """Return what the codings name; None for a measurement that the tables do not know."""
        codings = code.get("coding") if isinstance(code, Mapping) else None
        pairs = [
            (coding.get("system"), coding.get("code"))
            for coding in (codings if isinstance(codings, list) else [])
            if isinstance(coding, Mapping)
        ]
        found = [(pair, measurement) for pair in pairs if (measurement := self._known.coded(*pair))]
        if not found:
            return None
        national = [each for pair, each in found if measurements.normal_system(pair[0]) in measurements.NATIONAL]
        chosen = (national or [each for _, each in found])[0]
        own = {(measurements.normal_system(each["system"]), each["code"]) for each in chosen.codings}
        for (system, value), measurement in found:
            if measurement is not chosen and (measurements.normal_system(system), value) not in own:
                raise ReadingRefusedError(RejectionCode.VALUE_INVALID, at, "its codings name different measurements")
        return chosen

    def _id(
        self,
        sent: Mapping[str, Any],
        subject: Subject | None,
        instrument: Mapping[str, Any] | None,
        measurement: Measurement | None,
        moment: Moment,
    ) -> str:
        """Return the id: the sender's own identifier, else instrument, person, type and time as the device said it."""
        ids, feed = self._outcome.context.ids, self._outcome.context.feed
        identifiers = sent.get("identifier")
        for identifier in identifiers if isinstance(identifiers, list) else []:
            if isinstance(identifier, Mapping) and isinstance(identifier.get("value"), str):
                system = identifier.get("system")
                return ids.resource("Observation", feed.name, "identifier", str(system or ""), identifier["value"])
        key = self._instruments.key(instrument) if instrument is not None else ()
        about = subject.id if subject else _named(sent.get("subject"))
        what = measurement.name if measurement else _code_key(sent.get("code"))
        device = "/".join(key) or ("" if sent.get("device") is None else _named(sent["device"]))
        return ids.resource("Observation", feed.name, device, about, what, moment.key)

    def _values(self, made: Resource, measurement: Measurement | None) -> None:
        """Check the values, complete their units, and put the standard codings beside the sender's."""
        components = made.get("component")
        if isinstance(components, list):
            made["component"] = [self._component(item, index) for index, item in enumerate(components)]
        quantity = made.get("valueQuantity")
        known = measurement is not None and measurement.kind != "quantity"
        if isinstance(quantity, Mapping):
            made["valueQuantity"], known = _quantity(quantity, measurement, "valueQuantity")
        elif not (components or made.get("hasMember") or made.get("dataAbsentReason") or _has_value(made)):
            raise ReadingRefusedError(
                RejectionCode.REQUIRED_MISSING, "value[x]", "neither a value nor a dataAbsentReason"
            )
        if measurement is not None and (known or "dataAbsentReason" in made):
            made["code"] = _coded(made["code"], measurement)
            if not made.get("category"):
                made["category"] = measurement.category

    def _component(self, item: Any, index: int) -> Any:
        if not isinstance(item, Mapping):
            return item
        at = f"component[{index}]"
        measurement = self._measurement(item.get("code"), f"{at}.code")
        quantity = item.get("valueQuantity")
        if measurement is None or not isinstance(quantity, Mapping):
            return item
        made, known = _quantity(quantity, measurement, f"{at}.valueQuantity")
        return {**item, "valueQuantity": made, **({"code": _coded(item["code"], measurement)} if known else {})}

    @staticmethod
    def _contained(sent: Mapping[str, Any], subject: Subject | None, instrument: Mapping[str, Any] | None) -> list[Any]:
        """Return the contained resources that stay: the person and the instrument become resources of their own."""
        contained = sent.get("contained")
        if not isinstance(contained, list):
            return []
        person = _reference(sent.get("subject")) if subject else None
        return [
            item
            for item in contained
            if item is not instrument and not (isinstance(item, Mapping) and f"#{item.get('id')}" == person)
        ]


def _labels(sent: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is kept of meta: labels. Profiles are claimed anew, versions are the store's."""
    meta = sent.get("meta")
    kept = {name: meta[name] for name in ("security", "tag") if meta.get(name)} if isinstance(meta, Mapping) else {}
    return {"meta": kept} if kept else {}


def _quantity(quantity: Mapping[str, Any], measurement: Measurement | None, at: str) -> tuple[dict[str, Any], bool]:
    """Return the Quantity in UCUM with its plausibility checked, and whether its unit is one of the measurement's."""
    value, system, code = quantity.get("value"), quantity.get("system"), quantity.get("code")
    coded = isinstance(code, str) and system in {measurements.UCUM, measurements.MDC}
    if measurement is None or not isinstance(value, int | Decimal) or isinstance(value, bool):
        return dict(quantity), False
    word = code if coded else quantity.get("unit") or code or ""
    unit = measurement.unit_of(word) if isinstance(word, str) else None
    if unit is None:
        if coded and system == measurements.UCUM:
            return dict(quantity), False
        quantities.unit(measurement, word, f"{at}.unit")
        return dict(quantity), False
    value = quantities.plausible(value, unit, f"{at}.value")
    shown = quantity.get("unit") if unit.shift == 0 and quantity.get("unit") else unit.display
    return {**quantity, "value": value, "unit": shown, "system": measurements.UCUM, "code": unit.ucum}, True


def _coded(code: Mapping[str, Any], measurement: Measurement) -> dict[str, Any]:
    """Return a code with the standard codings added whose system the sender has not used itself."""
    codings = [*code["coding"]]
    sent = {measurements.normal_system(c.get("system")): c.get("code") for c in codings if isinstance(c, Mapping)}
    exact = {c.get("system") for c in codings if isinstance(c, Mapping)}
    codings += [
        each
        for each in measurement.codings
        if each["system"] not in exact
        and sent.get(measurements.normal_system(each["system"]), each["code"]) == each["code"]
    ]
    return {**code, "coding": codings}


def _check(sent: Mapping[str, Any]) -> None:
    """Refuse what is not valid R4, so that all that follows may rely on its shape."""
    for issue in validate({name: value for name, value in sent.items() if name not in _NOT_CHECKED}):
        raise ReadingRefusedError(RejectionCode.INVALID_RESOURCE, issue.path.removeprefix("Observation."), issue.text)


def _refuse_tests(sent: Mapping[str, Any]) -> None:
    """Refuse what an instrument or a gateway marked as test or demonstration: it is nobody's reading."""
    meta = sent.get("meta")
    labels = [("meta.security", meta.get("security") if isinstance(meta, Mapping) else None)]
    interpretation = sent.get("interpretation")
    labels += [
        ("interpretation", concept.get("coding") if isinstance(concept, Mapping) else None)
        for concept in (interpretation if isinstance(interpretation, list) else [])
    ]
    for at, codings in labels:
        for coding in codings if isinstance(codings, list) else []:
            code = coding.get("code") if isinstance(coding, Mapping) else None
            if isinstance(code, str) and code in _TEST_CODES:
                raise ReadingRefusedError(RejectionCode.TEST_MESSAGE, at, "marked as test or demonstration data")


def _has_value(made: Resource) -> bool:
    return any(name.startswith("value") for name in made)


def _reference(node: Any) -> Any:
    return node.get("reference") if isinstance(node, Mapping) else None


def _named(node: Any) -> str:
    """Return what a reference names, for a key."""
    identifier = node.get("identifier") if isinstance(node, Mapping) else None
    if isinstance(identifier, Mapping):
        return f"{identifier.get('system')}|{identifier.get('value')}"
    return str(_reference(node) or "")


def _code_key(code: Any) -> str:
    codings = code.get("coding") if isinstance(code, Mapping) else None
    for coding in codings if isinstance(codings, list) else []:
        if isinstance(coding, Mapping) and coding.get("code"):
            return f"{coding.get('system')}|{coding['code']}"
    return str(code.get("text") or "") if isinstance(code, Mapping) else ""
