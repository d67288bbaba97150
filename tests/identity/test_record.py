"""Who logs in, and who does not, is on record; nobody is logged in where that cannot be."""

from __future__ import annotations

from pathlib import Path

from gateway.access import Kind
from tests.identity.house import Browser, house


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
