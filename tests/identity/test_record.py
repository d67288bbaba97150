"""Who logs in, and who does not, is on record; nobody is logged in where that cannot be."""

from __future__ import annotations

import asyncio
import datetime as dt
from pathlib import Path

import asyncpg
import pytest

from gateway.access import Kind
from gateway.app import auditing, logins
from gateway.app import parts as root
from gateway.audit.block import lines
from gateway.audit.vocabulary import Event
from gateway.identity.login.endings import Endings
from gateway.observe.events import silent
from gateway.settings import Settings
from tests.identity.house import SCHEMA, Browser, House, hidden, house
from tests.oauth.world import citizen


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


async def test_a_gateways_keeper_has_in_the_ledger_what_time_has_ended(postgres_url: str, tmp_path: Path) -> None:
    """The role `audit`, on a store of its own, as a gateway runs it."""
    settings = Settings(data=tmp_path, database_url=postgres_url, database_schema="keeping")
    async with root.parts(settings, postgres_url, silent) as parts, auditing.stored(settings, postgres_url) as ledger:
        now, stop = parts.clock.now(), asyncio.Event()
        soon = now + dt.timedelta(seconds=0.5)
        begun = await logins.sessions_of(parts).begin(citizen(now), id_token="", until=soon, cookies={})
        assert begun is not None
        await asyncio.sleep(0.6)
        keeping = asyncio.create_task(auditing.keep(parts, stop))
        found = []
        async with asyncio.timeout(30):
            while not found:
                blocks = await ledger.newest(low=now, high=None, upto=None, limit=10)
                records = [line.record() for block in blocks for line in lines(block)]
                found = [one for one in records if one.event is Event.LOGOUT]
                await asyncio.sleep(0.05)
        stop.set()
        await keeping
        (ended,) = found
        assert (ended.code, ended.session, ended.person) == ("time", begun[1].id, citizen(now).person)
        assert (ended.door, ended.kind) == ("identity", "citizen")
