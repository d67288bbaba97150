"""Danish person numbers as (system, value): CPR, X-eCPR and D-eCPR. What a number looks like, not whose it is. Pure.

A CPR number is ten digits that begin with a date that can exist; modulus 11 is not asked, since numbers that fail it
are issued (the CPR office since 2007-10-01). A replacement number has letters in places 8 and 9. A D-eCPR is unique
within one region alone, so that the same value under two systems is two persons: nothing here compares values alone.
Source: DK Core 3.7.0 (systems and shapes), CPR office, "Personnummeret i CPR".
"""

from __future__ import annotations

import re
from typing import Final

from gateway.model import PersonKey

CPR: Final = "urn:oid:1.2.208.176.1.2"
X_ECPR: Final = "urn:oid:1.2.208.176.1.6.1.1"
"""National replacement numbers."""
D_ECPR: Final = "urn:oid:1.2.208.176.1.6.1.3"
"""Regional replacement numbers; a region's own system is this with its number behind (`.183` Region Syddanmark)."""

_DATE: Final = (
    "(?:(?:(?:0[1-9]|[12][0-9]|3[01])(?:01|03|05|07|08|10|12))"
    "|(?:(?:0[1-9]|[12][0-9]|30)(?:04|06|09|11))|(?:(?:0[1-9]|[12][0-9])02))[0-9]{2}"
)
_CPR: Final = re.compile(_DATE + r"[0-9]{4}", re.ASCII)
_X_ECPR: Final = re.compile(_DATE + r"[17][A-Z]{2}[0-9]", re.ASCII)
_D_ECPR: Final = re.compile(_DATE + r"[056][A-Z]{2}[0-9]", re.ASCII)


def is_danish(system: str) -> bool:
    """Tell whether a naming system is CPR or one of its replacement numbers."""
    return system in {CPR, X_ECPR, D_ECPR} or system.startswith(f"{D_ECPR}.")


def danish(system: str, value: str) -> PersonKey | None:
    """Return a Danish number written as feeds write it: no blank, no hyphen, capitals. None where it cannot be one."""
    plain = re.sub(r"[\s-]", "", value).upper()
    shape = {CPR: _CPR, X_ECPR: _X_ECPR}.get(system, _D_ECPR if is_danish(system) else None)
    return PersonKey(system, plain) if shape and shape.fullmatch(plain) else None
