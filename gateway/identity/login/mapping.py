"""Facts of a broker → one `LogIn`: the place where a CPR number becomes `Patient/<id>` and is forgotten. Pure.

An employee's log-in is never joined with the private person: whatever number a broker sends along with it is not looked
at. What a professional is (organisation, role, authorisation) is said by his organisation: in the provider's own claims, or
in the tables `organisations` and `staff` of the settings, whose word counts before the claims'.
"""

from __future__ import annotations

import datetime as dt

from gateway.access import Kind
from gateway.fhir import persons
from gateway.fhir.ids import Ids
from gateway.identity.login.faults import Fault, LoginFailed
from gateway.identity.login.profiles import PROFILES, Claims, Seen, text
from gateway.identity.login.providers import Employee, Provider
from gateway.identity.session import LogIn


def login_of(name: str, provider: Provider, claims: Claims, ids: Ids, at: dt.datetime) -> LogIn:
    """Return the log-in that a provider's verified claims mean; `at` is when the user authenticated.

    Raises LoginFailed for who cannot log in here: a citizen without a number, a professional nobody knows.
    """
    seen = PROFILES[provider.profile].seen(claims, provider)
    employee = _employee(seen, claims, provider)
    kind = Kind.OPERATOR if employee.operator else seen.kind
    if not provider.takes(kind):
        raise LoginFailed(Fault.NOT_THIS_WAY, "this kind of user")
    organisation = employee.organisation or seen.organisation
    if kind is Kind.STAFF and not (organisation and (employee.role or seen.role)):
        raise LoginFailed(Fault.UNKNOWN_EMPLOYEE, "no organisation or role")
    return LogIn(
        subject=subject(ids, provider.issuer, text(claims, "sub")),
        kind=kind,
        idp=name,
        at=at,
        assurance=seen.assurance,
        person=_record(seen, ids) if kind is Kind.CITIZEN else "",
        organisation=organisation,
        role=employee.role or seen.role,
        authorisation=employee.authorisation or seen.authorisation,
        name=seen.name,
        transaction=seen.transaction,
        broker_session=seen.session,
    )


def subject(ids: Ids, issuer: str, sub: str) -> str:
    """Return what this gateway calls a user of an issuer: stable, and no way back."""
    return ids.resource("subject", issuer, sub)


def _record(seen: Seen, ids: Ids) -> str:
    """Return `Patient/<id>`, the same id that every feed makes of this CPR number."""
    person = persons.danish(persons.CPR, seen.cpr)
    if person is None:
        raise LoginFailed(Fault.NO_CPR, "no number" if not seen.cpr else "not a number's form")
    return f"Patient/{ids.patient(person)}"


def _employee(seen: Seen, claims: Claims, provider: Provider) -> Employee:
    if seen.kind is Kind.CITIZEN:
        return Employee()
    listed = next(
        (provider.staff[key] for key in (seen.professional, text(claims, "sub")) if key in provider.staff), None
    )
    organisation = next((provider.organisations[key] for key in seen.employer if key in provider.organisations), "")
    found = listed or Employee()
    return found if found.organisation else found.model_copy(update={"organisation": organisation})
