"""The log-in page of the local issuer: choose who you are and how surely. Danish and English, no script."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from http import HTTPStatus
from typing import Final

from starlette.responses import HTMLResponse

from gateway.access import Assurance, Kind
from gateway.identity.login import pages
from gateway.identity.login.words import LEVELS, Language
from gateway.identity.people import Person

_TEXTS: Final[Mapping[str, Mapping[Language, str]]] = {
    "title": {"da": "Log ind som testperson", "en": "Log in as a test person"},
    "note": {
        "da": "Lokal udsteder til udvikling. Personerne findes ikke, og enhver kan være hvem som helst.",
        "en": "A local issuer for development. These people do not exist, and anybody can be anyone.",
    },
    "citizens": {"da": "Borgere (MitID)", "en": "Citizens (MitID)"},
    "staff": {"da": "Medarbejdere (MitID Erhverv)", "en": "Staff (MitID Erhverv)"},
    "level": {"da": "Sikringsniveau (NSIS)", "en": "Level of assurance (NSIS)"},
    "wanted": {"da": "efterspurgt", "en": "asked for"},
    "enter": {"da": "Log ind", "en": "Log in"},
    "abort": {"da": "Afbryd", "en": "Cancel"},
    "left": {"da": "Du er logget ud hos den lokale udsteder", "en": "You are logged out of the local issuer"},
    "leave": {"da": "Log ud hos den lokale udsteder?", "en": "Log out of the local issuer?"},
    "out": {"da": "Log ud", "en": "Log out"},
    "wrong": {"da": "Forespørgslen er ikke gyldig", "en": "The request is not valid"},
}


def choose(language: Language, people: Iterable[Person], asked: str, wanted: Assurance, other: str) -> HTMLResponse:
    """Return the page. `asked` is the sealed request that the form brings back, `other` this page in the other language.

    No form-action in its policy: what the form leads to is a chain of redirects through the gateway to whatever app asked,
    and a browser applies the policy to every step of it. Nothing on this page comes from outside.
    """
    listed = list(people)
    groups = [
        _group(_TEXTS[name][language], [each for each in listed if (each.kind is Kind.CITIZEN) == (name == "citizens")], language)
        for name in ("citizens", "staff")
    ]  # fmt: skip
    levels = "".join(
        f'<label><input type="radio" name="level" value="{level.name.lower()}"{" checked" if level is wanted else ""}> '
        f"{LEVELS[level][language]}{' (' + _TEXTS['wanted'][language] + ')' if level is wanted else ''}</label>"
        for level in (Assurance.LOW, Assurance.SUBSTANTIAL, Assurance.HIGH)
    )
    body = [
        f'<p class="note">{_TEXTS["note"][language]}</p>',
        f'<form method="post" action="/local-issuer/authorize"><input type="hidden" name="asked" value="{escape(asked)}">',
        *groups,
        f"<fieldset><legend>{_TEXTS['level'][language]}</legend>{levels}</fieldset>",
        f'<button name="do" value="enter">{_TEXTS["enter"][language]}</button> ',
        f'<button name="do" value="abort" formnovalidate>{_TEXTS["abort"][language]}</button></form>',
    ]
    return pages.page(language, _TEXTS["title"][language], body, other=other, forms=None)


def _group(title: str, people: Iterable[Person], language: Language) -> str:
    options = "".join(
        f'<label><input type="radio" name="person" value="{escape(each.name)}" required> '
        f"{escape(each.da if language == 'da' else each.en)}</label>"
        for each in people
    )
    return f"<fieldset><legend>{title}</legend>{options}</fieldset>"


def leave(language: Language, hidden: dict[str, str]) -> HTMLResponse:
    """Return the question whether to log out here."""
    form = pages.button("/local-issuer/end-session", _TEXTS["out"][language], hidden)
    return pages.page(language, _TEXTS["leave"][language], [form])


def left(language: Language) -> HTMLResponse:
    """Return the page after it."""
    return pages.page(language, _TEXTS["left"][language], [])


def wrong(language: Language, what: str) -> HTMLResponse:
    """Return a page for whoever sets up a client: which rule its request breaks (in English, as parameter names are)."""
    title = _TEXTS["wrong"][language]
    return pages.page(language, title, [pages.paragraph(what)], status=HTTPStatus.BAD_REQUEST)
