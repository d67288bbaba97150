"""Who a message is about: the one identifier of PID-3 that names the person, and what makes it usable.

Danish numbers by DK Core 3.7.0: a CPR number is ten digits that begin with a date that can exist (modulus 11 is not
asked since 2007); replacement numbers (X-eCPR, D-eCPR) have letters in places 8 and 9. Other countries' numbers are
taken as their sender names them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from gateway.formats import er7
from gateway.model import PersonKey, Reason, RejectionCode, Resource

from adapters.hospital_hl7v2 import coded, datatypes
from adapters.hospital_hl7v2.setup import CPR, D_ECPR, X_ECPR, Setup

_DATE: Final = (
    "(?:(?:(?:0[1-9]|[12][0-9]|3[01])(?:01|03|05|07|08|10|12))"
    "|(?:(?:0[1-9]|[12][0-9]|30)(?:04|06|09|11))|(?:(?:0[1-9]|[12][0-9])02))[0-9]{2}"
)
_CPR = re.compile(_DATE + r"[0-9]{4}", re.ASCII)
_X_ECPR = re.compile(_DATE + r"[17][A-Z]{2}[0-9]", re.ASCII)
_D_ECPR = re.compile(_DATE + r"[056][A-Z]{2}[0-9]", re.ASCII)
_DANISH_TYPES: Final = frozenset({"NNDNK", "NNDN"})
_RANKS: Final = {"MR": 1, "PI": 2, "PT": 3, "NI": 1, "TMP": 9, "U": 5}
_RANK_OTHER: Final = 4
_PERSON_FIELDS: Final = (3, 2, 4)


@dataclass(frozen=True, slots=True)
class Found:
    """An identifier as it will go out, and where it stood."""

    identifier: Resource
    at: str
    rank: int


def is_danish(system: str) -> bool:
    """Tell whether a system is CPR or one of its replacement numbers."""
    return system == CPR or system == X_ECPR or system.startswith(D_ECPR)


def patient_identifier(part: er7.Part, setup: Setup, fallback: str = "patient") -> Resource | None:
    """CX → Identifier of a person. A Danish number gets its own system, type and use; an impossible one raises ValueError."""
    made = datatypes.identifier(part, setup, fallback)
    if made is None:
        return None
    kind = part.at(5)
    if made["system"] == CPR or is_danish(made["system"]) or (kind in _DANISH_TYPES and not part.part(4)):
        return danish(made["value"], setup) | {name: value for name, value in made.items() if name == "period"}
    return made


def danish(value: str, setup: Setup) -> Resource:
    """Return the identifier of a CPR number or a replacement number. Raises ValueError for a date that cannot be."""
    plain = re.sub(r"[\s-]", "", value).upper()
    kind = {"coding": [{"system": coded.V2 + "0203", "code": "NNDNK"}]}
    if _CPR.fullmatch(plain):
        return {"use": "official", "type": kind, "system": CPR, "value": plain}
    if _X_ECPR.fullmatch(plain):
        return {"use": "temp", "type": kind, "system": X_ECPR, "value": plain}
    if _D_ECPR.fullmatch(plain):
        return {"use": "temp", "type": kind, "system": setup.d_ecpr_system, "value": plain}
    raise ValueError


def person(pid: er7.Segment, setup: Setup) -> PersonKey | Reason:
    """Return who a PID segment is about, or why that cannot be said.

    The order of `[options] person_systems` decides (CPR first), then medical record and other numbers in the order
    sent; a temporary number (type TMP) only when there is nothing else.
    """
    found: list[Found] = []
    for number in _PERSON_FIELDS:
        read = _identifiers(pid, number, setup)
        if isinstance(read, Reason):
            return read
        found += read
    if not found and pid.has(19):
        read = national_number(pid, setup)
        if isinstance(read, Reason):
            return read
        found += [Found(read, "PID-19", 0)] if read else []
    if not found:
        return Reason(
            RejectionCode.IDENTITY_MISSING, "PID-3", "There is no patient identifier: nobody can say whose data this is."
        )
    best = min(found, key=lambda each: each.rank)
    return PersonKey(best.identifier["system"], best.identifier["value"])


def _identifiers(pid: er7.Segment, number: int, setup: Setup) -> list[Found] | Reason:
    found = []
    for place, part in enumerate(pid.repetitions(number), 1):
        try:
            made = patient_identifier(part, setup)
        except ValueError:
            return impossible(f"{pid.name}-{number}[{place}]")
        if made is not None:
            found.append(Found(made, f"{pid.name}-{number}[{place}]", _rank(made, part.at(5), number, setup)))
    return found


def impossible(at: str) -> Reason:
    """Return the reason for a CPR number that cannot be one."""
    return Reason(RejectionCode.IDENTITY_INVALID, at, "A CPR number must have ten digits that begin with a possible date.")


def _rank(made: Resource, kind: str, number: int, setup: Setup) -> int:
    system = made["system"]
    for place, wanted in enumerate(setup.person_systems):
        if system == wanted:
            return place - len(setup.person_systems) - 1
    if is_danish(system):
        return -1
    return _RANKS.get(kind, _RANK_OTHER) + (0 if number == _PERSON_FIELDS[0] else 10)


def national_number(pid: er7.Segment, setup: Setup) -> Resource | Reason | None:
    """PID-19 → Identifier under the feed's `[options] national_number_system` (US social security by the standard's name)."""
    value = pid.text(19).split(pid.syntax.component)[0]
    if not value:
        return None
    system = setup.feed.options.get("national_number_system", "http://hl7.org/fhir/sid/us-ssn")
    if system == CPR:
        try:
            return danish(value, setup)
        except ValueError:
            return impossible("PID-19")
    kind = "SS" if system.endswith("us-ssn") else "SB"
    display = setup.kept["0203"].get(kind, "")
    return {
        "type": {"coding": [{"system": coded.V2 + "0203", "code": kind} | ({"display": display} if display else {})]},
        "system": system,
        "value": value,
    }


def same(identifiers: Iterable[Resource]) -> list[Resource]:
    """Return the identifiers without those that say the same system and value again."""
    seen: dict[tuple[str, str], Resource] = {}
    for each in identifiers:
        seen.setdefault((each.get("system", ""), each["value"]), each)
    return list(seen.values())
