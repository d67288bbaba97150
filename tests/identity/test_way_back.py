"""`then`: where a log-in goes on. Only the gateway itself can say, and only to its own paths; never an open redirect."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.clock import FrozenClock
from gateway.identity.login.asked import local
from gateway.identity.sealed import Sealer, way_back
from tests.identity.house import IDS, NOW

HOUR = dt.timedelta(hours=1)
ELSEWHERE = [
    "https://evil.example", "//evil.example", "/\\evil.example", "\\\\evil.example", "http:evil", "javascript:alert(1)", "evil", "/a\nb",
    "/\t/evil.example", " /a", "/é", "/" + "a" * 2000, "///evil.example", "/a b", '/"', "/<script>", ["/"], {"a": 1}, 7, None,
]  # fmt: skip


async def test_a_sealed_path_is_gone_to_after_the_log_in(browser):
    then = way_back(IDS, browser.house.clock).seal("/authorize?client_id=x&state=y", HOUR)
    shown = await browser.page(then=then)
    answer = await browser.choose(shown, "citizen-1")
    assert answer.url.raw_path == b"/authorize?client_id=x&state=y"
    again = await browser.get("/login", params={"then": then}, follow_redirects=False)
    assert again.headers["location"] == "/authorize?client_id=x&state=y", "a session that is enough goes on at once"


@pytest.mark.parametrize("path", ELSEWHERE, ids=repr)
async def test_not_even_a_sealed_value_leads_elsewhere(browser, path):
    then = way_back(IDS, browser.house.clock).seal(path, HOUR)
    answer = await browser.get("/login", params={"then": then})
    assert answer.status_code == 400
    assert browser.house.refusals()[-1].startswith("link")


@pytest.mark.parametrize("then", ["/authorize", "https://evil.example", "//evil.example", "AAAA", "A" * 20_000, "é"])
async def test_what_was_not_sealed_here_is_refused(browser, then):
    for language, words in (("da", "Linket virker ikke længere"), ("en", "The link no longer works")):
        answer = await browser.get("/login", params={"then": then, "lang": language})
        assert answer.status_code == 400
        assert words in answer.text
        assert "evil" not in answer.text


async def test_what_was_sealed_for_something_else_or_long_ago_is_refused(browser):
    clock = browser.house.clock
    other = Sealer(IDS.derive("login"), "flow", clock).seal("/authorize", HOUR)
    old = way_back(IDS, clock).seal("/authorize", HOUR)
    assert (await browser.get("/login", params={"then": other})).status_code == 400
    clock.advance(HOUR)
    assert (await browser.get("/login", params={"then": old})).status_code == 400


@given(st.binary(min_size=1, max_size=200), st.data())
def test_a_sealed_value_with_one_bit_changed_does_not_open(value, data):
    import base64

    sealer = Sealer(bytes(32), "x", FrozenClock(NOW))
    raw = bytearray(base64.urlsafe_b64decode(sealer.seal(value.hex(), HOUR) + "=="))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    assert sealer.open(base64.urlsafe_b64encode(raw).rstrip(b"=").decode()) is None


@given(st.text(max_size=300))
def test_any_text_opens_to_nothing_without_a_crash(text):
    assert Sealer(bytes(32), "x", FrozenClock(NOW)).open(text) is None


@given(st.text(max_size=40))
def test_a_local_path_is_one_that_no_browser_takes_elsewhere(text):
    import urllib.parse

    if local(text):
        joined = urllib.parse.urljoin("https://gw.example/login", text)
        assert urllib.parse.urlsplit(joined).netloc == "gw.example"
        assert not text.startswith(("//", "/\\"))


@pytest.mark.parametrize(
    "query", ["assurance=highest", "max_age=-1", "max_age=x", "max_age=1" + "0" * 20, "prompt=none", "lang=da&lang=en"]
)
async def test_parameters_that_are_not_understood_are_refused(browser, query):
    answer = await browser.get(f"/login?{query}")
    assert answer.status_code == 400
    assert browser.house.refusals()[-1].startswith("wrong")


async def test_the_authorization_server_may_say_whom_it_can_do_with(browser):
    await browser.enter("doctor-ouh")
    staff = await browser.get("/login", params={"users": "staff"}, follow_redirects=False)
    assert staff.headers["location"] == "/login/done"
    citizen = await browser.get("/login", params={"users": "citizen", "ui_locales": "en"}, follow_redirects=False)
    assert "/local-issuer/authorize" in citizen.headers["location"]
    assert "language=en" in citizen.headers["location"]
    assert (await browser.get("/login", params={"users": "kings"})).status_code == 400


async def test_no_level_asked_for_is_the_policys(browser):
    done = await browser.enter("citizen-1", "low", assurance="none")
    assert done.status_code == 403


async def test_a_choice_of_providers_shows_those_that_fit_and_asks_nothing_of_scripts(at_op):
    shown = await at_op.get("/login", params={"lang": "en"})
    assert shown.text.count('class="act"') == 2
    assert "default-src 'none'" in shown.headers["content-security-policy"]
    assert "<script" not in shown.text
    danish = await at_op.get("/login", headers={"accept-language": "da-DK,da;q=0.9,en;q=0.8"})
    assert "Vælg, hvordan du vil logge ind" in danish.text
    assert 'hreflang="en"' in danish.text
