"""Which segment belongs to which: walks a message in order, as its structure says. Source: HL7 v2.9 chapters 3 and 7.

Not a validator: what stands where no structure has it is bound to what comes before it, as its sender meant.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.formats import er7


@dataclass(slots=True)
class Noted:
    """An OBX with the notes (NTE) that follow it."""

    obx: er7.Segment
    notes: list[er7.Segment] = field(default_factory=list)


@dataclass(slots=True)
class SpecimenGroup:
    """An SPM with the observations about the specimen itself."""

    spm: er7.Segment
    observations: list[Noted] = field(default_factory=list)


@dataclass(slots=True)
class Order:
    """ORDER_OBSERVATION of ORU_R01: `[ORC] OBR {NTE} [TQ1] {OBX {NTE}} {SPM {OBX}}`."""

    obr: er7.Segment
    orc: er7.Segment | None = None
    tq1: er7.Segment | None = None
    notes: list[er7.Segment] = field(default_factory=list)
    observations: list[Noted] = field(default_factory=list)
    specimens: list[SpecimenGroup] = field(default_factory=list)


def by_patient(message: er7.Message) -> list[er7.Message]:
    """Cut a message with several PID segments into one view a patient; each begins with what stands before the first PID."""
    places = [place for place, name in enumerate(message.names) if name == "PID"]
    if len(places) < 2:  # noqa: PLR2004
        return [message]
    ends = [*places[1:], len(message.lines)]
    head = message.lines[: places[0]]
    return [message.of_lines(head + message.lines[start:end]) for start, end in zip(places, ends, strict=True)]


def orders(message: er7.Message) -> tuple[list[Order], list[er7.Segment]]:
    """Return the orders of an ORU with what belongs to each, and the OBX that belong to none.

    OBX after SPM are about the specimen; OBX before it belong to the OBR.
    """
    found: list[Order] = []
    astray: list[er7.Segment] = []
    orc: er7.Segment | None = None
    notes: list[er7.Segment] | None = None
    order: Order | None = None
    for segment in message:
        name = segment.name
        if name == "OBX":
            noted = Noted(segment)
            if order is None:
                astray.append(segment)
            else:
                (order.specimens[-1].observations if order.specimens else order.observations).append(noted)
            notes = noted.notes
        elif name == "NTE":
            if notes is not None:
                notes.append(segment)
        elif name == "ORC":
            orc, notes = segment, None
        elif name == "OBR":
            order = Order(segment, orc)
            found.append(order)
            orc, notes = None, order.notes
        elif name == "SPM" and order is not None:
            order.specimens.append(SpecimenGroup(segment))
            notes = None
        elif name == "TQ1" and order is not None:
            order.tq1 = order.tq1 or segment
        elif name == "PID":
            order, orc, notes = None, None, None
    return found, astray


def loose_observations(message: er7.Message) -> list[Noted]:
    """Return the OBX of a message without orders (ADT), each with its notes."""
    found: list[Noted] = []
    for segment in message:
        if segment.name == "OBX":
            found.append(Noted(segment))
        elif segment.name == "NTE" and found and message.names:
            found[-1].notes.append(segment)
    return found
