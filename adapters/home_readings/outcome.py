"""What comes of one message, collected reading by reading: changes, reasons, notices. Both formats write here."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import NamedTuple

from adapters.home_readings import lineage, persons
from adapters.home_readings.refusals import ReadingRefusedError
from gateway.model import (
    Change,
    Lane,
    Mode,
    Notice,
    PersonKey,
    RawMessage,
    Reason,
    RejectionCode,
    Resource,
    Trace,
    Translation,
)
from gateway.terminology.context import Context


class Subject(NamedTuple):
    """A person as the resources of this message refer to them."""

    id: str
    lane: Lane
    reference: dict[str, str]
    person: PersonKey


class Outcome:
    """Collects; `translation()` ends it. Persons come out once each, and only when a reading of theirs was taken."""

    def __init__(self, raw: RawMessage, context: Context, trace: Trace | None, message_type: str) -> None:
        self.raw = raw
        self.context = context
        self.trace = trace
        self.message_type = message_type
        self._subjects: dict[PersonKey, Subject] = {}
        self._patients: dict[str, Change] = {}
        self._devices: dict[str, Change] = {}
        self._device_ids: dict[tuple[str, ...], str] = {}
        self._observations: dict[str, Change] = {}
        self.reasons: list[Reason] = []
        self._notices: dict[tuple[str, str], Notice] = {}

    def subject(self, person: PersonKey) -> Subject:
        """Return the subject of a person; the Patient itself comes out when a reading is added for them."""
        known = self._subjects.get(person)
        if known is None:
            ids = self.context.ids
            resource_id = ids.patient(person)
            known = Subject(resource_id, ids.lane(person), {"reference": f"Patient/{resource_id}"}, person)
            self._subjects[person] = known
        return known

    def device(self, key: tuple[str, ...], at: dt.datetime, build: Callable[[str], Resource]) -> str:
        """Take a Device; the newest account of it in this message is kept. Returns its id."""
        resource_id = self._device_ids.get(key)
        if resource_id is None:
            resource_id = self._device_ids[key] = self.context.ids.resource("Device", *key)
        known = self._devices.get(resource_id)
        if known is None or (known.event_time is not None and known.event_time < at):
            self._devices[resource_id] = Change(build(resource_id), Mode.ENSURE, None, at)
            if self.trace is not None:
                lineage.whole(
                    self.trace, self._devices[resource_id].resource, "instrument", "origin.deviceMeasurement or Device"
                )
        return resource_id

    def add(self, observation: Resource, subject: Subject | None, at: dt.datetime, path: str) -> None:
        """Take an Observation, and the Patient it is about.

        The same reading twice in a message is one; another value for the same device, person, type and time is
        refused (ReadingRefusedError), because neither can be known to be the right one.
        """
        resource_id = observation["id"]
        known = self._observations.get(resource_id)
        if known is not None:
            if known.resource != observation:
                raise ReadingRefusedError(
                    RejectionCode.VALUE_INVALID,
                    "",
                    "differs from an earlier reading of this message for the same person, type, device and time",
                )
            self.notice("duplicate-reading", path, "the same reading stands in this message already")
            return
        self._observations[resource_id] = Change(observation, Mode.PUT, subject.lane if subject else None, at)
        if subject is not None and subject.id not in self._patients:
            resource = persons.patient(subject.person, subject.id)
            self._patients[subject.id] = Change(resource, Mode.ENSURE, subject.lane)
            if self.trace is not None:
                lineage.whole(
                    self.trace, resource, "person", f"{path or '(the reading)'}: patient, subject or links.patient"
                )

    def refuse(self, refused: ReadingRefusedError, path: str) -> None:
        """Note that the reading at `path` is not taken, and why."""
        self.reasons.append(refused.reason(path))

    def notice(self, code: str, at: str, text: str) -> None:
        """Note something odd, once per place."""
        self._notices[code, at] = Notice(code, at, text)

    def translation(self) -> Translation:
        """Return all of it: persons first, then instruments, then readings in the order they were sent."""
        changes = [*self._patients.values(), *self._devices.values(), *self._observations.values()]
        return Translation(changes, self.reasons, [*self._notices.values()], message_type=self.message_type)
