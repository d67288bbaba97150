"""Converters that the segment tables name: one a data type map, field → element value.

Each takes the work, the segment, the field number and the table's argument, and gives a value, a list or None.
What depends on another field or on the event is not here but in Python beside the segment's module.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from adapters.hospital_hl7v2 import coded, datatypes, personal, shared, values
from adapters.hospital_hl7v2.personal import Converter, Elements
from adapters.hospital_hl7v2.work import Field, Work, place
from gateway.formats import er7
from gateway.model import Resource


def _each(
    make: Callable[[er7.Part, Work, Field], Resource | None],
) -> Converter:
    def convert(work: Work, segment: er7.Segment, number: int, _argument: str) -> list[Resource]:
        made = (make(part, work, Field(segment, number)) for part in segment.repetitions(number) if part)
        return [each for each in made if each is not None]

    return convert


def _one(make: Callable[[er7.Part, Work, Field], Resource | None]) -> Converter:
    def convert(work: Work, segment: er7.Segment, number: int, _argument: str) -> Resource | None:
        part = segment.field(number)
        return make(part, work, Field(segment, number)) if part else None

    return convert


def _concept(work: Work, segment: er7.Segment, number: int, argument: str) -> Resource | None:
    return work.concept(segment.field(number), argument)


def _concepts(work: Work, segment: er7.Segment, number: int, argument: str) -> list[Resource]:
    made = (work.concept(part, argument) for part in segment.repetitions(number))
    return [each for each in made if each]


def _code(work: Work, segment: er7.Segment, number: int, argument: str) -> str | None:
    sent = segment.at(number)
    mapped = work.setup.map(argument, sent)
    if mapped is None and sent:
        work.notice("code-unknown", place(segment, number), f"A code that table {argument} does not have.")
    return (mapped.code or None) if mapped else None


def _date(work: Work, segment: er7.Segment, number: int, _argument: str) -> str | None:
    moment = work.moment(segment, number)
    return moment.date if moment else None


def _date_time(work: Work, segment: er7.Segment, number: int, _argument: str) -> str | None:
    moment = work.moment(segment, number)
    return moment.date_time if moment else None


def _instant(work: Work, segment: er7.Segment, number: int, _argument: str) -> str | None:
    moment = work.moment(segment, number)
    return moment.instant() if moment else None


def _boolean(_work: Work, segment: er7.Segment, number: int, _argument: str) -> bool | None:
    return {"Y": True, "N": False}.get(segment.at(number).upper())


def _positive_integer(_work: Work, segment: er7.Segment, number: int, _argument: str) -> int | None:
    sent = segment.at(number)
    return int(sent) if sent.isascii() and sent.isdigit() and 0 < int(sent) < 2**31 else None


def _string(_work: Work, segment: er7.Segment, number: int, _argument: str) -> str | None:
    return segment.text(number) or None


def _note(_work: Work, segment: er7.Segment, number: int, _argument: str) -> Resource | None:
    part = segment.field(number)
    text = part.at(2) or part.at(9) or part.at(1)
    return {"text": text} if text else None


def _extension(value: Callable[[Work, er7.Segment, int, str], Any]) -> Converter:
    def convert(work: Work, segment: er7.Segment, number: int, argument: str) -> Resource | None:
        url, key, *table = argument.split("|")
        made = value(work, segment, number, table[0] if table else "")
        return {"url": url, key: made} if made is not None else None

    return convert


def _coding(work: Work, segment: er7.Segment, number: int, argument: str) -> Resource | None:
    return coded.coding(segment.field(number), work.setup, argument)


def _extension_country(work: Work, segment: er7.Segment, number: int, argument: str) -> list[Resource]:
    made = (work.concept(part) for part in segment.repetitions(number) if part)
    return [{"url": argument, "extension": [{"url": "code", "valueCodeableConcept": each}]} for each in made if each]


def _participants(work: Work, segment: er7.Segment, number: int, argument: str) -> list[Resource]:
    code = {
        "system": "http://terminology.hl7.org/CodeSystem/v3-ParticipationType",
        "code": argument,
        "display": _ROLES[argument],
    }
    people = (shared.practitioner(part, work, Field(segment, number)) for part in segment.repetitions(number) if part)
    return [{"type": [{"coding": [code]}], "individual": each} for each in people if each]


_ROLES: Final = {"ATND": "attender", "REF": "referrer", "CON": "consultant", "ADM": "admitter", "PART": "Participation"}


def _entity(work: Work, segment: er7.Segment, number: int, argument: str) -> Resource | None:
    return datatypes.entity(segment.field(number), work.setup, argument)


def _entity_pair(work: Work, segment: er7.Segment, number: int, _argument: str) -> list[Resource]:
    return datatypes.pair(segment.field(number), work.setup)


def _group_number(work: Work, segment: er7.Segment, number: int, _argument: str) -> Resource | None:
    found = datatypes.group_numbers(segment.field(number), work.setup)
    return found[0] if found else None


def _composite_quantity(work: Work, segment: er7.Segment, number: int, _argument: str) -> Resource | None:
    part = segment.field(number)
    found = values.number(part.at(1), work.setup)
    if found is None:
        return None
    return values.quantity(found[1], datatypes.lifted(part.part(2)), work.setup)


def _collected(work: Work, segment: er7.Segment, number: int, _argument: str) -> Elements | None:
    part = segment.field(number)
    if part.at(2):
        made = datatypes.period(part.at(1), part.at(2), work.setup)
        return Elements(collectedPeriod=made) if made else None
    moment = work.moment(segment, number)
    return Elements(collectedDateTime=moment.date_time) if moment else None


def _priority_of_timing(work: Work, segment: er7.Segment, number: int, _argument: str) -> str | None:
    mapped = work.setup.map("0485", segment.at(number, 6))
    return mapped.code if mapped else None


def _days(work: Work, segment: er7.Segment, number: int, _argument: str) -> Resource | None:
    found = values.number(segment.at(number), work.setup)
    return {"value": found[1], "unit": "days", "system": values.UCUM, "code": "d"} if found else None


def _discharged_to(_work: Work, segment: er7.Segment, number: int, _argument: str) -> Resource | None:
    part = segment.field(number)
    words = part.at(2) or part.at(1)
    return {"display": words} if words else None


def _interpretations(work: Work, segment: er7.Segment, number: int, _argument: str) -> list[Resource]:
    found = []
    for part in segment.repetitions(number):
        code = part.at(1)
        mapped = work.setup.map("0078", code) if code else None
        if mapped:
            found.append(_mapped_concept(mapped.system, mapped.code, mapped.display))
        elif part:
            own = work.concept(part, "0078")
            found += [own] if own else []
    return found


def _mapped_concept(system: str, code: str, display: str) -> Resource:
    coding: Resource = {"system": system, "code": code}
    if display:
        coding["display"] = display
    return {"coding": [coding]}


CONVERTERS: Final[dict[str, Converter]] = personal.CONVERTERS | {
    "concept": _concept,
    "concepts": _concepts,
    "code": _code,
    "date": _date,
    "date_time": _date_time,
    "instant": _instant,
    "boolean": _boolean,
    "positive_integer": _positive_integer,
    "string": _string,
    "note": _note,
    "extension_name": _extension(personal.name_text),
    "extension_address": _extension(personal.address_text),
    "extension_date_time": _extension(_date_time),
    "extension_concept": _extension(_concept),
    "extension_coding": _extension(_coding),
    "extension_country": _extension_country,
    "participants": _participants,
    "practitioner": _one(shared.practitioner),
    "practitioners": _each(shared.practitioner),
    "named_practitioners": _each(shared.practitioner_of_ndl),
    "organisation": _one(shared.organisation),
    "organisations": _each(shared.organisation),
    "producer": _each(shared.producer),
    "place": _one(shared.location),
    "device": _one(shared.device),
    "entity_identifier": _entity,
    "entity_pair": _entity_pair,
    "group_number": _group_number,
    "composite_quantity": _composite_quantity,
    "collected": _collected,
    "quantity_timing_priority": _priority_of_timing,
    "days": _days,
    "discharged_to": _discharged_to,
    "interpretations": _interpretations,
}

REMEMBERED: Final = frozenset({
    "concept", "concepts", "code", "interpretations", "extension_concept", "extension_coding", "participants",
    "practitioner", "practitioners", "named_practitioners", "organisation", "organisations", "producer", "place",
})  # fmt: skip
"""Converters whose value depends on the field's text alone, and whose fields say the same in many messages: codes, staff,
places. What names a patient or an order is not among them."""
