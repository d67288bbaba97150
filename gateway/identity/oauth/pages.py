"""The pages of the authorization server: who asks for what, whose record it is about, and why not. Plain HTML, no script.

Danish and English. A page carries what it must to be answered (a handle and a token bound to the session) and nothing
else; it cannot be framed, and its form goes to this gateway and on to the app that asked, nowhere else.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlencode, urlsplit

from starlette.responses import HTMLResponse, RedirectResponse

from gateway.access import Purpose
from gateway.access.scopes import Grant, Scopes
from gateway.identity.login import pages
from gateway.identity.login.words import Language

LANGUAGES: Final[tuple[Language, ...]] = ("da", "en")
_WORDS: Final[Mapping[Language, Mapping[str, str]]] = {
    "da": {
        "title": "Giv adgang",
        "asks": "vil have adgang til sundhedsoplysninger.",
        "user": "Du er logget ind som {name}.",
        "own": "Det gælder dine egne oplysninger.",
        "to": "Bagefter kommer du tilbage til {host}.",
        "may": "Appen beder om lov til at:",
        "about": "Hvem gælder det?",
        "self": "mig selv",
        "find": "Søg patient (personnummer)",
        "search": "Søg",
        "nobody": "Ingen patient fundet.",
        "reason": "Begrund værdispringet. Det registreres og gennemgås, og patienten kan se det.",
        "offline": "gøre det i op til {days} dage, også når du ikke selv er logget ind",
        "yes": "Giv adgang",
        "no": "Afvis",
        "over": "Forespørgslen er udløbet, eller den er allerede besvaret.",
        "wrong": "Det kan ikke lade sig gøre",
        "back": "Gå tilbage til appen og begynd forfra.",
        "r": "se",
        "w": "oprette, ændre eller slette",
        "all": "alle sundhedsoplysninger",
        "who": "vide, hvem du er",
    },
    "en": {
        "title": "Give access",
        "asks": "wants access to health data.",
        "user": "You are logged in as {name}.",
        "own": "It is about your own data.",
        "to": "Afterwards you come back to {host}.",
        "may": "The app asks to:",
        "about": "Who is it about?",
        "self": "myself",
        "find": "Find patient (civil registration number)",
        "search": "Find",
        "nobody": "No patient found.",
        "reason": "Say why you must look past the block. It is recorded and reviewed, and the patient can see it.",
        "offline": "do so for up to {days} days, also when you are not logged in yourself",
        "yes": "Give access",
        "no": "Refuse",
        "over": "The request has expired, or it was answered before.",
        "wrong": "This cannot be done",
        "back": "Go back to the app and begin again.",
        "r": "see",
        "w": "create, change or delete",
        "all": "all health data",
        "who": "know who you are",
    },
}
_TYPES: Final = {
    "Patient": ("personoplysninger", "personal details"),
    "Observation": ("målinger og prøvesvar", "measurements and test results"),
    "Condition": ("diagnoser", "diagnoses"),
    "MedicationRequest": ("recepter", "prescriptions"),
    "MedicationStatement": ("medicin", "medicines"),
    "AllergyIntolerance": ("allergier", "allergies"),
    "Immunization": ("vaccinationer", "vaccinations"),
    "Procedure": ("behandlinger og operationer", "treatments and operations"),
    "Encounter": ("kontakter og indlæggelser", "contacts and admissions"),
    "DiagnosticReport": ("undersøgelsessvar", "diagnostic reports"),
    "DocumentReference": ("dokumenter", "documents"),
    "CarePlan": ("behandlingsplaner", "care plans"),
    "Appointment": ("aftaler", "appointments"),
    "Consent": ("samtykker og spærringer", "consents and blocks"),
}


@dataclass(frozen=True, slots=True)
class Choice:
    """Somebody whom an authorization can be about: `Patient/<id>`, and what the user knows him by."""

    reference: str
    shown: str


@dataclass(frozen=True, slots=True)
class Question:
    """What is put to the user."""

    app: str
    scopes: Scopes
    purpose: Purpose
    handle: str
    token: str
    redirect_uri: str
    choices: Sequence[Choice] = field(default_factory=tuple)
    finds: bool = False
    """Whether the user looks a patient up."""
    found_nobody: bool = False
    user: str = ""
    """The name that the log-in gave, '' where it gave none."""
    own: bool = False
    """Whether it is about the user himself, and nobody is to be chosen."""
    days: int = 0
    """How long it lasts without a log-in, where the app asks for that."""


def language_of(wanted: str, accepted: str) -> Language:
    """Return `da` or `en`: what the app asks for (`ui_locales`), else what the browser prefers, else Danish."""
    for part in [*wanted.split(), *accepted.split(",")]:
        name = part.strip().partition(";")[0].partition("-")[0].lower()
        for language in LANGUAGES:
            if name == language:
                return language
    return "da"


def question(asked: Question, language: Language) -> HTMLResponse:
    """Return the page that asks."""
    words, at = _WORDS[language], urlsplit(asked.redirect_uri)
    web = at.scheme in {"http", "https"}
    items = "".join(f"<li>{html.escape(line)}</li>" for line in _lines(asked.scopes, asked.days, language))
    body = [
        f"<p><strong>{html.escape(asked.app)}</strong> {words['asks']}</p>",
        pages.paragraph(words["user"].format(name=asked.user)) if asked.user else "",
        f"<p>{words['may']}</p><ul class=dots>{items}</ul>",
        pages.paragraph(words["own"]) if asked.own else "",
        '<form method="post" action="/oauth/authorize/decide" autocomplete="off">',
        f'<input type="hidden" name="request" value="{html.escape(asked.handle)}">',
        f'<input type="hidden" name="csrf" value="{html.escape(asked.token)}">',
        f'<input type="hidden" name="lang" value="{language}">',
        _people(asked, words),
    ]
    if asked.purpose is Purpose.VAERDISPRING:
        body.append(f'<label>{words["reason"]}<textarea name="reason" maxlength="400" rows="3"></textarea></label>')
    if asked.choices or not asked.finds:  # before a patient is found there is nothing to agree to
        body.append(f'<button name="decision" value="yes">{words["yes"]}</button> ')
    body += [
        f'<button name="decision" value="no">{words["no"]}</button></form>',
        pages.paragraph(words["to"].format(host=at.netloc)) if web else "",
    ]
    other = {"request": asked.handle, "lang": "en" if language == "da" else "da"}
    onward = f"{at.scheme}://{at.netloc}" if web else f"{at.scheme}:"
    page = pages.page(
        language, words["title"], body, other=f"/oauth/authorize/continue?{urlencode(other)}", forms=[onward]
    )
    page.headers["referrer-policy"] = "same-origin"  # with no-referrer a browser would not say the form's Origin
    return page


def refusal(text: str, language: Language, status: int = 400) -> HTMLResponse:
    """Return the page for what no app can be told about."""
    words = _WORDS[language]
    body = [pages.paragraph(text or words["over"]), pages.paragraph(words["back"])]
    return pages.page(language, words["wrong"], body, status=status)


def onward(location: str) -> RedirectResponse:
    """Return what sends the browser on, to an address whose parts were escaped where it was made."""
    # 303, so that a form is not sent on (RFC 9700 §4.12)
    headers = {
        "cache-control": "no-store",
        "referrer-policy": "no-referrer",
        "content-security-policy": "default-src 'none'",
    }
    return RedirectResponse(location, 303, headers)


def _people(asked: Question, words: Mapping[str, str]) -> str:
    if asked.finds:
        nobody = f"<p>{words['nobody']}</p>" if asked.found_nobody else ""
        looked = (
            f'<label>{words["find"]}<input type="text" name="find" maxlength="64"></label>'
            f'<button name="decision" value="find">{words["search"]}</button>{nobody}'
        )
    else:
        looked = ""
    if not asked.choices and not looked:
        return ""
    radios = "".join(
        f'<label><input type="radio" name="patient" value="{html.escape(one.reference)}"{" checked" if not number else ""}>'
        f" {html.escape(one.shown) or words['self']}</label>"
        for number, one in enumerate(asked.choices)
    )
    return f"<fieldset><legend>{words['about']}</legend>{looked}{radios}</fieldset>"


def _lines(scopes: Scopes, days: int, language: Language) -> list[str]:
    words, found = _WORDS[language], []
    for letters, verb in (("rs", words["r"]), ("cud", words["w"])):
        kinds = [_kind(grant, language) for grant in scopes.grants if set(grant.letters) & set(letters)]
        if kinds:
            found.append(f"{verb}: {', '.join(dict.fromkeys(kinds))}")
    if "openid" in scopes.others:
        found.append(words["who"])
    if "offline_access" in scopes.others:
        found.append(words["offline"].format(days=days))
    return found


def _kind(grant: Grant, language: Language) -> str:
    if grant.type == "*":
        name = _WORDS[language]["all"]
    else:
        named = _TYPES.get(grant.type)
        name = named[LANGUAGES.index(language)] if named else grant.type
    values = [value.rpartition("|")[2] for _, value in grant.constraint]
    return f"{name} ({', '.join(values)})" if values else name
