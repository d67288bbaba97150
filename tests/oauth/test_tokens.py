"""What becomes of tokens: refresh, revocation, introspection, exchange, the end of a log-in, and keys that change."""

from __future__ import annotations

import asyncio
import base64
import datetime as dt
import hashlib
import json

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet

from gateway.access import Kind
from gateway.errors import Misconfigured, Unauthenticated
from gateway.identity.oauth.keys import AFTER, AHEAD, USED, Keyring
from gateway.store.postgres.grants import PostgresGrants
from tests.oauth.world import ADDRESS, AUDIENCE, CHILD, CITIZEN, START, STRANGER, citizen, claims, doctor

EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS = "urn:ietf:params:oauth:token-type:access_token"


async def refreshed(w, token, client="app", **more):
    return await w.token(grant_type="refresh_token", refresh_token=token, client_id=client, **more)


async def gone(w, token) -> bool:
    try:
        await w.holds(token)
    except Unauthenticated:
        return True
    return False


# ── refresh ──────────────────────────────────────────────────────────────────────────


async def test_a_refresh_token_is_good_once_and_its_follower_goes_on(w):
    await w.log_in(citizen(START))
    told = await w.tokens(patient=CITIZEN)
    second = (await refreshed(w, told["refresh_token"])).json()
    assert second["patient"] == "citizen"
    assert second["refresh_token"] != told["refresh_token"]
    assert not await gone(w, second["access_token"])
    reused = await refreshed(w, told["refresh_token"])
    assert reused.json()["error"] == "invalid_grant"
    assert (await refreshed(w, second["refresh_token"])).json()["error"] == "invalid_grant"
    w.clock.advance(dt.timedelta(seconds=31))
    assert await gone(w, second["access_token"])


async def test_of_eight_who_refresh_at_once_one_wins_and_the_family_ends(w):
    await w.log_in(citizen(START))
    told = await w.tokens(patient=CITIZEN)
    answers = await asyncio.gather(*(refreshed(w, told["refresh_token"]) for _ in range(8)))
    won = [answer.json() for answer in answers if answer.status_code == 200]
    assert len(won) == 1
    assert await gone(w, won[0]["access_token"])
    assert (await refreshed(w, won[0]["refresh_token"])).status_code == 400


async def test_a_refresh_opens_no_more_than_was_given_and_may_open_less(w):
    await w.log_in(citizen(START))
    told = await w.tokens(patient=CITIZEN)
    more = await refreshed(w, told["refresh_token"], scope="patient/*.rs user/*.rs")
    assert more.json()["error"] == "invalid_scope"
    less = (await refreshed(w, told["refresh_token"], scope="patient/*.rs")).json()
    assert less["scope"] == "patient/*.rs"
    assert (await refreshed(w, less["refresh_token"])).json()["scope"] == told["scope"]


async def test_a_refresh_token_is_its_clients_own(w):
    await w.log_in(citizen(START))
    told = await w.tokens(patient=CITIZEN)
    assert (await refreshed(w, told["refresh_token"], "other-app")).json()["error"] == "invalid_grant"
    assert (await refreshed(w, told["refresh_token"])).status_code == 200  # and nobody ends it who does not own it


async def test_online_access_ends_with_the_log_in_and_offline_access_does_not(w):
    session = await w.log_in(citizen(START))
    online = await w.tokens(w.request(scope="launch/patient online_access patient/*.rs"), patient=CITIZEN)
    offline = await w.tokens(patient=CITIZEN)
    assert not await gone(w, online["access_token"])
    await w.rows.end(session, w.clock.now())
    w.clock.advance(dt.timedelta(seconds=31))  # what one process remembers
    assert await gone(w, online["access_token"])
    assert (await refreshed(w, online["refresh_token"])).json()["error"] == "invalid_grant"
    assert (await refreshed(w, offline["refresh_token"])).status_code == 200


async def test_without_either_there_is_no_refresh_token(w):
    await w.log_in(citizen(START))
    assert "refresh_token" not in await w.tokens(w.request(scope="launch/patient patient/*.rs"), patient=CITIZEN)


async def test_a_family_ends_after_its_days(w):
    await w.log_in(citizen(START))
    told = await w.tokens(patient=CITIZEN)
    w.clock.advance(dt.timedelta(days=30))
    assert (await refreshed(w, told["refresh_token"])).json()["error"] == "invalid_grant"
    await w.grants.sweep(w.clock.now())
    assert await w.grants.refreshable(b"x", w.clock.now()) is None


# ── revocation and introspection ─────────────────────────────────────────────────────


async def test_a_revoked_refresh_token_takes_all_of_its_family_along_within_a_minute_everywhere(w):
    await w.log_in(citizen(START))
    told = await w.tokens(patient=CITIZEN)
    assert not await gone(w, told["access_token"])
    for _ in range(2):  # again is no error (RFC 7009)
        assert (await w.post("/oauth/revoke", token=told["refresh_token"], client_id="app")).status_code == 200
    w.clock.advance(dt.timedelta(seconds=59))
    assert await gone(w, told["access_token"])
    assert (await refreshed(w, told["refresh_token"])).status_code == 400


async def test_an_access_token_is_revoked_by_itself_and_only_by_its_client(w):
    token = (await w.credentials("system-es256")).json()["access_token"]
    assert (await w.post("/oauth/revoke", token=token, **w.signed("system-rs384", "RS384"))).json() == {}
    w.clock.advance(dt.timedelta(seconds=31))
    assert not await gone(w, token)
    assert (await w.post("/oauth/revoke", token=token, **w.signed("system-es256"))).status_code == 200
    w.clock.advance(dt.timedelta(seconds=31))
    assert await gone(w, token)
    assert (await w.post("/oauth/revoke", token="made-up", **w.signed("system-es256"))).status_code == 200
    assert (await w.post("/oauth/revoke", **w.signed("system-es256"))).status_code == 400
    assert (await w.post("/oauth/revoke", token=token)).status_code == 401


async def test_introspection_tells_a_clients_own_tokens_and_others_to_who_is_registered_for_it(w):
    await w.log_in(citizen(START))
    told = await w.tokens(patient=CITIZEN)

    def ask(client, algorithm, token):
        return w.post("/oauth/introspect", token=token, **w.signed(client, algorithm))

    known = (await ask("ehr", "ES256", told["access_token"])).json()
    assert known["active"] is True
    assert (known["patient"], known["client_id"], known["iss"], known["sub"]) == (
        "citizen",
        "app",
        ADDRESS,
        "subject-c",
    )
    assert (await ask("ehr", "ES256", told["refresh_token"])).json()["active"] is True
    for token in (told["access_token"], told["refresh_token"], "made-up"):
        assert (await ask("system-es256", "ES256", token)).json() == {"active": False}
    own = (await w.credentials("system-es256")).json()["access_token"]
    assert (await ask("system-es256", "ES256", own)).json()["active"] is True
    assert (await w.post("/oauth/introspect", token=own, client_id="app")).status_code == 401
    await w.post("/oauth/revoke", token=told["refresh_token"], client_id="app")
    assert (await ask("ehr", "ES256", told["refresh_token"])).json() == {"active": False}


# ── exchange ─────────────────────────────────────────────────────────────────────────


async def exchanged(w, token, client="partner", **more):
    signed = w.signed(client) if client == "partner" else {"client_id": client}
    return await w.token(grant_type=EXCHANGE, subject_token=token, subject_token_type=ACCESS, **signed, **more)


async def test_a_partner_acts_for_the_user_of_an_app_within_both_their_rights(w):
    await w.log_in(citizen(START))
    told = await w.tokens(patient=CITIZEN)
    answer = await exchanged(w, told["access_token"])
    assert answer.status_code == 200, answer.text
    given = answer.json()
    assert given["issued_token_type"] == ACCESS
    assert given["scope"] == "patient/*.rs"
    assert "refresh_token" not in given
    assert claims(given["access_token"])["act"] == {"sub": "partner"}
    actor = (await w.holds(given["access_token"])).actor
    assert (actor.client, actor.kind, actor.subject, actor.person) == ("partner", Kind.CITIZEN, "subject-c", CITIZEN)
    assert claims(given["access_token"])["exp"] <= claims(told["access_token"])["exp"]
    await w.post("/oauth/revoke", token=told["refresh_token"], client_id="app")
    w.clock.advance(dt.timedelta(seconds=31))
    assert await gone(w, given["access_token"])


async def test_a_citizen_acts_for_whom_he_may(w):
    await w.log_in(citizen(START))
    token = (await w.tokens(w.request("self-app"), patient=CITIZEN))["access_token"]
    given = (await exchanged(w, token, "self-app", requested_subject=CHILD)).json()
    actor = (await w.holds(given["access_token"])).actor
    assert (actor.person, actor.on_behalf_of, actor.patient) == (CITIZEN, CHILD, CHILD)
    assert "act" not in claims(given["access_token"])
    for wanted in (STRANGER, "Patient/../x", "child"):
        assert (await exchanged(w, token, "self-app", requested_subject=wanted)).json()["error"] == "invalid_grant"
    # who acts for one does not act for another by it, nor for himself again
    assert (await exchanged(w, given["access_token"], "self-app", requested_subject=CITIZEN)).status_code == 400


async def test_a_token_that_may_not_be_exchanged_is_not(w):
    await w.log_in(citizen(START))
    other = (await w.tokens(w.request("self-app"), patient=CITIZEN))["access_token"]
    system = (await w.credentials("system-es256")).json()["access_token"]
    for token in (other, system, "made-up"):
        assert (await exchanged(w, token)).json()["error"] == "invalid_grant"
    own = (await w.tokens(patient=CITIZEN))["access_token"]
    for more in (
        {"subject_token_type": "urn:ietf:params:oauth:token-type:jwt"},
        {"requested_token_type": "urn:ietf:params:oauth:token-type:refresh_token"},
        {"actor_token": "x"},
        {"audience": "https://evil.example"},
        {"resource": "https://evil.example"},
    ):
        form = {
            "grant_type": EXCHANGE,
            "subject_token": own,
            "subject_token_type": ACCESS,
            **w.signed("partner"),
            **more,
        }
        assert (await w.token(**form)).json()["error"] == "invalid_request", more
    assert (await exchanged(w, own, scope="user/*.rs system/*.rs")).json()["error"] == "invalid_scope"
    assert (await exchanged(w, own, audience=AUDIENCE, scope="patient/Observation.r")).json()[
        "scope"
    ] == "patient/Observation.r"
    assert (await exchanged(w, own, "app")).json()["error"] == "unauthorized_client"


# ── launch ───────────────────────────────────────────────────────────────────────────


async def test_a_health_record_launches_an_app_with_what_is_open_in_it(w):
    made = await w.post(
        "/oauth/launch",
        app="staff-app",
        patient=CITIZEN,
        encounter="Encounter/e1",
        intent="reconcile-medications",
        need_patient_banner="false",
        fhirContext='[{"reference":"ImagingStudy/1","role":"launch"}]',
        user="subject-d",
        **w.signed("ehr"),
    )
    assert made.status_code == 201, made.text
    assert made.json()["launch_url"].startswith(
        "https://app.example/launch?iss=https%3A%2F%2Fgw.example%2Ffhir&launch="
    )
    handle = made.json()["launch"]
    form = w.request("staff-app", scope="launch openid fhirUser patient/*.rs", launch=handle)
    await w.log_in(doctor(START, role="5166"))
    told = await w.tokens(form)
    assert (told["patient"], told["encounter"], told["intent"]) == ("citizen", "e1", "reconcile-medications")
    assert told["need_patient_banner"] is False
    assert told["fhirContext"] == [{"reference": "ImagingStudy/1", "role": "launch"}]
    assert (await w.holds(told["access_token"])).actor.patient == CITIZEN
    again = await w.authorize(w.request("staff-app", scope="launch patient/*.rs", launch=handle))
    assert "error=invalid_request" in again.headers["location"]


async def test_a_launch_is_for_one_app_one_user_and_five_minutes(w):
    async def launch(**more):
        return (await w.post("/oauth/launch", app="staff-app", patient=CITIZEN, **w.signed("ehr"), **more)).json()[
            "launch"
        ]

    scope = "launch patient/*.rs"
    await w.log_in(doctor(START))
    other = await w.authorize(w.request("app", scope=scope, launch=await launch()))
    assert "error=invalid_request" in other.headers["location"]
    stranger = await w.authorize(w.request("staff-app", scope=scope, launch=await launch(user="subject-x")))
    assert "error=access_denied" in stranger.headers["location"]
    late = await launch()
    w.clock.advance(dt.timedelta(minutes=5))
    assert (
        "error=invalid_request"
        in (await w.authorize(w.request("staff-app", scope=scope, launch=late))).headers["location"]
    )


async def test_only_a_health_record_makes_launches_and_of_its_own_apps(w):
    for client, form, status in (
        ("system-es256", {"app": "app"}, 400),
        ("ehr", {"app": "other-app"}, 400),
        ("ehr", {"app": "app", "patient": "https://evil.example/Patient/x"}, 400),
        ("ehr", {"app": "app", "fhirContext": '[{"reference":"https://evil.example/x"}]'}, 400),
        ("ehr", {"app": "app", "fhirContext": "{}"}, 400),
        ("nobody", {"app": "app"}, 401),
    ):
        assert (await w.post("/oauth/launch", **form, **w.signed(client))).status_code == status, form
    assert (await w.post("/oauth/launch", app="app", client_id="app")).status_code == 400


# ── access tokens ────────────────────────────────────────────────────────────────────


def part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


async def test_every_mutation_of_an_access_token_is_refused(w):
    good = (await w.credentials("system-es256")).json()["access_token"]
    header, payload, signature = good.split(".")
    head = json.loads(base64.urlsafe_b64decode(header + "=="))
    stranger = ECKey.generate_key("P-256")
    published = (await w.http.get("/oauth/jwks")).json()
    rsa = next(key for key in published["keys"] if key["kty"] == "RSA")
    for change in (
        {"alg": "none"},
        {"alg": "HS256"},
        {"alg": "RS256", "kid": rsa["kid"]},
        {"kid": "x"},
        {"kid": rsa["kid"]},
        {"typ": "JWT"},
        {"jku": "https://evil.example"},
        {"jwk": stranger.as_dict(private=False)},
        {"x5c": []},
        {"crit": ["b64"], "b64": False},
    ):
        assert await gone(w, f"{part({**head, **change})}.{payload}.{signature}"), change
    for change in ({"scope": "system/*.cruds"}, {"client_id": "x"}, {"exp": 9999999999}):
        assert await gone(w, f"{header}.{part({**claims(good), **change})}.{signature}"), change
    assert await gone(w, jwt.encode(head, claims(good), stranger, algorithms=["ES256"]))
    for junk in (header, f"{header}.{payload}.", f"{header}.{payload}", good + "x", "." * 2, good[:-2] + "AA"):
        assert await gone(w, junk)
    assert not await gone(w, good)


@pytest.mark.parametrize(
    "change",
    [
        {"iss": "https://evil.example"},
        {"iss": None},
        {"aud": ADDRESS},
        {"aud": [AUDIENCE, "https://evil.example"]},
        {"exp": int(START.timestamp())},
        {"exp": int(START.timestamp()) + 90_000},
        {"nbf": int(START.timestamp()) + 120},
        {"iat": "now"},
        {"jti": ""},
        {"scope": "system/*.dus"},
        {"scope": "nothing"},
        {"scope": ["system/*.rs"]},
        {"sub": "another"},
        {"kind": "citizen"},
        {"kind": "god"},
        {"purpose": "own"},
        {"fam": "not-a-uuid"},
        {"fam": "6f1d9a52-5a0b-5d0e-9f0e-0b5d5a0b5d0e"},
        {"session": "ended"},
        {"cnf": {"x": "y"}},
        {"cnf": {}, "person": "Patient/x"},
        {"cnf": "x"},
        {"cnf": {"jkt": "short"}},
        {"cnf": {"jkt": "A" * 43}},
        {"cnf": {"x5t#S256": "A" * 43}},
    ],
)
async def test_a_changed_claim_is_refused_even_when_signed_with_the_right_key(w, change):
    good = (await w.credentials("system-es256")).json()["access_token"]
    keyring = w.server.acceptance._keyring
    kid, key = await keyring.signing("ES256")
    told = {name: value for name, value in {**claims(good), **change}.items() if value is not None}
    assert await gone(w, jwt.encode({"alg": "ES256", "typ": "at+jwt", "kid": kid}, told, key, algorithms=["ES256"]))


# ── keys ─────────────────────────────────────────────────────────────────────────────


async def test_the_published_keys_verify_both_kinds_of_token_and_hold_nothing_private(w):
    await w.log_in(citizen(START))
    told = await w.tokens(patient=CITIZEN)
    published = (await w.http.get("/oauth/jwks")).json()
    assert not any(set(key) & {"d", "p", "q", "k"} for key in published["keys"])
    keys = KeySet.import_key_set(published)
    assert jwt.decode(told["access_token"], keys, algorithms=["ES256"]).claims["client_id"] == "app"
    assert jwt.decode(told["id_token"], keys, algorithms=["RS256"]).claims["aud"] == "app"


async def test_a_key_is_known_before_it_is_used_and_until_nothing_it_signed_can_hold(w):
    async def kids():
        return [key["kid"] for key in (await w.http.get("/oauth/jwks")).json()["keys"] if key["kty"] == "EC"]

    async def signing():
        token = (await w.credentials("system-es256")).json()["access_token"]
        assert not await gone(w, token)
        return json.loads(base64.urlsafe_b64decode(token.partition(".")[0] + "=="))["kid"]

    first = await signing()
    assert await kids() == [first]
    w.clock.advance(USED - AHEAD)
    both = await kids()
    assert both[0] == first
    assert len(both) == 2
    assert await signing() == first
    w.clock.advance(AHEAD)
    assert await signing() == both[1]
    assert await kids() == both
    w.clock.advance(AFTER)
    assert await kids() == both[1:]


async def test_processes_that_start_together_sign_with_the_same_key(w):
    async with w.grants._connections.session() as connection:
        await connection.execute("delete from signing_key")
    secret = hashlib.sha256(b"oauth signing keys").digest()
    others = [Keyring(w.grants, secret, w.clock) for _ in range(4)]
    assert len({kid for kid, _ in await asyncio.gather(*(one.signing("ES256") for one in others))}) == 1


async def test_a_key_of_another_process_is_found_at_once_and_made_up_ones_cost_a_look_in_five_seconds(w):
    token = (await w.credentials("system-es256")).json()["access_token"]
    mine = w.server.acceptance._keyring
    calls = []
    original = PostgresGrants.keys

    class Counting(PostgresGrants):
        async def keys(self):
            calls.append(1)
            return await original(self)

    w.grants.__class__ = Counting
    try:
        for number in range(50):
            assert await mine.verifying(f"made-up-{number}") is None
    finally:
        w.grants.__class__ = PostgresGrants
    assert len(calls) <= 1
    assert not await gone(w, token)


async def test_a_database_without_its_secret_signs_nothing(w):
    await w.credentials("system-es256")
    with pytest.raises(Misconfigured):
        await Keyring(w.grants, b"x" * 32, w.clock).signing("ES256")


async def test_an_id_token_is_no_access_token(w):
    await w.log_in(citizen(START))
    told = await w.tokens(patient=CITIZEN)
    assert await gone(w, told["id_token"])


async def test_no_token_code_or_verifier_stands_in_the_database(w):
    await w.log_in(citizen(START))
    code, form = await w.code(patient=CITIZEN)
    told = (await w.redeem(code, form)).json()
    async with w.grants._connections.session() as connection:
        rows = []
        for table in ("grant_single", "grant_family", "grant_refresh", "grant_revoked", "signing_key"):
            rows += [str(dict(row)) for row in await connection.fetch(f"select * from {table}")]
    whole = "\n".join(rows)
    for secret in (code, told["refresh_token"], told["access_token"], w.verifier[form["code_challenge"]]):
        assert secret not in whole
