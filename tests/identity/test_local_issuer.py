"""A log-in through the local issuer from end to end, by the same code as through a broker."""

from __future__ import annotations

import datetime as dt

import httpx
import pytest

from gateway.access import Assurance, Kind
from gateway.errors import Misconfigured
from gateway.fhir import persons
from gateway.identity.login.faults import Fault, LoginFailed
from gateway.identity.login.profiles import Wish
from gateway.identity.login.relying import Secrets
from gateway.identity.people import PEOPLE, at_the_login
from tests.identity.house import IDS, Browser, hidden, query
from tests.identity.house import house as opened


async def test_a_citizen_logs_in_and_is_the_patient_that_feeds_make_of_his_number(browser):
    done = await browser.enter("citizen-1", "high")
    assert done.status_code == 200, (done.text, browser.house.refusals())
    assert done.url.path == "/login/done"
    session = await browser.session()
    key = persons.danish(persons.CPR, PEOPLE["citizen-1"].cpr)
    assert session.login.person == f"Patient/{IDS.patient(key)}"
    assert (session.login.kind, session.login.assurance, session.login.idp) == (Kind.CITIZEN, Assurance.HIGH, "local")


async def test_everybody_on_the_page_logs_in_as_who_he_is(house):
    for person in at_the_login():
        async with Browser(house) as browser:
            answer = await browser.enter(person.name)
            assert answer.url.path == "/login/done", (person.name, house.refusals())
            login = (await browser.session()).login
            actor = person.actor(IDS, "https://gw.example/local-issuer")
            assert (login.kind, login.person, login.subject) == (actor.kind, actor.person, actor.subject), person.name
            assert (login.organisation, login.role, login.authorisation) == (
                actor.organisation,
                actor.role,
                actor.authorisation,
            )
            assert login.assurance is Assurance.SUBSTANTIAL
            assert not person.cpr or person.cpr not in answer.text + repr(house.told)


async def test_name_protection_gives_no_name(browser):
    answer = await browser.enter("citizen-4")
    assert (await browser.session()).login.name == ""
    assert "Sikringsniveau: betydelig" in answer.text


async def test_an_employee_at_high_comes_through_at_substantial(browser):
    await browser.enter("doctor-ouh", "high")
    assert (await browser.session()).login.assurance is Assurance.SUBSTANTIAL
    answer = await browser.enter("doctor-ouh", "high", assurance="high", lang="en")
    assert answer.status_code == 403
    assert "level “high”" in answer.text


async def test_a_region_may_ask_more_of_its_citizens(postgres_url, tmp_path):
    async with opened(postgres_url, tmp_path, assurance_citizen="high") as strict, Browser(strict) as browser:
        assert (await browser.enter("citizen-1")).status_code == 403
        assert (await browser.enter("citizen-1", "high")).url.path == "/login/done"


async def test_its_own_session_is_used_again_until_more_is_asked_and_ends_at_log_out(browser):
    await browser.enter("citizen-1")
    browser.cookies.delete("__Host-sundbro")
    again = await browser.page()
    assert again.url.path == "/login/done", "single sign-on"
    assert "/local-issuer/authorize" in str((await browser.page(assurance="high")).url)
    assert "/local-issuer/authorize" in str((await browser.page(prompt="login")).url)
    form = hidden((await browser.page("/logout")).text, "form")
    left = await browser.post("/logout", data={"form": form})
    assert left.url.path == "/logout/done"
    assert "/local-issuer/authorize" in str((await browser.page()).url)
    assert not browser.house.refusals()


async def test_log_out_at_the_issuer_ends_the_gateways_session(browser):
    await browser.enter("citizen-1")
    shown = await browser.page("/local-issuer/end-session")
    assert await browser.session() is not None
    assert "Log ud hos den lokale udsteder?" in shown.text
    await browser.post("/local-issuer/end-session")
    assert await browser.session() is None


async def test_who_stops_is_told_so(browser):
    for language, words in (("da", "Du afbrød login"), ("en", "You stopped the log-in")):
        answer = await browser.choose(await browser.page(lang=language), "citizen-1", do="abort")
        assert answer.status_code == 400
        assert words in answer.text


# --- as strict as a broker ---


async def asked(browser: Browser, **changed: str) -> httpx.Response:
    left = await browser.get("/login", follow_redirects=False)
    given = {**query(left.headers["location"]), **changed}
    return await browser.get(
        "/local-issuer/authorize",
        params={name: value for name, value in given.items() if value},
        follow_redirects=False,
    )


@pytest.mark.parametrize(
    "change",
    [
        {"client_id": "another"},
        {"redirect_uri": "https://evil.example/"},
        {"redirect_uri": "https://gw.example/login/callback/local/x"},
    ],
)
async def test_another_client_or_address_is_told_and_sent_nowhere(browser, change):
    answer = await asked(browser, **change)
    assert answer.status_code == 400
    assert "evil" not in answer.text


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"response_type": "token"}, "unsupported_response_type"), ({"scope": "mitid"}, "invalid_scope"), ({"scope": "openid everything"}, "invalid_scope"),
        ({"nonce": ""}, "invalid_request"), ({"code_challenge": ""}, "invalid_request"), ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"prompt": "none"}, "login_required"), ({"state": "x" * 600}, "invalid_request"),
    ],
)  # fmt: skip
async def test_what_a_broker_refuses_it_refuses(browser, change, error):
    answer = await asked(browser, **change)
    assert query(answer.headers["location"])["error"] == error


async def code_of(browser: Browser) -> tuple[dict[str, str], str]:
    """Log in at the issuer, and keep the code from the gateway."""
    shown = await browser.page()
    form = {"asked": hidden(shown.text, "asked"), "person": "citizen-1", "level": "high", "do": "enter"}
    answer = await browser.post("/local-issuer/authorize", data=form, follow_redirects=False)
    return dict(query(answer.headers["location"])), answer.headers["location"]


async def test_a_code_works_once_for_its_client_with_its_verifier_and_for_a_minute(browser):
    given, address = await code_of(browser)
    for form in (
        {},
        {"code": given["code"], "grant_type": "authorization_code"},
        {"client_id": "sundbro", "client_assertion": "x.y.z"},
    ):
        answer = await browser.post("/local-issuer/token", data=form)
        assert (answer.status_code, answer.json()) == (401, {"error": "invalid_client"})
    relying = browser.house.logins.relying["local"]
    with pytest.raises(LoginFailed) as failed:
        await relying.finish(
            given["code"], Secrets(), began=browser.house.clock.now(), wish=Wish(Kind.CITIZEN, Assurance.LOW, "da")
        )
    assert failed.value.fault is Fault.GONE, "another verifier"
    assert (await browser.get(address)).url.path == "/login/done"
    _, late = await code_of(Browser(browser.house))
    browser.house.clock.advance(dt.timedelta(seconds=61))
    assert (await browser.get(late)).status_code == 400


async def test_userinfo_needs_a_token(browser):
    for header in ({}, {"authorization": "Bearer x"}, {"authorization": "Basic x"}):
        assert (await browser.get("/local-issuer/userinfo", headers=header)).status_code == 401


async def test_its_page_is_strict_and_plain(browser):
    shown = await browser.page()
    policy = shown.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    assert "<script" not in shown.text
    assert "style=" not in shown.text
    assert shown.headers["x-frame-options"] == "DENY"


async def test_it_does_not_exist_in_production(postgres_url, tmp_path):
    async with opened(postgres_url, tmp_path, environment="production") as made:
        assert made.logins.routes == []
        async with Browser(made) as browser:
            assert (await browser.page()).status_code == 404
            assert (await browser.page("/local-issuer/jwks")).status_code == 404
    assert not (tmp_path / "identity").exists()


async def test_people_log_in_over_https_alone_in_production(postgres_url, tmp_path):
    (tmp_path / "s").write_text("x")
    (tmp_path / "s").chmod(0o600)
    (tmp_path / "login.toml").write_text(
        '[m]\nissuer = "https://op.example"\nprofile = "neb"\nclient_id = "g"\nclient_secret = "s"\n'
    )
    with pytest.raises(Misconfigured):
        async with opened(
            postgres_url,
            tmp_path,
            environment="production",
            public_url="http://gw.example",
            login=tmp_path / "login.toml",
        ):
            pass
    async with opened(postgres_url, tmp_path, environment="production", login=tmp_path / "login.toml") as made:
        assert list(made.logins.relying) == ["m"]
        assert not any("local-issuer" in route.path for route in made.logins.routes)


async def test_the_gateway_logs_in_without_reaching_its_own_public_address(postgres_url, tmp_path):
    async with opened(postgres_url, tmp_path, public_url="http://0.0.0.0:8080") as made, Browser(made) as browser:
        assert (await browser.enter()).url.path == "/login/done", made.refusals()
