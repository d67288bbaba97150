"""Composite data types of HL7 v2 → FHIR: CX, EI, XPN, XAD, XTN. Source: HL7 v2-to-FHIR datatypes/*.csv.

Pure shape: nothing here knows which segment it reads. An empty result is None; FHIR knows no empty strings.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from adapters.hospital_hl7v2 import coded, times
from adapters.hospital_hl7v2.setup import Setup, keep
from gateway.formats import er7
from gateway.model import Resource

EXTENSION: Final = "http://hl7.org/fhir/StructureDefinition/"
_DIGITS = re.compile(r"\d")
_ORDER_NUMBERS: Final = frozenset({"PLAC", "FILL", "PGN", "FGN"})
"""Types of table 0203 that the official CSV leaves out."""
_NATIONAL = re.compile(r"NN[A-Z]{3}", re.ASCII)
"""National person identifier of a country (ISO 3166, three letters)."""
_EMAIL_EQUIPMENT: Final = frozenset({"INTERNET", "X.400"})


def compact(pairs: Sequence[tuple[str, object]]) -> Resource:
    """Return the pairs whose value says something."""
    return {name: value for name, value in pairs if value not in ("", None, [], {})}


def period(start: str, end: str, setup: Setup) -> Resource | None:
    """Return a Period from two raw DTMs."""
    from_, to = (setup.moment(start) if start else None), (setup.moment(end) if end else None)
    made = compact([("start", from_ and from_.date_time), ("end", to and to.date_time)])
    if len(made) == 2 and times.is_reversed(made["start"], made["end"]):  # noqa: PLR2004
        made.pop("end")
    return made or None


def identifier_type(code: str) -> Resource | None:
    """Return Identifier.type from a CX-5 code (table 0203)."""
    return coded.of_table("0203", code) if code else None


def identifier(part: er7.Part, setup: Setup, fallback: str = "", system: str = "") -> Resource | None:
    """CX → Identifier; None without a value. `fallback` names the local system when CX-4 is empty."""
    value = part.at(1)
    if not value:
        return None
    authority = part.part(4)
    kind = part.at(5)
    if not system and authority:
        system = setup.identifier_system(authority)
    made: Resource = {}
    if kind:
        made["type"] = _type(kind, setup)
    made["system"] = system or setup.local(fallback or kind or "identifier")
    made["value"] = value
    valid = period(part.at(7), part.at(8), setup)
    if valid:
        made["period"] = valid
    facility = part.part(6).at(1)
    if facility:
        made["assigner"] = {"display": facility}
    if part.at(2):
        made["extension"] = [{"url": EXTENSION + "identifier-checkDigit", "valueString": part.at(2)}]
    return made


def _type(kind: str, setup: Setup) -> Resource:
    members = setup.kept["0203"]
    if kind in members:
        return {"coding": [coded.member("0203", kind, setup)]}
    if kind in _ORDER_NUMBERS or _NATIONAL.fullmatch(kind):
        return {"coding": [{"system": coded.V2 + "0203", "code": kind}]}
    return {"coding": [{"system": setup.local("v2-0203"), "code": kind}]}


def entity(part: er7.Part, setup: Setup, kind: str = "", fallback: str = "") -> Resource | None:
    """EI → Identifier; None without a value. `kind` is a code of table 0203 (PLAC, FILL)."""
    value = part.at(1)
    if not value:
        return None
    authority = part.syntax.component.join(part.pieces()[1:4])  # EI-2..4 are an HD one level up
    key = (authority, kind, fallback)
    around = setup.memory.entities.get(key) or keep(setup.memory.entities, key, _around(part, setup, *key))
    return {**around, "value": value}


def _around(part: er7.Part, setup: Setup, authority: str, kind: str, fallback: str) -> Resource:
    """Return what an EI's Identifier has beside its value: the same for all numbers of one authority."""
    system = ""
    if authority.strip(part.syntax.component):
        system = setup.identifier_system(er7.Part(authority, part.syntax))
    made: Resource = {}
    if kind:
        made["type"] = {
            "coding": [{"system": coded.V2 + "0203", "code": kind, "display": setup.kept["0203"].get(kind, kind)}]
        }
    made["system"] = system or setup.local(fallback or (kind.lower() or "entity"))
    return made


def lifted(part: er7.Part) -> er7.Part:
    """Return a component as if it stood one level up: its subcomponents as components."""
    return er7.Part(part.syntax.component.join(part.pieces()), part.syntax)


def pair(part: er7.Part, setup: Setup) -> list[Resource]:
    """EIP → Identifiers of the placer's and of the filler's number."""
    made = [entity(lifted(part.part(1)), setup, "PLAC"), entity(lifted(part.part(2)), setup, "FILL")]
    return [each for each in made if each]


def group_numbers(part: er7.Part, setup: Setup) -> list[Resource]:
    """ORC-4 → Identifiers of a group of orders: an EIP since v2.7, an EI before; subcomponents tell which."""
    if part.syntax.subcomponent in part.raw:
        made = [entity(lifted(part.part(1)), setup, "PGN"), entity(lifted(part.part(2)), setup, "FGN")]
    else:
        made = [entity(part, setup, "PGN")]
    return [each for each in made if each]


def name(part: er7.Part, setup: Setup, default_use: str = "") -> Resource | None:
    """XPN → HumanName; None when there is neither family, given nor nickname."""
    family_part = part.part(1)
    family = family_part.at(1)
    given = [part.at(2)] if part.at(2) else []
    further = part.at(3)
    if further:
        given += further.split() if setup.given_split else [further]
    prefix, suffixes = part.at(5), [word for word in (part.at(4), part.at(6), part.at(14)) if word]
    if not family and not given:
        return None
    mapped = setup.map("0200", part.at(7)) if part.at(7) else None
    use = mapped.code if mapped else (default_use if not part.at(7) else "")
    words = [prefix, *given, family, *suffixes]
    made = compact(
        [
            ("use", use),
            ("text", " ".join(word for word in words if word)),
            ("family", family),
            ("given", given),
            ("prefix", [prefix] if prefix else []),
            ("suffix", suffixes),
            ("period", period(part.at(12), part.at(13), setup) or _range(part.part(10), setup)),
        ]
    )
    own = [
        {"url": EXTENSION + f"humanname-{what}", "valueString": family_part.at(number)}
        for number, what in ((2, "own-prefix"), (3, "own-name"), (4, "partner-prefix"), (5, "partner-name"))
        if family_part.at(number)
    ]
    if own and family:
        made["_family"] = {"extension": own}
    return made


def _range(part: er7.Part, setup: Setup) -> Resource | None:
    return period(part.at(1), part.at(2), setup) if part else None


def names(part: er7.Part, setup: Setup, default_use: str = "") -> list[Resource]:
    """XPN → the name, and the called-by name (XPN-15) as a nickname of its own."""
    made = [name(part, setup, default_use)]
    if part.at(15):
        made.append({"use": "nickname", "given": [part.at(15)]})
    return [each for each in made if each]


def address(part: er7.Part, setup: Setup) -> Resource | None:
    """XAD → Address; None when it holds nothing but a type."""
    street = part.part(1)
    lines = [street.at(1)] if street.at(1) else []
    # SAD-1 is the whole street line; SAD-2 and -3 (name, number) come alone or beside it.
    lines += [line for line in (street.at(2), street.at(3)) if line]
    lines += [line for line in (part.at(2), part.at(19)) if line]
    kind = part.at(7)
    use, form = (setup.map("0190-address-use", kind), setup.map("0190-address-type", kind)) if kind else (None, None)
    place = compact(
        [
            ("line", lines),
            ("city", part.at(3)),
            ("district", part.part(9).at(1)),
            ("state", part.at(4)),
            ("postalCode", part.at(5)),
            ("country", part.at(6)),
        ]
    )
    if not place:
        return None
    made = compact([("use", use and use.code), ("type", form and form.code)]) | place
    valid = period(part.at(13), part.at(14), setup) or _range(part.part(12), setup)
    if valid:
        made["period"] = valid
    if part.at(10):
        made["extension"] = [{"url": EXTENSION + "iso21090-ADXP-censusTract", "valueString": part.at(10)}]
    return made


def telecom(part: er7.Part, setup: Setup, default_use: str = "") -> Resource | None:
    """XTN → ContactPoint; None without a value."""
    use_code, equipment = part.at(2), part.at(3)
    mapped = setup.map("0202", equipment) if equipment else None
    email = part.at(4)
    number = _number(part)
    if (equipment.upper() in _EMAIL_EQUIPMENT or not equipment) and email:
        value, system = email, "email"
    else:
        value = number or email
        system = mapped.code if mapped else ""
    if not value:
        return None
    if not system:
        system = "email" if "@" in value else "phone" if _DIGITS.search(value) else "other"
    use = setup.map("0201", use_code) if use_code else None
    otherwise = "mobile" if equipment.upper() == "CP" else default_use
    use_word = (use.code if use else "") if use_code else otherwise
    made = compact([("system", system), ("value", value), ("use", use_word)])
    extensions = [
        {"url": EXTENSION + f"contactpoint-{what}", "valueString": part.at(place)}
        for place, what in ((5, "country"), (6, "area"), (7, "local"), (8, "extension"))
        if part.at(place)
    ]
    if len(extensions) > 1:  # one alone is the number itself
        made["extension"] = extensions
    rank = part.at(18)
    if rank.isdigit() and int(rank) > 0:
        made["rank"] = int(rank)
    valid = period(part.at(13), part.at(14), setup)
    if valid:
        made["period"] = valid
    return made


def _number(part: er7.Part) -> str:
    unformatted = part.at(12)
    if unformatted:
        return unformatted
    country, area, local, extension = part.at(5), part.at(6), part.at(7), part.at(8)
    if local:
        pieces = [f"+{country.lstrip('+')}" if country else "", area, local, f"X{extension}" if extension else ""]
        return " ".join(piece for piece in pieces if piece)
    return part.at(1)
