"""A gateway's log-in for tests: the real routes over a real PostgreSQL, at a clock that is moved, and a browser for them."""

from __future__ import annotations

import contextlib
import datetime as dt
import re
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from html import unescape
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qsl, urlsplit

import asyncpg
import httpx
from starlette.applications import Starlette

from gateway.app.logins import Logins, logins_of
from gateway.app.parts import Parts
from gateway.clock import FrozenClock
from gateway.fhir.ids import Ids
from gateway.observe import events
from gateway.settings import Settings
from gateway.store.postgres import migrate
from gateway.store.postgres.grants import PostgresGrants
from gateway.store.postgres.sessions import PostgresSessions
from tests.oauth.world import Book

NOW = dt.datetime(2026, 10, 25, 0, 30, tzinfo=dt.UTC)
"""The hour that occurs twice in Denmark."""
IDS = Ids(b"the log-in's tests, 32 bytes long")
SCHEMA = "logins"


async def _itself(person: str) -> str:
    return person


@dataclass
class House:
    """The log-in of one gateway."""

    settings: Settings
    clock: FrozenClock
    sessions: PostgresSessions
    logins: Logins
    told: list[events.Observation] = field(default_factory=list)
    book: Book = field(default_factory=Book)

    @property
    def address(self) -> str:
        return self.settings.address()

    @property
    def app(self) -> Starlette:
        return Starlette(routes=self.logins.routes)

    def refusals(self) -> list[str]:
        return [f"{each.fault}: {each.detail}" for each in self.told if isinstance(each, events.LoginRefused)]


@contextlib.asynccontextmanager
async def house(url: str, folder: Path, **given: Any) -> AsyncIterator[House]:
    connection = await asyncpg.connect(url, server_settings={"search_path": SCHEMA})
    await migrate.to_head(connection, SCHEMA)
    await connection.close()
    clock = given.pop("clock", None) or FrozenClock(NOW)
    settings = Settings(data=folder, **{"public_url": "https://gw.example", **given})
    sessions = PostgresSessions(url, schema=SCHEMA)
    await sessions.start()
    grants = PostgresGrants(url, schema=SCHEMA)
    await grants.start()
    told: list[events.Observation] = []

    @dataclass
    class Needed:
        settings: Settings
        ids: Ids
        clock: FrozenClock
        sessions: PostgresSessions
        grants: PostgresGrants
        tell: Callable[[events.Observation], None]

    try:
        book = Book()
        logins = logins_of(
            cast("Parts", Needed(settings, IDS, clock, sessions, grants, told.append)), book.write, _itself
        )
        yield House(settings, clock, sessions, logins, told, book)
        await logins.close()
    finally:
        await sessions.stop()
        await grants.stop()


class Browser(httpx.AsyncClient):
    """A browser at one gateway: keeps cookies, follows redirects there, and says where else it was sent."""

    def __init__(self, house: House) -> None:
        super().__init__(
            transport=httpx.ASGITransport(app=house.app), base_url=house.address, follow_redirects=True, timeout=30
        )
        self.house = house

    async def page(self, address: str = "/login", **parameters: str) -> httpx.Response:
        return await self.get(address, params=parameters)

    async def choose(
        self, shown: httpx.Response, person: str, level: str = "substantial", do: str = "enter"
    ) -> httpx.Response:
        form = {"asked": hidden(shown.text, "asked"), "person": person, "level": level, "do": do}
        return await self.post("/local-issuer/authorize", data=form)

    async def enter(self, person: str = "citizen-1", level: str = "substantial", **parameters: str) -> httpx.Response:
        """Log in at the local issuer."""
        return await self.choose(await self.page(**parameters), person, level)

    async def session(self) -> Any:
        return await self.house.logins.sessions.of_cookies(dict(self.cookies))


def hidden(text: str, name: str) -> str:
    found = re.search(rf'name="{name}" value="([^"]*)"', text)
    assert found, text
    return unescape(found[1])


def query(address: str) -> Mapping[str, str]:
    return dict(parse_qsl(urlsplit(address).query))
