"""Whose reading it is: the ways in which a vendor names a person → (naming system, value). No Patient data here.

A CPR number wins over a replacement number, which wins over the vendor's own number. A link to a patient on the
vendor's system is an identifier too: its base address is the naming system (or what the feed's `systems` says for it),
its last step the value. Sources: CPR office, "Personnummeret i CPR" (century rule, no modulus 11 since 2007); DK Core
3.7.0 (systems and shapes of CPR and replacement numbers).
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from typing import Any

from adapters.home_readings.refusals import ReadingRefusedError
from gateway.model import Feed, PersonKey, RejectionCode

CPR = "urn:oid:1.2.208.176.1.2"
X_ECPR = "urn:oid:1.2.208.176.1.6.1.1"
D_ECPR = "urn:oid:1.2.208.176.1.6.1.3"

_DANISH_NUMBER = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "NNDNK"}]}
_CPR = re.compile(r"(\d\d)(\d\d)(\d\d)-?(\d)\d{3}")
_X_ECPR = re.compile(r"(0[1-9]|[12]\d|3[01])(0[1-9]|1[0-2])\d\d[17][A-Z]{2}\d")
_D_ECPR = re.compile(r"(0[1-9]|[12]\d|3[01])(0[1-9]|1[0-2])\d\d[056][A-Z]{2}\d")
_OID = re.compile(r"[012](\.(0|[1-9]\d*))+")
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:\S+")
_LINK = re.compile(r"(https?://([^/\s?#]+)[^\s?#]*)/([^/\s?#]{1,64})")


def person_of(value: Any, at: str, feed: Feed) -> PersonKey:
    """Return the person that `value` names: a link, a CPR number, or an object of one of README.md's shapes.

    Raises ReadingRefusedError (identity-missing, identity-invalid).
    """
    if isinstance(value, str) and value:
        if "://" in value:
            return link_key(value, at, feed)
        return cpr_key(value, at)
    if isinstance(value, Mapping):
        return _of_object(value, at, feed)
    raise ReadingRefusedError(RejectionCode.IDENTITY_MISSING, at, "the person is not named")


def _of_object(person: Mapping[str, Any], at: str, feed: Feed) -> PersonKey:
    for name in ("cpr", "uniqueId"):
        if person.get(name):
            return cpr_key(person[name], f"{at}.{name}")
    if person.get("value") is not None:
        return identifier_key(person, at, feed)
    identifier = person.get("identifier")
    if identifier:
        return best_identifier(identifier if isinstance(identifier, list) else [identifier], f"{at}.identifier", feed)
    link = own_link(person)
    if link:
        return link_key(link, f"{at}.links.self", feed)
    raise ReadingRefusedError(
        RejectionCode.IDENTITY_MISSING, at, "the person has neither cpr, uniqueId, system and value, nor links.self"
    )


def own_link(person: Any) -> str:
    """Return the address of a person object on the vendor's system (`links.self`), or ''."""
    links = person.get("links") if isinstance(person, Mapping) else None
    link = links.get("self") if isinstance(links, Mapping) else None
    return link if isinstance(link, str) else ""


def best_identifier(identifiers: list[Any], at: str, feed: Feed) -> PersonKey:
    """Return the key of the best of several identifiers: CPR, replacement number, then the first with a system."""
    usable = [
        (index, item) for index, item in enumerate(identifiers) if isinstance(item, Mapping) and item.get("value")
    ]
    if not usable:
        raise ReadingRefusedError(RejectionCode.IDENTITY_MISSING, at, "no identifier with a value")
    index, chosen = min(usable, key=lambda pair: _rank(pair[1], feed))
    return identifier_key(chosen, f"{at}[{index}]", feed)


def _rank(identifier: Mapping[str, Any], feed: Feed) -> int:
    system = system_of(identifier.get("system"), feed)
    if system == CPR:
        return 0
    if _is_replacement(system):
        return 1
    return 2 if system else 3


def _is_replacement(system: str) -> bool:
    return system in {X_ECPR, D_ECPR} or system.startswith(f"{D_ECPR}.")


def identifier_key(identifier: Mapping[str, Any], at: str, feed: Feed) -> PersonKey:
    """Return the key of one identifier, its value checked against what its naming system allows."""
    value = identifier.get("value")
    system = system_of(identifier.get("system"), feed)
    if not isinstance(value, str) or not value.strip():
        raise ReadingRefusedError(RejectionCode.IDENTITY_INVALID, f"{at}.value", "an identifier's value is a text")
    if not system:
        raise ReadingRefusedError(
            RejectionCode.IDENTITY_INVALID, f"{at}.system", "the naming system is missing or neither a URI nor known"
        )
    value = value.strip()
    if system == CPR:
        return cpr_key(value, f"{at}.value")
    shape = _X_ECPR if system == X_ECPR else _D_ECPR if _is_replacement(system) else None
    if shape is not None and not shape.fullmatch(value):
        raise ReadingRefusedError(
            RejectionCode.IDENTITY_INVALID, f"{at}.value", "not the shape of a replacement number of this system"
        )
    return PersonKey(system, value)


def system_of(system: Any, feed: Feed) -> str:
    """Return a naming system as a URI: looked up in the feed's `systems`, a bare OID completed; '' when unusable."""
    if not isinstance(system, str):
        return ""
    known = feed.systems.get(system, system).strip()
    if _OID.fullmatch(known):
        return f"urn:oid:{known}"
    return known if _URI.fullmatch(known) else ""


def cpr_key(value: Any, at: str) -> PersonKey:
    """Return the key of a CPR number, hyphen allowed; its date must exist, modulus 11 is not asked for."""
    shape = _CPR.fullmatch(value.strip()) if isinstance(value, str) else None
    if shape is None:
        raise ReadingRefusedError(RejectionCode.IDENTITY_INVALID, at, "a CPR number is a text of ten digits")
    day, month, year, seventh = (int(part) for part in shape.groups())
    try:
        dt.date(_century(seventh, year) + year, month, day)
    except ValueError:
        raise ReadingRefusedError(
            RejectionCode.IDENTITY_INVALID, at, "the date in the CPR number does not exist"
        ) from None
    return PersonKey(CPR, shape.group().replace("-", ""))


def _century(seventh: int, year: int) -> int:
    """Return the century of birth from digit 7 and the year's two digits (Personnummeret i CPR, table 1)."""
    if seventh <= 3:  # noqa: PLR2004
        return 1900
    if seventh in {4, 9}:
        return 2000 if year <= 36 else 1900  # noqa: PLR2004
    return 2000 if year <= 57 else 1800  # noqa: PLR2004


def link_key(link: str, at: str, feed: Feed) -> PersonKey:
    """Return the key of a person who is named by an address on the vendor's system.

    A host name without a dot means something else at every vendor, so the feed's name goes into the naming system.
    """
    shape = _LINK.fullmatch(link.strip())
    if shape is None:
        raise ReadingRefusedError(
            RejectionCode.IDENTITY_INVALID, at, "not an address that ends with the person's number"
        )
    base, host, number = shape.groups()
    system = feed.systems.get(base)
    if system is None:
        system = base if "." in host.partition(":")[0] else f"{base}#{feed.name}"
    return PersonKey(system, number)


def patient(person: PersonKey, resource_id: str) -> dict[str, Any]:
    """Return the Patient that a reading only mentions: its identifier and nothing else."""
    identifier: dict[str, Any] = {"system": person.system, "value": person.value}
    if person.system == CPR or _is_replacement(person.system):
        # As DK Core writes a Danish person number: typed, and official only when it is the CPR number.
        identifier = {"use": "official" if person.system == CPR else "temp", "type": _DANISH_NUMBER, **identifier}
    return {"resourceType": "Patient", "id": resource_id, "identifier": [identifier]}
