"""Converters of what is said of a person: numbers, names, addresses, telephones, sex, date of birth."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from adapters.hospital_hl7v2 import coded, datatypes, identity
from adapters.hospital_hl7v2.work import ALTERNATE_CODES, DATA_ABSENT, Work, place
from gateway.formats import er7
from gateway.model import Resource

Converter = Callable[[Work, er7.Segment, int, str], Any]


class Elements(dict[str, Any]):
    """What a converter gives when the element's own name depends on the value (`collected[x]`, `_gender`)."""


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


def name_text(work: Work, segment: er7.Segment, number: int, _argument: str) -> str | None:
    """XPN → its family name, else the whole as text."""
    made = datatypes.name(segment.field(number), work.setup)
    return made.get("family") or made["text"] if made else None


def address_text(_work: Work, segment: er7.Segment, number: int, _argument: str) -> Resource | None:
    """ST → Address.text."""
    text = segment.text(number)
    return {"text": text} if text else None


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
    "gender": _gender,
    "birth_date": _birth_date,
}
