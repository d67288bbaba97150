"""One message being translated: what it has made so far, and what every module needs while it makes more."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Final, NamedTuple

from adapters.hospital_hl7v2 import coded, times
from adapters.hospital_hl7v2.setup import Mentions, Setup
from gateway.fhir.ids import Ids
from gateway.formats import er7
from gateway.model import Change, Lane, Mode, Notice, PersonKey, RawMessage, Reason, Resource, Trace

ALTERNATE_CODES: Final = "http://hl7.org/fhir/StructureDefinition/alternate-codes"
DATA_ABSENT: Final = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"


class Field(NamedTuple):
    """Where a value stands in the message. `form` is the data type that was read there, '' for the field's own."""

    segment: er7.Segment
    number: int
    form: str = ""

    @property
    def at(self) -> str:
        """The pointer to it."""
        return place(self.segment, self.number)


class Work:
    """The state of one translation. Lives for one message."""

    def __init__(
        self,
        raw: RawMessage,
        message: er7.Message,
        setup: Setup,
        ids: Ids,
        trace: Trace | None,
        event_time: dt.datetime,
        event_source: str,
    ) -> None:
        self.raw = raw
        self.message = message
        self.setup = setup
        self.ids = ids
        self.trace = trace
        self.event_time = event_time
        self.event_source = event_source
        """The field that says when it happened, for lineage."""
        self.changes: dict[str, Change] = {}
        self.reasons: list[Reason] = []
        self.notices: list[Notice] = list(message.notices)
        self.person: PersonKey | None = None
        self.patient = ""
        """The reference of the message's patient, `Patient/<id>`."""
        self.lane: Lane | None = None
        self.encounter = ""
        """The reference of the message's encounter, '' when it names none."""
        self.control_id = message.segment("MSH").at(10) or raw.digest().hex()[:16]
        """MSH-10, else what the message's own bytes give."""
        self.mentioned: list[tuple[str, Resource]] = []
        """What the message mentions, reference and resource, each as often as it does."""
        self.origins: dict[str, list[er7.Segment]] = {}
        """The segments that each resource was made of, kept only while lineage is asked for."""
        self.members: dict[str, list[str]] = {}
        """The Observations that each blood pressure was made of, for lineage too."""

    def about(self, person: PersonKey) -> None:
        """Set whom what follows is about."""
        self.person = person
        self.patient = f"Patient/{self.ids.patient(person)}"
        self.lane = self.ids.lane(person)

    def put(
        self,
        resource: Resource,
        mode: Mode = Mode.PUT,
        *,
        shared: bool = False,
        event_time: dt.datetime | None = None,
        clear: Iterable[str] = (),
    ) -> str:
        """Add a change; return the resource's reference. The same resource again keeps its first place and content."""
        reference = f"{resource['resourceType']}/{resource['id']}"
        if reference not in self.changes:
            self.changes[reference] = Change(
                resource, mode, None if shared else self.lane, event_time or self.event_time, tuple(clear)
            )
        return reference

    def mention_again(self, mentions: Mentions) -> None:
        """Add what an earlier message mentioned with the same text. Copies: a device's rows add to their Device."""
        self.mentioned += mentions
        changes = self.changes
        for reference, resource in mentions:
            if reference not in changes:
                changes[reference] = Change({**resource}, Mode.ENSURE, None, self.event_time)

    def moment(self, segment: er7.Segment, number: int) -> times.Moment | None:
        """Return the moment that a field states; tell a time that is none, and one whose offset had to be assumed."""
        moment = self.setup.moment(segment.first(number))
        if moment is None:
            self.notice("time-invalid", place(segment, number), "This time cannot be one; it was left out.")
        elif moment.notice:
            self.notice(moment.notice, place(segment, number), _ZONE_WORDS[moment.notice])
        return moment

    def notice(self, code: str, at: str, text: str) -> None:
        """Tell something odd that did not stop the message."""
        self.notices.append(Notice(code, at, text))

    def note(self, reference: str, element: str, rule: str, official: str, source: str) -> None:
        """Note lineage when somebody asks for it."""
        if self.trace is not None:
            self.trace.add(reference, element, rule=rule, official=official, source=source)

    def note_origin(self, reference: str, *segments: er7.Segment) -> None:
        """Note which segments a resource is made of, when somebody asks for lineage."""
        if self.trace is not None:
            self.origins.setdefault(reference, []).extend(segments)

    def concept(self, part: er7.Part, table: str = "") -> Resource | None:
        """CWE → CodeableConcept, codes alone read from `table`."""
        return coded.concept(part, self.setup, table) if part else None

    @property
    def event_text(self) -> str:
        """The event time as a FHIR dateTime with its own zone."""
        return times.write(self.event_time)


_ZONE_WORDS: Final = {
    "zone-assumed": "This hour comes twice on the feed's wall clock; the first was taken.",
    "time-nonexistent": "This hour does not exist on the feed's wall clock; winter time was taken.",
}


def place(segment: er7.Segment, number: int) -> str:
    """Return a pointer to a field: `PID-8`, `OBX[3]-5`."""
    if segment.name in _SINGLE:
        return f"{segment.name}-{number}"
    return f"{segment.name}[{segment.index}]-{number}"


_SINGLE: Final = frozenset({"MSH", "EVN", "PID", "PD1", "PV1", "PV2"})
