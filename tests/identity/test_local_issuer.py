"""A log-in through the local issuer from end to end, by the same code as through a broker."""

from __future__ import annotations

from gateway.access import Assurance, Kind
from gateway.fhir import persons
from tests.identity.house import IDS


async def test_a_citizen_logs_in_and_is_the_patient_that_feeds_make_of_his_number(browser):
    done = await browser.enter("citizen-1", "high")
    assert done.status_code == 200, (done.text, browser.house.refusals())
    assert done.url.path == "/login/done"
    session = await browser.session()
    from gateway.identity.people import PEOPLE

    key = persons.danish(persons.CPR, PEOPLE["citizen-1"].cpr)
    assert session.login.person == f"Patient/{IDS.patient(key)}"
    assert (session.login.kind, session.login.assurance, session.login.idp) == (Kind.CITIZEN, Assurance.HIGH, "local")
