"""Who a message is about: the one identifier of PID-3 that names the person, and what makes it usable.

Danish numbers by DK Core 3.7.0: a CPR number is ten digits that begin with a date that can exist (modulus 11 is not
asked since 2007); replacement numbers (X-eCPR, D-eCPR) have letters in places 8 and 9. Other countries' numbers are
taken as their sender names them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from adapters.hospital_hl7v2 import coded, datatypes
from adapters.hospital_hl7v2.setup import CPR, D_ECPR, X_ECPR, Naming, Setup
from gateway.formats import er7
from gateway.model import PersonKey, Reason, RejectionCode, Resource

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


def is_danish(system: str) -> bool:
    """Tell whether a system is CPR or one of its replacement numbers."""
    return system in {CPR, X_ECPR} or system.startswith(D_ECPR)


def key_of(part: er7.Part, naming: Naming, fallback: str = "patient") -> PersonKey | None:
    """CX → (system, value) of a person's number, None when empty. Raises ValueError for a CPR number that cannot be."""
    value = part.at(1)
    if not value:
        return None
    authority = part.part(4)
    system = naming.identifier_system(authority) if authority else ""
    if is_danish(system) or (not system and part.at(5) in _DANISH_TYPES):
        return danish(value, naming)
    return PersonKey(system or naming.local(fallback), value)


def danish(value: str, naming: Naming) -> PersonKey:
    """Return a CPR number or replacement number under its own system. Raises ValueError for a date that cannot be."""
    plain = re.sub(r"[\s-]", "", value).upper()
    if _CPR.fullmatch(plain):
        return PersonKey(CPR, plain)
    if _X_ECPR.fullmatch(plain):
        return PersonKey(X_ECPR, plain)
    if _D_ECPR.fullmatch(plain):
        return PersonKey(naming.d_ecpr_system, plain)
    raise ValueError


def patient_identifier(part: er7.Part, setup: Setup, fallback: str = "patient") -> Resource | None:
    """CX → Identifier of a person; a Danish number has its own system, type and use. Raises ValueError as `key_of`."""
    key = key_of(part, setup.naming, fallback)
    if key is None:
        return None
    made = datatypes.identifier(part, setup, fallback, key.system)
    assert made is not None
    if is_danish(key.system):
        kept = {name: made[name] for name in ("period",) if name in made}
        return danish_identifier(key) | kept
    return made


def danish_identifier(key: PersonKey) -> Resource:
    """Return the Identifier of a Danish person number as DK Core writes it."""
    return {
        "use": "official" if key.system == CPR else "temp",
        "type": {"coding": [{"system": coded.V2 + "0203", "code": "NNDNK"}]},
        "system": key.system,
        "value": key.value,
    }


def person(pid: er7.Segment, naming: Naming) -> PersonKey | Reason:
    """Return who a PID segment is about, or why that cannot be said.

    The order of `[options] person_systems` decides (CPR first), then medical record and other numbers in the order
    sent; a temporary number (type TMP) only when there is nothing else.
    """
    found: list[tuple[int, PersonKey]] = []
    for number in _PERSON_FIELDS:
        for place, part in enumerate(pid.repetitions(number), 1):
            try:
                key = key_of(part, naming)
            except ValueError:
                return impossible(f"{pid.name}-{number}[{place}]")
            if key is not None:
                found.append((_rank(key.system, part.at(5), number, naming), key))
    if not found and pid.has(19):
        try:
            key = national_number(pid, naming)
        except ValueError:
            return impossible("PID-19")
        if key is not None:
            return key
    if not found:
        return Reason(
            RejectionCode.IDENTITY_MISSING,
            "PID-3",
            "There is no patient identifier: nobody can say whose data this is.",
        )
    return min(found, key=lambda each: each[0])[1]


def impossible(at: str) -> Reason:
    """Return the reason for a CPR number that cannot be one."""
    return Reason(
        RejectionCode.IDENTITY_INVALID, at, "A CPR number must have ten digits that begin with a possible date."
    )


def _rank(system: str, kind: str, number: int, naming: Naming) -> int:
    for place, wanted in enumerate(naming.person_systems):
        if system == wanted:
            return place - len(naming.person_systems) - 1
    if is_danish(system):
        return -1
    return _RANKS.get(kind, _RANK_OTHER) + (0 if number == _PERSON_FIELDS[0] else 10)


def national_number(pid: er7.Segment, naming: Naming) -> PersonKey | None:
    """PID-19 → key under the feed's `[options] national_number_system` (US social security by the standard's name).

    Raises ValueError as `key_of`.
    """
    value = pid.text(19).split(pid.syntax.component)[0]
    if not value:
        return None
    if naming.national_number_system == CPR:
        return danish(value, naming)
    return PersonKey(naming.national_number_system, value)


def national_identifier(pid: er7.Segment, setup: Setup) -> Resource | None:
    """PID-19 → Identifier. Raises ValueError as `key_of`."""
    key = national_number(pid, setup.naming)
    if key is None:
        return None
    if is_danish(key.system):
        return danish_identifier(key)
    kind = "SS" if key.system.endswith("us-ssn") else "SB"
    display = setup.kept["0203"].get(kind, "")
    coding = {"system": coded.V2 + "0203", "code": kind} | ({"display": display} if display else {})
    return {"type": {"coding": [coding]}, "system": key.system, "value": key.value}


def same(identifiers: Iterable[Resource]) -> list[Resource]:
    """Return the identifiers without those that say the same system and value again."""
    seen: dict[tuple[str, str], Resource] = {}
    for each in identifiers:
        seen.setdefault((each.get("system", ""), each["value"]), each)
    return list(seen.values())
