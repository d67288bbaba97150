"""Merging and linking patients: A40 and its older forms, A24, A37. There is no official FHIR map for these.

The survivor gets the other's numbers with `use=old` and a link `replaces`; the other stays readable, inactive, with a
link `replaced-by`. Nothing else is re-pointed here: readers follow the link. Source: HL7 v2.9 §3.3.40, §3.6.2.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from adapters.hospital_hl7v2 import datatypes, identity, patient
from adapters.hospital_hl7v2.work import Work, place
from gateway.formats import er7
from gateway.model import Mode, PersonKey, Reason, RejectionCode, Resource

MERGES: Final = frozenset({"A18", "A30", "A34", "A36", "A39", "A40"})
LINKS: Final = frozenset({"A24", "A37"})


def merges(work: Work) -> None:
    """Add both patients of each PID and MRG pair; the pair repeats. Adds reasons for pairs that name nobody."""
    pairs = list(_pairs(work.message))
    if not pairs:
        work.reasons.append(Reason(RejectionCode.STRUCTURE, "MRG", "A merge needs an MRG segment after each PID."))
    for pid, mrg in pairs:
        _merge(work, pid, mrg)


def _pairs(message: er7.Message) -> Iterator[tuple[er7.Segment, er7.Segment]]:
    pid: er7.Segment | None = None
    for segment in message:
        if segment.name == "PID":
            pid = segment
        elif segment.name == "MRG" and pid is not None:
            yield pid, segment
            pid = None


def _merge(work: Work, pid: er7.Segment, mrg: er7.Segment) -> None:
    survivor = identity.person(pid, work.setup.naming)
    replaced, old = _prior(work, mrg)
    for found in (survivor, replaced):
        if isinstance(found, Reason):
            work.reasons.append(found)
            return
    assert isinstance(survivor, PersonKey)
    assert isinstance(replaced, PersonKey)
    if survivor == replaced:
        work.reasons.append(
            Reason(RejectionCode.MERGE_CYCLE, f"MRG[{mrg.index}]-1", "A patient cannot be merged into itself.")
        )
        return
    work.about(replaced)
    other = work.patient
    work.about(survivor)
    _survivor(work, pid, other, mrg, old)
    _replaced(work, replaced, mrg, old)


def _prior(work: Work, mrg: er7.Segment) -> tuple[PersonKey | Reason, list[Resource]]:
    """Return who is replaced, and the numbers that were theirs (MRG-1, and MRG-4 of old versions)."""
    as_pid = er7.Segment("PID", "", mrg.syntax, mrg.index)
    bar = mrg.syntax.field
    as_pid.line = bar.join(["PID", "", "", mrg.raw(1) or mrg.raw(4)])
    found = identity.person(as_pid, work.setup.naming)
    if isinstance(found, Reason):
        return Reason(found.code, f"MRG[{mrg.index}]-1", found.text), []
    numbers = [identity.patient_identifier(part, work.setup) for part in as_pid.repetitions(3)]
    return found, [number for number in numbers if number]


def _survivor(work: Work, pid: er7.Segment, other: str, mrg: er7.Segment, old: list[Resource]) -> None:
    reference = patient.patient(
        work, pid, Mode.MERGE, also={"link": [{"other": {"reference": other}, "type": "replaces"}]}
    )
    resource = work.changes[reference].resource
    have = {(each["system"], each["value"]) for each in resource["identifier"]}
    added = [
        kept
        for each in old
        if (each["system"], each["value"]) not in have and (kept := _as_old(each, work.event_text)) is not None
    ]
    resource["identifier"] += added
    work.note(reference, "link", "merge-survivor", "", _prior_place(mrg))
    if added:
        work.note(reference, "identifier", "merge-prior-number", "", _prior_place(mrg))


def _prior_place(mrg: er7.Segment) -> str:
    """Return the field that names the replaced patient: MRG-1, MRG-4 in old versions."""
    return place(mrg, 1 if mrg.raw(1) else 4)


def _as_old(number: Resource, until: str) -> Resource | None:
    """Return a replaced number as the survivor carries it: `use=old`. DK Core fixes the use of Danish person numbers: a
    replacement number stays `temp` and ends; another CPR number stays with the replaced patient alone.
    """
    if not identity.is_danish(number["system"]):
        return number | {"use": "old"}
    return None if number["use"] == "official" else number | {"period": {"end": until}}


def _replaced(work: Work, who: PersonKey, mrg: er7.Segment, old: list[Resource]) -> None:
    survivor = work.patient
    work.about(who)
    resource: Resource = {
        "resourceType": "Patient",
        "id": work.patient.partition("/")[2],
        "identifier": old,
        "active": False,
        "link": [{"other": {"reference": survivor}, "type": "replaced-by"}],
    }
    names = [name for part in mrg.repetitions(7) if (name := datatypes.name(part, work.setup))]
    if names:
        resource["name"] = names
        work.note(work.patient, "name", "mrg-7-name", "", place(mrg, 7))
    for element, rule in (("identifier", "mrg-1-number"), ("active", "merge-replaced"), ("link", "merge-replaced")):
        work.note(work.patient, element, rule, "", _prior_place(mrg))
    work.put(resource, Mode.MERGE)


def links(work: Work, event: str) -> None:
    """A24: each of two PID segments names the same person (`seealso` both ways). A37 takes the links away again."""
    pids = work.message.segments("PID")[:2]
    people = [identity.person(pid, work.setup.naming) for pid in pids]
    for found in people:
        if isinstance(found, Reason):
            work.reasons.append(found)
            return
    if len(people) != 2:  # noqa: PLR2004
        work.reasons.append(Reason(RejectionCode.STRUCTURE, "PID[2]", "Linking needs two PID segments."))
        return
    keys = [who for who in people if isinstance(who, PersonKey)]
    for own, other, pid in ((keys[0], keys[1], pids[0]), (keys[1], keys[0], pids[1])):
        work.about(other)
        link = {"other": {"reference": work.patient}, "type": "seealso"}
        work.about(own)
        reference = patient.patient(work, pid, Mode.MERGE, also={"link": [link]} if event == "A24" else None)
        if event == "A24":
            work.note(reference, "link", "event-a24-link", "", f"PID[{3 - pid.index}]-3")
        if event == "A37":
            change = work.changes[reference]
            change.clear = (*change.clear, "link")
