"""What names a thing in Danish health care: organisations, stays, measurements; and how those names are written.

Source: DK Core 3.7.0 (identifier profiles), MedCom HospitalNotification 3.0.2 (episodeOfCare). Nothing is made here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from adapters.municipal_medcom.message import Fault, Part
from adapters.municipal_medcom.parts import SOR
from gateway.model import RejectionCode
from gateway.terminology.context import Context
from gateway.terminology.tables import Row

GLN = "http://www.gs1.org/gln"
CVR = "http://cvr.dk"
KOMBIT = "https://kombit.dk/sts/organisation"
_ORGANISATION_KEYS = (SOR, GLN, CVR, KOMBIT, "urn:oid:1.2.208.176.1.4")


def identifiers(part: Part, context: Context) -> list[dict[str, Any]]:
    """Return the identifiers of a resource, each under the naming system that the house writes."""
    systems = context.tables.compiled("medcom/systems", "identifier", _identifier_systems)
    made = []
    for node in part.node.each("identifier"):
        if not isinstance(node.value, dict):
            raise Fault(RejectionCode.VALUE_INVALID, node.at, "an object must stand here")
        system = node.value.get("system")
        made.append(
            {**node.value, **({"system": systems[system]} if isinstance(system, str) and system in systems else {})}
        )
    return made


def organisation_id(part: Part, context: Context) -> str:
    """Return the id of an Organization: by its best register number; else one that this feed alone has, by name."""
    found = {node["system"]: node["value"] for node in identifiers(part, context) if {"system", "value"} <= node.keys()}
    for system in _ORGANISATION_KEYS:
        if isinstance(found.get(system), str):
            return context.ids.resource("Organization", system, found[system])
    name = part.node.get("name")
    if name is None:
        raise Fault(RejectionCode.REQUIRED_MISSING, f"{part.at}.identifier", "a SOR or GLN number must be present")
    return context.ids.resource("Organization", "medcom", context.feed.name, " ".join(name.text().split()))


def _identifier_systems(rows: Sequence[Row]) -> dict[str, str]:
    return {row["system"]: row["house"] for row in rows if row["use"] == "identifier"}


def episode(part: Part) -> tuple[str, str]:
    """Return what names a stay: the hospital's own number of the episode, else the national one (LPR3).

    MedCom HospitalNotification 3.0.2: episodeOfCare.identifier is 1..*, and is the same through all letters of a stay.
    """
    named = []
    for node in part.node.each("episodeOfCare"):
        identifier = node.get("identifier")
        if identifier is not None:
            system = identifier.get("system")
            named.append((system.text() if system is not None else "", identifier.need("value").text()))
    if not named:
        raise Fault(
            RejectionCode.REQUIRED_MISSING, f"{part.at}.episodeOfCare", "an identifier of the episode must be present"
        )
    own = [pair for pair in named if "Landspatientregisteret" not in pair[0]]
    return (own or named)[0]


def code_key(part: Part) -> str:
    """Return what is measured, as a key: the code of the first coding, whatever system it is written under."""
    code = part.node.value.get("code")
    coding = code.get("coding") if isinstance(code, dict) else None
    first = coding[0] if isinstance(coding, list) and coding else None
    value = first.get("code") if isinstance(first, dict) else None
    return value if isinstance(value, str) else ""


def is_dk_core(identifiers: Sequence[Mapping[str, Any]]) -> bool:
    """Say whether an Organization's identifiers keep dk-core-organization.

    DK Core 3.7.0: a SOR, KOMBIT or CVR number; SOR 11 digits or more, GLN 13 with a check digit, CVR 8 modulus 11.
    """
    named = [(item.get("system"), item.get("value")) for item in identifiers]
    if any(not isinstance(value, str) for _, value in named):
        return False
    good = {
        SOR: lambda value: re.fullmatch(r"\d{11,}", value) is not None,
        GLN: lambda value: re.fullmatch(r"\d{13}", value) is not None and _weighed(value, (1, 3) * 6 + (1,)) % 10 == 0,
        CVR: lambda value: (
            re.fullmatch(r"\d{8}", value) is not None and _weighed(value, (2, 7, 6, 5, 4, 3, 2, 1)) % 11 == 0
        ),
    }
    kept = all(good[str(system)](str(value)) for system, value in named if system in good)
    return kept and any(system in {SOR, KOMBIT, CVR} for system, _ in named)


def _weighed(digits: str, weights: Sequence[int]) -> int:
    return sum(int(digit) * weight for digit, weight in zip(digits, weights, strict=True))
