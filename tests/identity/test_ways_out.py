"""How a session ends: by the user, by the broker, by time; and that nobody else can end or use it."""

from __future__ import annotations

import datetime as dt
import json

import pytest
from joserfc.jwk import ECKey

from gateway.store.postgres.sessions import PostgresSessions
from tests.identity.house import SCHEMA, Browser, hidden, house, query
from tests.identity.op import CPR, LOGOUT
from tests.identity.test_relying_party import back, leave


async def told(browser, token: str, provider: str = "mitid"):
    return await browser.post(f"/login/backchannel/{provider}", data={"logout_token": token})


@pytest.fixture
async def logged_in(at_op, op):
    op.claims = {"neb_sid": f"session-{id(op)}", "sub": f"user-{id(op)}"}
    op.userinfo = {"sub": f"user-{id(op)}"}
    assert (await back(at_op, op, await leave(at_op))).url.path == "/login/done"
    return at_op


def named(op, **changed):
    return op.logout_token(**{"sid": f"session-{id(op)}", "sub": f"user-{id(op)}", **changed})


async def test_the_broker_ends_a_session_at_once_in_every_process(logged_in, op, postgres_url):
    session = await logged_in.session()
    answer = await told(logged_in, named(op))
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    assert await logged_in.session() is None
    ended = logged_in.house.book.happened[-1]
    assert (ended.act.value, ended.way, ended.how, ended.actor.session) == ("logout", "mitid", "provider", session.id)
    elsewhere = PostgresSessions(postgres_url, schema=SCHEMA)
    await elsewhere.start()
    assert not await elsewhere.alive(session.id, op.clock.now(), dt.timedelta(hours=1))
    await elsewhere.stop()


@pytest.mark.parametrize("change", [{"sub": None}, {"sid": None}, {"aud": ["gateway"]}, {"exp": None}], ids=str)
async def test_sid_or_sub_alone_names_the_session(logged_in, op, change):
    assert (await told(logged_in, named(op, **change))).status_code == 200
    assert await logged_in.session() is None


FORGED = {
    "another issuer": {"iss": "https://evil.example"}, "another audience": {"aud": "other"}, "several audiences": {"aud": ["gateway", "other"]},
    "no events": {"events": None}, "another event": {"events": {"urn:x": {}}}, "events a list": {"events": [LOGOUT]}, "the event a text": {"events": {LOGOUT: "yes"}},
    "a nonce": {"nonce": "x"}, "no jti": {"jti": None}, "jti a number": {"jti": 7}, "neither sid nor sub": {"sid": None, "sub": None},
    "sub a number": {"sub": 7}, "an empty sid": {"sid": ""}, "no iat": {"iat": None}, "iat a text": {"iat": "now"},
}  # fmt: skip


@pytest.mark.parametrize("change", FORGED.values(), ids=FORGED)
async def test_a_forged_logout_token_ends_nothing(logged_in, op, change):
    answer = await told(logged_in, named(op, **change))
    assert (answer.status_code, answer.json()) == (400, {"error": "invalid_request"})
    assert await logged_in.session() is not None


async def test_logout_tokens_that_are_old_early_or_signed_otherwise_end_nothing(logged_in, op):
    bad = [
        named(op, iat=op.now - 400, exp=op.now + 60),
        named(op, iat=op.now + 120),
        named(op, exp=op.now - 100),
        "",
        "a.b.c",
        "x" * 40_000,
    ]
    own, op.signing = op.signing, ECKey.generate_key("P-256", {"kid": "k1"})
    bad.append(named(op))
    op.signing = own
    op.header = {"typ": "at+jwt"}
    bad.append(named(op))
    op.header = {"crit": ["x"]}
    op.signing = lambda _: b""
    bad.append(named(op))
    op.header, op.signing = {}, own
    bad.append(op.id_token("nonce", "x"))
    for token in bad:
        assert (await told(logged_in, token)).status_code == 400
    assert (await told(logged_in, named(op), provider="other")).status_code == 400
    assert (await told(logged_in, named(op), provider="nobody")).status_code == 400
    assert (await logged_in.post("/login/backchannel/mitid", content=b"\xff\xfe")).status_code == 400
    assert await logged_in.session() is not None


async def test_a_logout_token_works_once(logged_in, op):
    token = named(op)
    assert (await told(logged_in, token)).status_code == 200
    op.claims = {**op.claims, "neb_sid": "a-later-one"}
    await back(logged_in, op, await leave(logged_in))
    assert (await told(logged_in, token)).status_code == 400
    assert await logged_in.session() is not None


async def test_an_id_token_is_no_logout_token_and_the_other_way_round(logged_in, op):
    asked = await leave(logged_in, prompt="login")
    token = named(op, nonce=asked["nonce"], auth_time=op.now)
    op.answer = {"id_token": token}
    answer = await back(logged_in, op, asked)
    assert answer.status_code == 502
    assert logged_in.house.refusals()[-1] == "invalid: typ"


async def test_a_session_that_the_broker_ended_while_we_logged_in_does_not_begin(at_op, op):
    op.claims = {"neb_sid": "ended-early"}
    asked = await leave(at_op, lang="en")
    code = op.authorized(asked)
    assert (await told(at_op, op.logout_token(sid="ended-early"))).status_code == 200
    answer = await back(at_op, op, asked, code=code)
    assert "logged out already" in answer.text
    assert await at_op.session() is None


async def test_a_broker_session_that_is_not_active_or_over_does_not_begin(at_op, op):
    op.userinfo = {"session_is_active": "false"}
    assert (await back(at_op, op, await leave(at_op))).status_code == 400
    op.userinfo, op.claims = {}, {"session_expiry": str(op.now)}
    assert (await back(at_op, op, await leave(at_op))).status_code == 400
    assert [told.partition(":")[0] for told in at_op.house.refusals()] == ["ended", "ended"]


# --- the user ---


async def test_logging_out_ends_the_session_here_and_at_the_broker(logged_in, op):
    shown = await logged_in.get("/logout")
    assert f"form-action 'self' {op.issuer}" in shown.headers["content-security-policy"]
    answer = await logged_in.post("/logout", data={"form": hidden(shown.text, "form")}, follow_redirects=False)
    assert answer.headers["location"].startswith(f"{op.issuer}/end?")
    asked = query(answer.headers["location"])
    assert asked["post_logout_redirect_uri"] == "https://gw.example/logout/done"
    assert asked["id_token_hint"].count(".") == 2
    assert await logged_in.session() is None
    assert "__Host-sundbro" not in dict(logged_in.cookies)


@pytest.mark.parametrize("form", ["", "x", "A" * 100])
async def test_a_log_out_that_the_user_did_not_ask_for_ends_nothing(logged_in, form):
    assert (await logged_in.post("/logout", data={"form": form})).status_code == 400
    assert (await logged_in.get("/logout")).status_code == 200
    assert await logged_in.session() is not None


async def test_a_log_out_form_of_another_session_ends_nothing(logged_in, op):
    async with Browser(logged_in.house) as attacker:
        op.claims = {**op.claims, "neb_sid": "the-attackers"}
        await back(attacker, op, await leave(attacker))
        form = hidden((await attacker.get("/logout")).text, "form")
    assert (await logged_in.post("/logout", data={"form": form})).status_code == 400
    assert await logged_in.session() is not None


async def test_a_broker_that_is_down_keeps_nobody_logged_in(at_op, op, clock):
    op.claims = {"session_expiry": None}
    await back(at_op, op, await leave(at_op))
    for _ in range(3):  # until what the broker said of itself is too old, and it is asked again
        clock.advance(dt.timedelta(minutes=25))
        assert await at_op.session() is not None
    op.status["metadata"] = 503
    form = hidden((await at_op.get("/logout")).text, "form")
    answer = await at_op.post("/logout", data={"form": form})
    assert answer.url.path == "/logout/done"
    assert await at_op.session() is None


async def test_an_id_token_with_a_persons_number_is_never_kept_nor_sent_in_an_address(at_op, op):
    op.claims = {"dk.cpr": CPR}
    await back(at_op, op, await leave(at_op))
    form = hidden((await at_op.get("/logout")).text, "form")
    answer = await at_op.post("/logout", data={"form": form}, follow_redirects=False)
    asked = query(answer.headers["location"])
    assert "id_token_hint" not in asked
    assert asked["client_id"] == "gateway"


# --- time ---


async def test_an_idle_session_ends_and_a_used_one_goes_on_to_its_absolute_end(at_op, op, clock):
    op.claims = {"session_expiry": None}
    await back(at_op, op, await leave(at_op))
    session = await at_op.session()
    for _ in range(19):
        clock.advance(dt.timedelta(minutes=25))
        assert await at_op.session() is not None
    clock.advance(dt.timedelta(minutes=10))
    assert await at_op.session() is None, "eight hours"
    assert not await at_op.house.logins.sessions.alive(session.id)
    await back(at_op, op, await leave(at_op))
    clock.advance(dt.timedelta(minutes=31))
    assert await at_op.session() is None, "idle"


async def test_a_session_does_not_outlive_the_brokers(at_op, op, clock):
    op.claims = {"session_expiry": op.now + 600}
    await back(at_op, op, await leave(at_op))
    clock.advance(dt.timedelta(seconds=599))
    assert await at_op.session() is not None
    clock.advance(dt.timedelta(seconds=1))
    assert await at_op.session() is None


async def test_what_the_database_keeps_names_nobody(logged_in, op, postgres_url):
    import asyncpg

    connection = await asyncpg.connect(postgres_url, server_settings={"search_path": SCHEMA})
    rows = await connection.fetch("select * from login_session")
    await connection.close()
    cookie = dict(logged_in.cookies)["__Host-sundbro"]
    kept = repr([tuple(row) for row in rows])
    for secret in (
        CPR,
        "Borger Prøve",
        cookie,
        f"user-{id(op)}",
        f"session-{id(op)}",
        (await logged_in.session()).login.person,
    ):
        assert secret not in kept


async def test_the_cookie_is_out_of_reach_of_scripts_other_sites_and_plain_http(at_op, op):
    asked = await leave(at_op)
    answer = await at_op.get(
        "/login/callback/mitid",
        params={"code": op.authorized(asked), "state": asked["state"], "iss": op.issuer},
        follow_redirects=False,
    )
    (cookie,) = [each for each in answer.headers.get_list("set-cookie") if each.startswith("__Host-sundbro=")]
    assert {"HttpOnly", "Secure", "Path=/", "SameSite=lax"} <= {part.strip() for part in cookie.split(";")}
    assert "Domain" not in cookie


async def test_over_plain_http_in_development_the_cookie_has_a_plain_name(postgres_url, tmp_path):
    async with house(postgres_url, tmp_path, public_url="", http="127.0.0.1:18080") as made, Browser(made) as browser:
        assert (await browser.enter()).url.path == "/login/done"
        assert "sundbro" in dict(browser.cookies)


async def test_the_database_away_is_told_as_not_now(at_op, op):
    await back(at_op, op, await leave(at_op))
    await at_op.house.sessions.stop()
    answer = await at_op.get("/login", params={"lang": "en"})
    assert answer.status_code == 503
    assert "does not work at the moment" in answer.text
    assert (await told(at_op, op.logout_token())).status_code == 503
    assert json.loads((await told(at_op, op.logout_token())).text) == {"error": "temporarily_unavailable"}
