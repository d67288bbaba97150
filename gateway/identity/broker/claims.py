"""What the local issuer says of its people: Signaturgruppen/NEB's claims, by the scopes asked for. Values only.

Source: NEB broker documentation, issued claims, MitID and MitID Erhverv (docs/explanation/login.md says which are used).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

from gateway.access import Assurance, Kind
from gateway.fhir.ids import Ids
from gateway.identity.claims import acr
from gateway.identity.people import Person

SESSION: Final = dt.timedelta(hours=1)
_LAST_OF_2000S: Final = 36
_AMR: Final = {Assurance.LOW: "password", Assurance.SUBSTANTIAL: "code_app", Assurance.HIGH: "code_token"}
_HIDDEN: Final = "NAVNE & ADRESSEBESKYTTET"


@dataclass(frozen=True, slots=True)
class Standing:
    """Somebody logged in at the local issuer: what its session says of him."""

    person: Person
    level: Assurance
    at: int
    """Epoch seconds of the log-in."""
    session: str

    @property
    def until(self) -> int:
        """Epoch seconds at which the issuer's session ends."""
        return self.at + int(SESSION.total_seconds())


def in_id_token(standing: Standing, ids: Ids) -> dict[str, Any]:
    """Return the claims of the ID token beside those of OpenID Connect."""
    staff = standing.person.kind is not Kind.CITIZEN
    # The broker of MitID Erhverv is registered at Substantial: so is every `loa` through it, whatever ial and aal say.
    loa = min(standing.level, Assurance.SUBSTANTIAL) if staff else standing.level
    return {
        "sub": standing.person.sub(ids),
        "auth_time": standing.at,
        "neb_sid": standing.session,
        "sid": standing.session,
        "idp": "mitid_erhverv" if staff else "mitid",
        "identity_type": "professional" if staff else "private",
        "idp_environment": "test",
        "transaction_id": ids.uuid("transaction", standing.session),
        "session_expiry": str(standing.until),
        "loa": acr(loa),
        "ial": acr(standing.level),
        "aal": acr(standing.level),
        "amr": [_AMR[standing.level]],
    }


def in_userinfo(standing: Standing, scopes: Collection[str], ids: Ids, today: dt.date) -> dict[str, Any]:
    """Return the claims that these scopes open."""
    person = standing.person
    said: dict[str, Any] = {
        "sub": person.sub(ids),
        "session_is_active": "true",
        "session_expiry": str(standing.until),
    }
    if person.kind is not Kind.CITIZEN:
        return said | (_employee(person, ids) if "nemlogin" in scopes else {})
    if "mitid" in scopes:
        born = _born(person.cpr)
        said |= {
            "mitid.uuid": ids.uuid("mitid", person.cpr),
            "mitid.identity_name": person.shown or _HIDDEN,
            "mitid.date_of_birth": born.isoformat(),
            "mitid.age": str(today.year - born.year - ((today.month, today.day) < (born.month, born.day))),
            "mitid.transaction_id": ids.uuid("mitid-transaction", standing.session),
            "mitid.has_cpr": "true",
        }
    return said | ({"dk.cpr": person.cpr} if "ssn" in scopes else {})


def _employee(person: Person, ids: Ids) -> dict[str, Any]:
    return {
        "nemlogin.cvr": person.cvr,
        "nemlogin.org_name": person.da.partition(", ")[2].partition(" (")[0],
        "nemlogin.persistent_professional_id": person.professional,
        "nemlogin.name": person.shown,
        "nemlogin.cpr_uuid": ids.uuid("cpr-uuid", person.name),
    }


def _born(cpr: str) -> dt.date:
    """Return the date of birth in a test number, whose seventh digit is 9 (Personnummeret i CPR, table 1)."""
    year = int(cpr[4:6])
    return dt.date(year + (2000 if year <= _LAST_OF_2000S else 1900), int(cpr[2:4]), int(cpr[:2]))
