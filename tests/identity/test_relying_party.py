"""What a broker, a network or an attacker may answer, and must not get in by. Each test changes one thing that is right."""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import json

import pytest
from joserfc.jwk import ECKey, OctKey, RSAKey

from gateway.access import Assurance, Kind
from gateway.fhir import persons
from tests.identity.house import IDS, Browser, query
from tests.identity.op import CPR, Op


async def leave(browser: Browser, hint: str = "mitid", **parameters: str) -> dict[str, str]:
    """Ask for a log-in; return what the broker is asked."""
    answer = await browser.get("/login", params={"hint": hint, **parameters}, follow_redirects=False)
    assert answer.status_code == 303, answer.text
    return dict(query(answer.headers["location"]))


async def back(browser: Browser, op: Op, asked: dict[str, str], provider: str = "mitid", **changed: str | None):
    given = {"code": op.authorized(asked), "state": asked["state"], "iss": op.issuer, **changed}
    return await browser.get(
        f"/login/callback/{provider}", params={name: value for name, value in given.items() if value is not None}
    )


async def refused(browser: Browser, answer, fault: str) -> None:
    assert answer.status_code >= 400, answer.text
    assert browser.house.refusals()[-1].startswith(fault), browser.house.refusals()
    assert await browser.session() is None
    assert CPR not in answer.text + repr(browser.house.told)


async def test_a_right_answer_logs_in(at_op, op):
    answer = await back(at_op, op, await leave(at_op))
    assert answer.url.path == "/login/done", at_op.house.refusals()
    login = (await at_op.session()).login
    assert login.person == f"Patient/{IDS.patient(persons.danish(persons.CPR, CPR))}"
    assert (login.kind, login.assurance, login.name) == (Kind.CITIZEN, Assurance.SUBSTANTIAL, "Borger Prøve")
    assert login.broker_session == "broker-session-1"
    assert op.token_requests[0]["code_verifier"]


async def test_the_request_has_pkce_state_and_nonce_of_256_bits_and_never_twice_the_same(at_op):
    one, two = await leave(at_op), await leave(at_op)
    assert one["code_challenge_method"] == "S256"
    assert all(len(one[name]) >= 43 and one[name] != two[name] for name in ("state", "nonce", "code_challenge"))
    assert one["redirect_uri"] == "https://gw.example/login/callback/mitid"


NSIS = "https://data.gov.dk/concept/core/nsis/"
LATER = 100_000
ID_TOKENS = {
    "another issuer": {"iss": "https://evil.example"}, "the issuer with a slash": {"iss+": "/"}, "no issuer": {"iss": None},
    "another audience": {"aud": "other"}, "no audience": {"aud": None}, "an empty audience": {"aud": []},
    "several audiences without azp": {"aud": ["gateway", "other"]}, "azp another": {"azp": "other"},
    "several audiences, azp another": {"aud": ["gateway", "other"], "azp": "other"},
    "another nonce": {"nonce": "x"}, "no nonce": {"nonce": None}, "nonce a list": {"nonce": ["x"]},
    "no sub": {"sub": None}, "sub a number": {"sub": 7}, "an empty sub": {"sub": ""}, "a long sub": {"sub": "x" * 256},
    "no exp": {"exp": None}, "exp a text": {"exp": "9999999999"}, "exp a fraction": {"exp": 1e11 + 0.5}, "exp true": {"exp": True},
    "a life of days": {"exp+": LATER}, "no iat": {"iat": None}, "another at_hash": {"at_hash": "x"}, "auth_time a text": {"auth_time": "now"},
    "idp and identity_type apart": {"idp": "mitid_erhverv"}, "a test identity": {"identity_type": "test"}, "no identity_type": {"identity_type": None},
}  # fmt: skip


@pytest.mark.parametrize("change", ID_TOKENS.values(), ids=ID_TOKENS)
async def test_an_id_token_with_one_wrong_claim_lets_nobody_in(at_op, op, change):
    for name, value in change.items():
        plain = {"iss": op.issuer, "exp": op.now + 300}.get(name.rstrip("+"))
        op.claims[name.rstrip("+")] = plain + value if name.endswith("+") else value
    await refused(at_op, await back(at_op, op, await leave(at_op)), "invalid")


@pytest.mark.parametrize(
    "claims", [{"exp": -100, "iat": -400}, {"iat": 100, "exp": 200}, {"nbf": 100}, {"auth_time": 100}], ids=str
)
async def test_a_token_from_another_time_is_told_as_a_matter_of_clocks(at_op, op, claims):
    op.claims = {name: op.now + seconds for name, seconds in claims.items()}
    answer = await back(at_op, op, await leave(at_op, lang="da"))
    await refused(at_op, answer, "clock")
    assert "Uret er galt" in answer.text


async def test_clocks_may_differ_by_a_minute(at_op, op):
    op.claims = {"iat": op.now + 50, "auth_time": op.now + 50, "exp": op.now + 350}
    assert (await back(at_op, op, await leave(at_op))).url.path == "/login/done"


async def test_an_algorithm_other_than_the_registered_one_lets_nobody_in(at_op, op):
    rsa = RSAKey.generate_key(2048, {"kid": "k1"})
    public = json.dumps(op.key.as_dict(private=False)).encode()
    attacks = [
        ("none", lambda _: b""),
        ("HS256", lambda text: hmac.new(public, text, hashlib.sha256).digest()),
        ("HS256", lambda text: hmac.new(op.key.as_pem(private=False), text, hashlib.sha256).digest()),
        ("RS256", rsa),
        ("ES384", ECKey.generate_key("P-384", {"kid": "k1"})),
    ]
    for algorithm, key in attacks:
        op.header, op.signing = {"alg": algorithm}, key
        await refused(at_op, await back(at_op, op, await leave(at_op)), "invalid")


@pytest.mark.parametrize(
    "header", [{"kid": "k2"}, {"kid": None}, {"kid": ["k1"]}, {"crit": ["exp"], "exp": 1}, {"crit": ["b64"], "b64": True}, {"typ": "at+jwt"}, {"typ": "logout+jwt"}], ids=str
)  # fmt: skip
async def test_a_header_that_names_another_key_or_demands_something_lets_nobody_in(at_op, op, header):
    op.header = header
    op.signing = lambda _: bytes(64)
    await refused(at_op, await back(at_op, op, await leave(at_op)), "invalid")


async def test_a_key_that_a_header_brings_along_is_not_looked_at(at_op, op):
    own = ECKey.generate_key("P-256", {"kid": "k1"})
    for header in ({"jwk": own.as_dict(private=False)}, {"jku": f"{op.issuer}/mine"}, {"x5u": f"{op.issuer}/mine"}):
        op.header, op.signing = header, own
        await refused(at_op, await back(at_op, op, await leave(at_op)), "invalid")
    assert "mine" not in op.fetches


async def test_keys_turn_over_and_a_stream_of_unknown_ones_is_not_a_stream_of_fetches(at_op, op, clock):
    op.header = {"kid": "unknown"}
    for _ in range(5):
        await refused(at_op, await back(at_op, op, await leave(at_op)), "invalid")
    assert op.fetches.count("jwks") == 1
    new = ECKey.generate_key("P-256", {"kid": "k2", "use": "sig"})
    op.keys, op.signing, op.header = [new], new, {"kid": "k2"}
    clock.advance(dt.timedelta(minutes=2))
    assert (await back(at_op, op, await leave(at_op))).url.path == "/login/done"
    assert op.fetches.count("jwks") == 2


async def test_a_log_in_whose_answers_do_not_hold_is_over_whatever_its_browser_keeps(at_op, op):
    """Each answer asks the provider once more: three are enough, in all processes together."""
    asked = await leave(at_op)
    kept = list(at_op.cookies.jar)
    for _ in range(3):
        await refused(at_op, await back(at_op, op, asked, code="made-up"), "gone: token endpoint")
        for cookie in kept:
            at_op.cookies.jar.set_cookie(cookie)
    before = op.fetches.count("token")
    answer = await back(at_op, op, asked)
    await refused(at_op, answer, "gone: answers to this log-in")
    assert op.fetches.count("token") == before
    assert (await back(at_op, op, await leave(at_op))).url.path == "/login/done"


async def test_a_secret_key_in_the_key_set_is_no_key(at_op, op):
    op.keys = [OctKey.generate_key(256, {"kid": "k1"})]
    op.keys[0].as_dict = lambda private: {"kty": "oct", "k": "AAAA", "kid": "k1"}
    await refused(at_op, await back(at_op, op, await leave(at_op)), "invalid")


@pytest.mark.parametrize("change", [{"sub": "user-2"}, {"sub": None}, {"sub": 7}, {"sub": ""}], ids=str)
async def test_userinfo_of_another_user_lets_nobody_in(at_op, op, change):
    op.userinfo = change
    await refused(at_op, await back(at_op, op, await leave(at_op)), "invalid")


async def test_userinfo_does_not_raise_what_the_id_token_says(at_op, op):
    op.claims = {"loa": f"{NSIS}Low"}
    op.userinfo = {"loa": f"{NSIS}High", "identity_type": "professional"}
    await refused(at_op, await back(at_op, op, await leave(at_op)), "assurance: low")


# --- the browser's side ---


@pytest.mark.parametrize("state", ["", "x", "A" * 43, None])
async def test_another_state_lets_nobody_in(at_op, op, state):
    await refused(at_op, await back(at_op, op, await leave(at_op), state=state), "gone")


async def test_an_answer_in_another_browser_lets_nobody_in(at_op, op):
    """Log-in CSRF: an attacker's own answer, opened in the victim's browser."""
    asked = await leave(at_op)
    async with Browser(at_op.house) as victim:
        await refused(victim, await back(victim, op, asked), "gone")


async def test_a_code_of_another_log_in_lets_nobody_in(at_op, op):
    """Code injection: the nonce and the verifier of this browser belong to another code."""
    async with Browser(at_op.house) as attacker:
        stolen = op.authorized(await leave(attacker))
    await refused(at_op, await back(at_op, op, await leave(at_op), code=stolen), "gone")


async def test_a_code_whose_broker_does_not_check_the_verifier_is_still_caught_by_the_nonce(at_op, op):
    async with Browser(at_op.house) as attacker:
        theirs = await leave(attacker)
    mine = await leave(at_op)
    stolen = op.authorized({**theirs, "code_challenge": mine["code_challenge"]})
    await refused(at_op, await back(at_op, op, mine, code=stolen), "invalid: nonce")


async def test_an_answer_works_once(at_op, op):
    asked = await leave(at_op)
    code = op.authorized(asked)
    assert (await back(at_op, op, asked, code=code)).url.path == "/login/done"
    async with Browser(at_op.house) as again:
        again.cookies = at_op.cookies
        assert (await back(again, op, asked, code=code)).status_code == 400


async def test_a_log_in_that_takes_too_long_has_expired(at_op, op, clock):
    asked = await leave(at_op)
    clock.advance(dt.timedelta(minutes=16))
    await refused(at_op, await back(at_op, op, asked), "gone")


async def test_log_ins_that_were_begun_and_left_do_not_pile_up(at_op, op):
    asked = [await leave(at_op) for _ in range(8)]
    under_way = [name for name in dict(at_op.cookies) if "-login-" in name]
    assert len(under_way) == 4
    await refused(at_op, await back(at_op, op, asked[0]), "gone")
    assert (await back(at_op, op, asked[-2])).url.path == "/login/done", "two tabs at once"


async def test_two_providers_are_not_mixed_up(at_op, op, other_op):
    """RFC 9700 §4.4: an answer of one provider at the address, or with the name, of another."""
    asked = await leave(at_op, "mitid")
    await refused(at_op, await back(at_op, op, asked, provider="other"), "gone")
    await refused(at_op, await back(at_op, op, await leave(at_op), iss=other_op.issuer), "invalid")
    await refused(at_op, await back(at_op, op, await leave(at_op), iss=None), "invalid")
    assert not other_op.token_requests
    assert not op.token_requests


async def test_a_provider_that_is_not_there_lets_nobody_in(at_op, op):
    await refused(at_op, await back(at_op, op, await leave(at_op), provider="nobody"), "gone")


async def test_a_session_that_the_browser_brought_along_is_not_taken_over(at_op, op):
    """Session fixation."""
    planted = "A" * 43
    at_op.cookies.set("__Host-sundbro", planted, domain="gw.example")
    await back(at_op, op, await leave(at_op))
    assert at_op.cookies.get("__Host-sundbro", domain="gw.example") is not None
    values = [cookie.value for cookie in at_op.cookies.jar if cookie.name == "__Host-sundbro"]
    assert planted not in values[-1:]


async def test_the_id_is_another_at_every_log_in_and_the_old_session_is_over(at_op, op):
    await back(at_op, op, await leave(at_op))
    first, cookie = await at_op.session(), dict(at_op.cookies)
    op.claims = {"neb_sid": "broker-session-2"}
    await back(at_op, op, await leave(at_op, prompt="login"))
    second = await at_op.session()
    assert first.id != second.id
    assert await at_op.house.logins.sessions.of_cookies(cookie) is None
    assert not await at_op.house.logins.sessions.alive(first.id)
    assert await at_op.house.logins.sessions.alive(second.id)


# --- what a person reads ---


@pytest.mark.parametrize(
    ("error", "fault", "danish", "english"),
    [
        ("access_denied", "aborted", "Du afbrød login", "You stopped the log-in"),
        ("login_required", "aborted", "Du afbrød login", "You stopped the log-in"),
        ("temporarily_unavailable", "unreachable", "virker ikke lige nu", "does not work at the moment"),
        ("server_error", "unreachable", "virker ikke lige nu", "does not work at the moment"),
        ("invalid_scope", "refused", "sat forkert op", "set up wrongly"),
        ("<script>alert(1)</script>", "refused", "sat forkert op", "set up wrongly"),
    ],
)
async def test_an_error_of_the_broker_is_told_in_the_readers_language(at_op, op, error, fault, danish, english):
    for language, words in (("da", danish), ("en", english)):
        answer = await back(
            at_op, op, await leave(at_op, lang=language), code=None, error=error, error_description="mitid_user_aborted"
        )
        await refused(at_op, answer, fault)
        assert words in answer.text
        assert f'<html lang="{language}">' in answer.text
        assert "<script" not in answer.text


@pytest.mark.parametrize("where", ["metadata", "jwks", "token", "userinfo"])
@pytest.mark.parametrize("status", [500, 503, 302])
async def test_a_broker_that_is_down_or_redirects_lets_nobody_in_and_is_told(at_op, op, where, status):
    if where == "metadata":
        op.status[where] = status
        answer = await at_op.get("/login", params={"hint": "mitid"})
    else:
        asked = await leave(at_op)
        op.status[where] = status
        answer = await back(at_op, op, asked)
    expected = "refused" if status == 302 and where in {"token", "userinfo"} else "unreachable"
    await refused(at_op, answer, expected)


async def test_no_cpr_no_log_in_and_no_name_a_log_in(at_op, op):
    op.userinfo = {"dk.cpr": None, "mitid.has_cpr": "false"}
    answer = await back(at_op, op, await leave(at_op, lang="en"))
    await refused(at_op, answer, "no-cpr")
    assert "no CPR number" in answer.text
    op.userinfo = {"mitid.identity_name": "NAVNE & ADRESSEBESKYTTET"}
    assert (await back(at_op, op, await leave(at_op))).url.path == "/login/done"
    assert (await at_op.session()).login.name == ""


# --- assurance ---


@pytest.mark.parametrize("loa", [f"{NSIS}Low", None, "High!", f"{NSIS}high-ish", 3])
async def test_a_level_below_what_is_required_is_not_enough_and_the_way_up_is_shown(at_op, op, loa):
    op.claims = {"loa": loa}
    answer = await back(at_op, op, await leave(at_op, lang="da"))
    await refused(at_op, answer, "assurance")
    assert "betydelig" in answer.text
    assert "assurance=substantial&amp;prompt=login" in answer.text


async def test_a_step_up_asks_the_broker_for_more_and_checks_that_it_came(at_op, op, clock):
    await back(at_op, op, await leave(at_op))
    clock.advance(dt.timedelta(minutes=5))
    asked = await leave(at_op, assurance="high")
    assert asked["prompt"] == "login"
    assert json.loads(asked["idp_params"]) == {"mitid": {"loa_value": "high", "enable_step_up": True}}
    await_low = await back(at_op, op, asked)
    assert await_low.status_code == 403
    assert at_op.house.refusals()[-1].startswith("assurance: substantial where high")
    assert (await at_op.session()).login.assurance is Assurance.SUBSTANTIAL, "the running session goes on"
    op.claims = {"loa": f"{NSIS}High"}
    await back(at_op, op, await leave(at_op, assurance="high"))
    assert (await at_op.session()).login.assurance is Assurance.HIGH
    enough = await at_op.get("/login", params={"assurance": "high"}, follow_redirects=False)
    assert enough.headers["location"] == "/login/done"


async def test_a_forced_log_in_that_was_none_is_refused(at_op, op):
    op.claims = {"auth_time": op.now - 600}
    await refused(at_op, await back(at_op, op, await leave(at_op, prompt="login")), "invalid: no new log-in")


async def test_max_age_is_asked_for_and_kept(at_op, op, clock):
    await back(at_op, op, await leave(at_op))
    clock.advance(dt.timedelta(minutes=10))
    asked = await leave(at_op, max_age="300")
    assert asked["max_age"] == "300"
    op.claims = {"auth_time": op.now - 600}
    answer = await back(at_op, op, asked)
    assert at_op.house.refusals()[-1].startswith("invalid: auth_time"), answer.text
    op.claims = {"auth_time": None}
    await back(at_op, op, await leave(at_op, max_age="300"))
    assert at_op.house.refusals()[-1].startswith("invalid: auth_time")


# --- staff ---

ERHVERV = {"idp": "mitid_erhverv", "identity_type": "professional", "loa": f"{NSIS}High"}


async def test_an_employee_is_who_his_organisation_says_and_never_the_private_person(at_op, op):
    op.claims = ERHVERV
    op.userinfo = {
        "dk.cpr": CPR,
        "nemlogin.cpr": CPR,
        "nemlogin.cvr": "12345678",
        "nemlogin.persistent_professional_id": "prof-1",
        "mitid.identity_name": None,
    }
    await back(at_op, op, await leave(at_op))
    login = (await at_op.session()).login
    assert (login.kind, login.organisation, login.role, login.person) == (Kind.STAFF, "OUH", "7170", "")
    assert login.assurance is Assurance.SUBSTANTIAL, "through MitID Erhverv at most"


@pytest.mark.parametrize("change", [{"nemlogin.cvr": "87654321"}, {"nemlogin.persistent_professional_id": "prof-2"}])
async def test_an_employee_whom_nobody_has_registered_does_not_get_in(at_op, op, change):
    op.claims = ERHVERV
    op.userinfo = {"nemlogin.cvr": "12345678", "nemlogin.persistent_professional_id": "prof-1", **change}
    await refused(at_op, await back(at_op, op, await leave(at_op)), "unknown-employee")
