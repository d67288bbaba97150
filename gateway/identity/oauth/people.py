"""Whom a user may open, as the authorization server asks it. Who answers stands elsewhere: relations and consent do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from gateway.identity.oauth.pages import Choice
from gateway.identity.session import LogIn


class People(Protocol):
    """The people beside the user himself."""

    async def may_act(self, person: str, other: str) -> bool:
        """Say whether a citizen (`Patient/<id>`) may act for another today: a parent, or by fuldmagt (power of attorney)."""
        ...

    async def represented(self, person: str) -> Sequence[Choice]:
        """Return whom a citizen may act for."""
        ...

    async def find(self, login: LogIn, words: str) -> Sequence[Choice]:
        """Return the patients that a professional finds by what he typed, as far as he may know of them."""
        ...


class Alone:
    """Nobody acts for another, and nobody is found: what holds where no relations are known."""

    async def may_act(self, person: str, other: str) -> bool:
        """Say no."""
        del person, other
        return False

    async def represented(self, person: str) -> Sequence[Choice]:
        """Return nobody."""
        del person
        return ()

    async def find(self, login: LogIn, words: str) -> Sequence[Choice]:
        """Return nobody."""
        del login, words
        return ()
