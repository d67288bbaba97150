"""Who logs in, and who does not, is on record; nobody is logged in where that cannot be."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import asyncpg
import pytest

from gateway.access import Kind
from gateway.identity.login.endings import Endings
from tests.identity.house import SCHEMA, Browser, House, hidden, house


@pytest.fixture(autouse=True)
async def nobody(postgres_url: str) -> None:
    """Forget the log-ins of other tests: what they owe is not ours to count."""
    connection = await asyncpg.connect(postgres_url)
    if await connection.fetchval("select to_regclass($1)", f"{SCHEMA}.login_session"):
        await connection.execute(f"delete from {SCHEMA}.login_session")
    await connection.close()


async def test_a_log_in_and_its_refusal_are_on_record(postgres_url: str, tmp_path: Path) -> None:
    async with house(postgres_url, tmp_path) as home, Browser(home) as browser:
        await browser.enter("citizen-1")
        session = await browser.session()
        (entered,) = home.book.happened
        assert (entered.act.value, entered.way, entered.status) == ("login", "local", 200)
        assert entered.actor is not None
        assert (entered.actor.kind, entered.actor.person, entered.actor.session) == (
            Kind.CITIZEN,
            session.login.person,
            session.id,
        )
        home.book.told()
        refused = await browser.choose(await browser.page(prompt="login"), "citizen-1", do="abort")
        assert refused.status_code >= 400
        assert home.book.told() == [("login", "local", refused.status_code, "aborted", "")]


async def test_nobody_is_logged_in_where_it_cannot_be_on_record(postgres_url: str, tmp_path: Path) -> None:
    async with house(postgres_url, tmp_path) as home, Browser(home) as browser:
        home.book.closed = True
        answer = await browser.enter("doctor-ouh")
        assert answer.status_code == 503
        assert await browser.session() is None
        home.book.closed = False
        await browser.page()  # the provider knows him still
        assert (await browser.session()).login.kind is Kind.STAFF


def ends(home: House) -> list[tuple[str, str, str]]:
    """Return (way it ended, session, source) of every log-out on record, and forget the rest too."""
    told = [(one.how, one.actor.session, one.source) for one in home.book.happened if one.act.value == "logout"]
    home.book.happened.clear()
    return told


async def log_out(browser: Browser) -> None:
    form = hidden((await browser.page("/logout")).text, "form")
    left = await browser.post("/logout", data={"form": form}, follow_redirects=False)
    assert left.status_code == 303


async def test_a_log_out_is_on_record_with_who_it_was(postgres_url: str, tmp_path: Path) -> None:
    async with house(postgres_url, tmp_path) as home, Browser(home) as browser:
        await browser.enter("doctor-ouh")
        session = await browser.session()
        home.book.happened.clear()
        await log_out(browser)
        (left,) = home.book.happened
        assert (left.act.value, left.way, left.how, left.status) == ("logout", "local", "person", 200)
        assert left.actor.session == session.id
        assert left.actor.organisation == session.login.organisation
        assert left.source
        assert await Endings(home.logins.sessions, home.book.write).owed() == 0, "on record once"


async def test_a_log_out_holds_at_once_and_owes_its_record(postgres_url: str, tmp_path: Path) -> None:
    """The ledger is away: nobody stays logged in for that, and the record comes later."""
    async with house(postgres_url, tmp_path) as home, Browser(home) as browser:
        await browser.enter("citizen-1")
        session = await browser.session()
        home.book.happened.clear()
        home.book.closed = True
        await log_out(browser)
        assert not await home.logins.sessions.alive(session.id)
        home.book.closed = False
        assert ends(home) == []
        owed = Endings(home.logins.sessions, home.book.write)
        assert await owed.owed() == 1
        assert ends(home) == [("person", session.id, "")]
        assert await owed.owed() == 0


async def test_what_time_ends_and_what_a_log_in_replaces_is_on_record_too(postgres_url: str, tmp_path: Path) -> None:
    async with house(postgres_url, tmp_path) as home, Browser(home) as browser, Browser(home) as idle:
        owed = Endings(home.logins.sessions, home.book.write)
        await browser.enter("citizen-1")
        first = await browser.session()
        await browser.choose(await browser.page(prompt="login"), "citizen-1")
        second = await browser.session()
        assert first.id != second.id
        home.book.happened.clear()
        assert await owed.owed() == 1
        assert ends(home) == [("replaced", first.id, "")]
        await idle.enter("citizen-2")
        unused = await idle.session()
        home.book.happened.clear()
        home.clock.advance(dt.timedelta(minutes=20))
        assert await browser.session()
        home.clock.advance(dt.timedelta(minutes=15))
        assert await owed.owed() == 1, "the other one was looked at a quarter of an hour ago"
        assert ends(home) == [("time", unused.id, "")]
        assert await idle.session() is None
        home.clock.advance(dt.timedelta(hours=9))
        assert await owed.owed() == 1
        assert ends(home) == [("time", second.id, "")]


async def test_two_processes_write_an_end_down_once(postgres_url: str, tmp_path: Path) -> None:
    """Whoever is first has the row; the other finds nothing while it writes, and nothing afterwards."""
    async with house(postgres_url, tmp_path) as home, Browser(home) as browser:
        await browser.enter("citizen-1")
        home.clock.advance(dt.timedelta(hours=9))
        sessions = home.logins.sessions
        await sessions.end_by_time()
        async with sessions.unrecorded(None) as mine, sessions.unrecorded(None) as others:
            assert ([one.way.value for one in mine], others) == (["time"], [])
        async with sessions.unrecorded(None) as later:
            assert later == []
