"""Segment tables of mappings/hl7v2/segments as running rules: field → converter → element, with its official row.

A table renames, looks up and names a converter; the converters are below, one a data type map. What depends on another
field or on the event is not here but in Python beside the segment's module.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from adapters.hospital_hl7v2 import coded, datatypes, identity, shared, values
from adapters.hospital_hl7v2.work import ALTERNATE_CODES, DATA_ABSENT, Work, place
from gateway.formats import er7
from gateway.model import Resource
from gateway.terminology.tables import Row

Converter = Callable[[Work, er7.Segment, int, str], Any]


@dataclass(frozen=True, slots=True)
class Rule:
    """One row of a segment table. `path` is one or two element names; `many` says whether the last is a list."""

    number: int
    path: tuple[str, ...]
    many: bool
    convert: Converter
    argument: str
    name: str
    official: str


def compile_table(rows: Sequence[Row]) -> list[Rule]:
    """Return the rules of a segment table. Raises KeyError for a converter that does not exist."""
    return [
        Rule(
            number=int(row["field"].rpartition("-")[2]),
            path=tuple(row["element"].removesuffix("[]").split(".")),
            many=row["element"].endswith("[]"),
            convert=CONVERTERS[row["convert"]],
            argument=row["argument"],
            name=f"{row['field'].lower()}-{row['convert']}".replace("_", "-"),
            official=row["row"],
        )
        for row in rows
    ]


def rules(work: Work, table: str) -> list[Rule]:
    """Return the compiled rules of `mappings/hl7v2/segments/<table>.csv`."""
    return work.setup.tables.compiled(f"hl7v2/segments/{table}", "rules", compile_table)


def apply(work: Work, segment: er7.Segment, table: str, target: Resource, reference: str = "") -> set[str]:
    """Fill `target` from a segment; return the top-level elements that the sender declared null and nothing filled.

    `reference` (`Type/id`) is what lineage is noted under; the target's own when it is a resource.
    """
    fields = segment.fields
    count = len(fields)
    nulls: set[str] = set()
    for rule in work.setup.tables.compiled(f"hl7v2/segments/{table}", "rules", compile_table):
        if rule.number >= count:
            continue
        raw = fields[rule.number]
        if not raw:
            continue
        if raw == er7.NULL:
            nulls.add(rule.path[0])
            continue
        made = rule.convert(work, segment, rule.number, rule.argument)
        if made is None or made == []:
            continue
        _set(target, rule, made)
        if work.trace is not None:
            name = reference or f"{target['resourceType']}/{target['id']}"
            work.trace.add(
                name, ".".join(rule.path), rule=rule.name, official=rule.official, source=place(segment, rule.number)
            )
    return {name for name in nulls if name not in target}


def _set(target: Resource, rule: Rule, made: Any) -> None:
    *outer, last = rule.path
    for name in outer:
        if name.endswith("[]"):
            inner = target.setdefault(name[:-2], [{}])
            target = inner[0]
        else:
            target = target.setdefault(name, {})
    if isinstance(made, Elements):
        for name, value in made.items():
            target.setdefault(name, value)
    elif rule.many:
        target.setdefault(last, []).extend(made if isinstance(made, list) else [made])
    else:
        target.setdefault(last, made)


class Elements(dict[str, Any]):
    """What a converter gives when the element's own name depends on the value (`collected[x]`, `_gender`)."""


def _each(
    make: Callable[[er7.Part, Work], Resource | None],
) -> Converter:
    def convert(work: Work, segment: er7.Segment, number: int, _argument: str) -> list[Resource]:
        made = (make(part, work) for part in segment.repetitions(number) if part)
        return [each for each in made if each is not None]

    return convert


def _one(make: Callable[[er7.Part, Work], Resource | None]) -> Converter:
    def convert(work: Work, segment: er7.Segment, number: int, _argument: str) -> Resource | None:
        part = segment.field(number)
        return make(part, work) if part else None

    return convert


def _identifiers(work: Work, segment: er7.Segment, number: int, _argument: str) -> list[Resource]:
    found = []
    for part in segment.repetitions(number):
        try:
            made = identity.patient_identifier(part, work.setup)
        except ValueError:
            work.notice(
                "identifier-invalid", place(segment, number), "A CPR number with an impossible date was left out."
            )
            continue
        if made:
            found.append(made)
    return found


def _identifier(work: Work, segment: er7.Segment, number: int, _argument: str) -> Resource | None:
    return datatypes.identifier(segment.field(number), work.setup)


def _social_security(work: Work, segment: er7.Segment, number: int, _argument: str) -> Resource | None:
    try:
        return identity.national_identifier(segment, work.setup)
    except ValueError:
        work.notice("identifier-invalid", place(segment, number), "A CPR number with an impossible date was left out.")
        return None


def _driving_licence(work: Work, segment: er7.Segment, number: int, _argument: str) -> Resource | None:
    part = segment.field(number)
    if not part.at(1):
        return None
    state = part.at(2)
    made: Resource = {
        "type": {"coding": [{"system": coded.V2 + "0203", "code": "DL", "display": "Driver's license number"}]},
        "system": work.setup.local(f"driving-licence:{state}" if state else "driving-licence"),
        "value": part.at(1),
    }
    valid = datatypes.period("", part.at(3), work.setup)
    return made | ({"period": valid} if valid else {})


def _names(work: Work, segment: er7.Segment, number: int, argument: str) -> list[Resource]:
    found: list[Resource] = []
    for part in segment.repetitions(number):
        # PID-5: the first repetition is the legal name (HL7 v2.9 §3.3.2.5) unless it says otherwise.
        default = "official" if argument == "first" and not found else ""
        found += datatypes.names(part, work.setup, default)
    return found


def _name(work: Work, segment: er7.Segment, number: int, _argument: str) -> Resource | None:
    return datatypes.name(segment.field(number), work.setup)


def _addresses(work: Work, segment: er7.Segment, number: int, _argument: str) -> list[Resource]:
    parts = segment.repetitions(number)
    made = [datatypes.address(part, work.setup) for part in parts]
    found = [each for each in made if each]
    county = segment.at(12) if segment.name == "PID" else ""
    if county and len(found) == 1 and "district" not in found[0]:
        found[0]["district"] = county
    return found


def _address(work: Work, segment: er7.Segment, number: int, _argument: str) -> Resource | None:
    return datatypes.address(segment.field(number), work.setup)


def _telecoms(work: Work, segment: er7.Segment, number: int, argument: str) -> list[Resource]:
    made = (datatypes.telecom(part, work.setup, argument) for part in segment.repetitions(number))
    return [each for each in made if each]


def _languages(work: Work, segment: er7.Segment, number: int, _argument: str) -> list[Resource]:
    made = work.concept(segment.field(number), "0296")
    return [{"language": made}] if made else []


def _concept(work: Work, segment: er7.Segment, number: int, argument: str) -> Resource | None:
    known = work.setup.concepts.get((segment.first(number), argument))
    return known or work.concept(segment.field(number), argument)


def _concepts(work: Work, segment: er7.Segment, number: int, argument: str) -> list[Resource]:
    made = (work.concept(part, argument) for part in segment.repetitions(number))
    return [each for each in made if each]


def _code(work: Work, segment: er7.Segment, number: int, argument: str) -> str | None:
    sent = segment.at(number)
    mapped = work.setup.map(argument, sent)
    if mapped is None and sent:
        work.notice("code-unknown", place(segment, number), f"A code that table {argument} does not have.")
    return (mapped.code or None) if mapped else None


def _gender(work: Work, segment: er7.Segment, number: int, _argument: str) -> Elements | None:
    sent = segment.at(number)
    if not sent:
        return None
    mapped = work.setup.map("0001", sent)
    code = mapped.code if mapped else "unknown"
    made = Elements(gender=code)
    if mapped is None or (code == "other" and sent.upper() != "O"):
        own = work.concept(segment.field(number), "0001") or {"text": sent}
        made["_gender"] = {"extension": [{"url": ALTERNATE_CODES, "valueCodeableConcept": own}]}
    if mapped is None:
        work.notice(
            "code-unknown", place(segment, number), "A code that table 0001 does not have; the sender's own is kept."
        )
    return made


def _birth_date(work: Work, segment: er7.Segment, number: int, _argument: str) -> Elements | None:
    raw = segment.raw(number)
    moment = work.moment(segment, number)
    if moment is None:
        unknown = not raw.strip("0^ ")
        absent = {"url": DATA_ABSENT, "valueCode": "unknown" if unknown else "error"}
        return Elements(_birthDate={"extension": [absent]})
    made = Elements(birthDate=moment.date)
    if moment.at is not None:
        time = {"url": datatypes.EXTENSION + "patient-birthTime", "valueDateTime": moment.date_time}
        made["_birthDate"] = {"extension": [time]}
    return made


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


def _name_text(work: Work, segment: er7.Segment, number: int, _argument: str) -> str | None:
    made = datatypes.name(segment.field(number), work.setup)
    return made.get("family") or made["text"] if made else None


def _address_text(_work: Work, segment: er7.Segment, number: int, _argument: str) -> Resource | None:
    text = segment.text(number)
    return {"text": text} if text else None


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
    made = (shared.practitioner(part, work) for part in segment.repetitions(number) if part)
    return [{"type": [{"coding": [code]}], "individual": each} for each in made if each]


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


def _discharged_to(work: Work, segment: er7.Segment, number: int, _argument: str) -> Resource | None:
    part = segment.field(number)
    words = part.at(2) or part.at(1)
    return {"display": words} if words else None


def _interpretations(work: Work, segment: er7.Segment, number: int, _argument: str) -> list[Resource]:
    found = []
    for part in segment.repetitions(number):
        code = part.at(1)
        known = work.setup.concepts.get((code, "interpretation"))
        if known:
            found.append(known)
            continue
        mapped = work.setup.map("0078", code) if code else None
        if mapped:
            made = _mapped_concept(mapped.system, mapped.code, mapped.display)
            found.append(work.setup.remember((code, "interpretation"), made))
        elif part:
            own = work.concept(part, "0078")
            found += [own] if own else []
    return found


def _mapped_concept(system: str, code: str, display: str) -> Resource:
    coding: Resource = {"system": system, "code": code}
    if display:
        coding["display"] = display
    return {"coding": [coding]}


CONVERTERS: Final[dict[str, Converter]] = {
    "identifiers": _identifiers,
    "identifier": _identifier,
    "social_security": _social_security,
    "driving_licence": _driving_licence,
    "names": _names,
    "name": _name,
    "addresses": _addresses,
    "address": _address,
    "telecoms": _telecoms,
    "languages": _languages,
    "concept": _concept,
    "concepts": _concepts,
    "code": _code,
    "gender": _gender,
    "birth_date": _birth_date,
    "date": _date,
    "date_time": _date_time,
    "instant": _instant,
    "boolean": _boolean,
    "positive_integer": _positive_integer,
    "string": _string,
    "note": _note,
    "extension_name": _extension(_name_text),
    "extension_address": _extension(_address_text),
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
