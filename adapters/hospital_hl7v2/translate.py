"""HL7 v2 messages → FHIR R4: what the doors and the translate room call. Pure.

ADT changes patients and visits; ORU brings reports and readings. Other message types are refused with a reason. How
each segment is mapped stands in the modules beside this one, and as data in mappings/hl7v2.
"""

from __future__ import annotations

import datetime as dt
from typing import Final

from adapters.hospital_hl7v2 import (
    clinical,
    encounter,
    identity,
    lineage,
    merge,
    observation,
    patient,
    results,
    structure,
)
from adapters.hospital_hl7v2.setup import Setup, naming_of, setup_of
from adapters.hospital_hl7v2.work import Work
from gateway.formats import er7
from gateway.model import Feed, Mode, Notice, PersonKey, Piece, RawMessage, Reason, RejectionCode, Trace, Translation
from gateway.terminology.context import Context

_ORU_EVENTS: Final = frozenset({"", "R01", "R03", "R30", "R31", "R32"})
_VERSIONS: Final = frozenset(
    {
        "2.1",
        "2.2",
        "2.3",
        "2.3.1",
        "2.4",
        "2.5",
        "2.5.1",
        "2.6",
        "2.7",
        "2.7.1",
        "2.8",
        "2.8.1",
        "2.8.2",
        "2.9",
        "2.9.1",
    }
)
_WRITABLE_TYPES: Final = "ADT (admissions, transfers, discharges, patient data, merges) and ORU^R01 (results)"


def split(body: bytes, content_type: str, feed: Feed) -> list[Piece]:
    """Cut a batch into messages and find each one's person and control id. See adapters/README.md."""
    del content_type
    pieces = []
    for message in er7.split_batch(body):
        try:
            control_id = er7.peek(message).control_id.decode("latin-1")
        except er7.Unreadable:
            control_id = None
        pieces.append(Piece(message, lane_person(message, feed), control_id or None))
    return pieces


def lane_person(message: bytes, feed: Feed) -> PersonKey | None:
    """Return the person of the first PID (of a merge: the survivor), None when it names none. Reads MSH and PID alone."""
    start = max(message.find(b"\rPID"), message.find(b"\nPID"))
    if start < 0:
        return None
    ends = [end for end in (message.find(b"\r", start + 1), message.find(b"\n", start + 1)) if end >= 0]
    pid = message[start + 1 : min(ends) if ends else len(message)]
    try:
        read = er7.parse(_header(message) + b"\r" + pid, feed.charset)
    except er7.Unreadable:
        return None
    found = identity.person(read.segment("PID"), naming_of(feed))
    return found if isinstance(found, PersonKey) else None


def _header(message: bytes) -> bytes:
    start = message.find(b"MSH")
    ends = [end for end in (message.find(b"\r", start), message.find(b"\n", start)) if end >= 0]
    return message[start : min(ends)] if ends else message[start:]


def translate(raw: RawMessage, context: Context, trace: Trace | None = None) -> Translation:
    """Translate one message. Never raises for what a sender sent: `reasons` say what is wrong with it."""
    setup = setup_of(context)
    done = Translation()
    try:
        message = er7.parse(raw.body, setup.feed.charset)
    except er7.Unreadable as refused:
        done.reasons.append(Reason(refused.code, refused.at, refused.text))
        return done
    setup.speak(message.syntax)
    code, event = _type(message)
    done.message_type = f"{code}^{event}" if event else code
    refusal = _refusal(message, code, event, setup)
    if refusal is not None:
        done.reasons.append(refusal)
        return done
    event_time, event_source, odd = _event_time(message, setup, raw.received_at)
    if not message.segment("MSH").has(10):
        odd.append(
            Notice("control-id-missing", "MSH-10", "MSH-10 is empty: the message cannot be acknowledged by its number.")
        )
    for view in [message] if event in merge.LINKS else structure.by_patient(message):
        work = Work(raw, view, setup, context.ids, trace, event_time, event_source)
        work.notices += odd
        if code == "ADT":
            _adt(work, event)
        else:
            _oru(work)
        if trace is not None:
            lineage.complete(work, trace)
        done.changes += [change for change in work.changes.values() if change not in done.changes]
        done.reasons += work.reasons
        done.notices += [notice for notice in work.notices if notice not in done.notices]
    return done


def _type(message: er7.Message) -> tuple[str, str]:
    kind = message.segment("MSH").field(9)
    code, event = kind.at(1).upper(), kind.at(2).upper()
    if not event and "_" in code:
        code, _, event = code.partition("_")
    if code == "ADT" and not event:
        event = message.segment("EVN").at(1).upper()
    return code, event


def _refusal(message: er7.Message, code: str, event: str, setup: Setup) -> Reason | None:
    msh = message.segment("MSH")
    if not code:
        return Reason(RejectionCode.STRUCTURE, "MSH-9", "MSH-9 is empty: it must say which message this is.")
    version = msh.at(12)
    if version and version not in _VERSIONS:
        return Reason(RejectionCode.UNSUPPORTED_VERSION, "MSH-12", "This gateway reads HL7 v2 versions 2.1 to 2.9.")
    if msh.at(11)[:1].upper() in {"T", "D"} and not setup.feed.accept_test_messages:
        return Reason(
            RejectionCode.TEST_MESSAGE,
            "MSH-11",
            "The message is marked as training or debugging; this feed takes production.",
        )
    if code == "ADT":
        if event in encounter.PATIENT_ONLY or event in setup.events:
            return None
        return Reason(
            RejectionCode.UNSUPPORTED_TYPE, "MSH-9.2", f"This gateway does not take ADT event {_told(event)}."
        )
    if code == "ORU" and event in _ORU_EVENTS:
        return None
    return Reason(
        RejectionCode.UNSUPPORTED_TYPE,
        "MSH-9",
        f"This gateway does not take {_told(code)}^{_told(event)}; it takes {_WRITABLE_TYPES}.",
    )


def _told(code: str) -> str:
    """Return a code as it may be told: letters and digits, three of them."""
    return code if len(code) == 3 and code.isascii() and code.isalnum() else "of that kind"  # noqa: PLR2004


def _event_time(message: er7.Message, setup: Setup, received_at: dt.datetime) -> tuple[dt.datetime, str, list[Notice]]:
    """Return when it happened and which field says so: EVN-6, EVN-2, MSH-7, else the time of reception."""
    evn = message.segment("EVN")
    for segment, number in ((evn, 6), (evn, 2), (message.segment("MSH"), 7)):
        raw = segment.field(number).raw
        if not segment.has(number):
            continue
        moment = setup.moment(raw)
        if moment is not None and moment.at is not None:
            odd = (
                [Notice(moment.notice, f"{segment.name}-{number}", "The offset of this time was assumed.")]
                if moment.notice
                else []
            )
            return moment.at, f"{segment.name}-{number}", odd
    return (
        received_at,
        "time of reception",
        [Notice("event-time-unknown", "MSH-7", "No segment says when it happened; the time of reception was taken.")],
    )


def _subject(work: Work) -> bool:
    """Set whom the message is about; False, with the reason, when it does not say."""
    if not work.message.segments("PID"):
        work.reasons.append(
            Reason(RejectionCode.STRUCTURE, "PID", "There is no PID segment: nobody can say whose data this is.")
        )
        return False
    found = identity.person(work.message.segment("PID"), work.setup.naming)
    if isinstance(found, Reason):
        work.reasons.append(found)
        return False
    work.about(found)
    return True


def _adt(work: Work, event: str) -> None:
    if event in merge.MERGES:
        merge.merges(work)
        return
    if event in merge.LINKS:
        merge.links(work, event)
        return
    if not _subject(work):
        return
    pid = work.message.segment("PID")
    patient.patient(work, pid, Mode.MERGE, active=False if event == "A29" else None)
    patient.related(work)
    visit = ""
    if event not in encounter.PATIENT_ONLY:
        visit = encounter.identify(work, event)
        conditions = clinical.diagnoses(work, visit)
        encounter.encounter(work, event, Mode.MERGE, conditions)
        clinical.procedures(work, visit)
    clinical.allergies(work)
    observation.from_visit(work, structure.loose_observations(work.message), visit)


def _oru(work: Work) -> None:
    if not _subject(work):
        return
    patient.patient(work, work.message.segment("PID"), Mode.ENSURE)
    visit = encounter.encounter(work, "", Mode.ENSURE)
    results.results(work, visit)
