"""What the authorization server gives and refuses is on record first: no session, code, token or launch without it."""

from __future__ import annotations

from tests.oauth.world import CHILD, CITIZEN, World, citizen, doctor, parameters


async def test_what_a_citizen_lets_an_app_do_is_on_record_with_whom_it_is_about(w: World) -> None:
    session = await w.log_in(citizen(w.clock.now()))
    told = await w.tokens(patient=CHILD)
    agreed, issued = w.book.happened
    assert (agreed.act.value, issued.act.value, issued.way) == ("authorize", "token", "code")
    for one in (agreed, issued):
        assert one.actor is not None
        assert (one.actor.client, one.actor.person, one.actor.on_behalf_of) == ("app", CITIZEN, CHILD)
        assert (one.status, one.actor.subject) == (200, "subject-c")
    assert session
    w.book.told()
    again = await w.token(grant_type="refresh_token", refresh_token=told["refresh_token"], client_id="app")
    assert again.status_code == 200
    assert w.book.told() == [("refresh", "refresh", 200, "", "app")]
    ended = await w.post("/oauth/revoke", token=again.json()["refresh_token"], client_id="app")
    assert ended.status_code == 200
    assert w.book.told() == [("revoke", "", 200, "", "app")]


async def test_what_is_refused_is_on_record(w: World) -> None:
    await w.log_in(citizen(w.clock.now()))
    page = await w.authorize(w.request())
    assert parameters(await w.agree(page, "no"))["error"] == "access_denied"
    assert w.book.told() == [("authorize", "", 403, "access_denied", "app")]
    code, form = await w.code()
    w.book.told()
    assert (await w.redeem(code, form, code_verifier="x" * 43)).status_code == 400
    assert w.book.told() == [("token", "code", 400, "invalid_grant", "app")]
    refused = await w.token(grant_type="refresh_token", refresh_token="never-given", client_id="app")
    assert refused.status_code == 400
    assert w.book.told() == [("refresh", "refresh", 400, "invalid_grant", "app")]
    assert (await w.token(grant_type="client_credentials", client_id="nobody")).status_code == 401
    assert w.book.told() == [("token", "", 401, "invalid_client", "")]


async def test_systems_and_launches_are_on_record(w: World) -> None:
    assert (await w.credentials("system-es384", "ES384")).status_code == 200
    assert w.book.told() == [("token", "credentials", 200, "", "system-es384")]
    made = await w.post("/oauth/launch", app="staff-app", patient=CITIZEN, **w.signed("ehr"))
    assert made.status_code == 201
    (launch,) = w.book.happened
    assert (launch.act.value, launch.client, launch.patient) == ("launch", "ehr", CITIZEN)


async def test_nothing_is_given_that_cannot_be_on_record(w: World) -> None:
    await w.log_in(citizen(w.clock.now()))
    page = await w.authorize(w.request())
    w.book.closed = True
    assert (await w.agree(page)).status_code == 503
    assert (await w.credentials("system-es384", "ES384")).status_code == 503
    launched = await w.post("/oauth/launch", app="staff-app", patient=CITIZEN, **w.signed("ehr"))
    assert (launched.status_code, launched.json()) == (503, {"error": "temporarily_unavailable"})
    w.book.closed = False
    code, form = await w.code()
    w.book.closed = True
    answer = await w.redeem(code, form)
    assert (answer.status_code, answer.json()) == (503, {"error": "temporarily_unavailable"})
    w.book.closed = False
    given = await w.redeem(code, form)
    assert given.status_code == 200, "the code was not used up by an answer that gave nothing"
    refresh = given.json()["refresh_token"]
    w.book.closed = True
    asked = {"grant_type": "refresh_token", "refresh_token": refresh, "client_id": "app"}
    assert (await w.token(**asked)).status_code == 503
    assert (await w.token(grant_type="refresh_token", refresh_token="never-given", client_id="app")).status_code == 400
    w.book.closed = False
    assert (await w.token(**asked)).status_code == 200


async def test_a_silent_authorization_of_staff_is_on_record_too(w: World) -> None:
    await w.log_in(doctor(w.clock.now()))
    code, form = await w.code(w.request("staff-app", scope="openid fhirUser user/*.rs"))
    assert (await w.redeem(code, form)).status_code == 200
    assert [one[:4] for one in w.book.told()] == [("authorize", "", 200, ""), ("token", "code", 200, "")]
