"""The authorization code flow: what a citizen and a professional get, and every crooked way to it."""

from __future__ import annotations

import asyncio
import datetime as dt
import re
from html import unescape
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from gateway.access import Assurance, Kind, Purpose
from gateway.errors import Unauthenticated
from tests.oauth.world import (
    ADDRESS,
    AUDIENCE,
    CALLBACK,
    CHILD,
    CITIZEN,
    START,
    STRANGER,
    citizen,
    claims,
    doctor,
    hidden,
    parameters,
)


async def test_a_citizen_launches_an_app_for_himself(w):
    await w.log_in(citizen(START))
    told = await w.tokens(patient=CITIZEN)
    assert told["patient"] == "citizen"
    assert told["need_patient_banner"] is True
    assert told["scope"] == "openid fhirUser launch/patient offline_access patient/*.rs"
    assert told["refresh_token"]
    actor = (await w.holds(told["access_token"])).actor
    assert (actor.kind, actor.purpose, actor.assurance) == (Kind.CITIZEN, Purpose.OWN, Assurance.SUBSTANTIAL)
    assert (actor.person, actor.patient, actor.on_behalf_of) == (CITIZEN, CITIZEN, "")
    identity = claims(told["id_token"])
    assert identity["fhirUser"] == f"{AUDIENCE}/{CITIZEN}"
    assert (identity["iss"], identity["aud"], identity["sub"]) == (ADDRESS, "app", "subject-c")


async def test_the_page_names_the_app_its_wishes_and_whom_it_may_be_about_in_the_language_of_the_browser(w):
    await w.log_in(citizen(START))
    page = await w.authorize(w.request())
    assert "app på dansk" in page.text
    assert "alle sundhedsoplysninger" in page.text
    assert CHILD in page.text
    assert "<script" not in page.text
    english = await w.authorize(w.request(ui_locales="en"))
    assert "app in English" in english.text
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "form-action 'self' https://app.example;" in policy
    assert page.headers["x-frame-options"] == "DENY"


async def test_a_parent_acts_for_the_child_and_for_nobody_else(w):
    await w.log_in(citizen(START))
    told = await w.tokens(patient=CHILD)
    actor = (await w.holds(told["access_token"])).actor
    assert (actor.person, actor.patient, actor.on_behalf_of) == (CITIZEN, CHILD, CHILD)
    page = await w.authorize(w.request())
    assert parameters(await w.agree(page, patient=STRANGER))["error"] == "access_denied"
    page = await w.authorize(w.request())
    assert parameters(await w.agree(page, patient="Patient/x/../y"))["error"] == "access_denied"


async def test_a_professional_looks_a_patient_up(w):
    await w.log_in(doctor(START))
    page = await w.authorize(w.request("staff-app", scope="launch/patient user/Observation.rs"))
    assert 'name="find"' in page.text
    nobody = await w.agree(page, "find", find="ingen")
    assert "Ingen patient fundet" in nobody.text
    assert 'value="yes"' not in nobody.text, "there is nothing to agree to yet"
    found = await w.agree(nobody, "find", find="borger")
    assert CITIZEN in found.text
    assert 'value="yes"' in found.text
    assert "<b>" not in found.text  # a name is text
    told = parameters(await w.agree(found, patient=CITIZEN))
    assert told["code"]


async def test_a_professional_is_not_asked_what_his_organisation_agreed_to(w):
    await w.log_in(doctor(START))
    told = await w.tokens(w.request("staff-app", scope="openid fhirUser online_access user/*.rs"))
    actor = (await w.holds(told["access_token"])).actor
    assert (actor.kind, actor.purpose, actor.role) == (Kind.STAFF, Purpose.TREATMENT, "7170")
    assert actor.session
    assert claims(told["id_token"])["fhirUser"] == f"{AUDIENCE}/Practitioner/subject-d"


async def test_a_look_past_a_block_needs_a_reason_and_a_log_in_of_now_and_is_short(w):
    await w.log_in(doctor(START - dt.timedelta(minutes=10)))
    form = w.request("staff-app", scope="user/*.rs offline_access", purpose="vaerdispring")
    assert (await w.authorize(form)).headers["location"].startswith("/login?")
    await w.log_in(doctor(START))
    page = await w.authorize(form)
    assert "<textarea" in page.text
    again = await w.agree(page)
    assert "<textarea" in again.text
    code, _ = parameters(await w.agree(again, reason="bevidstløs, ukendt medicin"))["code"], form
    told = (await w.redeem(code, form)).json()
    assert "refresh_token" not in told
    assert told["expires_in"] <= 300
    actor = (await w.holds(told["access_token"])).actor
    assert (actor.purpose, actor.reason) == (Purpose.VAERDISPRING, "bevidstløs, ukendt medicin")


async def test_no_session_leads_to_the_log_in_and_back_to_the_same_request(w):
    form = w.request()
    answer = await w.authorize(form)
    assert answer.status_code == 303
    at = urlsplit(answer.headers["location"])
    assert (at.scheme, at.netloc, at.path) == ("", "", "/login")
    told = {name: values[0] for name, values in parse_qs(at.query).items()}
    assert told["assurance"] == "substantial"
    assert told["users"] == "citizen,staff"
    back = w.sealer.open(told["then"])
    assert back.startswith("/oauth/authorize/continue?request=")
    await w.log_in(citizen(START))
    page = await w.http.get(back)
    code = parameters(await w.agree(page, patient=CITIZEN))["code"]
    assert (await w.redeem(code, form)).status_code == 200


async def test_a_log_in_that_is_not_sure_enough_is_sent_to_step_up_and_told_when_it_does_not(w):
    await w.log_in(citizen(START, assurance=Assurance.LOW))
    answer = await w.authorize(w.request())
    for _ in range(3):
        assert answer.headers["location"].startswith("/login?")
        told = parse_qs(urlsplit(answer.headers["location"]).query)
        answer = await w.http.get(w.sealer.open(told["then"][0]))
    assert parameters(answer)["error"] == "unmet_authentication_requirements"
    await w.log_in(citizen(START))
    high = await w.authorize(w.request(acr_values="https://data.gov.dk/concept/core/nsis/High"))
    assert "assurance=high" in high.headers["location"]


@pytest.mark.parametrize("more", [{"prompt": "login"}, {"max_age": "0"}, {"max_age": "60"}])
async def test_an_old_log_in_does_not_do_where_a_new_one_is_asked_for(w, more):
    await w.log_in(citizen(START - dt.timedelta(minutes=5)))
    answer = await w.authorize(w.request(**more))
    assert "prompt=login" in answer.headers["location"]
    back = w.sealer.open(parse_qs(urlsplit(answer.headers["location"]).query)["then"][0])
    assert (await w.http.get(back)).headers["location"].startswith("/login?")
    w.clock.advance(dt.timedelta(seconds=30))
    await w.log_in(citizen(w.clock.now()))
    assert (await w.http.get(back)).status_code == 200


async def test_without_asking_there_is_an_error_instead(w):
    assert parameters(await w.authorize(w.request(prompt="none")))["error"] == "login_required"
    await w.log_in(citizen(START))
    assert parameters(await w.authorize(w.request(prompt="none")))["error"] == "interaction_required"


async def test_who_refuses_gives_nothing(w):
    await w.log_in(citizen(START))
    form = w.request()
    page = await w.authorize(form)
    told = parameters(await w.agree(page, "no"))
    assert (told["error"], told["state"], told["iss"]) == ("access_denied", form["state"], ADDRESS)
    assert (await w.agree(page)).status_code == 403  # answered once


async def test_a_log_in_of_another_kind_does_not_do(w):
    await w.log_in(citizen(START))
    assert "users=staff" in (await w.authorize(w.request("staff-app"))).headers["location"]
    assert parameters(await w.authorize(w.request("staff-app", prompt="none")))["error"] == "login_required"


async def test_a_post_is_as_good_as_a_get(w):
    await w.log_in(citizen(START))
    page = await w.http.post("/oauth/authorize", data=w.request())
    assert parameters(await w.agree(page, patient=CITIZEN))["code"]


# ── crooked ways ─────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "uri",
    [
        CALLBACK + "/",
        CALLBACK + "?",
        CALLBACK + "?x=1",
        CALLBACK + "#x",
        CALLBACK.upper(),
        "https://app.example:443/callback",
        "https://app.example/callback/../callback",
        "https://app.example@evil.example/callback",
        "https://app.example.evil.example/callback",
        "https://evil.example/callback",
        "http://app.example/callback",
        "//app.example/callback",
        "/callback",
        'https://app.example/callback"',
        "https://app.example/callback\r\nset-cookie: x=y",
        "https://other.example/cb",
        "javascript:alert(1)",
        "",
    ],
)
async def test_an_address_that_is_not_registered_is_never_gone_to(w, uri):
    await w.log_in(citizen(START))
    answer = await w.authorize(w.request(redirect_uri=uri))
    assert answer.status_code == 400
    assert "location" not in answer.headers
    assert "evil" not in answer.text


@pytest.mark.parametrize("client", ["nobody", "", "system-es256", "partner"])
async def test_a_client_that_is_no_app_is_told_to_the_user_alone(w, client):
    answer = await w.authorize(w.request(client))
    assert answer.status_code == 400
    assert "location" not in answer.headers


@pytest.mark.parametrize(
    ("more", "error"),
    [
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_type": 'code"\n'}, "unsupported_response_type"),
        ({"response_type": None}, "invalid_request"),
        ({"response_mode": "fragment"}, "invalid_request"),
        ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge": None, "code_challenge_method": None}, "invalid_request"),
        ({"code_challenge": "x" * 42}, "invalid_request"),
        ({"code_challenge": "x" * 44}, "invalid_request"),
        ({"state": None}, "invalid_request"),
        ({"aud": None}, "invalid_request"),
        ({"aud": "https://evil.example/fhir"}, "invalid_request"),
        ({"aud": AUDIENCE + "/"}, "invalid_request"),
        ({"resource": "https://evil.example/fhir"}, "invalid_request"),
        ({"scope": "system/*.rs"}, "invalid_scope"),
        ({"scope": "nothing/known patient/Observation.dus"}, "invalid_scope"),
        ({"scope": None}, "invalid_scope"),
        ({"request": "eyJ"}, "request_not_supported"),
        ({"prompt": "none login"}, "invalid_request"),
        ({"max_age": "-1"}, "invalid_request"),
        ({"max_age": "9" * 30}, "invalid_request"),
        ({"purpose": "treatment"}, "invalid_request"),
        ({"launch": "made-up", "scope": "launch patient/*.rs"}, "invalid_request"),
        ({"launch": "made-up"}, "invalid_request"),
        ({"scope": "launch patient/*.rs"}, "invalid_request"),
        ({"nonce": "x" * 5000}, "invalid_request"),
    ],
)
async def test_a_request_that_is_not_right_is_told_to_the_app_with_its_state_and_who_says_so(w, more, error):
    await w.log_in(citizen(START))
    form = w.request(**more)
    told = parameters(await w.authorize(form))
    assert told["error"] == error
    assert told.get("state") == form.get("state")
    assert told["iss"] == ADDRESS


async def test_a_parameter_that_comes_twice_is_refused(w):
    form = urlencode(w.request())
    for more in ("client_id=app", "redirect_uri=https%3A%2F%2Fevil.example", "scope=x", "anything=1&anything=2"):
        answer = await w.http.get(f"/oauth/authorize?{form}&{more}")
        assert answer.status_code == 400, more
        assert "location" not in answer.headers


async def test_an_address_with_a_query_keeps_it(w):
    await w.log_in(citizen(START))
    page = await w.authorize(w.request("other-app", redirect_uri="https://other.example/cb?x=1"))
    answer = await w.agree(page, patient=CITIZEN)
    assert parameters(answer, "https://other.example/cb?x=1&code=")["x"] == "1"


async def test_the_decision_is_taken_only_from_the_page_that_was_shown_to_this_session(w):
    await w.log_in(citizen(START))
    page = await w.authorize(w.request())
    own = hidden(page.text)
    other = hidden((await w.authorize(w.request())).text)
    for form, headers in (
        ({**own, "csrf": ""}, {}),
        ({**own, "csrf": other["csrf"]}, {}),
        ({"request": own["request"]}, {}),
        ({**own, "request": "x"}, {}),
        (own, {"origin": "https://evil.example"}),
        (own, {"origin": "null"}),
    ):
        answer = await w.http.post(
            "/oauth/authorize/decide", data={**form, "decision": "yes", "patient": CITIZEN}, headers=headers
        )
        assert answer.status_code == 403
    mine = dict(w.http.cookies)
    await w.log_in(citizen(START))  # another session, the same person
    assert (await w.agree(page, patient=CITIZEN)).status_code == 403
    w.http.cookies.update(mine)
    w.http.cookies.set(w.sessions.cookie, mine[w.sessions.cookie])
    answer = await w.http.post(
        "/oauth/authorize/decide", data={**own, "decision": "yes", "patient": CITIZEN}, headers={"origin": ADDRESS}
    )
    assert parameters(answer)["code"]


@pytest.mark.parametrize(
    "more",
    [
        {"code_verifier": "x" * 43},
        {"code_verifier": ""},
        {"code_verifier": "x"},
        {"redirect_uri": CALLBACK + "/"},
        {"redirect_uri": ""},
        {"client_id": "other-app"},
        {"code": "made-up"},
    ],
)
async def test_a_code_is_worth_nothing_without_what_it_was_asked_with(w, more):
    more = dict(more)
    await w.log_in(citizen(START))
    code, form = await w.code(patient=CITIZEN)
    answer = await w.redeem(more.pop("code", code), form, **more)
    assert answer.status_code in {400, 401}
    assert answer.json()["error"] in {"invalid_grant", "invalid_request"}
    assert (await w.redeem(code, form)).status_code == 200  # and was not used up by the attempt


async def test_a_challenge_is_not_its_own_verifier(w):
    await w.log_in(citizen(START))
    code, form = await w.code(patient=CITIZEN)
    assert (await w.redeem(code, form, code_verifier=form["code_challenge"])).json()["error"] == "invalid_grant"


async def test_a_code_holds_for_a_minute(w):
    await w.log_in(citizen(START))
    code, form = await w.code(patient=CITIZEN)
    w.clock.advance(dt.timedelta(seconds=60))
    assert (await w.redeem(code, form)).json()["error"] == "invalid_grant"


async def test_a_code_shown_again_ends_what_it_gave(w):
    await w.log_in(citizen(START))
    code, form = await w.code(patient=CITIZEN)
    told = (await w.redeem(code, form)).json()
    assert (await w.redeem(code, form)).json()["error"] == "invalid_grant"
    with pytest.raises(Unauthenticated):
        await w.holds(told["access_token"])
    refreshed = await w.token(grant_type="refresh_token", refresh_token=told["refresh_token"], client_id="app")
    assert refreshed.json()["error"] == "invalid_grant"


async def test_of_eight_who_show_a_code_at_once_one_wins_and_nothing_stays(w):
    await w.log_in(citizen(START))
    code, form = await w.code(patient=CITIZEN)
    answers = await asyncio.gather(*(w.redeem(code, form) for _ in range(8)))
    won = [answer.json() for answer in answers if answer.status_code == 200]
    assert len(won) == 1
    assert {answer.json()["error"] for answer in answers if answer.status_code != 200} == {"invalid_grant"}
    with pytest.raises(Unauthenticated):
        await w.holds(won[0]["access_token"])


async def test_a_refresh_need_not_name_an_app_without_a_key_and_must_be_signed_by_one_that_has(w):
    """RFC 6749 §6: npm fhirclient sends the token alone."""
    await w.log_in(citizen(START))
    told = await w.tokens(patient=CITIZEN)
    again = await w.token(grant_type="refresh_token", refresh_token=told["refresh_token"])
    assert again.status_code == 200, again.text
    assert (await w.holds(again.json()["access_token"])).actor.client == "app"
    unknown = await w.token(grant_type="refresh_token", refresh_token="unknown")
    assert unknown.json()["error"] == "invalid_client"
    replayed = await w.token(grant_type="refresh_token", refresh_token=told["refresh_token"])
    assert replayed.json()["error"] == "invalid_grant", "and ends all that came of it"
    w.clock.advance(dt.timedelta(seconds=31))  # what a process remembers of a token is thirty seconds old at most
    with pytest.raises(Unauthenticated):
        await w.holds(again.json()["access_token"])
    code, form = await w.code(w.request("server-app"), patient=CITIZEN)
    told = (await w.redeem(code, form, **w.signed("server-app"))).json()
    bare = {"grant_type": "refresh_token", "refresh_token": told["refresh_token"]}
    assert (await w.token(**bare)).json()["error"] == "invalid_client"
    assert (await w.token(**bare, **w.signed("server-app"))).status_code == 200


async def test_the_page_changes_its_language_and_keeps_it(w):
    await w.log_in(citizen(START))
    page = await w.authorize(w.request())
    assert 'lang="da"' in page.text
    link = re.search(r'href="(/oauth/authorize/continue[^"]+)"', page.text)
    assert link
    english = await w.http.get(unescape(link[1]))
    assert '<html lang="en"' in english.text
    assert "app in English" in english.text
    assert hidden(english.text)["lang"] == "en"
    assert (await w.agree(english, patient=CITIZEN)).status_code == 303


async def test_a_confidential_app_must_sign_and_a_code_is_its_own(w):
    await w.log_in(citizen(START))
    code, form = await w.code(w.request("server-app"), patient=CITIZEN)
    assert (await w.redeem(code, form)).json()["error"] == "invalid_client"
    assert (await w.redeem(code, {**form, "client_id": "app"})).json()["error"] == "invalid_grant"
    assert (await w.redeem(code, form, **w.signed("server-app"))).status_code == 200


async def test_a_pushed_request_is_good_once_for_its_client(w):
    await w.log_in(citizen(START))
    form = w.request("pushed-app")
    assert parameters(await w.authorize(form))["error"] == "invalid_request"
    pushed = await w.post("/oauth/par", **form)
    assert pushed.status_code == 201
    named = {"client_id": "pushed-app", "request_uri": pushed.json()["request_uri"]}
    assert (await w.authorize({**named, "client_id": "app"})).status_code == 400
    pushed = await w.post("/oauth/par", **form)
    named["request_uri"] = pushed.json()["request_uri"]
    page = await w.authorize({**named, "scope": "user/*.rs", "redirect_uri": "https://evil.example"})
    code = parameters(await w.agree(page, patient=CITIZEN))["code"]
    told = (await w.redeem(code, form)).json()
    assert told["scope"] == form["scope"]
    assert (await w.authorize(named)).status_code == 400
    for more in ({"redirect_uri": "https://evil.example"}, {"code_challenge_method": "plain"}, {"request_uri": "x"}):
        assert (await w.post("/oauth/par", **{**form, **more})).status_code == 400
    w.clock.advance(dt.timedelta(seconds=100))
